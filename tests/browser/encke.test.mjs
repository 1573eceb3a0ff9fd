// The client library in a real browser: every transport, and what networks do to them. The proxies are
// written here, each with one vice; behind each of them every message must arrive once and in order, and
// `trail` must tell what was found.

import assert from "node:assert/strict";
import net from "node:net";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launch } from "./chromium.mjs";
import { LIBRARY, htmlfile, numbers } from "./client.mjs";
import { buffers, upgrades } from "./proxies.mjs";
import { asOperator, publish, startServer, until } from "../clients/server.mjs";

const TRANSPORTS = ["websocket", "sse", "fetch", "xhr", "htmlfile", "iframe", "longpoll", "shortpoll", "jsonp"];
const COUNT = 200;
const SETTLE_MS = 20_000; // from the last message sent to the last one seen, behind the worst of them

let server, browser, pages, proxies;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());

beforeEach(async () => {
  pages = [];
  proxies = [];
  server = await startServer("--jsonp", "--history", "2000");
});
afterEach(async () => {
  for (const page of pages) await page.context().close();
  for (const proxy of proxies) await proxy.stop();
  await server.stop();
  for (const page of pages) assert.deepEqual(page.complaints, [], "the page threw");
});

// ---- pages ----

// A page with nothing but the library and one client `c`, which notes what it is told.
async function openPage(options = {}, base = server.base) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  pages.push(page);
  await page.goto(`${base}/healthz`);
  await page.addScriptTag({ path: LIBRARY });
  await page.evaluate(htmlfile);
  await page.evaluate((given) => {
    self.got = [];
    self.gaps = [];
    self.errors = [];
    self.c = Encke({ channels: ["lobby"], ...given })
      .on("message", (m) => got.push(/^\d+$/.test(m.data) ? Number(m.data) : m.data))
      .on("gap", (g) => gaps.push(`${g.ch} ${g.why}`))
      .on("error", (e) => errors.push(e.code));
  }, options);
  return page;
}

const live = (page, transport) => until(`live over ${transport ?? "anything"}`, () => page.evaluate(
  (transport) => c.state === "live" && (!transport || c.transport === transport), transport), SETTLE_MS);
const got = (page) => page.evaluate(() => got);
const trail = (page) => page.evaluate(() => c.trail);
async function burst(count, { from = 0, pauseMs = 0 } = {}) {
  for (let n = from; n < from + count; n++) {
    await publish(server.base, "lobby", String(n));
    if (pauseMs) await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

async function arrives(page, expected) {
  const last = expected.at(-1);
  await until(`message ${last} has come`, async () => (await got(page)).includes(last), SETTLE_MS)
    .catch(async (error) => { throw new Error(`${error.message}; trail: ${JSON.stringify(await trail(page))}`); });
  assert.deepEqual(await got(page), expected);
}

// ---- proxies ----

// A proxy that passes bytes on, but for what `vice` does to a connection. `vice(head, client, upstream)` is
// called with the first request of each and returns true if it has taken the connection over.
async function startProxy(vice, port = 0) {
  const open = new Set();
  const listener = net.createServer((client) => {
    const upstream = net.connect(server.port, "127.0.0.1");
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => { open.delete(socket); client.destroy(); upstream.destroy(); });
    }
    client.once("data", (first) => {
      // The page's own connection ends with it: a transport gets one of its own, and its whole life.
      if (/^GET \/healthz/.test(first)) {
        first = Buffer.from(first.toString("latin1").replace(/^connection: keep-alive/im, "Connection: close"), "latin1");
      }
      if (vice(first.toString("latin1"), client, upstream, first)) return;
      upstream.write(first);
      client.pipe(upstream);
      upstream.pipe(client);
    });
  });
  await new Promise((resolve) => listener.listen(port, "127.0.0.1", resolve));
  const proxy = {
    port: listener.address().port,
    base: `http://127.0.0.1:${listener.address().port}`,
    stop: () => new Promise((resolve) => {
      listener.close(resolve);
      for (const socket of open) socket.destroy();
    }),
  };
  proxies.push(proxy);
  return proxy;
}

// ---- tests ----

