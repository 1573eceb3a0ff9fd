// The chat page in a real browser: two people, every transport, nothing lost and nothing twice.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launch } from "./chromium.mjs";
import * as chat from "./chat-page.mjs";
import { publish, startServer, until } from "../clients/server.mjs";

const { authors, choose, choosing, enter, gaps, goTo, lines, live, online, roomEntry, say, shows, texts } = chat;
const TRANSPORTS = ["websocket", "sse", "fetch", "xhr", "iframe", "longpoll", "jsonp", "shortpoll"];
const FLAGS = ["--jsonp", "--history", "2000"];

let server, browser, pages;

before(async () => { browser = await launch(); });
after(() => browser?.close());

// Every test has a server of its own, so that no name or message of another is in its way.
beforeEach(async () => {
  pages = [];
  server = await startServer(...FLAGS);
});
afterEach(async () => {
  for (const page of pages) await page.context().close();
  await server.stop();
  for (const page of pages) assert.deepEqual(page.complaints, [], "the page complained in the console");
});

async function openPage(options) {
  const page = await chat.openPage(browser, server.base, options);
  pages.push(page);
  return page;
}

async function person(nick, options) {
  const page = await openPage(options);
  await enter(page, nick);
  return page;
}

async function restart() {
  await server.stop();
  server = await startServer(...FLAGS, "--port", String(server.port));
}

test("two people talk over every transport", { timeout: 120_000 }, async () => {
  const ann = await person("ann");
  const bob = await person("bob");
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
  assert.deepEqual(await authors(bob), said.map((text) => (text.startsWith("from") ? "ann" : "bob")));
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
  await choosing(page);
  // Each change falls into the burst: it is made as soon as a further part has been sent, never after
  // having waited for the link before to settle.
  for (let step = 1; step <= 20; step++) {
    await until(`${step * 10} sent`, () => sent >= step * 10 || sent === count);
    await page.getByLabel("Read over").selectOption(TRANSPORTS[(step * 3) % TRANSPORTS.length]);
  }
  await burst;
  await shows(page, expected.at(-1));
  assert.deepEqual(await texts(page), expected);
  assert.equal(await gaps(page), 0);
});

test("messages sent while the transport changes arrive once, in order", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  const bob = await openPage();
  const expected = [];
  for (const [n, transport] of [...TRANSPORTS, ...TRANSPORTS].entries()) {
    expected.push(`said ${n}`);
    await say(ann, expected.at(-1));
    await choosing(ann);
    await ann.getByLabel("Read over").selectOption(transport);
    await ann.keyboard.press("Escape");
  }
  await shows(bob, expected.at(-1));
  await until("all have arrived", async () => (await ann.locator("[data-state=sending]").count()) === 0);
  assert.deepEqual(await texts(bob), expected);
  assert.deepEqual(await texts(ann), expected);
});

test("a reload shows history and no flicker", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  const bob = await person("bob");
  for (const n of [1, 2, 3]) await say(ann, `before ${n}`);
  await shows(bob, "before 3");
  const linesBefore = await lines(bob);

  await ann.reload();
  await live(ann);
  await ann.getByRole("textbox", { name: "Message" }).waitFor();
  await shows(ann, "before 3");
  assert.deepEqual(await texts(ann), ["before 1", "before 2", "before 3"]);
  await say(ann, "after");
  await shows(bob, "after");
  assert.deepEqual(await texts(bob), ["before 1", "before 2", "before 3", "after"]);
  assert.deepEqual(await lines(bob), linesBefore, "bob saw ann leave or join");
});

test("a restart of the server is survived and shown", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  for (const transport of ["websocket", "sse", "longpoll"]) {
    await choose(ann, transport);
    await say(ann, `before, over ${transport}`);
    await shows(ann, `before, over ${transport}`);
    const before = await gaps(ann);

    await server.stop();
    await ann.waitForSelector("#state[data-state=retrying]");
    server = await startServer(...FLAGS, "--port", String(server.port));
    await live(ann, transport);
    // The new server knows neither the client nor its name: the page has logged in again by itself.
    await say(ann, `after, over ${transport}`);
    await shows(ann, `after, over ${transport}`);
    await until("the server has it", async () => (await ann.locator("[data-state=sending]").count()) === 0);
    assert.equal((await authors(ann)).at(-1), "ann");
    assert.equal(await gaps(ann), before + 1, "the restart is shown once");
  }
  ann.complaints.length = 0; // refused connections are named in the console
});

test("what is written while the server is away waits and is sent once", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  const bob = await openPage();
  await say(ann, "before");
  await shows(bob, "before");
  await server.stop();
  await ann.getByRole("alert").filter({ hasText: "What you write waits" }).waitFor();
  await say(ann, "waited");
  await chat.message(ann, "waited").getByRole("img", { name: "Waits for the connection" }).waitFor();
  server = await startServer(...FLAGS, "--port", String(server.port));
  await shows(bob, "waited");
  await shows(ann, "waited");
  assert.equal((await texts(bob)).filter((text) => text === "waited").length, 1);
  for (const page of [ann, bob]) page.complaints.length = 0;
});

test("what people write is never markup", { timeout: 60_000 }, async () => {
  const page = await openPage();
  const hostile = '<img src=x onerror="document.title=1"></script><b>bold</b> \u2028';
  for (const transport of TRANSPORTS) {
    await choose(page, transport);
    await publish(server.base, "lobby", `${transport} ${hostile}`);
    await shows(page, `${transport} ${hostile}`);
  }
  assert.equal(await page.locator("#lines img, #lines b").count(), 0);
});

