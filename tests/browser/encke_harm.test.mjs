// The client library in the small world of world.mjs, where what it stands on fails: storage and locks that refuse,
// clocks that are set, answers that are lost for hours, networks that let only reading pass.

import assert from "node:assert/strict";
import { test } from "node:test";
import { data, kept, live, reach, seeds, toldOnce } from "./oracle.mjs";

const TEST = { timeout: 280_000 }; // of the machine, which may have much else to do
const HOUR_MS = 3_600_000;

const published = (world, ch = "said") => world.server.published.filter((m) => m.ch === ch).map((m) => m.data);

// How a command went, once it did.
function outcome(tab, ch, what) {
  const is = { count: 0 };
  tab.c.publish(ch, what, (error, reply) => Object.assign(is, { count: is.count + 1, error, reply }));
  return is;
}

// The network is gone, with what is under way in it.
function part(world) {
  world.network.up = false;
  for (const pipe of [...world.sockets]) {
    pipe.cut();
    world.at(0, () => pipe.onend?.());
  }
}

// Publishes, and the reply is lost.
async function loseReply(world, tab, what) {
  const is = outcome(tab, "said", what);
  await reach(world, "it is published", () => published(world).includes(what));
  part(world);
  assert.equal(is.count, 0);
  return is;
}

const WAYS = ["websocket", "sse", "longpoll"];

for (const [name, ms] of [["a minute", 60_000], ["six minutes", 360_000], ["an hour", HOUR_MS]]) {
  test(`a publish whose reply was lost is one message when the network comes back after ${name}`, TEST, () => seeds(async (world) => {
    for (const [n, way] of WAYS.entries()) {
      const tab = world.browser({ transports: [way] }).open({ channels: ["lobby"] });
      await reach(world, "live", live(tab));
      const is = await loseReply(world, tab, n);
      await world.run(ms);
      world.network.up = true;
      await reach(world, "answered", () => is.count);
      assert.equal(is.error, null);
      assert.equal(is.reply.repeated, true);
      assert.deepEqual(published(world), WAYS.map((_, one) => one).slice(0, n + 1));
      tab.close();
    }
  }));
}

test("a publish that the log may have forgotten is not published again, and the page is told", TEST, () => seeds(async (world) => {
  for (const [n, way] of WAYS.entries()) {
    const tab = world.browser({ transports: [way] }).open({ channels: ["lobby"] });
    await reach(world, "live", live(tab));
    const is = await loseReply(world, tab, n);
    await world.run(HOUR_MS);
    world.server.evict("said");
    world.network.up = true;
    await reach(world, "answered", () => is.count);
    assert.equal(is.error.code, "unknown");
    await world.run(600_000);
    assert.deepEqual(published(world), WAYS.map((_, one) => one).slice(0, n + 1));
    assert.equal(is.count, 1);
    tab.close();
  }
}));

test("what another tab's leader had sent is known to the next one", TEST, () => seeds(async (world) => {
  const browser = world.browser();
  const tabs = [1, 2].map(() => browser.open({ channels: ["lobby"] }));
  await reach(world, "live", () => tabs.every((tab) => live(tab)()));
  await world.run(3_000);
  const is = await loseReply(world, tabs[1], 1);
  await world.run(1_000);
  tabs[0].kill();
  await world.run(HOUR_MS);
  world.server.evict("said");
  world.network.up = true;
  await reach(world, "answered", () => is.count);
  assert.equal(is.error.code, "unknown");
  assert.deepEqual(published(world), [1]);
}));

test("what a beacon took along is known when the page comes back out of the browser's memory", TEST, () => seeds(async (world) => {
  const browser = world.browser({ transports: ["sse"] });
  const tabs = [1, 2].map(() => browser.open({ channels: ["lobby"] }));
  await reach(world, "live", () => tabs.every((tab) => live(tab)()));
  await world.run(3_000);
  world.network.delayMs = 500;
  const all = tabs.map((tab, n) => outcome(tab, "said", n));
  await world.run(100); // the second is behind the first
  tabs[0].fire("pagehide");
  await reach(world, "both are published", () => published(world).length === 2);
  part(world);
  await world.run(HOUR_MS);
  world.server.evict("said");
  world.network.up = true;
  tabs[0].fire("pageshow", { persisted: true });
  await reach(world, "answered", () => all.every((is) => is.count));
  assert.deepEqual(all.map((is) => is.error.code), ["unknown", "unknown"]);
  assert.deepEqual(published(world).sort(), [0, 1]);
}));