test("every transport brings each message once, and takes commands", { timeout: 120_000 }, async () => {
  const all = await Promise.all(TRANSPORTS.map((transport) => openPage({ transports: [transport] })));
  await Promise.all(all.map((page, n) => live(page, TRANSPORTS[n])));
  await burst(COUNT);
  for (const page of all) await arrives(page, numbers(COUNT));
  for (const [n, page] of all.entries()) {
    const said = await page.evaluate(async (n) => {
      const login = await c.login(`user${n}`);
      const [first, second] = await Promise.all([c.publish("lobby", "a"), c.publish("lobby", "b")]);
      const who = await c.who("lobby");
      const history = await c.history("lobby", { limit: 2 });
      const refused = await c.publish("", 1).catch((error) => error.code);
      return { login, first, second, who, history, refused, trail: c.trail };
    }, n);
    assert.equal(said.login.user, `user${n}`, TRANSPORTS[n]);
    assert.ok(said.login.secret);
    assert.deepEqual(said.history.messages.map((m) => [m.from, m.data]), [[`user${n}`, "a"], [`user${n}`, "b"]]);
    assert.ok(said.who.users.includes(`user${n}`));
    assert.equal(said.refused, "bad_channel");
    assert.deepEqual(said.trail, [], TRANSPORTS[n]);
  }
  await all[TRANSPORTS.indexOf("htmlfile")].evaluate(() => c.close());
  assert.ok(await all[TRANSPORTS.indexOf("htmlfile")].evaluate(() => self.collected));
});

test("channels come and go on every kind of transport", { timeout: 60_000 }, async () => {
  await Promise.all(["websocket", "sse", "longpoll", "shortpoll"].map(async (transport) => {
    const name = `news ${transport} & more`;
    for (const n of [1, 2, 3]) await publish(server.base, name, String(n));
    const page = await openPage({ transports: [transport], channels: [] });
    await live(page);
    await page.evaluate((name) => c.subscribe(name, { last: 2 }), name);
    await publish(server.base, name, "4");
    await arrives(page, [2, 3, 4]);
    await page.evaluate((name) => c.unsubscribe(name), name);
    await publish(server.base, name, "5");
    await page.evaluate((name) => c.subscribe(name, { last: 1 }), name);
    await arrives(page, [2, 3, 4, 5]);
  }));
});

test("a burst survives changes of transport, in both directions", { timeout: 60_000 }, async () => {
  const page = await openPage();
  await live(page, "websocket");
  let sent = 0;
  const sending = (async () => {
    for (; sent < COUNT; sent++) await publish(server.base, "lobby", String(sent));
  })();
  sending.catch(() => {}); // awaited below
  for (let step = 1; step <= 2 * TRANSPORTS.length; step++) {
    await until("more is sent", () => sent >= step * 10 || sent === COUNT);
    await page.evaluate((transport) => { c.use(transport); }, TRANSPORTS[(step * 4) % TRANSPORTS.length]);
  }
  await sending;
  await arrives(page, numbers(COUNT));
  assert.deepEqual(await page.evaluate(() => gaps), []);
});

test("what is said while transports change arrives once, in order", { timeout: 60_000 }, async () => {
  const page = await openPage();
  const reader = await openPage();
  await live(reader);
  for (const [n, transport] of [...TRANSPORTS, ...TRANSPORTS].entries()) {
    await page.evaluate(([n, transport]) => {
      for (let i = 0; i < 5; i++) c.publish("lobby", n * 5 + i, (error) => { if (error) throw error; });
      c.use(transport);
    }, [n, transport]);
  }
  await arrives(reader, numbers(TRANSPORTS.length * 10));
  await arrives(page, await got(reader));
});

test("a proxy that kills a WebSocket 200 ms after the 101", { timeout: 60_000 }, async () => {
  const proxy = await startProxy((head, client, upstream) => {
    if (upgrades(head)) upstream.once("data", () => setTimeout(() => client.destroy(), 200));
  });
  const page = await openPage({ last: 1000 }, proxy.base);
  await Promise.all([live(page, "sse"), burst(COUNT, { pauseMs: 10 })]);
  await arrives(page, numbers(COUNT));
  const tried = await trail(page);
  assert.deepEqual(tried.map((one) => [one.transport, one.why, one.left]),
    [["websocket", "cut", false], ["websocket", "cut", true]]);
  for (const one of tried) assert.ok(one.lived >= 190 && one.lived < 1500, `it lived ${one.lived} ms`);
});

