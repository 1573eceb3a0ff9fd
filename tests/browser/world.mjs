// A small world for the client library: a clock that moves when nothing is left to do, a network with
// faults, a server after README's description, and browsers of several tabs that share it. All of it runs
// under one seed, so that a failure replays. The library itself is the real one, in a context a tab.
//
// It knows no real time and no socket; nothing here is shared with the server's own code.

import { readFileSync } from "node:fs";
import vm from "node:vm";
import { root } from "../clients/server.mjs";

const script = new vm.Script(readFileSync(process.env.LIBRARY ?? `${root}src/web/encke.min.js`, "utf8"), { filename: "encke.js" });
const STEPS_MAX = 2_000_000;
const GRACE_MS = 15_000;
const RING = 5_000; // messages a channel keeps
const BEACON_BYTES = 65_536; // as browsers bound it
const KEY_MS = 300_000; // a key is remembered for so long at least, and as long as its message

export function random(seed) { // mulberry32
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export class World {
  constructor(seed) {
    this.random = random(seed);
    this.now = 1_700_000_000_000;
    this.start = this.now;
    this.events = []; // [time, serial, act]
    this.serial = 0;
    this.errors = [];
    this.server = new Server(this);
    this.network = { up: true, delayMs: 5, vice: {} };
    this.wallAhead = 0; // of the computer's clock, which somebody sets
    this.counterBehind = 0; // of the browsers' counters, which stand still while the computer sleeps
    this.sockets = new Set();
    this.requests = [];
  }

  at(ms, act) {
    const entry = [this.now + Math.max(0, ms), this.serial++, act, true];
    let i = this.events.length; // sorted, latest first
    while (i > 0 && (this.events[i - 1][0] < entry[0] || (this.events[i - 1][0] === entry[0] && this.events[i - 1][1] < entry[1]))) i--;
    this.events.splice(i, 0, entry);
    return entry;
  }

  // Lets the clock run until `done` or for `ms`.
  async run(ms, done = () => false) {
    const end = this.now + ms;
    for (let steps = 0; steps < STEPS_MAX; steps++) {
      if (done()) return true;
      const next = this.events.at(-1);
      if (!next || next[0] > end) break;
      this.events.pop();
      this.now = Math.max(this.now, next[0]);
      if (!next[3]) continue;
      try { next[2](); } catch (error) { this.errors.push(error); }
      if (steps % 8 === 0) await new Promise(setImmediate);
      else for (let i = 0; i < 8; i++) await null; // what promises owe
    }
    this.now = end;
    return done();
  }

  // The computer sleeps: time passes, and nothing happens.
  sleep(ms, { counts = true } = {}) {
    for (const event of this.events) event[0] += ms;
    this.now += ms;
    if (!counts) this.counterBehind += ms;
  }

  browser(options) { return new Browser(this, options); }
}

// ---- the server ----

class Server {
  constructor(world) {
    this.world = world;
    this.log = []; // {seq, ch, from, data}
    this.keys = new Map(); // {seq, ch, at}
    this.floors = new Map(); // up to which number a channel's messages were evicted
    this.published = []; // all of this log, evicted or not
    this.clients = new Map();
    this.epochs = 0;
    this.bytesMax = Infinity; // of a message on a WebSocket
    this.restart();
  }

  restart() {
    this.epoch = (0xabc0000 + this.epochs++).toString(16).padStart(8, "0");
    this.log = [];
    this.seq = 0;
    this.keys.clear();
    this.floors.clear();
    this.published = [];
    for (const client of this.clients.values()) client.stream?.close();
    this.clients.clear();
  }

  cursor(seq = this.seq) { return `${this.epoch}-${seq}`; }

  publish(ch, data, from = null, key) {
    const scope = key && `${ch} ${from ?? JSON.stringify(data)} ${key}`;
    if (key && this.keys.has(scope)) return { id: this.cursor(this.keys.get(scope).seq), repeated: true };
    const message = { seq: ++this.seq, ch, from, data };
    this.log.push(message);
    this.published.push(message);
    if (key) this.keys.set(scope, { seq: this.seq, ch, at: this.world.now });
    for (const client of this.clients.values()) client.wake();
    return { id: this.cursor() };
  }

  isKnown(client, c) { return this.keys.has(`${c.ch} ${client.user ?? JSON.stringify(c.data)} ${c.key}`); }

  // What a channel keeps is gone; so are its keys, but for those of the last minutes.
  evict(ch) {
    this.log = this.log.filter((m) => m.ch !== ch);
    this.floors.set(ch, this.seq);
    for (const [scope, key] of this.keys) if (key.ch === ch && this.world.now - key.at > KEY_MS) this.keys.delete(scope);
  }

  // Whether a message that was published under a key after this cursor may be forgotten.
  hasForgotten(ch, since) {
    const [epoch, seq] = since.split("-");
    return epoch === this.epoch && (this.floors.get(ch) ?? 0) > +seq;
  }

  message(m) { return { type: "message", id: this.cursor(m.seq), ch: m.ch, from: m.from, at: this.world.now, data: m.data }; }

  enter(query) {
    let client = this.clients.get(query.get("sid"));
    if (query.getAll("ch").some((ch) => ch.startsWith("@") && ch !== `@${client?.user}`)) return null;
    if (!client) {
      const sid = `sid${this.clients.size}-${Math.floor(this.world.random() * 1e9)}`;
      client = new Client(this, sid);
      this.clients.set(sid, client);
    }
    const given = query.getAll("ch");
    let gaps = [];
    let from = this.seq;
    const since = query.get("since");
    if (since) {
      const [epoch, seq] = since.split("-");
      if (epoch === this.epoch && +seq <= this.seq) from = +seq;
      else { from = 0; gaps = null; }
    } else if (query.get("last")) {
      from = null;
    }
    if (given.length) for (const ch of client.chans.keys()) if (!given.includes(ch)) client.chans.delete(ch);
    for (const ch of given.length ? given : [...client.chans.keys()]) {
      client.chans.set(ch, from ?? this.before(ch, +query.get("last")));
    }
    if (!gaps) gaps = [...client.chans.keys()].map((ch) => ({ type: "gap", ch, why: "restarted", cursor: this.cursor(0) }));
    client.seen();
    return { client, gaps };
  }

  before(ch, last) {
    const all = this.log.filter((m) => m.ch === ch);
    return last >= all.length ? 0 : all[all.length - last - 1].seq;
  }

  command(client, c) {
    const reply = (more) => ({ type: "reply", ref: c.ref, ok: true, ...more });
    const refuse = (code, retry) => ({ type: "reply", ref: c.ref, ok: false, error: { code, message: code, retry } });
    client.seen();
    switch (c.op) {
      case "publish":
        if (this.refusal?.(c)) return refuse(...this.refusal(c));
        if (c.since && !this.isKnown(client, c) && this.hasForgotten(c.ch, c.since)) return refuse("unknown");
        return reply(this.publish(c.ch, c.data, client.user, c.key));
      case "login": if (this.taken?.has(c.nick)) return refuse("nick_taken"); client.user = c.nick; return reply({ user: c.nick, secret: `secret of ${c.nick}` });
      case "ping": return reply({ at: this.world.now });
      case "who": return reply({ ch: c.ch, users: [...this.clients.values()].filter((x) => x.chans.has(c.ch) && x.user).map((x) => x.user) });
      case "unsubscribe": client.chans.delete(c.ch); return reply();
      case "history": {
        const [epoch, seq] = c.before ? c.before.split("-") : [this.epoch, Infinity];
        if (epoch !== this.epoch) return refuse("restarted");
        const all = this.log.filter((m) => m.ch === c.ch && m.seq < +seq);
        return reply({ ch: c.ch, messages: all.slice(-(c.limit ?? 50)).map((m) => this.message(m)), more: all.length > c.limit });
      }
      case "subscribe": {
        if (c.ch.startsWith("@") && c.ch !== `@${client.user}`) return refuse("not_yours");
        let gap;
        if (c.since) {
          const [epoch, seq] = c.since.split("-");
          if (epoch !== this.epoch) { gap = { type: "gap", ch: c.ch, why: "restarted", cursor: this.cursor(0) }; client.chans.set(c.ch, 0); }
          else client.chans.set(c.ch, +seq);
        } else if (c.last) client.chans.set(c.ch, this.before(c.ch, c.last));
        else if (!client.chans.has(c.ch)) client.chans.set(c.ch, this.seq);
        client.wake();
        return reply({ ch: c.ch, since: this.cursor(client.chans.get(c.ch)), cursor: client.position(), head: this.cursor(), ...(gap && { gap }) });
      }
      default: return refuse("unknown_op");
    }
  }
}

class Client {
  constructor(server, sid) {
    Object.assign(this, { server, sid, user: null, chans: new Map(), stream: null, poll: null });
  }
  seen() { this.at = this.server.world.now; }
  position() { return this.server.cursor(Math.min(this.server.seq, ...this.chans.values())); }
  // What it was not told yet, in the log's order; a channel that goes back does so alone.
  take(max = 50) {
    const due = this.server.log.filter((m) => this.chans.has(m.ch) && m.seq > this.chans.get(m.ch)).slice(0, max);
    for (const m of due) this.chans.set(m.ch, m.seq);
    if (due.length < max) for (const ch of this.chans.keys()) this.chans.set(ch, this.server.seq);
    return due.map((m) => this.server.message(m));
  }
  behind() { return this.server.log.some((m) => this.chans.has(m.ch) && m.seq > this.chans.get(m.ch)); }
  wake() {
    if (this.waking) return;
    this.waking = true;
    this.server.world.at(0, () => { // once a turn
      this.waking = false;
      if (this.stream) for (const event of this.take()) this.stream.send(event);
      if (this.stream && this.behind()) this.wake();
      if (this.poll && this.behind()) this.poll();
    });
  }
}

// ---- the network, and what a browser has of it ----

class Pipe { // one connection: ordered both ways, each message later than the one before
  constructor(world, tab, kind) {
    Object.assign(this, { world, tab, kind, open: true, born: world.now, last: 0 });
    world.sockets.add(this);
  }
  send(event) { this.later(() => this.open && this.stuck !== true && this.onevent?.(event)); }
  later(act) {
    const jitter = this.world.network.delayMs * (0.5 + this.world.random());
    this.last = Math.max(this.world.now + jitter, this.last + 0.01);
    this.world.at(this.last - this.world.now, act);
  }
  close() {
    if (!this.open) return;
    this.world.sockets.delete(this);
    this.later(() => { if (this.open) { this.open = false; this.onend?.(); } });
  }
  cut() { this.open = false; this.world.sockets.delete(this); }
  // Something in between keeps the first bytes to itself until more come. The server's blank line does not come
  // through here, so it is a heartbeat that brings them.
  hold() {
    const held = [], deliver = this.onevent;
    let first = true;
    this.onevent = (event) => {
      held.push(event);
      if (event.type === "welcome" && first) { first = false; return; }
      for (const one of held.splice(0)) deliver(one);
    };
  }
}

function serveStream(world, tab, kind, path) {
  const query = new URL(path).searchParams;
  const pipe = new Pipe(world, tab, kind);
  pipe.path = path;
  const vice = world.network.vice[kind] ?? world.network.vice.all;
  pipe.later(() => {
    if (!pipe.open) return;
    if (!world.network.up || vice === "refuse") { world.sockets.delete(pipe); pipe.open = false; pipe.onend?.(); return; }
    if (vice === "silent") { pipe.stuck = true; }
    const entered = world.server.enter(query);
    if (!entered) { world.sockets.delete(pipe); pipe.open = false; pipe.onend?.(); return; }
    const { client, gaps } = entered;
    pipe.client = client;
    client.stream?.close();
    client.stream = pipe;
    client.poll?.();
    const close = pipe.close.bind(pipe);
    const drop = () => { if (client.stream === pipe) client.stream = null; };
    pipe.close = () => { drop(); close(); };
    const cut = pipe.cut.bind(pipe);
    pipe.cut = () => { drop(); cut(); };
    pipe.onopen?.();
    const hb = +(query.get("hb") ?? 25);
    pipe.send({ type: "welcome", sid: client.sid, cursor: client.position(), heartbeat: hb, epoch: world.server.epoch });
    for (const gap of gaps) pipe.send(gap);
    client.wake();
    if (vice === "first") pipe.hold();
    if (vice === "starve") pipe.later(() => { pipe.stuck = true; });
    if (vice === "kill") world.at(200, () => pipe.close());
    if (vice === "cut") world.at(2000 + 3000 * world.random(), () => pipe.close());
    (function beat() {
      world.at(hb * 1000, () => {
        if (!pipe.open || client.stream !== pipe) return;
        pipe.send({ type: "heartbeat", at: world.now });
        beat();
      });
    })();
  });
  return pipe;
}

export class Browser {
  // `locks`, `channel`, `storage`: true, false (there is none), or how it refuses. `counter`: performance.now.
  // `first`: a script that runs before the library.
  constructor(world, options = {}) {
    const given = { locks: true, channel: true, storage: true, counter: true, first: "", ...options };
    Object.assign(this, { world, ...given, kept: new Map(), tabs: new Set(), held: null, queue: [], asked: 0 });
  }

  open(options = {}, { session = new Map() } = {}) {
    const tab = new Tab(this, session);
    this.tabs.add(tab);
    tab.load(options);
    return tab;
  }
  grant() { // Web Locks, one name
    if (this.held) return;
    const next = this.queue.shift();
    if (!next) return;
    this.held = next;
    this.world.at(0, () => {
      if (this.held !== next) return;
      if (!next.tab.alive) { this.held = null; return this.grant(); }
      Promise.resolve(next.act({})).then((value) => { next.done(value); if (this.held === next) { this.held = null; this.grant(); } });
    });
  }
}

export class Tab {
  constructor(browser, session) {
    Object.assign(this, { browser, world: browser.world, session, alive: true, frozen: false, listeners: {}, pipes: new Set(), channels: new Set() });
    this.got = [];
    this.gaps = [];
    this.states = [];
  }

  // Ends without a word, as a crash does; `hide()` first is what closing a tab does.
  kill() {
    this.alive = false;
    this.browser.tabs.delete(this);
    for (const pipe of this.pipes) pipe.cut();
    this.browser.queue = this.browser.queue.filter((one) => one.tab !== this);
    if (this.browser.held?.tab === this) { this.browser.held = null; this.browser.grant(); }
  }
  fire(type, event = {}) { for (const act of [...(this.listeners[type] ?? [])]) act({ type, ...event }); }
  close() { this.fire("pagehide"); this.kill(); }

  guard(act) {
    return (...given) => {
      if (!this.alive) return;
      if (this.frozen) { this.frozen.push(() => act(...given)); return; }
      act(...given);
    };
  }
  freeze() { this.frozen = []; }
  thaw() { const owed = this.frozen; this.frozen = false; for (const act of owed) act(); }

  load(options) {
    const tab = this, { world, browser } = this;
    const timer = (act, ms = 0) => world.at(ms, tab.guard(() => {
      try { act(); } catch (error) { world.errors.push(error); }
    }));
    const self = {
      console, JSON, Promise, Error, TypeError, Array, Object, String, RegExp, encodeURIComponent, Uint32Array,
      Math: Object.assign(Object.create(Math), { random: world.random }),
      Date: class { valueOf() { return Math.floor(world.now + world.wallAhead); } },
      setTimeout: (act, ms) => timer(act, ms),
      clearTimeout: (entry) => { if (entry) entry[3] = false; },
      setInterval: (act, ms) => { const entry = { 3: true }; (function again() { timer(() => { if (!entry[3]) return; again(); act(); }, ms); })(); return entry; },
      clearInterval: (entry) => { entry[3] = false; },
      addEventListener: (type, act) => { (tab.listeners[type] ??= []).push(act); },
      removeEventListener: (type, act) => { tab.listeners[type] = (tab.listeners[type] ?? []).filter((one) => one !== act); },
      location: { protocol: "http:", host: "encke.test" },
      document: { hidden: false, addEventListener: (type, act) => { (tab.listeners[type] ??= []).push(act); } },
      navigator: {
        sendBeacon: (path, body) => {
          if (body.length > BEACON_BYTES) return false;
          tab.beacon(path, body);
          return true;
        },
      },
      localStorage: storage(browser.kept, (key, value) => {
        for (const other of browser.tabs) if (other !== tab) world.at(1, other.guard(() => other.fire("storage", { key, newValue: value })));
      }, () => browser.storage),
      sessionStorage: storage(tab.session),
      WebSocket: function (path) { socket(this, tab, path); },
      EventSource: function (path) { source(this, tab, path); },
      XMLHttpRequest: function () { xhr(this, tab); },
    };
    if (browser.counter) self.performance = { now: () => world.now - world.start - world.counterBehind };
    if (browser.locks) self.navigator.locks = locks(tab);
    if (browser.channel) {
      self.BroadcastChannel = function (name) {
        if (browser.channel === "refuses") throw new Error("SecurityError");
        this.name = name;
        tab.channels.add(this);
        this.postMessage = (message) => {
          if (browser.channel === "throws") throw new Error("InvalidStateError");
          const copy = JSON.stringify(message);
          for (const other of browser.tabs) {
            for (const channel of other.channels) {
              if (channel !== this && channel.name === name) world.at(1, other.guard(() => channel.onmessage?.({ data: JSON.parse(copy) })));
            }
          }
        };
        this.close = () => tab.channels.delete(this);
      };
    }
    self.self = self;
    vm.createContext(self);
    vm.runInContext(browser.first, self);
    script.runInContext(self);
    this.c = self.Encke({ transports: browser.transports ?? ["websocket", "sse", "longpoll", "shortpoll"], ...options });
    this.c.on("message", (m) => this.got.push(m));
    this.c.on("gap", (g) => this.gaps.push(g));
    this.c.on("state", (state) => this.states.push([world.now - world.start, state, this.c.transport]));
  }

  // A beacon survives its page.
  beacon(path, body) {
    const { world } = this;
    world.at(world.network.delayMs, () => {
      if (!world.network.up) return;
      const client = world.server.clients.get(new URL(path).searchParams.get("sid"));
      if (client) for (const c of JSON.parse(body)) world.server.command(client, c);
    });
  }
}

// `how` it is: true, "refuses" (whatever is asked of it), "full", or "forgets" what it is given.
function storage(map, changed = () => {}, how = () => true) {
  const ask = (act, ...faults) => (...given) => {
    if (faults.includes(how())) throw new Error(how());
    return act(...given);
  };
  return {
    getItem: ask((key) => map.get(key) ?? null, "refuses"),
    setItem: ask((key, value) => {
      if (how() === "forgets") return;
      map.set(key, String(value));
      changed(key, String(value));
    }, "refuses", "full"),
    removeItem: ask((key) => { if (map.delete(key)) changed(key, null); }, "refuses"),
  };
}

function locks(tab) {
  const { browser, world } = tab;
  return {
    request(name, how, act) {
      browser.asked++;
      if (browser.locks === "throws") throw new Error("SecurityError");
      return new Promise((done, fail) => {
        if (browser.locks === "refuses") return fail(new Error("SecurityError"));
        const entry = { tab, act: (lock) => act(lock), done, fail };
        if (how.steal) {
          const last = browser.held;
          browser.held = null;
          if (last) world.at(0, last.tab.guard(() => last.fail(new Error("AbortError"))));
          browser.queue.unshift(entry);
        } else browser.queue.push(entry);
        browser.grant();
      });
    },
  };
}

function socket(s, tab, path) {
  const pipe = serveStream(tab.world, tab, "websocket", path.replace(/^ws/, "http"));
  tab.pipes.add(pipe);
  pipe.onevent = tab.guard((event) => s.onmessage?.({ data: JSON.stringify(event) }));
  pipe.onend = tab.guard(() => s.onclose?.({ reason: "", code: pipe.code }));
  s.send = (text) => {
    if (!pipe.client) throw new Error("not open");
    pipe.later(() => { // up, on the same ordered way
      if (!pipe.open || pipe.stuck || !tab.world.network.up) return;
      if (text.length > tab.world.server.bytesMax) {
        pipe.code = 1009;
        return pipe.close();
      }
      pipe.send(tab.world.server.command(pipe.client, JSON.parse(text)));
    });
  };
  s.close = () => pipe.cut();
}

function source(s, tab, path) {
  const acts = {};
  const pipe = serveStream(tab.world, tab, "sse", path);
  tab.pipes.add(pipe);
  s.addEventListener = (type, act) => { (acts[type] ??= []).push(act); };
  pipe.onevent = tab.guard((event) => { for (const act of acts[event.type] ?? []) act({ data: JSON.stringify(event) }); });
  pipe.onend = tab.guard(() => s.onerror?.({}));
  s.close = () => pipe.cut();
}

// Requests may overtake each other; an answer may be lost though what it answers was done.
function xhr(x, tab) {
  const { world } = tab;
  let over = false;
  let end = () => {};
  x.onprogress = null;
  x.readyState = 0;
  x.getResponseHeader = (name) => x.fields?.[name] ?? null;
  x.abort = () => { over = true; end(); };
  x.open = (method, url) => Object.assign(x, { method, url });
  const answer = (status, text) => world.at(world.network.delayMs * (0.5 + world.random()), tab.guard(() => {
    if (over) return;
    const lost = !world.network.up || (world.loss && world.random() < world.loss);
    Object.assign(x, { readyState: 4, status: lost ? 0 : status, responseText: lost ? "" : text });
    over = true;
    x.onreadystatechange?.();
  }));
  x.send = (body) => {
    const url = new URL(x.url);
    world.requests.push([tab, url.pathname]);
    world.at(world.network.delayMs * (0.5 + world.random()), () => {
      if (over && url.pathname !== "/send") return;
      if (!world.network.up || (world.loss && world.random() < world.loss)) return answer(0, "");
      const query = url.searchParams;
      if (url.pathname === "/healthz") return answer(200, "ok\n");
      if (url.pathname === "/probe") {
        const come = (ms, text) => world.at(ms, tab.guard(() => {
          if (over) return;
          Object.assign(x, { readyState: 3, status: 200, responseText: text });
          x.onreadystatechange?.();
        }));
        const vice = world.network.vice.sse;
        if (vice !== "silent" && vice !== "first") come(world.network.delayMs, "1\n");
        if (vice !== "silent") come(400, "1\n2\n");
        world.at(800, () => answer(200, "1\n2\n3\n"));
        return;
      }
      if (url.pathname === "/send") {
        if (world.network.readsOnly) return answer(405, "<h1>Method Not Allowed</h1>");
        const client = world.server.clients.get(query.get("sid"));
        if (!client) return answer(410, JSON.stringify({ code: "unknown_sid", detail: "gone" }));
        return answer(200, JSON.stringify(world.server.command(client, JSON.parse(body))));
      }
      if (url.pathname === "/poll") {
        const entered = world.server.enter(query);
        if (!entered) return answer(403, JSON.stringify({ code: "not_yours", detail: "log in" }));
        const { client, gaps } = entered;
        client.stream?.close();
        client.poll?.();
        let done = false;
        const finish = () => {
          if (done) return;
          done = true;
          if (client.poll === finish) client.poll = null;
          if (world.server.clients.get(client.sid) !== client) return answer(0, ""); // it ended with the server
          const events = [...gaps, ...client.take()];
          answer(200, JSON.stringify({ sid: client.sid, cursor: client.position(), events }));
        };
        end = () => { if (client.poll === finish) client.poll = null; done = true; };
        if (query.get("wait") === "0" || gaps.length || client.behind() || !query.get("since") || !client.chans.size) return finish();
        client.poll = finish;
        world.at(+query.get("wait") * 1000, finish);
        return;
      }
      answer(404, "{}");
    });
  };
}

export { GRACE_MS, RING };
