// What must be seen of encke.js in every browser: each transport, and what networks, servers and users do to it.
// Each *.test.mjs that calls `suite` runs it on one engine.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { BARE, fromReadme } from "../clients/nginx.mjs";
import { asOperator } from "../clients/server.mjs";
import { arrives, burst, comes, got, kept, LIBRARY, live, numbers, openClient, replies, says, speaks, spoken, trail } from "./client.mjs";
import { launch } from "./engines.mjs";
import { HARM } from "./harm.mjs";
import * as vices from "./proxies.mjs";
import { Stage } from "./stage.mjs";

const TRANSPORTS = ["websocket", "sse", "fetch", "xhr", "htmlfile", "iframe", "longpoll", "shortpoll", "jsonp"];
const COUNT = 500;
const SAID = 50;
const AT_ONCE = 8; // tabs that are busy at the same time
const SHARES = /BroadcastChannel/.test(readFileSync(LIBRARY, "utf8"));
const TEST = { timeout: 300_000, concurrency: AT_ONCE };

// Behind each: which transport works in the end, and what was given up for it, for what reason.
const NETWORKS = [
  ["kills a WebSocket 200 ms after the 101", vices.killsUpgraded(200), "sse", [["websocket", /^(cut|did not open)$/]]], // the latter if it was too busy to read the welcome in that time
  ["swallows Upgrade", vices.dropsUpgrade, "sse", [["websocket", "did not open"]]],
  ["answers an Upgrade with 200", vices.answersUpgrade(200), "sse", [["websocket", "did not open"]]],
  ["answers an Upgrade with 400", vices.answersUpgrade(400), "sse", [["websocket", "did not open"]]],
  ["never answers an Upgrade", vices.ignoresUpgrade, "sse", [["websocket", "no event in 5000 ms"]]],
  ["strips unknown headers", vices.stripsHeaders, "sse", [["websocket", "did not open"]]],
  ["delays", vices.delays(100), "websocket", []],
];