test("what was never sent is published after hours, whatever was forgotten meanwhile", TEST, () => seeds(async (world) => {
  const tab = world.browser().open({ channels: ["lobby"] });
  await reach(world, "live", live(tab));
  part(world);
  const is = outcome(tab, "said", 1);
  await world.run(HOUR_MS);
  for (let n = 0; n < 5; n++) world.server.publish("said", `other ${n}`);
  world.server.evict("said");
  world.network.up = true;
  await reach(world, "answered", () => is.count);
  assert.equal(is.error, null);
  assert.deepEqual(published(world).filter((one) => one === 1), [1]);
}));

test("a new log gets what the old one had not answered for, once", TEST, () => seeds(async (world) => {
  const tab = world.browser().open({ channels: ["lobby"] });
  await reach(world, "live", live(tab));
  const is = await loseReply(world, tab, 1);
  world.server.restart();
  await world.run(HOUR_MS);
  world.server.evict("said");
  world.network.up = true;
  await reach(world, "answered", () => is.count);
  await world.run(60_000);
  assert.equal(is.error, null);
  assert.deepEqual(published(world), [1]);
}));

test("a queue that is full refuses by name, and all that it took is published once", TEST, () => seeds(async (world) => {
  const browser = world.browser();
  const tabs = [1, 2].map(() => browser.open({ channels: ["lobby"] }));
  await reach(world, "live", () => tabs.every((tab) => live(tab)()));
  await world.run(3_000);
  part(world);
  const all = tabs.map((tab, t) => Array.from({ length: 1_003 }, (_, n) => outcome(tab, "said", 10_000 * t + n)));
  await world.run(1_000);
  for (const one of all) {
    assert.deepEqual([...new Set(one.slice(0, 1_000).map((is) => is.count))], [0]);
    assert.deepEqual(one.slice(1_000).map((is) => is.error.code), ["queue_full", "queue_full", "queue_full"]);
  }
  world.network.up = true;
  await reach(world, "all is answered", () => all.flat().every((is) => is.count === 1));
  for (const one of all) assert.ok(one.slice(0, 1_000).every((is) => is.error === null));
  assert.equal(new Set(published(world)).size, 2_000);
  assert.equal(published(world).length, 2_000);
  const late = outcome(tabs[1], "said", "room again");
  await reach(world, "answered", () => late.count);
  assert.equal(late.error, null);
}));

test("what is no JSON is refused to its own tab, and what is changed after it was said is not sent", TEST, () => seeds(async (world) => {
  const browser = world.browser();
  const tabs = [1, 2].map(() => browser.open({ channels: ["lobby"] }));
  await reach(world, "live", () => tabs.every((tab) => live(tab)()));
  await world.run(3_000);
  for (const tab of tabs) {
    const circle = {};
    circle.circle = circle;
    for (const bad of [circle, 1n, { toJSON() { throw new Error("no"); } }]) {
      const is = outcome(tab, "said", bad);
      await reach(world, "answered", () => is.count, 1_000);
      assert.equal(is.error.code, "bad_data");
    }
    const changing = { text: "as it was" };
    const good = [outcome(tab, "said", changing), outcome(tab, "said", new Proxy({ text: "reactive" }, {}))];
    changing.text = "as it is now";
    await reach(world, "answered", () => good.every((is) => is.count));
    assert.deepEqual(good.map((is) => is.error), [null, null]);
  }
  const texts = published(world).map((one) => one.text);
  assert.deepEqual(texts, ["as it was", "reactive", "as it was", "reactive"]);
}));

