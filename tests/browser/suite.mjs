// What must be seen of encke.js in every browser: each transport, and what networks, servers and users do to it.
// Each *.test.mjs that calls `suite` runs it on one engine.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { arrives, burst, kept, live, numbers, says, trail } from "./client.mjs";
import { launch } from "./engines.mjs";
import * as vices from "./proxies.mjs";
import { Stage } from "./stage.mjs";

const TRANSPORTS = ["websocket", "sse", "fetch", "xhr", "htmlfile", "iframe", "longpoll", "shortpoll", "jsonp"];
const COUNT = 500;
const SAID = 50;
const AT_ONCE = 8; // tabs that are busy at the same time
const TEST = { timeout: 180_000, concurrency: AT_ONCE };

// Behind each: which transport works in the end, and what was given up for it, for what reason.
const NETWORKS = [
  ["kills a WebSocket 200 ms after the 101", vices.killsUpgraded(200), "sse", [["websocket", "cut"]]],
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
      assert.deepEqual((await kept(stage.server.base, up)).map((one) => one.data), numbers(SAID));
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
      assert.deepEqual((await kept(stage.server.base, name)).map((one) => one.data), numbers(SAID));
      const given = (await trail(tab)).filter((one) => one.left).map((one) => [one.transport, one.why]);
      assert.deepEqual(unique(given), left);
    }));
    await Promise.all([sending, ...each]);
  });
}

const unique = (all) => [...new Map(all.map((one) => [String(one), one])).values()];