test("a name that is refused is explained and may be tried again", { timeout: 60_000 }, async () => {
  await person("ann");
  const other = await openPage();
  await other.getByRole("textbox", { name: "Your name" }).fill("@");
  await other.getByRole("button", { name: "Join" }).click();
  await chat.isSaid(other, "#join-error", /1 to 32 visible characters/);
  await enter(other, "cat");
  assert.equal(await other.isVisible("#join-error"), false);
});

test("a name belongs to the browser that took it", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  await say(ann, "from the first tab");

  const stranger = await openPage();
  await stranger.getByRole("textbox", { name: "Your name" }).fill("Ann");
  await stranger.getByRole("button", { name: "Join" }).click();
  await chat.isSaid(stranger, "#join-error", /Somebody else has the name Ann/);
  assert.equal(await stranger.inputValue("#nick"), "Ann", "what was typed is there to be changed");

  const tab = await openPage({ context: ann.context() });
  await tab.getByRole("textbox", { name: "Message" }).waitFor();
  await say(tab, "from the second tab");
  await shows(ann, "from the second tab");
  await until("ann alone is there", async () => (await online(ann)).join() === "ann");
  assert.deepEqual([...new Set(await authors(ann))], ["ann"]);

  // Both come back by themselves after a restart, whichever is first.
  await restart();
  for (const page of [ann, tab]) {
    await page.waitForSelector("#lines .gap");
    await live(page);
    page.complaints.length = 0; // refused connections are named in the console
  }
  await say(ann, "the first is back");
  await say(tab, "the second is back");
  await shows(tab, "the first is back");
  await shows(ann, "the second is back");

  // Gone and come back, the name is still theirs.
  await ann.close();
  await tab.reload();
  await tab.getByRole("textbox", { name: "Message" }).waitFor();
  await until("ann is there", async () => (await online(tab)).join() === "ann");
  for (const page of [ann, tab]) page.complaints.length = 0;
});

test("a browser that keeps nothing for pages can chat", { timeout: 60_000 }, async () => {
  const context = await browser.newContext({ locale: "en-GB" });
  await context.addInitScript(() => {
    for (const store of ["localStorage", "sessionStorage"]) {
      Object.defineProperty(window, store, { get() { throw new DOMException("denied", "SecurityError"); } });
    }
  });
  const page = await person("ann", { context });
  await say(page, "hello");
  await shows(page, "hello");
});

test("a page without WebSocket finds another way", { timeout: 60_000 }, async () => {
  const blocked = class {
    constructor() { setTimeout(() => (this.onclose ?? this.onerror)({ reason: "" })); }
    addEventListener() {}
    close() {}
  };
  for (const [names, way] of [[["WebSocket"], "sse"], [["WebSocket", "EventSource"], "fetch"]]) {
    const context = await browser.newContext({ locale: "en-GB" });
    await context.addInitScript(`for (const name of ${JSON.stringify(names)}) window[name] = ${blocked};`);
    const page = await openPage({ context });
    assert.equal(await page.getAttribute("#state", "data-transport"), way);
    await choosing(page);
    await page.getByText("WebSocket was").waitFor(); // and says in words why
    await page.keyboard.press("Escape");
    await enter(page, way);
    await say(page, `over ${way}`);
    await shows(page, `over ${way}`);
  }
});

test("several rooms are open at once, in the address, and count what is unread", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  await goTo(ann, "kitchen");
  assert.equal(new URL(ann.url()).searchParams.get("room"), "kitchen");
  const bob = await person("bob", { path: "/?room=kitchen" });
  await say(bob, "anybody in the kitchen?");
  await shows(ann, "anybody in the kitchen?");

  await publish(server.base, "lobby", "one");
  await publish(server.base, "lobby", "two");
  await roomEntry(ann, "lobby").getByText("2 unread").waitFor();
  await until("the title counts", async () => /^\(2\) kitchen/.test(await ann.title()));
  await ann.goBack();
  await shows(ann, "two");
  await until("nothing is unread", async () => /^lobby/.test(await ann.title()));
  assert.equal(await roomEntry(ann, "lobby").getByText("unread").count(), 0);
  await ann.goForward();
  await shows(ann, "anybody in the kitchen?");

  await roomEntry(ann, "kitchen").hover();
  await ann.getByRole("button", { name: "Leave kitchen" }).click();
  await ann.getByRole("heading", { level: 1, name: "lobby" }).waitFor();
  assert.equal(await roomEntry(ann, "kitchen").count(), 0);
  await ann.reload();
  await live(ann);
  assert.equal(await roomEntry(ann, "kitchen").count(), 0, "left is left");
});

for (const [name, width, height] of [["wide", 1440, 900], ["narrow", 390, 780], ["tiny", 320, 568]]) {
  test(`nothing is wider than the window: ${name}`, { timeout: 60_000 }, async () => {
    const page = await openPage({ viewport: { width, height } });
    await enter(page, "ann");
    await publish(server.base, "lobby", '{"sensor":"roof","celsius":11.25}');
    await say(page, "A long line is broken where it has to be: https://example.org/" + "far/".repeat(30));
    await until("two messages", async () => (await texts(page)).length === 2);
    const overflow = await page.evaluate(() => [document.documentElement, document.getElementById("log")]
      .map((box) => box.scrollWidth - box.clientWidth));
    assert.deepEqual(overflow, [0, 0]);
  });
}
