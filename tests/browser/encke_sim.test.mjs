// The client library in a small world of its own (world.mjs): whatever tabs, networks and servers do there, a
// page is told every message once and in order, and what it says is said once. A failure names its seed;
// SEED=n runs that one alone, SEEDS=n more of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { data, kept, live, reach, saidOnce, seeds, toldOnce } from "./oracle.mjs";
import { World } from "./world.mjs";

// What the faults are; each is undone by the last line of a run.
const FAULTS = [
  (world) => { world.network.up = false; for (const pipe of [...world.sockets]) pipe.close(); },
  (world) => { world.network.up = true; },
  (world) => { world.network.up = true; },
  (world) => { for (const pipe of [...world.sockets]) pipe.close(); },
  (world) => { for (const pipe of world.sockets) pipe.stuck = true; }, // half-open
  (world, roll) => { world.network.vice = { websocket: ["refuse", "silent", "kill", "cut", "starve"][roll(5)] }; },
  (world, roll) => { world.network.vice = { websocket: "refuse", sse: ["refuse", "silent", "cut", "starve"][roll(4)] }; },
  (world) => { world.network.vice = {}; },
  (world, roll) => { world.network.delayMs = [1, 20, 300][roll(3)]; },
  (world, roll) => { world.loss = [0, 0.1, 0.4][roll(3)]; },
];

function mend(world) {
  Object.assign(world.network, { up: true, delayMs: 5, vice: {} });
  world.loss = 0;
}

for (const [name, options] of Object.entries({
  "locks and channels": {},
  "a lease and channels": { locks: false },
  "a lease and the storage": { locks: false, channel: false },
})) {
  test(`tabs come and go under faults, by ${name}`, { timeout: 280_000 }, () => seeds(async (world, rand) => {
    const roll = (n) => Math.floor(rand() * n);
    const browser = world.browser(options);
    let tabs = [];
    let said = 0;
    let count = 0;
    const survivors = () => tabs.filter((one) => one.tab.alive);
    function open() {
      const tab = browser.open({ last: 1000, channels: ["lobby"] });
      tabs.push({ tab });
    }
    open();
    for (let step = 0; step < 60; step++) {
      const what = roll(12);
      const some = survivors();
      const one = some[roll(some.length)].tab;
      if (what < 4) for (let i = roll(10); i >= 0; i--) world.server.publish("lobby", ++count);
      else if (what < 6) { const n = ++said; one.c.publish("said", n, () => {}); if (roll(2)) one.c.publish("lobby", `say ${n}`, () => {}); }
      else if (what === 6 && some.length < 6) open();
      else if (what === 7 && some.length > 1) {
        // What it has not been answered for may be lost with a tab that dies; it is not asked of this one.
        await reach(world, "its words are answered", () => world.network.up === false || kept(world, "said").length === said, 20_000).catch(() => {});
        if (kept(world, "said").length === said) { if (roll(2)) one.kill(); else one.close(); }
      } else if (what === 8 && roll(2)) { one.freeze(); await world.run(roll(60_000)); one.thaw(); }
      else FAULTS[roll(FAULTS.length)](world, roll);
      await world.run(roll(2) ? roll(100) : roll(20_000));
    }
    mend(world);
    for (const { tab } of tabs) if (tab.frozen) tab.thaw();
    world.server.publish("lobby", "end");
    const last = () => survivors().every(({ tab }) => data(tab).includes("end") && tab.c.state === "live");
    await reach(world, "all are told the end", last).catch((error) => {
      throw new Error(`${error.message}: ${JSON.stringify(survivors().map(({ tab }) => [tab.c.state, tab.c.transport, data(tab).length, tab.c.trail.slice(-4)]))}`);
    });
    await reach(world, "all is said", () => kept(world, "said").length >= said).catch((error) => {
      const missing = Array.from({ length: said }, (_, n) => n + 1).filter((n) => !kept(world, "said").includes(n));
      throw new Error(`${error.message}: ${missing}, ${JSON.stringify(survivors().map(({ tab }) => [tab.c.state, tab.c.transport]))}`);
    });
    await world.run(5_000);
    for (const { tab } of survivors()) {
      try { toldOnce(world, tab, 0); } catch (error) {
        const missing = kept(world).filter((one) => !data(tab).includes(one));
        throw new Error(`tab ${tabs.findIndex((one) => one.tab === tab)} was told ${data(tab).length} of ${kept(world).length}, not ${missing.slice(0, 5)}; ${JSON.stringify(tab.states.slice(0, 12))} ${JSON.stringify(tab.gaps)}`);
      }
    }
    saidOnce(world, Array.from({ length: said }, (_, n) => n + 1));
    const up = new Set([...world.sockets].filter((pipe) => pipe.open && !pipe.stuck));
    assert.ok(up.size <= 1, `${up.size} connections for one browser`);
  }));
}