test("a callback that throws holds up nothing", TEST, () => seeds(async (world) => {
  const tab = world.browser().open({ channels: ["lobby"] });
  await reach(world, "live", live(tab));
  tab.c.publish("said", 1, () => { throw new Error("the page's"); });
  const is = outcome(tab, "said", 2);
  await reach(world, "answered", () => is.count);
  tab.c.publish("said", 3, () => { throw new Error("the page's"); });
  const last = outcome(tab, "said", 4);
  tab.c.close();
  assert.equal(last.error.code, "closed");
  await world.run(1_000);
  assert.deepEqual(world.errors.splice(0).map((error) => error.message), ["the page's", "the page's"]);
}));

// ---- what the tabs agree by ----

// Each from the beginning, or once all is well.
const REFUSALS = {
  "locks that are refused": { locks: "refuses" },
  "locks that throw": { locks: "throws" },
  "a channel that can't be made": { channel: "refuses" },
  "a channel that throws at the first word": { channel: "throws" },
  "storage that refuses": { locks: false, channel: false, storage: "refuses" },
  "storage that is full": { locks: false, channel: false, storage: "full" },
  "storage that forgets": { locks: false, channel: false, storage: "forgets" },
  "no locks, and storage that refuses": { locks: false, storage: "refuses" },
};

for (const [name, refusal] of Object.entries(REFUSALS)) {
  test(`each tab goes on alone with ${name}`, TEST, () => seeds(async (world) => {
    const browser = world.browser(refusal);
    const tabs = [1, 2].map(() => browser.open({ channels: ["lobby"] }));
    await reach(world, "live", () => tabs.every((tab) => live(tab)()), 5_000);
    world.server.publish("lobby", 1);
    await world.run(60_000);
    for (const tab of tabs) toldOnce(world, tab, 0);
    assert.ok(browser.asked <= 2, `asked for the lock ${browser.asked} times`);
    assert.equal(new Set(tabs.map((tab) => tab.c.sid)).size, 2, "each is a client of its own");
    const said = tabs.map((tab, n) => outcome(tab, "said", n));
    await reach(world, "answered", () => said.every((is) => is.count));
    for (const tab of tabs) assert.deepEqual(tab.states.map(([, state]) => state).filter((state) => state !== "connecting"), ["live"]);
  }));

  if (!/^locks/.test(name) && !/can't be made/.test(name)) {
    test(`each tab goes on alone when it comes to ${name}, later`, TEST, () => seeds(async (world, rand) => {
      const browser = world.browser({ ...refusal, channel: refusal.channel && true, storage: true });
      const tabs = [1, 2, 3].map(() => browser.open({ channels: ["lobby"] }));
      await reach(world, "live", () => tabs.every((tab) => live(tab)()));
      await world.run(10_000 * rand());
      tabs[0].c.login("ann", () => {});
      await world.run(1_000);
      Object.assign(browser, refusal);
      let n = 0;
      const said = [];
      for (let step = 0; step < 60; step++) {
        world.server.publish("lobby", ++n);
        if (step % 20 === 5) for (const [t, tab] of tabs.entries()) said.push(outcome(tab, "said", 100 * t + step));
        await world.run(rand() * 1_000);
      }
      await world.run(60_000);
      await reach(world, "all is answered", () => said.every((is) => is.count === 1));
      for (const tab of tabs) {
        assert.equal(tab.c.state, "live");
        toldOnce(world, tab, 0);
      }
      assert.equal(new Set(published(world)).size, published(world).length, "each once");
      assert.equal(published(world).length, said.length);
    }));
  }
}