test("a proxy that swallows Upgrade", { timeout: 60_000 }, async () => {
  const proxy = await startProxy((head, client, upstream, first) => {
    if (!upgrades(head)) return false;
    upstream.write(first.toString("latin1").replace(/^(upgrade|connection):.*\r\n/gim, ""), "latin1");
    upstream.pipe(client);
    return true;
  });
  const page = await openPage({ last: 1000 }, proxy.base);
  await Promise.all([live(page, "sse"), burst(COUNT)]);
  await arrives(page, numbers(COUNT));
  assert.deepEqual((await trail(page)).map((one) => [one.transport, one.why, one.left]),
    [["websocket", "did not open", true]]);
});

// Two in one test, since both take their time to be found out.
test("a proxy that never answers an Upgrade, and one that holds whole answers back", { timeout: 60_000 }, async () => {
  const silent = await openPage({ last: 1000 }, (await startProxy(upgrades)).base);
  const holding = await openPage({ last: 1000 }, (await startProxy(buffers)).base);
  await burst(COUNT);
  await Promise.all([live(silent, "sse"), live(holding, "longpoll")]);
  for (const page of [silent, holding]) {
    await arrives(page, numbers(COUNT));
    assert.ok((await page.evaluate(() => c.publish("other", "said"))).id);
    assert.ok((await trail(page)).every((one) => one.left));
  }
  assert.deepEqual((await trail(silent)).map((one) => [one.transport, one.why]),
    [["websocket", "no event in 5000 ms"]]);
  assert.deepEqual((await trail(holding)).map((one) => [one.transport, one.why]), [
    ["websocket", "did not open"],
    ["sse", "no event in 5000 ms"],
    ["fetch", "no event in 5000 ms"],
    ["xhr", "streams are held back"],
    ["htmlfile", "streams are held back"],
    ["iframe", "streams are held back"],
  ]);
});

test("a proxy that cuts every two seconds", { timeout: 60_000 }, async () => {
  // After the last that a browser said: a stream on a connection that was there before has its two seconds too.
  const proxy = await startProxy((head, client) => {
    let cut;
    const later = () => {
      clearTimeout(cut);
      cut = setTimeout(() => client.destroy(), 2000);
    };
    client.on("data", later);
    later();
  });
  const ways = ["websocket", "sse", "fetch", "longpoll"];
  const all = await Promise.all(ways.map((way) => openPage({ transports: [way, "shortpoll"] }, proxy.base)));
  await Promise.all(all.map((page, n) => live(page, ways[n])));
  await burst(COUNT, { pauseMs: 25 });
  for (const [n, page] of all.entries()) {
    await arrives(page, numbers(COUNT));
    const tried = await trail(page);
    // A poll on a connection that had served before is repeated by the browser itself; nobody hears of it.
    if (ways[n] !== "longpoll") assert.ok(tried.length >= 2, `${ways[n]} was cut ${tried.length} times`);
    for (const one of tried) {
      assert.deepEqual([one.transport, one.why, one.left], [ways[n], "cut", false]);
      assert.ok(one.lived < 4000, `${ways[n]} lived ${one.lived} ms`);
    }
  }
});

test("a proxy that dies and returns", { timeout: 60_000 }, async () => {
  let proxy = await startProxy(() => false);
  const ways = ["websocket", "sse", "xhr", "longpoll", "jsonp"];
  const all = await Promise.all(ways.map((way) =>
    openPage({ transports: way === "websocket" ? undefined : way }, proxy.base)));
  await Promise.all(all.map((page, n) => live(page, ways[n])));
  await burst(50);
  await new Promise((resolve) => setTimeout(resolve, 1600)); // each has lived long enough to be believed
  await proxy.stop();
  for (const page of all) await until("it is noticed", () => page.evaluate(() => c.state !== "live"));
  for (const page of all) page.evaluate(() => { c.publish("own", "kept", () => {}); });
  await burst(100, { from: 50 });
  proxy = await startProxy(() => false, proxy.port);
  await burst(50, { from: 150 });
  for (const [n, page] of all.entries()) {
    await arrives(page, numbers(COUNT));
    await live(page, ways[n]); // it was not the transport's fault
    assert.ok((await trail(page)).every((one) => !one.left), JSON.stringify(await trail(page)));
  }
  await until("what was said meanwhile is published, once each", async () => {
    const answer = await fetch(`${server.base}/channels/own/history`, asOperator);
    return answer.ok && (await answer.json()).messages.length === all.length;
  });
});