test("a restart of the server is told once to each tab, and nothing is missed after it", { timeout: 120_000 }, () => seeds(async (world, rand) => {
  const browser = world.browser();
  const tabs = [1, 2, 3].map(() => browser.open({ channels: ["lobby", "other"] }));
  await reach(world, "all live", () => tabs.every((tab) => live(tab)()));
  world.server.publish("lobby", "first");
  await world.run(3_000);
  tabs[1].c.login("ann", () => {});
  await world.run(1_000);
  for (const tab of tabs) tab.got.length = 0;
  world.server.restart();
  for (let n = 0; n < 50; n++) { world.server.publish("lobby", n); await world.run(rand() * 200); }
  if (rand() < 0.5) tabs[Math.floor(rand() * 3)].close();
  await world.run(60_000);
  for (const tab of tabs.filter((one) => one.alive)) {
    toldOnce(world, tab, 0);
    assert.deepEqual(tab.gaps.map((gap) => `${gap.ch} ${gap.why}`).sort(), ["lobby restarted", "other restarted"]);
  }
  assert.deepEqual([...world.server.clients.values()].filter((client) => client.stream).map((client) => client.user), ["ann"]);
}));

test("each tab has its own channels, and its own answers", { timeout: 60_000 }, () => seeds(async (world) => {
  for (let n = 0; n < 20; n++) world.server.publish(n % 2 ? "odd" : "even", n);
  const browser = world.browser();
  const one = browser.open({ channels: [] });
  const two = browser.open({ channels: [] });
  const answers = [];
  one.c.subscribe("odd", { last: 3 }, (e, reply) => answers.push(["one", e, reply.ch]));
  two.c.subscribe("even", { last: 2 }, (e, reply) => answers.push(["two", e, reply.ch]));
  two.c.login("ann", (e, reply) => answers.push(["two", e, reply.user]));
  await world.run(5_000);
  assert.deepEqual(answers.sort(), [["one", null, "odd"], ["two", null, "ann"], ["two", null, "even"]]);
  two.c.subscribe("odd", { last: 5 }); // which the other reads already
  world.server.publish("odd", 20);
  world.server.publish("even", 21);
  await world.run(5_000);
  assert.deepEqual(data(one, "odd"), [15, 17, 19, 20]);
  assert.deepEqual(data(one, "even"), []);
  assert.deepEqual(data(two, "odd"), kept(world, "odd").slice(-data(two, "odd").length));
  assert.ok(data(two, "odd").length >= 5);
  assert.deepEqual(data(two, "even"), [16, 18, 21]);
  two.c.unsubscribe("odd");
  await world.run(1_000);
  world.server.publish("odd", 22);
  await world.run(1_000);
  assert.equal(data(one, "odd").at(-1), 22);
  assert.equal(data(two, "odd").at(-1), 20);
  one.close();
  await world.run(5_000);
  const [client] = [...world.server.clients.values()].filter((client) => client.stream);
  assert.deepEqual([...client.chans.keys()], ["even"], "what nobody reads any more is unsubscribed");
  two.c.subscribe("odd", { since: world.server.cursor(3) });
  await world.run(1_000);
  assert.deepEqual(data(two, "odd").slice(-8), [3, 5, 7, 9, 11, 13, 15, 17, 19, 20, 22].slice(-8));
}));

test("what a channel is to be told of before survives a link that is lost at any moment", { timeout: 120_000 }, () => seeds(async (world, rand) => {
  for (const transport of ["websocket", "sse", "longpoll", "shortpoll"]) {
    for (let round = 0; round < 25; round++) {
      const tab = world.browser().open({ channels: ["lobby"], transports: [transport, "shortpoll"] });
      await reach(world, "live", live(tab, transport));
      const [from, since] = [kept(world).length, world.server.cursor()];
      for (let n = 0; n < 5; n++) world.server.publish("old", n);
      world.network.delayMs = [5, 100][round % 2];
      for (let n = 0; n < 3; n++) { world.server.publish("lobby", n); await world.run(rand() * 50); }
      tab.c.subscribe("old", { since });
      await world.run(rand() * 5 * world.network.delayMs);
      for (const pipe of [...world.sockets]) { // and what is under way in it
        pipe.cut();
        world.at(0, () => pipe.onend?.());
      }
      world.network.delayMs = 5;
      await world.run(60_000);
      toldOnce(world, tab, from);
      assert.deepEqual(data(tab, "old"), kept(world, "old").slice(-5), `${transport} ${round}`);
      tab.close();
    }
  }
}));

