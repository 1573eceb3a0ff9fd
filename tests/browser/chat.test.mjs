// The first page in a real browser: two people, every transport, nothing lost and nothing twice.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { mkdirSync } from "node:fs";
import { launch } from "./chromium.mjs";
import { publish, root, startServer, until } from "../clients/server.mjs";

const TRANSPORTS = ["websocket", "sse", "stream", "iframe", "longpoll", "shortpoll", "jsonp"];
const SCREENSHOTS = `${process.env.CARGO_TARGET_DIR ?? `${root}target`}/screenshots`;

let server, browser, pages;

before(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  browser = await launch();
});
after(() => browser?.close());

// Every test has a server of its own, so that no name or message of another is in its way.
beforeEach(async () => {
  pages = [];
  server = await startServer("--jsonp", "--history", "2000");
});
afterEach(async () => {
  for (const page of pages) await page.context().close();
  await server.stop();
  for (const page of pages) assert.deepEqual(page.complaints, [], "the page complained in the console");
});

// A browser of its own, or a second tab of the one that `options.context` is.
async function openPage({ context, ...options } = {}) {
  context ??= await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (line) => {
    const expected = /favicon/.test(line.location().url) || /closed before the connection/.test(line.text());
    if (line.type() === "error" && !expected) page.complaints.push(line.text());
  });
  pages.push(page);
  await page.goto(server.base);
  await live(page);
  return page;
}

function live(page, transport) {
  const way = transport ? `[data-transport=${transport}]` : "";
  return page.waitForSelector(`#state[data-state=live]${way}`, { timeout: 15_000 });
}

async function choose(page, transport) {
  await page.selectOption("#transport", transport);
  await live(page, transport);
}

async function enter(page, nick) {
  await page.fill("#nick", nick);
  await page.click("#enter");
  await page.waitForSelector("#text:visible");
}

async function say(page, text) {
  await page.fill("#text", text);
  await page.click("#send");
}

const texts = (page) => page.$$eval("#messages [data-id] .text", (all) => all.map((one) => one.textContent));
const lines = (page) => page.$$eval("#messages .presence", (all) => all.map((one) => one.textContent));
const online = (page) => page.$$eval("#online li", (all) => all.map((one) => one.dataset.nick));

async function shows(page, text) {
  await until(`the page shows "${text}"`, async () => (await texts(page)).includes(text));
}

test("two people talk over every transport", { timeout: 120_000 }, async () => {
  const ann = await openPage();
  await enter(ann, "ann");
  const bob = await openPage();
  await enter(bob, "bob");
  await until("ann sees bob online", async () => (await online(ann)).includes("bob"));
  await until("bob sees both online", async () => (await online(bob)).join() === "ann,bob");

  const said = [];
  for (const transport of TRANSPORTS) {
    await choose(ann, transport);
    for (const [page, text] of [[ann, `from ann over ${transport}`], [bob, `to ann over ${transport}`]]) {
      await say(page, text);
      said.push(text);
      await shows(ann, text);
      await shows(bob, text);
    }
  }
  assert.deepEqual(await texts(ann), said);
  assert.deepEqual(await texts(bob), said);
  const senders = await bob.$$eval("#messages [data-id]", (all) => all.map((one) => one.dataset.from));
  assert.deepEqual(senders, said.map((text) => (text.startsWith("from") ? "ann" : "bob")));
  assert.deepEqual((await lines(bob)).filter((line) => / left$/.test(line)), [], "a change of transport is no leave");
});

test("a burst survives changes of transport", { timeout: 120_000 }, async () => {
  const page = await openPage();
  const count = 200;
  const expected = Array.from({ length: count }, (_, n) => `burst ${n}`);
  let sent = 0;
  const burst = (async () => {
    for (const text of expected) {
      await publish(server.base, "lobby", text);
      sent += 1;
    }
  })();
  burst.catch(() => {}); // awaited below; until then a failure must not end the run
  // Each change falls into the burst: it is made as soon as a further part has been sent, never after
  // having waited for the link before to settle.
  for (let step = 1; step <= 20; step++) {
    await until(`${step * 10} sent`, () => sent >= step * 10 || sent === count);
    await page.selectOption("#transport", TRANSPORTS[(step * 3) % TRANSPORTS.length]);
  }
  await burst;
  await shows(page, expected.at(-1));
  assert.deepEqual(await texts(page), expected);
  assert.equal(await page.locator("#messages .gap").count(), 0);
});