test("a half-open connection is found within two heartbeats", { timeout: 60_000 }, async () => {
  let stuck = false;
  const proxy = await startProxy((head, client, upstream, first) => {
    upstream.write(first);
    client.pipe(upstream);
    const early = !stuck;
    upstream.on("data", (bytes) => { if (!(early && stuck)) client.write(bytes); });
    return true;
  });
  const ways = ["websocket", "sse"];
  const all = await Promise.all(ways.map((way) => openPage({ transports: way, heartbeat: 1 }, proxy.base)));
  await Promise.all(all.map((page, n) => live(page, ways[n])));
  await burst(10);
  for (const page of all) await arrives(page, numbers(10));
  stuck = true;
  await burst(10, { from: 10 });
  for (const page of all) {
    await arrives(page, numbers(20));
    const [one] = await trail(page);
    assert.match(one.why, /^silent for \d+ ms$/);
    assert.ok(Number(/\d+/.exec(one.why)[0]) < 4000, one.why);
  }
});

test("a restart of the server in the middle of a burst is told as a gap", { timeout: 60_000 }, async () => {
  const ways = ["websocket", "sse", "fetch", "iframe", "longpoll", "shortpoll"];
  const all = await Promise.all(ways.map((way) => openPage({ transports: [way], channels: ["lobby", "other"] })));
  await Promise.all(all.map((page, n) => live(page, ways[n])));
  for (const [n, page] of all.entries()) await page.evaluate((n) => c.login(`user${n}`), n);
  await burst(100);
  for (const page of all) await arrives(page, numbers(100));
  await server.stop();
  for (const page of all) page.evaluate(() => { c.publish("own", "kept", () => {}); });
  server = await startServer("--jsonp", "--history", "2000", "--port", String(server.port));
  await burst(100, { from: 100 });
  for (const [n, page] of all.entries()) {
    await arrives(page, numbers(COUNT));
    assert.deepEqual((await page.evaluate(() => gaps)).sort(), ["lobby restarted", "other restarted"], ways[n]);
    assert.deepEqual(await page.evaluate(() => errors), []);
  }
  // Whoever had a name has it again, and what was said in between is said under it.
  await until("all of it is said", async () => {
    const answer = await fetch(`${server.base}/channels/own/history`, asOperator);
    const from = answer.ok ? (await answer.json()).messages.map((one) => one.from) : [];
    return from.sort().join() === ways.map((_, n) => `user${n}`).join();
  });
});

test("a reader that was away for too long is told what was lost", { timeout: 60_000 }, async () => {
  await server.stop();
  server = await startServer("--history", "10");
  const page = await openPage({ transports: "longpoll" });
  await live(page);
  await burst(5);
  await arrives(page, numbers(5));
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pagehide")));
  await burst(40, { from: 5 });
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })));
  await arrives(page, [...numbers(5), ...numbers(10, 35)]);
  assert.deepEqual(await page.evaluate(() => gaps), ["lobby evicted"]);
});

test("offline and back", { timeout: 60_000 }, async () => {
  const page = await openPage();
  await live(page);
  await page.context().setOffline(true);
  await page.evaluate(() => dispatchEvent(new Event("online"))); // a lie; the next one is true
  await until("it is noticed", () => page.evaluate(() => c.state !== "live"));
  await page.evaluate(() => { c.publish("lobby", "kept", () => {}); });
  await page.context().setOffline(false);
  await arrives(page, ["kept"]);
});

test("a refusal is explained, and a closed client is at rest", { timeout: 60_000 }, async () => {
  const page = await openPage({ transports: "longpoll", channels: ["bad/name"] });
  await until("it is told", async () => (await page.evaluate(() => errors)).includes("bad_channel"));
  assert.equal((await trail(page))[0].why, "bad_channel");
  await page.evaluate(() => c.close());
  assert.equal(await page.evaluate(() => c.state), "closed");
  assert.equal(await page.evaluate(() => c.publish("lobby", 1).catch((error) => error.code)), "closed");
});

test("it is a module, too", { timeout: 60_000 }, async () => {
  const page = await openPage();
  assert.equal(await page.evaluate(async () => (await import("/encke.mjs")).default === Encke), true);
  const answer = await fetch(`${server.base}/encke.js`);
  assert.equal(answer.headers.get("cross-origin-resource-policy"), "cross-origin");
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  const again = await fetch(`${server.base}/encke.js`, { headers: { "If-None-Match": answer.headers.get("etag") } });
  assert.equal(again.status, 304);
});