test("an inbox is read again by its owner, after a cut and after a restart", { timeout: 60_000 }, () => seeds(async (world, rand) => {
  for (const transport of ["websocket", "sse", "longpoll", "shortpoll"]) {
    const tab = world.browser().open({ channels: ["lobby"], transports: [transport, "shortpoll"] });
    await reach(world, "live", live(tab));
    tab.c.login(transport, () => {});
    const inbox = `@${transport}`;
    tab.c.subscribe(inbox, {}, () => {});
    await world.run(5_000);
    let n = 0;
    const talk = () => { world.server.publish("lobby", ++n); world.server.publish(inbox, n); };
    talk();
    await world.run(3_000);
    for (const fault of ["cut", "away", "restart"]) {
      world.network.up = fault !== "away";
      if (fault === "restart") { world.server.restart(); tab.got.length = 0; n = 0; }
      for (const pipe of [...world.sockets]) pipe.close();
      for (let i = 0; i < 5; i++) { talk(); await world.run(rand() * 1000); }
      world.network.up = true;
      talk();
      await world.run(60_000);
      assert.deepEqual(data(tab, inbox), kept(world, inbox), `${transport} ${fault}`);
      assert.deepEqual(data(tab), kept(world).slice(-data(tab).length), `${transport} ${fault}`);
      assert.equal(tab.c.transport, transport);
    }
    tab.close();
    world.server.restart();
  }
}));

test("what was not answered when the page went is sent all the same, once", { timeout: 60_000 }, () => seeds(async (world, rand) => {
  const browser = world.browser();
  const tabs = [1, 2].map(() => browser.open({ channels: [] }));
  await reach(world, "live", () => tabs.every((tab) => live(tab)()));
  tabs[0].c.login("ann", () => {});
  await world.run(3_000);
  for (let n = 1; n <= 5; n++) tabs[n % 2].c.publish("said", n, () => {});
  await world.run(rand() * 20);
  for (const tab of tabs) { tab.close(); await world.run(rand() * 3); }
  await world.run(60_000);
  saidOnce(world, [1, 2, 3, 4, 5]);
  assert.deepEqual([...new Set(world.server.log.map((m) => m.from))], ["ann"]);
}));

test("a better transport is tried beside the working one, and takes over when it has proved itself", { timeout: 60_000 }, () => seeds(async (world) => {
  world.network.vice = { websocket: "refuse", sse: "refuse" };
  const tab = world.browser().open({ channels: ["lobby"] });
  await reach(world, "on long poll", live(tab, "longpoll"));
  let n = 0;
  const talk = async (ms, done) => {
    const end = world.now + ms;
    while (world.now < end && !done?.()) { world.server.publish("lobby", ++n); await world.run(500); }
  };
  world.network.vice = { websocket: "kill", sse: "refuse" };
  await talk(400_000);
  assert.equal(tab.c.transport, "longpoll", "one that dies young has not proved itself");
  const states = tab.states.length;
  assert.ok(tab.states.every(([, state, transport], at) => at === states - 1 || state !== "live" || transport === "longpoll"));
  world.network.vice = {};
  await talk(2_000_000, live(tab, "websocket"));
  assert.equal(tab.c.transport, "websocket");
  assert.equal(tab.c.trail.at(-1).why, "websocket works now");
  await talk(5_000);
  await world.run(5_000);
  toldOnce(world, tab, 0);
  assert.ok(!tab.states.slice(1).some(([at, state]) => at > 30_000 && state === "retrying"), "it was never without a link");
}));

test("a change of network is followed by a look upward", { timeout: 60_000 }, () => seeds(async (world) => {
  world.network.vice = { websocket: "refuse" };
  const tab = world.browser().open({ channels: ["lobby"] });
  await reach(world, "on sse", live(tab, "sse"));
  world.network.vice = {};
  tab.fire("online");
  await reach(world, "on websocket", live(tab, "websocket"), 10_000);
}));

test("a proxy that holds streams back is found by the probe, in two seconds", { timeout: 60_000 }, () => seeds(async (world) => {
  world.network.vice = { websocket: "refuse", sse: "silent" };
  const tab = world.browser().open({ channels: ["lobby"] });
  await reach(world, "on long poll", live(tab, "longpoll"), 3_500);
  assert.deepEqual(Array.from(tab.c.trail, (one) => [one.transport, one.why, one.left]),
    [["websocket", "did not open", true], ["sse", "streams are held back", true]]);
}));