test("messages sent while the transport changes arrive once, in order", { timeout: 60_000 }, async () => {
  const ann = await openPage();
  await enter(ann, "ann");
  const bob = await openPage();
  const expected = [];
  for (const [n, transport] of [...TRANSPORTS, ...TRANSPORTS].entries()) {
    expected.push(`said ${n}`);
    await say(ann, expected.at(-1));
    await ann.selectOption("#transport", transport);
  }
  await shows(bob, expected.at(-1));
  await shows(ann, expected.at(-1));
  assert.deepEqual(await texts(bob), expected);
  assert.deepEqual(await texts(ann), expected);
});

test("a reload shows history and no flicker", { timeout: 60_000 }, async () => {
  const ann = await openPage();
  await enter(ann, "ann");
  const bob = await openPage();
  await enter(bob, "bob");
  for (const n of [1, 2, 3]) await say(ann, `before ${n}`);
  await shows(bob, "before 3");
  const linesBefore = await lines(bob);

  await ann.reload();
  await live(ann);
  await ann.waitForSelector("#text:visible");
  assert.deepEqual(await texts(ann), ["before 1", "before 2", "before 3"]);
  await say(ann, "after");
  await shows(bob, "after");
  assert.deepEqual(await texts(bob), ["before 1", "before 2", "before 3", "after"]);
  assert.deepEqual(await lines(bob), linesBefore, "bob saw ann leave or join");
});

test("a restart of the server is survived and shown", { timeout: 60_000 }, async () => {
  const ann = await openPage();
  await enter(ann, "ann");
  for (const transport of ["websocket", "sse", "longpoll"]) {
    await choose(ann, transport);
    await say(ann, `before, over ${transport}`);
    await shows(ann, `before, over ${transport}`);
    const gaps = await ann.locator("#messages .gap").count();

    await server.stop();
    await ann.waitForSelector("#state[data-state=retrying]");
    server = await startServer("--jsonp", "--history", "2000", "--port", String(server.port));
    await live(ann, transport);
    // The new server knows neither the client nor its name: the page has logged in again by itself.
    await say(ann, `after, over ${transport}`);
    await shows(ann, `after, over ${transport}`);
    assert.equal(await ann.getAttribute("#messages li:last-child", "data-from"), "ann");
    assert.equal(await ann.locator("#messages .gap").count(), gaps + 1, "the restart is shown once");
  }
  ann.complaints.length = 0; // refused connections are named in the console
});

test("what people write is never markup", { timeout: 60_000 }, async () => {
  const page = await openPage();
  const hostile = '<img src=x onerror="document.title=1"></script><b>bold</b> \u2028';
  for (const transport of TRANSPORTS) {
    await choose(page, transport);
    await publish(server.base, "lobby", `${transport} ${hostile}`);
    await shows(page, `${transport} ${hostile}`);
  }
  assert.equal(await page.locator("#messages img, #messages b").count(), 0);
});

test("a name that is refused is explained and may be tried again", { timeout: 60_000 }, async () => {
  const ann = await openPage();
  await enter(ann, "ann");
  const other = await openPage();
  await other.fill("#nick", "@");
  await other.click("#enter");
  await other.waitForSelector("#notice:visible");
  assert.ok((await other.textContent("#notice")).length > 0);
  await enter(other, "cat");
  assert.equal(await other.isVisible("#notice"), false);
});