test("members of Object.prototype are none of ours", TEST, () => seeds(async (world) => {
  for (const [n, options] of [{}, { locks: false }, { locks: false, channel: false }].entries()) {
    const news = `news ${n}`;
    const first = "Object.prototype.extend = function () {}; Object.prototype.clone = { deep: true }; Array.prototype.last = function () {};";
    const browser = world.browser({ first, ...options });
    const tabs = [1, 2].map(() => browser.open({ channels: ["lobby"] }));
    await reach(world, "live", () => tabs.every((tab) => live(tab)()));
    await world.run(10_000);
    const from = kept(world).length;
    tabs[1].c.subscribe(news, { last: 1 }, () => {});
    await world.run(1_000);
    const is = outcome(tabs[1], "said", { text: "hello" });
    await reach(world, "answered", () => is.count);
    assert.deepEqual(published(world).pop(), { text: "hello" });
    world.server.publish("lobby", 1);
    world.server.publish(news, 2);
    await world.run(200_000);
    for (const tab of tabs) toldOnce(world, tab, from);
    assert.deepEqual(data(tabs[1], news), [2]);
    assert.ok(browser.asked <= 2, `asked for the lock ${browser.asked} times`);
    assert.equal(tabs[0].c.trail.length, 0);
    assert.throws(() => tabs[0].c.use("extend"), /no transport/);
    assert.throws(() => tabs[0].c.use("constructor"), /no transport/);
    for (const tab of tabs) tab.close();
  }
}));

test("nothing is tried again without a pause", TEST, () => seeds(async (world) => {
  // A lock that is granted and taken away at once, for ever.
  const thief = world.browser();
  const tab = thief.open({ channels: [] });
  await reach(world, "live", live(tab));
  const asked = thief.asked;
  for (let n = 0; n < 600; n++) {
    const last = thief.held;
    thief.held = null;
    if (last) last.fail(new Error("AbortError"));
    thief.grant();
    await world.run(100);
  }
  assert.ok(thief.asked - asked <= 61, `asked for the lock ${thief.asked - asked} times in a minute`);
  tab.close();
  // Two servers behind one address, each of which knows nothing of the other's clients.
  const enter = world.server.enter.bind(world.server);
  let turn = 0;
  world.server.enter = (query) => {
    if (turn++ % 2) query.delete("sid");
    return enter(query);
  };
  for (const way of ["longpoll", "shortpoll"]) {
    const one = world.browser({ transports: [way] }).open({ channels: ["lobby"] });
    const before = world.requests.length;
    await world.run(60_000);
    const count = world.requests.length - before;
    assert.ok(count <= 400, `${way} asked ${count} times in a minute`);
    one.close();
  }
  world.server.enter = enter;
  // A server that forgets us between a poll and a command.
  const other = world.browser({ transports: ["sse"] }).open({ channels: ["lobby"] });
  await reach(world, "live", live(other));
  const is = outcome(other, "said", 1);
  world.server.clients.get = () => undefined;
  const before = world.requests.length;
  await reach(world, "answered", () => is.count);
  assert.equal(is.error.code, "unknown_sid");
  assert.ok(world.requests.length - before < 20);
  delete world.server.clients.get;
}));

// ---- clocks ----

