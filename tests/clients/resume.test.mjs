// The promise of the cursor: 1,000 numbered messages, one reader on each transport, every connection cut
// again and again at random bytes, and each reader has each message once, in order.
//
// Written on bare sockets and node's own HTTP, so that no library mends what the program breaks. The reader
// leaves nothing out by itself: what it parses, it counts. It only remembers the last cursor it was given.
//
// A failure names its seed; SEED=… replays the cuts.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import http from "node:http";
import { after, before, test } from "node:test";
import vm from "node:vm";
import { publish, startServer } from "./server.mjs";

const COUNT = 1000;
const CUTS_MIN = 10; // fewer would prove little
const BYTES_BETWEEN_CUTS_MAX = 6000; // of some 150,000 that are read
const TIMEOUT_MS = 90_000;
const SEED = Number(process.env.SEED ?? 20130117);

let server;
before(async () => { server = await startServer("--jsonp", "--history", "2000"); });
after(() => server?.stop());

// mulberry32: small, and the same everywhere
function random(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

// ---- parsers: bytes in, objects out; each keeps what is not complete yet ----

function lineParser(take) {
  let rest = "";
  return (bytes) => {
    const lines = (rest + bytes.toString("latin1")).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.trim()) take(JSON.parse(utf8(line)));
  };
}

function sseParser(take) {
  let rest = "";
  return (bytes) => {
    const blocks = (rest + bytes.toString("latin1")).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const field = (name) => block.split("\n").filter((line) => line.startsWith(`${name}:`))
        .map((line) => line.slice(name.length + 1).replace(/^ /, ""));
      const data = field("data");
      if (!data.length) continue;
      const object = JSON.parse(utf8(data.join("\n")));
      assert.equal(field("event").at(-1), object.type);
      const id = field("id").at(-1);
      if (object.type === "message") assert.equal(id, object.id, "a message's `id:` is its cursor");
      if (object.type === "welcome") assert.equal(id, object.cursor, "a welcome's `id:` is its cursor");
      take(object);
    }
  };
}

// The document's scripts are run as a browser would run them.
function scriptParser(take, callback) {
  const parent = { [callback]: (object) => take(JSON.parse(JSON.stringify(object))) };
  const body = { firstChild: null }; // the document empties it as it goes on
  const context = vm.createContext({ parent, top: parent, document: { domain: "127.0.0.1", body } });
  vm.runInContext("var window = this, self = this;", context);
  let rest = "";
  return (bytes) => {
    rest += bytes.toString("latin1");
    for (;;) {
      const match = /<script[^>]*>([^]*?)<\/script>/i.exec(rest);
      if (!match) return;
      rest = rest.slice(match.index + match[0].length);
      vm.runInContext(utf8(match[1]), context);
    }
  };
}

function frameParser(take, socket) {
  let rest = Buffer.alloc(0);
  return (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 2) {
      assert.equal(rest[1] & 0x80, 0, "a server never masks");
      let [length, head] = [rest[1] & 0x7f, 2];
      if (length === 126) {
        if (rest.length < 4) return;
        [length, head] = [rest.readUInt16BE(2), 4];
      } else if (length === 127) {
        if (rest.length < 10) return;
        [length, head] = [Number(rest.readBigUInt64BE(2)), 10];
      }
      if (rest.length < head + length) return;
      const payload = rest.subarray(head, head + length);
      const opcode = rest[0];
      rest = rest.subarray(head + length);
      if (opcode === 0x81) take(JSON.parse(payload));
      else if (opcode === 0x89) socket.write(maskedFrame(0x8a, payload));
      else if (opcode !== 0x88 && opcode !== 0x8a) assert.fail(`frame 0x${opcode.toString(16)} was not agreed on`);
    }
  };
}

function maskedFrame(first, payload) {
  const mask = randomBytes(4);
  const masked = Buffer.from(payload.map((byte, n) => byte ^ mask[n % 4]));
  return Buffer.concat([Buffer.from([first, 0x80 | payload.length]), mask, masked]);
}

function utf8(latin1) {
  return Buffer.from(latin1, "latin1").toString();
}

// ---- connections: each reads until it ends or is cut, and resolves either way ----

// Counts the bytes that arrive and destroys the connection in the middle of what takes it past `allowed`.
function cutAfter(allowed, request, parse) {
  let left = allowed;
  return (bytes) => {
    if (bytes.length <= left) {
      left -= bytes.length;
      return parse(bytes);
    }
    parse(bytes.subarray(0, left));
    left = 0;
    request.destroy();
  };
}

function readStream(reader, path, parser, headers = {}) {
  return new Promise((resolve, reject) => {
    const request = http.get(server.base + path, { agent: false, headers }, (response) => {
      if (response.statusCode !== 200) return reject(new Error(`${path}: status ${response.statusCode}`));
      const feed = cutAfter(reader.nextCut(), request, parser);
      response.on("data", (bytes) => guarded(() => feed(bytes), request, reject));
      response.on("error", () => {});
      response.on("close", resolve);
    });
    reader.destroy = () => request.destroy();
    request.on("error", () => resolve());
  });
}

function readWebSocket(reader, path) {
  return new Promise((resolve, reject) => {
    const request = http.get(server.base + path, {
      agent: false,
      headers: {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": randomBytes(16).toString("base64"),
      },
    });
    reader.destroy = () => request.destroy();
    request.on("response", (response) => reject(new Error(`${path}: status ${response.statusCode}`)));
    request.on("error", () => resolve());
    request.on("upgrade", (response, socket, first) => {
      reader.destroy = () => socket.destroy();
      const feed = cutAfter(reader.nextCut(), socket, frameParser(reader.take, socket));
      const guardedFeed = (bytes) => guarded(() => feed(bytes), socket, reject);
      socket.on("data", guardedFeed);
      socket.on("error", () => {});
      socket.on("close", resolve);
      if (first.length) guardedFeed(first);
    });
  });
}