test("a name belongs to the browser that took it", { timeout: 60_000 }, async () => {
  const ann = await openPage();
  await enter(ann, "ann");
  await say(ann, "from the first tab");

  const stranger = await openPage();
  await stranger.fill("#nick", "Ann");
  await stranger.click("#enter");
  await stranger.waitForSelector("#notice:visible");
  assert.match(await stranger.textContent("#notice"), /Somebody else has this name/);
  assert.equal(await stranger.inputValue("#nick"), "Ann", "what was typed is there to be changed");
  await stranger.screenshot({ path: `${SCREENSHOTS}/taken.png` });

  const tab = await openPage({ context: ann.context() });
  assert.equal(await tab.inputValue("#nick"), "ann", "the last name is offered");
  await tab.click("#enter");
  await tab.waitForSelector("#text:visible");
  await say(tab, "from the second tab");
  await shows(ann, "from the second tab");
  assert.equal(await ann.getAttribute("#messages li:last-child", "data-from"), "ann");
  assert.deepEqual(await online(ann), ["ann"]);

  // Both come back by themselves after a restart, whichever is first.
  await server.stop();
  server = await startServer("--jsonp", "--port", String(server.port));
  for (const page of [ann, tab]) {
    await page.waitForSelector("#messages .gap");
    await live(page);
    await page.waitForSelector("#text:visible");
    page.complaints.length = 0; // refused connections are named in the console
  }
  await say(ann, "the first is back");
  await say(tab, "the second is back");
  await shows(tab, "the first is back");
  await shows(ann, "the second is back");

  // Gone and come back, the name is still theirs.
  await ann.close();
  await tab.reload();
  await tab.waitForSelector("#text:visible");
  assert.deepEqual(await online(tab), ["ann"]);
});

test("a browser that keeps nothing for pages can chat", { timeout: 60_000 }, async () => {
  const context = await browser.newContext();
  await context.addInitScript(() => {
    for (const store of ["localStorage", "sessionStorage"]) {
      Object.defineProperty(window, store, { get() { throw new DOMException("denied", "SecurityError"); } });
    }
  });
  const page = await openPage({ context });
  await enter(page, "ann");
  await say(page, "hello");
  await shows(page, "hello");
});

test("a page without WebSocket finds another way", { timeout: 60_000 }, async () => {
  const blocked = class {
    constructor() { setTimeout(() => (this.onclose ?? this.onerror)({ reason: "" })); }
    addEventListener() {}
    close() {}
  };
  for (const [names, way] of [[["WebSocket"], "sse"], [["WebSocket", "EventSource"], "longpoll"]]) {
    const context = await browser.newContext();
    await context.addInitScript(`for (const name of ${JSON.stringify(names)}) window[name] = ${blocked};`);
    const page = await openPage({ context });
    assert.equal(await page.getAttribute("#state", "data-transport"), way);
    await enter(page, way);
    await say(page, `over ${way}`);
    await shows(page, `over ${way}`);
  }
});

test("JSONP that is switched off is named", { timeout: 60_000 }, async () => {
  await server.stop();
  server = await startServer();
  const page = await openPage();
  await page.selectOption("#transport", "jsonp");
  await page.waitForSelector("#state[data-state=off]");
  assert.match(await page.textContent("#state"), /JSONP is switched off/);
  page.complaints.length = 0; // the refused script itself is named in the console
  await choose(page, "sse");
});

for (const [name, width, height] of [["wide", 1200, 800], ["narrow", 390, 780]]) {
  for (const colorScheme of ["light", "dark"]) {
    test(`looks right: ${name}, ${colorScheme}`, { timeout: 60_000 }, async () => {
      const page = await openPage({ viewport: { width, height }, colorScheme });
      await page.screenshot({ path: `${SCREENSHOTS}/${name}-${colorScheme}-join.png` });
      await enter(page, "ann");
      await publish(server.base, "lobby", "hello from a terminal");
      await publish(server.base, "lobby", '{"sensor":"roof","celsius":11.25}');
      await say(page, "A long line is broken where it has to be: https://example.org/" + "far/".repeat(30));
      await shows(page, "hello from a terminal");
      await until("three messages", async () => (await texts(page)).length === 3);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `the page is ${overflow} px wider than the window`);
      await page.screenshot({ path: `${SCREENSHOTS}/${name}-${colorScheme}.png` });
    });
  }
}
