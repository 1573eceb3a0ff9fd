// A conversation over WebSocket, held by npm's `ws`, which shares no line with the program.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { publish, startServer, until } from "../server.mjs";

let server;
before(async () => { server = await startServer("--history", "2000"); });
after(() => server?.stop());

class Talk {
  constructor(path, options) {
    this.heard = [];
    this.socket = new WebSocket(server.base.replace("http", "ws") + path, options);
    this.socket.on("message", (data, isBinary) => {
      assert.equal(isBinary, false, "objects go in text frames");
      this.heard.push(JSON.parse(data));
    });
  }
  say(command) { this.socket.send(JSON.stringify(command)); }
  async hear(what, fits) {
    await until(what, () => this.heard.some(fits));
    return this.heard.find(fits);
  }
  reply(ref) { return this.hear(`reply ${ref}`, (o) => o.type === "reply" && o.ref === ref); }
  async close() {
    const closed = once(this.socket, "close");
    this.socket.close(1000, "done");
    return (await closed)[0];
  }
}

for (const perMessageDeflate of [false, true]) {
  test(`a conversation, deflate ${perMessageDeflate ? "offered" : "off"}`, { timeout: 20_000 }, async () => {
    const talk = new Talk("/ws?ch=lobby", { perMessageDeflate });
    const welcome = await talk.hear("welcome", (o) => o.type === "welcome");
    assert.equal(talk.heard[0], welcome, "the welcome comes first");
    assert.match(welcome.cursor, /^[0-9a-f]{8}-\d+$/);
    assert.equal(typeof welcome.sid, "string");
    assert.ok(welcome.heartbeat > 0);

    talk.say({ op: "subscribe", ref: 1, ch: "second" });
    assert.equal((await talk.reply(1)).ok, true);

    const text = "grüße, \u2028 </script> 🌠 ".repeat(500);
    const command = { op: "publish", ref: 2, ch: "second", data: { text }, key: `k${perMessageDeflate}` };
    talk.say(command);
    const first = await talk.reply(2);
    assert.equal(first.ok, true);
    const message = await talk.hear("the message", (o) => o.type === "message" && o.ch === "second");
    assert.deepEqual(message.data, { text });
    assert.ok(Math.abs(Date.now() - message.at) < 60_000, "`at` is milliseconds since 1970");

    // The same key again is the same message.
    talk.say({ ...command, ref: 3 });
    assert.equal((await talk.reply(3)).id, first.id);

    talk.say({ op: "unsubscribe", ref: 4, ch: "second" });
    assert.equal((await talk.reply(4)).ok, true);
    await publish(server.base, "second", "not for us");
    await publish(server.base, "lobby", "for us");
    await talk.hear("the lobby", (o) => o.type === "message" && o.data === "for us");
    assert.equal(talk.heard.filter((o) => o.type === "message" && o.ch === "second").length, 1);
    assert.equal(await talk.close(), 1000);
  });
}

test("a ping is answered with its own bytes", { timeout: 20_000 }, async () => {
  const talk = new Talk("/ws?ch=lobby");
  await talk.hear("welcome", (o) => o.type === "welcome");
  const pong = once(talk.socket, "pong");
  talk.socket.ping("are you there");
  assert.equal(String((await pong)[0]), "are you there");
  talk.say({ op: "ping", ref: 1 });
  assert.equal((await talk.reply(1)).ok, true);
  assert.equal(await talk.close(), 1000);
});

test("a message in fragments, a ping between them", { timeout: 20_000 }, async () => {
  const talk = new Talk("/ws?ch=lobby", { perMessageDeflate: false });
  await talk.hear("welcome", (o) => o.type === "welcome");
  const bytes = Buffer.from(JSON.stringify({ op: "publish", ref: 9, ch: "lobby", data: "zerlegt: äöü" }));
  const pong = once(talk.socket, "pong");
  for (let at = 0; at < bytes.length; at += 5) {
    talk.socket.send(bytes.subarray(at, at + 5), { binary: false, fin: at + 5 >= bytes.length });
    if (at === 5) talk.socket.ping("between");
  }
  await pong;
  assert.equal((await talk.reply(9)).ok, true);
  await talk.hear("the message", (o) => o.type === "message" && o.data === "zerlegt: äöü");
  assert.equal(await talk.close(), 1000);
});

test("what is no command is refused, and the connection lives on", { timeout: 20_000 }, async () => {
  const talk = new Talk("/ws?ch=lobby");
  await talk.hear("welcome", (o) => o.type === "welcome");
  const refused = () => talk.heard.filter((o) => o.type === "reply" && o.ok === false);
  for (const [n, frame] of ["{", '{"op":"fly","ref":1}', Buffer.from([1, 2, 3])].entries()) {
    talk.socket.send(frame);
    await until("a refusal", () => refused().length === n + 1);
    assert.equal(typeof refused()[n].error.code, "string");
    assert.equal(typeof refused()[n].error.message, "string");
  }
  talk.say({ op: "ping", ref: 2 });
  assert.equal((await talk.reply(2)).ok, true);
  assert.equal(await talk.close(), 1000);
});