for (const counter of [true, false]) {
  const has = counter ? "a browser that counts" : "a browser without a counter";

  for (const [name, ms] of [["an hour back", -HOUR_MS], ["ten minutes back", -600_000], ["a day ahead", 24 * HOUR_MS]]) {
    test(`a dead link is found though the clock was set ${name}, in ${has}`, TEST, () => seeds(async (world) => {
      for (const transport of ["websocket", "sse", "longpoll"]) {
        const browser = world.browser({ counter, transports: [transport] });
        const tabs = [1, 2].map(() => browser.open({ channels: ["lobby"], heartbeat: 5 }));
        await reach(world, "live", () => tabs.every((tab) => live(tab, transport)()));
        await world.run(10_000);
        const from = kept(world).length;
        world.wallAhead += ms;
        for (const pipe of world.sockets) pipe.stuck = true;
        world.server.publish("lobby", transport);
        await reach(world, "told", () => tabs.every((tab) => data(tab).includes(transport)), 14_000);
        await world.run(60_000);
        for (const tab of tabs) toldOnce(world, tab, from);
        for (const tab of tabs) assert.ok(tab.c.trail.length <= 2, JSON.stringify(tab.c.trail));
        for (const tab of tabs) for (const one of tab.c.trail) assert.ok(one.lived >= 0 && one.lived <= 2 * 24 * HOUR_MS);
        for (const tab of tabs) tab.close();
      }
    }));
  }

  test(`a clock that is set moves no lease, in ${has}`, TEST, () => seeds(async (world, rand) => {
    const browser = world.browser({ locks: false, counter });
    const tabs = [1, 2, 3].map(() => browser.open({ channels: ["lobby"] }));
    await reach(world, "live", () => tabs.every((tab) => live(tab)()));
    await world.run(10_000);
    const streams = () => [...world.server.clients.values()].filter((client) => client.stream).map((client) => client.stream);
    const [stream] = streams();
    for (const ms of [-HOUR_MS, -600_000, -10_000, HOUR_MS]) {
      world.wallAhead += ms;
      await world.run(30_000 + rand() * 10_000);
      assert.equal(streams().length, 1, "one tab leads");
      if (ms < 0) assert.equal(streams()[0], stream, "and it is the same");
    }
    const [held] = [...browser.kept.values()].map((value) => value.split(" ")[0]);
    assert.ok(held);
  }));

  test(`leadership passes on though the clock was set back, in ${has}`, TEST, () => seeds(async (world) => {
    const browser = world.browser({ locks: false, counter });
    const tabs = [1, 2].map(() => browser.open({ channels: ["lobby"] }));
    await reach(world, "live", () => tabs.every((tab) => live(tab)()));
    await world.run(10_000);
    world.wallAhead -= HOUR_MS;
    tabs[0].kill();
    world.server.publish("lobby", 1);
    await reach(world, "told", () => data(tabs[1]).includes(1), 10_000);
    // A lease that a browser left behind, whatever its clock said then, is waited out; an old one is not.
    tabs[1].kill();
    const next = browser.open({ channels: ["lobby"] });
    await reach(world, "live", live(next), 10_000);
    next.kill();
    await world.run(HOUR_MS);
    await reach(world, "live at once", live(browser.open({ channels: [] })), 1_000);
  }));

  test(`a computer that slept is awake at once, and forgets no tab, in ${has}`, TEST, () => seeds(async (world) => {
    const browser = world.browser({ counter });
    const one = browser.open({ channels: ["lobby"], heartbeat: 60 });
    const two = browser.open({ channels: ["news"], heartbeat: 60 });
    await reach(world, "live", () => [one, two].every((tab) => live(tab)()));
    await world.run(10_000);
    for (const pipe of world.sockets) pipe.stuck = true;
    world.sleep(8 * HOUR_MS, { counts: false });
    world.server.publish("lobby", 1);
    world.server.publish("news", 2);
    await reach(world, "told", () => data(one).includes(1) && data(two, "news").includes(2), 3_000);
    await world.run(10_000);
    world.server.publish("news", 3);
    await reach(world, "told", () => data(two, "news").includes(3), 1_000);
  }));
}

// ---- networks that let some of it pass ----

test("a proxy that holds back only the first bytes of a stream is no reason to poll", TEST, () => seeds(async (world) => {
  world.network.vice = { websocket: "refuse", sse: "first" };
  const tab = world.browser().open({ channels: ["lobby"], heartbeat: 2 });
  await reach(world, "on sse", live(tab, "sse"), 10_000);
  assert.deepEqual(Array.from(tab.c.trail, (one) => one.transport), ["websocket"]);
  for (let n = 0; n < 10; n++) { world.server.publish("lobby", n); await world.run(1_000); }
  toldOnce(world, tab, 0);
}));

const sends = (world) => world.requests.filter(([, path]) => path === "/send").length;

test("a page that only reads sends nothing, over any transport but WebSocket", TEST, () => seeds(async (world) => {
  for (const way of ["sse", "longpoll", "shortpoll"]) {
    const tab = world.browser({ transports: [way] }).open({ channels: ["lobby"] });
    const from = kept(world).length;
    await reach(world, "live", live(tab));
    for (let n = 0; n < 10; n++) { world.server.publish("lobby", n); await world.run(60_000); }
    toldOnce(world, tab, from);
    assert.equal(sends(world), 0, way);
    tab.close();
  }
}));

