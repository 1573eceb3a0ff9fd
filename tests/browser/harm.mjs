// What must be seen of encke.js in every browser where something that it stands on fails it: frames that may keep
// nothing, libraries that change every object, clocks that are set, proxies between it and the server, other
// origins. suite.mjs runs these beside its own.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { arrives, burst, comes, got, LIBRARY, live, numbers, openClient, says, trail } from "./client.mjs";
import * as vices from "./proxies.mjs";
import { startServer } from "../clients/server.mjs";

const COUNT = 200;

export const HARM = [
  // Two, since there is no way for them to agree.
  ["frames in a sandbox", async (stage) => {
    const tab = await stage.profile.open(`${stage.server.base}/healthz`);
    await tab.evaluate((library, base) => {
      self.heard = [[], []];
      addEventListener("message", (e) => { heard[e.data.frame][e.data.kind === "message" ? "push" : "unshift"](e.data.what); });
      for (const frame of [0, 1]) {
        const element = document.createElement("iframe");
        element.setAttribute("sandbox", "allow-scripts");
        element.srcdoc = `<script>${library}</script><script>
          function tell(kind, what) { parent.postMessage({ frame: ${frame}, kind: kind, what: what }, "*"); }
          var c = Encke({ url: "${base}", channels: ["lobby"], last: 1000 });
          c.on("message", function (m) { tell("message", m.data); });
          c.publish("up", ${frame}).then(function () { tell("said", "said"); }, function (e) { tell("said", e.code); });
        </script>`;
        document.body.append(element);
      }
    }, readFileSync(LIBRARY, "utf8"), stage.server.base);
    await burst(stage.server.base, 20);
    const came = () => tab.evaluate(() => heard);
    await tab.until("both are told and answered", () => heard.every((one) => one.length === 21));
    assert.deepEqual(await came(), [["said", ...numbers(20)], ["said", ...numbers(20)]]);
  }, ["--origin", "*", "--history", "2000"]],

  // In a frame of the page, since the objects of the page itself are the driver's too.
  ["a library that gives every object a member", async (stage) => {
    const tabs = [];
    for (let n = 0; n < 2; n++) {
      const tab = await stage.profile.open(`${stage.server.base}/healthz`);
      await tab.evaluate((library, url) => {
        const element = document.createElement("iframe");
        document.body.append(element);
        const inner = element.contentWindow;
        self.got = [];
        self.asked = 0;
        inner.Object.prototype.extend = function () {};
        inner.Object.prototype.defaults = { deep: true };
        const locks = inner.LockManager.prototype;
        const { request } = locks;
        locks.request = function (...given) { asked++; return request.apply(this, given); };
        inner.eval(library);
        inner.tell = (m) => got.push(JSON.stringify(m.data));
        inner.eval(`self.c = Encke({ channels: ["lobby"], url: "${url}" }).on("message", tell)`);
        self.state = () => inner.c.state;
        self.say = (n) => inner.eval(`c.publish("lobby", { n: ${n} })`).then(() => true);
      }, readFileSync(LIBRARY, "utf8"), stage.server.base);
      tabs.push(tab);
    }
    for (const tab of tabs) await tab.until("it is live", () => state() === "live");
    // What each of them says comes to both, through the one that leads.
    for (const n of [0, 1]) {
      await tabs[n].evaluate((n) => say(n), n);
      for (const tab of tabs) await tab.until("it is told", (n) => got.length === n + 1, n);
    }
    for (const tab of tabs) {
      assert.deepEqual(await tab.evaluate(() => got), ['{"n":0}', '{"n":1}']);
      assert.equal(await tab.evaluate(() => asked), 1);
    }
  }],

  ["a clock that is set back while the link is dead", async (stage) => {
    const network = { isDead: false };
    const ways = ["websocket", "sse", "fetch", "longpoll"];
    const tabs = await Promise.all(ways.map((way) =>
      stage.client({ transports: [way], heartbeat: 1 }, vices.dies(network))));
    await Promise.all(tabs.map((tab, n) => live(tab, ways[n])));
    await burst(stage.server.base, 10);
    for (const tab of tabs) await arrives(tab, numbers(10));
    for (const tab of tabs) await tab.evaluate(() => {
      const RealDate = Date;
      self.Date = class extends RealDate {
        constructor(...given) { super(...(given.length ? given : [RealDate.now() - 3_600_000])); }
        static now() { return RealDate.now() - 3_600_000; }
      };
    });
    network.isDead = true;
    await burst(stage.server.base, 10, { from: 10 });
    for (const tab of tabs) await arrives(tab, numbers(20));
    for (const tab of tabs.slice(0, 3)) assert.match((await trail(tab))[0].why, /^silent for \d+ ms$/);
  }],

  ["a page of a named origin, with fields and credentials of its own", async (stage) => {
    const site = stage.server;
    const server = await startServer("--origin", site.base);
    const open = await startServer("--origin", "*");
    try {
      const tab = await stage.profile.open(`${site.base}/healthz`);
      const fields = { "Cache-Control": "no-cache", "X-Requested-With": "XMLHttpRequest", "Content-Type": "application/json" };
      const status = (base, path, options) => tab.evaluate((url, options) =>
        fetch(url, options).then((r) => r.status, () => "refused"), base + path, options);
      for (const base of [server.base, open.base]) {
        assert.equal(await status(base, "/poll?ch=lobby", { headers: fields }), 200);
        assert.equal(await status(base, "/send?sid=x", { method: "POST", headers: fields, body: "{}" }), 400);
        assert.equal(await status(base, "/nowhere", { method: "PATCH", headers: fields }), 404);
      }
      const include = { credentials: "include", headers: fields };
      assert.equal(await status(server.base, "/poll?ch=lobby", include), 200);
      assert.equal(await status(server.base, "/poll?last=x", include), 400, "the answer is read, whatever it says");
      assert.equal(await status(open.base, "/poll?ch=lobby", include), "refused", "a star is no name");
      await tab.evaluate((named, open) => {
        self.events = [[], []];
        [named, open].forEach((base, n) => {
          const source = new EventSource(`${base}/sse?ch=lobby&last=1000`, { withCredentials: true });
          source.addEventListener("message", (e) => events[n].push(JSON.parse(e.data).data));
          source.onerror = () => { events[n].push("error"); source.close(); };
        });
      }, server.base, open.base);
      await burst(server.base, 5);
      await tab.until("both have their end", () => events[0].length === 5 && events[1].length === 1);
      assert.deepEqual(await tab.evaluate(() => events), [numbers(5), ["error"]]);
    } finally {
      await server.stop();
      await open.stop();
    }
  }],

  ["a proxy that holds back only the first bytes of a stream", async (stage) => {
    const tab = await stage.client({ last: 1000 }, vices.holdsFirst);
    await live(tab, "sse"); // before anything is said that would bring its welcome along
    await stays(stage, tab, "sse");
  }],

  ["Varnish as it is installed", async (stage) => {
    const varnish = await stage.varnish();
    const open = (given) => openClient(stage.profile, varnish.base, { last: 1000, share: false, ...given });
    const first = await open();
    await live(first, "sse");
    await stays(stage, first, "sse");
    // A browser opens six connections to an origin over HTTP/1.1, and each of these takes one.
    await first.evaluate(() => c.close());
    const ways = ["sse", "fetch", "xhr", "iframe", "longpoll"];
    const all = await Promise.all(ways.map((way) => open({ transports: [way, "shortpoll"] })));
    await Promise.all(all.map((tab, n) => live(tab, ways[n])));
    await burst(stage.server.base, COUNT, { from: COUNT, pauseMs: 10 });
    for (const [n, tab] of all.entries()) {
      await arrives(tab, numbers(2 * COUNT));
      assert.deepEqual(await trail(tab), [], ways[n]);
    }
  }],

  ["a proxy that lets only reading pass", async (stage) => {
    const network = await stage.network(vices.readsOnly);
    const tab = await openClient(stage.profile, network.base, { transports: ["sse", "longpoll"] });
    const silent = await openClient(stage.profile, network.base, { channels: ["lobby", "news"], readOnly: true });
    await live(tab, "sse");
    await live(silent);
    await silent.evaluate(() => { self.answer = c.subscribe("more").then((reply) => reply.ch, (e) => e.code); });
    assert.equal(await silent.evaluate(() => answer), "more");
    await live(silent);
    for (const ch of ["lobby", "more"]) await burst(stage.server.base, COUNT, { ch });
    await arrives(tab, numbers(COUNT));
    await silent.until("it is told both", (count) => got.length === 2 * count, COUNT);
    const came = await got(silent);
    assert.deepEqual(came.slice().sort((a, b) => a - b), numbers(2 * COUNT).map((n) => n >> 1));
    assert.equal(await silent.evaluate(() => c.publish("lobby", 1).catch((e) => e.code)), "read_only");
    assert.equal(await tab.evaluate(() => c.publish("lobby", 1).catch((e) => e.code)), "http_405");
    for (const one of [tab, silent]) assert.deepEqual(await one.evaluate(() => errors), []);
  }],
];

// It reads and writes over that transport, and gave up none but WebSocket for it.
async function stays(stage, tab, transport) {
  await Promise.all([burst(stage.server.base, COUNT, { pauseMs: 10 }), says(tab, "up", 20)]);
  await comes(tab, COUNT - 1);
  await arrives(tab, numbers(COUNT));
  await live(tab, transport);
  const given = (await trail(tab)).map((one) => one.transport);
  assert.deepEqual([...new Set(given)], ["websocket"], JSON.stringify(await trail(tab)));
}