export function suite(engine) {
  let browser;
  before(async () => { browser = await launch(engine); });
  after(() => browser?.close());

  const check = (name, act, flags) => test(`${engine}: ${name}`, TEST, async (t) => {
    const stage = await Stage.set(browser, flags);
    try {
      await act(stage, t);
    } finally {
      await stage.strike();
    }
    assert.deepEqual(stage.profile.complaints.filter((one) => one.startsWith("thrown")), []);
  });

  check("each transport forced, a burst both ways", async (stage, t) => {
    const each = TRANSPORTS.map((transport) => t.test(transport, TEST, async () => {
      const [down, up] = [`down ${transport}`, `up ${transport}`];
      const tab = await stage.client({ transports: [transport], channels: [down] });
      await live(tab, transport);
      await Promise.all([burst(stage.server.base, COUNT, { ch: down }), says(tab, up, SAID)]);
      await arrives(tab, numbers(COUNT));
      assert.deepEqual(await data(stage, up), numbers(SAID));
      assert.deepEqual((await trail(tab)).filter((one) => one.lived), []);
      assert.equal(await tab.evaluate(() => c.transport), transport);
    }));
    await Promise.all(each);
  });

  check("adversarial proxies", async (stage, t) => {
    const sending = burst(stage.server.base, COUNT, { pauseMs: 80 });
    const each = NETWORKS.map(([name, vice, transport, left]) => t.test(name, TEST, async () => {
      const tab = await stage.client({ last: 1000 }, vice);
      await says(tab, name, SAID);
      await sending;
      await arrives(tab, numbers(COUNT));
      await live(tab, transport);
      assert.deepEqual(await data(stage, name), numbers(SAID));
      const given = (await trail(tab)).filter((one) => one.left);
      assert.deepEqual(unique(given.map((one) => [one.transport])), left.map(([name]) => [name]));
      for (const [n, [, why]] of left.entries()) assert.match(given[n].why, new RegExp(why));
    }));
    await Promise.all([sending, ...each]);
  });

  check("a proxy that holds whole answers back", async (stage) => {
    const tab = await stage.client({ last: 1000 }, vices.buffers);
    const sending = burst(stage.server.base, COUNT, { pauseMs: 50 });
    await says(tab, "up", SAID);
    await live(tab, "longpoll");
    await sending;
    await arrives(tab, numbers(COUNT));
    assert.deepEqual(await data(stage, "up"), numbers(SAID));
    const given = (await trail(tab)).filter((one) => one.left);
    assert.deepEqual(unique(given.map((one) => [one.transport])).flat(), ["websocket", "sse", "fetch", "xhr", "iframe"]);
    for (const one of given.slice(1)) assert.match(one.why, /held back|no event in \d+ ms/);
  });

  check("a proxy that cuts every two seconds", async (stage, t) => {
    const ways = ["websocket", "sse", "fetch", "longpoll"];
    const tabs = await Promise.all(ways.map((way) => stage.client({ transports: [way] }, vices.cuts(2000))));
    await Promise.all(tabs.map((tab, n) => live(tab, ways[n])));
    const sending = burst(stage.server.base, COUNT, { pauseMs: 80 });
    const each = tabs.map((tab, n) => t.test(ways[n], TEST, async () => {
      await says(tab, ways[n], SAID);
      await sending;
      await arrives(tab, numbers(COUNT));
      assert.deepEqual(await data(stage, ways[n]), numbers(SAID));
      const tried = await trail(tab);
      // A poll on a connection that had served before is repeated by the browser itself; nobody hears of it.
      if (ways[n] !== "longpoll") assert.ok(tried.length >= 2, `it was cut ${tried.length} times`);
      for (const one of tried) assert.match(one.why, /^(cut|did not open)/);
    }));
    await Promise.all([sending, ...each]);
  });

  check("a proxy that dies and returns", async (stage, t) => {
    const ways = ["websocket", "sse", "xhr", "longpoll", "jsonp"];
    const each = ways.map((way) => t.test(way, TEST, async () => {
      const [down, up] = [`down ${way}`, `up ${way}`];
      const network = await stage.network();
      const options = { channels: [down], transports: way === "websocket" ? undefined : [way, "shortpoll"] };
      const tab = await openClient(stage.profile, network.base, options);
      await live(tab, way);
      await burst(stage.server.base, 200, { ch: down });
      await new Promise((resolve) => setTimeout(resolve, 1600)); // it has lived long enough to be believed
      await network.die();
      await tab.until("it is noticed", () => c.state !== "live");
      await speaks(tab, up, SAID);
      await burst(stage.server.base, 200, { from: 200, ch: down });
      await tab.until("it is known why", () => c.trail.some((one) => /out of reach/.test(one.why)));
      await stage.network(vices.none, network.at);
      await burst(stage.server.base, 100, { from: 400, ch: down });
      await spoken(tab, SAID);
      await arrives(tab, numbers(COUNT));
      assert.deepEqual(await data(stage, up), numbers(SAID));
      await live(tab, way); // it was not the transport's fault
      assert.deepEqual((await trail(tab)).filter((one) => one.left), []);
    }));
    await Promise.all(each);
  });

  check("a restart of the server in the middle of a burst", async (stage, t) => {
    const ways = ["websocket", "sse", "longpoll", "shortpoll"];
    const tabs = await Promise.all(ways.map((way) => stage.client({ transports: [way] })));
    await Promise.all(tabs.map((tab, n) => live(tab, ways[n])));
    // Both ways, on and on. Whatever is asked of the server while it is away fails, and is not asked again here;
    // what the pages say is theirs to say again.
    let next = 0;
    const sending = (async () => {
      for (; next < COUNT; next += 5) await burst(stage.server.base, 5, { from: next, pauseMs: 20 }).catch(() => {});
    })();
    const saying = Promise.all(tabs.map(async (tab, n) => {
      for (let from = 0; from < 2 * SAID; from += 5) await says(tab, `up ${ways[n]}`, 5, from);
    }));
    await tabs[0].until("it is in the middle", () => got.length > 100);
    await stage.restartServer();
    await Promise.all([sending, saying]);
    const second = await data(stage, "lobby");
    assert.equal(second.at(-1), COUNT - 1);
    const [epoch] = (await kept(stage.server.base, "lobby"))[0].id.split("-");
    const each = tabs.map((tab, n) => t.test(ways[n], TEST, async () => {
      const came = await comes(tab, COUNT - 1);
      assert.deepEqual(came, [...new Set(came)].sort((a, b) => a - b), "once each, in order");
      assert.deepEqual(came.slice(-second.length), second);
      assert.deepEqual(await tab.evaluate(() => gaps), ["lobby restarted"]);
      assert.deepEqual(await tab.evaluate(() => errors), []);
      // A reply tells by its epoch which of the two servers took it.
      const anew = (await replies(tab)).flatMap((id, one) => (id.startsWith(`${epoch}-`) ? [one] : []));
      assert.ok(anew.length > 0 && anew.length < 2 * SAID, `${anew.length} were said to the second server`);
      assert.deepEqual(await data(stage, `up ${ways[n]}`), anew);
    }));
    await Promise.all(each);
  });

  check("changes of transport in the middle of a burst", async (stage) => {
    const tab = await stage.client();
    await live(tab, "websocket");
    const sending = burst(stage.server.base, COUNT, { pauseMs: 30 });
    const said = says(tab, "up", 2 * SAID);
    const ways = TRANSPORTS.filter((way) => way !== "htmlfile");
    for (let step = 1; step <= 2 * ways.length; step++) {
      await tab.until("more has come", (count) => got.length >= count, Math.min(step * 25, COUNT - 1));
      await tab.evaluate((way) => { c.use(way); }, ways[(step * 3) % ways.length]);
    }
    await Promise.all([sending, said]);
    await arrives(tab, numbers(COUNT));
    assert.deepEqual(await data(stage, "up"), numbers(2 * SAID));
    assert.deepEqual(await tab.evaluate(() => gaps), []);
  });

  if (SHARES) check("six tabs and a seventh, over HTTP/1.1", async (stage) => {
    const tabs = [];
    for (let n = 0; n < 7; n++) tabs.push(await stage.tab({ transports: ["sse", "longpoll"] }));
    for (const tab of tabs) await live(tab);
    await Promise.all([burst(stage.server.base, COUNT), ...tabs.map((tab, n) => says(tab, `up ${n}`, SAID))]);
    for (const [n, tab] of tabs.entries()) {
      await arrives(tab, numbers(COUNT));
      assert.deepEqual(await data(stage, `up ${n}`), numbers(SAID));
    }
    const { readers } = await (await fetch(`${stage.server.base}/channels/lobby`, asOperator)).json();
    assert.equal(readers, 1, "they share one connection");
  });

  // Whichever of them leads: each is the first of those that are left when it is closed.
  check("leading tabs closed in the middle of a burst", async (stage) => {
    const tabs = [];
    for (let n = 0; n < 5; n++) {
      tabs.push(await stage.tab());
      await live(tabs[n]);
    }
    const sending = burst(stage.server.base, COUNT, { pauseMs: 60 });
    const last = tabs.at(-1);
    const said = says(last, "up", 4 * SAID);
    for (const [n, tab] of tabs.slice(0, -1).entries()) {
      await last.until("more has come", (count) => got.length >= count, (n + 1) * 80);
      const came = await got(tab);
      assert.deepEqual(came, numbers(came.length));
      await tab.close();
    }
    await Promise.all([sending, said]);
    await arrives(last, numbers(COUNT));
    assert.deepEqual(await data(stage, "up"), numbers(4 * SAID));
    assert.deepEqual(await last.evaluate(() => gaps), []);
  });

  // The driver's word alone reaches no connection that is open, so the network goes away as well.
  check("offline and back", async (stage) => {
    const network = await stage.network();
    const tab = await openClient(stage.profile, network.base);
    const offline = async (is) => {
      if (stage.profile.canGoOffline) return stage.profile.offline(is);
      return tab.evaluate((type) => { dispatchEvent(new Event(type)); }, is ? "offline" : "online");
    };
    await live(tab);
    await burst(stage.server.base, 100);
    await arrives(tab, numbers(100));
    await network.die();
    await offline(true);
    await tab.until("it is noticed", () => c.state !== "live");
    await speaks(tab, "up", SAID);
    await burst(stage.server.base, 300, { from: 100 });
    await stage.network(vices.none, network.at);
    await offline(false);
    await burst(stage.server.base, 100, { from: 400 });
    await spoken(tab, SAID);
    await arrives(tab, numbers(COUNT));
    assert.deepEqual(await data(stage, "up"), numbers(SAID));
    await live(tab, "websocket");
  });

  for (const [name, lines, transport, left] of [
    ["a bare proxy_pass", BARE, "sse", [["websocket", "did not open"]]],
    ["the lines of the README", fromReadme(), "websocket", []],
  ]) {
    check(`nginx with ${name}`, async (stage) => {
      const nginx = await stage.nginx(lines);
      const tab = await openClient(stage.profile, nginx.base);
      await live(tab, transport);
      await tab.evaluate(() => c.login("ann"));
      await Promise.all([burst(stage.server.base, COUNT, { pauseMs: 20 }), says(tab, "up", SAID)]);
      await arrives(tab, numbers(COUNT));
      const up = await kept(stage.server.base, "up");
      assert.deepEqual(up.map((one) => [one.from, one.data]), numbers(SAID).map((n) => ["ann", n]));
      const given = (await trail(tab)).filter((one) => one.left).map((one) => [one.transport, one.why]);
      assert.deepEqual(unique(given), left);
    });
  }

  for (const [name, act, flags] of HARM) check(name, act, flags);
}

const unique = (all) => [...new Map(all.map((one) => [String(one), one])).values()];
const data = async (stage, ch) => (await kept(stage.server.base, ch)).map((one) => one.data);