test("a network that refuses POST is told of once, when a page writes", TEST, () => seeds(async (world) => {
  const tab = world.browser({ transports: ["sse"] }).open({ channels: ["lobby"] });
  const errors = [];
  tab.c.on("error", (error) => errors.push(error.code));
  await reach(world, "live", live(tab));
  const first = outcome(tab, "said", 1);
  await reach(world, "answered", () => first.count);
  await world.run(60_000);
  const pings = sends(world);
  assert.ok(pings >= 2, "who writes is told how long a round trip takes");
  world.network.readsOnly = true;
  await world.run(HOUR_MS);
  assert.deepEqual(errors, ["http_405"]);
  assert.equal(sends(world), pings + 1);
  const is = outcome(tab, "said", 2);
  await reach(world, "answered", () => is.count);
  assert.equal(is.error.code, "http_405");
  assert.equal(tab.c.state, "live");
  world.network.readsOnly = false;
  const again = outcome(tab, "said", 3);
  await reach(world, "answered", () => again.count);
  assert.equal(again.error, null);
  await world.run(60_000);
  assert.ok(sends(world) >= pings + 4, "pings again");
}));

test("a read-only client reads channels as they come and go, and sends nothing at all", TEST, () => seeds(async (world) => {
  for (const way of ["websocket", "sse", "longpoll", "shortpoll"]) {
    world.network.readsOnly = way !== "websocket";
    const browser = world.browser({ transports: [way] });
    const tabs = ["lobby", "news"].map((ch) => browser.open({ channels: [ch], readOnly: true }));
    await reach(world, "live", () => tabs.every((tab) => live(tab)()));
    await world.run(5_000);
    const from = Object.fromEntries(["lobby", "news", "more"].map((ch) => [ch, kept(world, ch).length]));
    const commands = [];
    const command = world.server.command.bind(world.server);
    world.server.command = (client, c) => { commands.push(c.op); return command(client, c); };
    const { cursor } = tabs[0].c;
    const talk = async () => {
      for (const ch of ["lobby", "news", "more"]) world.server.publish(ch, `${way} ${ch} ${kept(world, ch).length}`);
      await world.run(3_000);
    };
    await talk();
    const answers = [];
    tabs[1].c.subscribe("more", { since: cursor }, (error, reply) => answers.push([error, reply?.ch]));
    await world.run(3_000);
    await talk();
    await world.run(60_000);
    assert.deepEqual(answers, [[null, "more"]]);
    toldOnce(world, tabs[0], from.lobby);
    toldOnce(world, tabs[1], from.news, "news");
    toldOnce(world, tabs[1], from.more, "more");
    assert.deepEqual(data(tabs[0], "more"), []);
    tabs[1].c.unsubscribe("more", (error) => answers.push([error]));
    await world.run(1_000);
    const count = data(tabs[1], "more").length;
    await talk();
    await world.run(60_000);
    assert.equal(data(tabs[1], "more").length, count);
    assert.deepEqual(answers.slice(1), [[null]]);
    const refused = [];
    const refusal = (error) => refused.push(error?.code);
    for (const act of ["publish", "history", "who"]) tabs[0].c[act]("lobby", {}, refusal);
    tabs[0].c.login("ann", refusal);
    tabs[0].c.command("typing", {}, refusal);
    await world.run(1_000);
    assert.deepEqual(refused, Array(5).fill("read_only"));
    assert.deepEqual(commands, [], way);
    assert.equal(sends(world), 0);
    world.server.command = command;
    for (const tab of tabs) tab.close();
    await world.run(5_000);
  }
}));

// ---- tabs that are quiet ----