// One poll. It may be cut before its answer, in the midst of it, or not at all; an answer counts only whole.
function readPoll(reader, path, decode) {
  return new Promise((resolve, reject) => {
    const chance = reader.random(4);
    const parts = [];
    const request = http.get(server.base + path, { agent: false }, (response) => {
      if (response.statusCode !== 200) return reject(new Error(`${path}: status ${response.statusCode}`));
      response.on("data", (bytes) => {
        parts.push(bytes);
        if (chance === 1) cut();
      });
      response.on("error", () => {});
      response.on("close", () => {
        if (response.complete && !request.destroyedByTest) {
          guarded(() => reader.takeBody(decode(Buffer.concat(parts).toString())), request, reject);
        }
        resolve();
      });
    });
    const cut = () => {
      request.destroyedByTest = true;
      reader.cuts += 1;
      request.destroy();
    };
    reader.destroy = cut;
    request.on("error", () => resolve());
    if (chance === 0) setTimeout(cut, reader.random(8));
  });
}

function guarded(act, connection, reject) {
  try {
    act();
  } catch (error) {
    connection.destroy();
    reject(error);
  }
}

// ---- readers ----

class Reader {
  constructor(name, number, start) {
    Object.assign(this, { name, cursor: start.cursor, sid: start.sid, got: [], cuts: 0, ended: false });
    this.random = random(SEED + number);
    this.take = this.take.bind(this);
  }

  nextCut() {
    this.cuts += 1;
    return 1 + this.random(BYTES_BETWEEN_CUTS_MAX);
  }

  take(object) {
    if (object.type === "welcome") {
      assert.equal(object.sid, this.sid, `${this.name}: the server forgot the client`);
      this.sid = object.sid;
    }
    assert.notEqual(object.type, "gap", `${this.name}: a gap, though nothing was evicted`);
    if (object.type !== "message") return;
    this.cursor = object.id;
    this.got.push(object.data);
    if (this.got.length >= COUNT) this.destroy();
  }

  takeBody(body) {
    for (const object of body.events) this.take(object);
    this.cursor = body.cursor;
  }

  query(more = "") {
    return `?ch=numbers&since=${this.cursor}&sid=${encodeURIComponent(this.sid)}${more}`;
  }
}

const connect = {
  ws: (r) => readWebSocket(r, `/ws${r.query()}`),
  stream: (r) => readStream(r, `/stream${r.query()}`, lineParser(r.take)),
  iframe: (r) => readStream(r, `/iframe${r.query("&callback=heard")}`, scriptParser(r.take, "heard")),
  // Every other time by Last-Event-ID, which wins over an old `since`.
  sse: (r) => (r.random(2)
    ? readStream(r, `/sse${r.query()}`, sseParser(r.take))
    : readStream(r, `/sse?ch=numbers&since=${r.start}&sid=${encodeURIComponent(r.sid)}`, sseParser(r.take),
      { "last-event-id": r.cursor })),
  longpoll: (r) => readPoll(r, `/poll${r.query("&wait=10")}`, JSON.parse),
  shortpoll: (r) => readPoll(r, `/poll${r.query("&wait=0")}`, JSON.parse),
  jsonp: (r) => readPoll(r, `/jsonp${r.query("&wait=10&callback=heard.here")}`, (script) => {
    let body;
    vm.runInNewContext(script, { heard: { here: (given) => { body = JSON.parse(JSON.stringify(given)); } } });
    return body;
  }),
};

async function readAll(reader, deadline) {
  while (reader.got.length < COUNT) {
    if (Date.now() > deadline.at) throw new Error(`${reader.name}: ${reader.got.length} of ${COUNT} in time`);
    await connect[reader.name](reader);
    await new Promise((resolve) => setTimeout(resolve, reader.random(10)));
  }
  reader.ended = true;
}

test(`${COUNT} messages, every transport, cut at random (SEED=${SEED})`, { timeout: TIMEOUT_MS + 10_000 }, async () => {
  const readers = [];
  for (const [number, name] of Object.keys(connect).entries()) {
    const start = await (await fetch(`${server.base}/poll?ch=numbers`)).json();
    const reader = new Reader(name, number, start);
    reader.start = start.cursor;
    readers.push(reader);
  }
  const deadline = { at: Date.now() + TIMEOUT_MS };
  const late = setTimeout(() => readers.forEach((reader) => reader.ended || reader.destroy?.()), TIMEOUT_MS);
  const reading = Promise.all(readers.map((reader) => readAll(reader, deadline)));
  reading.catch(() => {}); // awaited below
  for (let n = 0; n < COUNT; n++) await publish(server.base, "numbers", `number ${n} ☄`);
  try {
    await reading;
  } finally {
    clearTimeout(late);
    deadline.at = 0; // one that failed ends the others
    readers.forEach((reader) => reader.ended || reader.destroy?.());
  }
  const expected = Array.from({ length: COUNT }, (_, n) => `number ${n} ☄`);
  for (const reader of readers) {
    assert.deepEqual(reader.got, expected, `${reader.name} did not read each message once, in order`);
    assert.ok(reader.cuts >= CUTS_MIN, `${reader.name} was cut only ${reader.cuts} times`);
  }
});