test("a link that says no more than its welcome is left", { timeout: 60_000 }, () => seeds(async (world) => {
  world.network.vice = { websocket: "starve" };
  const tab = world.browser().open({ channels: ["lobby"], heartbeat: 2 });
  await reach(world, "on sse", live(tab, "sse"), 30_000);
  for (const one of tab.c.trail) assert.match(one.why, /^silent for \d+ ms$/);
}));

test("a half-open link is found within two beats", { timeout: 60_000 }, () => seeds(async (world) => {
  const tab = world.browser().open({ channels: ["lobby"], heartbeat: 5 });
  await reach(world, "live", live(tab, "websocket"));
  world.server.publish("lobby", 1);
  await world.run(100);
  for (const pipe of world.sockets) pipe.stuck = true;
  world.server.publish("lobby", 2);
  await reach(world, "told", () => data(tab).includes(2), 12_500);
  toldOnce(world, tab, 0);
}));

test("those who were sent away do not come back together", { timeout: 60_000 }, async () => {
  const world = new World(1);
  const tabs = Array.from({ length: 40 }, () => world.browser().open({ channels: ["lobby"], transports: ["websocket"] }));
  await world.run(5_000);
  world.network.up = false;
  for (const pipe of [...world.sockets]) pipe.close();
  await world.run(120_000);
  const tries = tabs.map((tab) => tab.c.trail.length);
  assert.ok(Math.max(...tries) < 30, `in two minutes somebody tried ${Math.max(...tries)} times`);
  world.network.up = true;
  const from = world.now;
  const back = [];
  for (const tab of tabs) tab.c.on("state", (state) => { if (state === "live") back.push(world.now - from); });
  await world.run(60_000);
  assert.equal(back.length, tabs.length);
  back.sort((a, b) => a - b);
  assert.ok(back.at(-1) - back[0] > 10_000, `all within ${back.at(-1) - back[0]} ms`);
});

test("the server's word on when to come back is kept", { timeout: 60_000 }, () => seeds(async (world) => {
  const tab = world.browser().open({ channels: ["lobby"] });
  await reach(world, "live", live(tab));
  const [pipe] = world.sockets;
  pipe.send({ type: "bye", why: "shutdown", retry: 3_000 });
  await reach(world, "gone", () => tab.c.state !== "live");
  const gone = world.now;
  await reach(world, "back", live(tab));
  assert.ok(world.now - gone >= 3_000 && world.now - gone < 3_100, `after ${world.now - gone} ms`);
  // A refusal that says when is waited for; one that says later than a page would wait is the page's affair.
  let until = world.now + 4_000;
  world.server.refusal = () => (world.now < until ? ["too_fast", until - world.now] : null);
  let answer;
  tab.c.publish("said", 1, (error) => { answer = [world.now, error]; });
  await reach(world, "answered", () => answer);
  assert.equal(answer[1], null);
  assert.ok(answer[0] >= until);
  until = world.now + 600_000;
  answer = null;
  tab.c.publish("said", 2, (error) => { answer = error; });
  await reach(world, "refused", () => answer, 1_000);
  assert.equal(answer.code, "too_fast");
  assert.ok(answer.retry > 590_000);
}));

test("a tab that slept knows by the clock, and one that comes back is told what it missed", { timeout: 60_000 }, () => seeds(async (world) => {
  const browser = world.browser();
  const tabs = [1, 2].map(() => browser.open({ channels: ["lobby"] }));
  await reach(world, "live", () => tabs.every((tab) => live(tab)()));
  await world.run(3_000);
  world.server.publish("lobby", 1);
  await world.run(100);
  for (const tab of tabs) tab.freeze();
  for (const pipe of world.sockets) pipe.stuck = true;
  world.server.publish("lobby", 2);
  await world.run(3_600_000);
  for (const tab of tabs) tab.thaw();
  await reach(world, "told", () => tabs.every((tab) => data(tab).includes(2)), 2_000);
  // Out of the back-forward cache, one after the other.
  for (const tab of tabs) {
    tab.fire("pagehide");
    world.server.publish("lobby", 3);
    await world.run(30_000);
    tab.fire("pageshow", { persisted: true });
    await world.run(5_000);
  }
  for (const tab of tabs) toldOnce(world, tab, 0);
}));