for (const options of [{}, { locks: false, channel: false }]) {
  const how = options.locks === false ? "a lease and the storage" : "locks and channels";

  test(`a quiet tab keeps its channels beside a busy leader, by ${how}`, TEST, () => seeds(async (world, rand) => {
    const browser = world.browser(options);
    const one = browser.open({ channels: ["lobby"] });
    await reach(world, "live", live(one));
    const two = browser.open({ channels: ["news"] });
    await reach(world, "live", live(two));
    await world.run(3_000);
    for (let n = 0; n < 1_200; n++) {
      world.server.publish("lobby", n);
      if (n % 40 === 0) world.server.publish("news", n);
      await world.run(rand() * 1_000);
    }
    await world.run(10_000);
    toldOnce(world, one, 0);
    toldOnce(world, two, 0, "news");
  }));

  test(`a tab that was frozen for long is told all of it when it thaws, by ${how}`, TEST, () => seeds(async (world, rand) => {
    const browser = world.browser(options);
    const one = browser.open({ channels: ["lobby"] });
    await reach(world, "live", live(one));
    const two = browser.open({ channels: ["news", "lobby"] });
    await reach(world, "live", live(two));
    await world.run(3_000);
    let n = 0;
    const talk = async (seconds) => {
      for (let s = 0; s < seconds; s++) {
        world.server.publish("lobby", ++n);
        if (s % 10 === 0) world.server.publish("news", n);
        await world.run(500 + rand() * 1_000);
      }
    };
    for (const seconds of [30, 400, 100, 900]) {
      two.freeze();
      await talk(seconds);
      two.thaw();
      await talk(seconds / 10);
    }
    await world.run(20_000);
    toldOnce(world, one, 0);
    for (const ch of ["news", "lobby"]) toldOnce(world, two, 0, ch);
  }));

  test(`a tab that is gone gives its channels back, by ${how}`, TEST, () => seeds(async (world) => {
    const browser = world.browser(options);
    const one = browser.open({ channels: ["lobby"] });
    await reach(world, "live", live(one));
    const two = browser.open({ channels: ["news"] });
    await reach(world, "live", live(two));
    await world.run(3_000);
    two.kill();
    const channels = () => [...world.server.clients.values()].filter((client) => client.stream).map((client) => [...client.chans.keys()].join());
    await reach(world, "unsubscribed", () => channels().join() === "lobby", 300_000);
    toldOnce(world, one, 0);
  }));
}

// ---- what the server refuses ----

test("a message that is too long for a WebSocket fails, and nothing else does", TEST, () => seeds(async (world) => {
  world.server.bytesMax = 1_000;
  const browser = world.browser();
  const tabs = [1, 2].map(() => browser.open({ channels: ["lobby"] }));
  await reach(world, "live", () => tabs.every((tab) => live(tab)()));
  await world.run(3_000);
  for (const tab of tabs) {
    const all = ["before", "x".repeat(2_000), "after"].map((text) => outcome(tab, "said", text));
    await reach(world, "all are answered", () => all.every((is) => is.count === 1), 10_000);
    assert.deepEqual(all.map((is) => is.error?.code), [undefined, "message_too_long", undefined]);
    assert.equal(tab.c.transport, "websocket");
  }
  await world.run(60_000);
  assert.deepEqual(published(world), ["before", "after", "before", "after"]);
  assert.ok(tabs[0].c.trail.every((one) => !one.left));
}));

test("a page that closes its client when it hears of that has an end of it", TEST, () => seeds(async (world) => {
  world.server.bytesMax = 1_000;
  const tab = world.browser().open({ channels: ["lobby"] });
  await reach(world, "live", live(tab));
  let code;
  tab.c.publish("said", "x".repeat(2_000), (error) => { code = error.code; tab.c.close(); });
  await reach(world, "told", () => code, 10_000);
  await world.run(60_000);
  assert.equal(code, "message_too_long");
  assert.equal(tab.c.state, "closed");
  assert.equal(world.sockets.size, 0);
}));

test("what was said under a name is not published without it", TEST, () => seeds(async (world) => {
  for (const way of ["websocket", "longpoll"]) {
    const browser = world.browser({ transports: [way] });
    const tabs = [1, 2].map(() => browser.open({ channels: ["lobby"] }));
    const errors = [];
    tabs[0].c.on("error", (error) => errors.push(error.code));
    await reach(world, "live", () => tabs.every((tab) => live(tab)()));
    await world.run(3_000);
    tabs[1].c.login("ann", () => {});
    await world.run(1_000);
    world.server.restart();
    world.server.taken = new Set(["ann"]); // somebody was faster
    part(world);
    const said = tabs.map((tab, n) => outcome(tab, "said", n));
    world.network.up = true;
    await reach(world, "answered", () => said.every((is) => is.count));
    assert.deepEqual(said.map((is) => is.error?.code), ["nick_taken", "nick_taken"]);
    assert.deepEqual(errors, ["nick_taken"]);
    const again = outcome(tabs[1], "said", 2);
    await reach(world, "answered", () => again.count);
    assert.equal(again.error.code, "nick_taken");
    let isIn = false;
    tabs[1].c.login("anne", (error) => { isIn = !error; });
    await reach(world, "logged in", () => isIn);
    const last = outcome(tabs[0], "said", 3);
    await reach(world, "answered", () => last.count);
    assert.equal(last.error, null);
    assert.deepEqual(world.server.published.filter((m) => m.ch === "said").map((m) => [m.from, m.data]), [["anne", 3]]);
    world.server.taken = null;
    for (const tab of tabs) tab.close();
    world.server.restart();
  }
}));

test("the server's word on when to come back is kept by those who look and those whose network changed", TEST, () => seeds(async (world) => {
  const tab = world.browser().open({ channels: ["lobby"] });
  await reach(world, "live", live(tab));
  await world.run(3_000);
  const [pipe] = world.sockets;
  pipe.send({ type: "bye", why: "shutdown", retry: 20_000 });
  await reach(world, "gone", () => tab.c.state !== "live");
  const gone = world.now;
  for (let n = 0; n < 5; n++) {
    tab.fire("visibilitychange");
    tab.fire("online");
    await world.run(1_000);
  }
  await reach(world, "back", live(tab));
  assert.ok(world.now - gone >= 20_000, `after ${world.now - gone} ms`);
}));

test("nothing of a channel is told after it was unsubscribed, until it is subscribed again", TEST, () => seeds(async (world, rand) => {
  const browser = world.browser();
  const tabs = [0, 1].map((n) => browser.open({ channels: ["lobby", `news ${n}`] }));
  await reach(world, "live", () => tabs.every((tab) => live(tab)()));
  await world.run(3_000);
  for (const [n, tab] of tabs.entries()) {
    const news = `news ${n}`; // which no other tab reads
    for (let round = 0; round < 10; round++) {
      for (let m = 0; m < 3; m++) world.server.publish(news, m);
      await world.run(rand() * 20);
      const count = data(tab, news).length;
      tab.c.unsubscribe(news, () => {});
      assert.equal(data(tab, news).length, count);
      world.server.publish(news, "not for us");
      await world.run(rand() * 1_000);
      assert.equal(data(tab, news).length, count);
      tab.c.subscribe(news, {}, () => {});
      await world.run(1_000);
      world.server.publish(news, "for us");
      await world.run(1_000);
      assert.equal(data(tab, news).at(-1), "for us");
    }
  }
}));

test("a beacon takes along as much as browsers let pass, the first things first", TEST, () => seeds(async (world) => {
  const tab = world.browser({ transports: ["sse"] }).open({ channels: ["lobby"] });
  await reach(world, "live", live(tab));
  const said = ["a", "b", "c"].map((letter) => letter.repeat(30_000));
  world.network.delayMs = 1_000;
  for (const text of said) tab.c.publish("said", text, () => {});
  tab.close();
  await world.run(60_000);
  assert.deepEqual(published(world), said.slice(0, 2));
}));

test("an address may be written in any way, and one that can't be used leaves nothing running", TEST, () => seeds(async (world) => {
  const urls = ["http://encke.test", "http://encke.test/", "ws://encke.test", "http://encke.test//?x=1", "http://encke.test/#top", "http://encke.test?x#y"];
  for (const url of urls) {
    const tab = world.browser({ transports: ["websocket"] }).open({ url, channels: ["lobby"] });
    await reach(world, `live at ${url}`, live(tab), 5_000);
    const paths = [...world.sockets].map((pipe) => pipe.path);
    assert.deepEqual(paths.map((path) => new URL(path).pathname), ["/ws"], url);
    tab.close();
    await world.run(1_000);
  }
  const events = world.events.filter((event) => event[3]).length;
  assert.throws(() => world.browser().open({ transports: ["carrier pigeon"] }), /no transport/);
  assert.equal(world.events.filter((event) => event[3]).length, events);
}));
