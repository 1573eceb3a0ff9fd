// The HTTP stream, read by nothing but `fetch`; and commands sent by POST beside it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { publish, startServer, until } from "../server.mjs";

let server;
before(async () => { server = await startServer("--history", "2000"); });
after(() => server?.stop());

async function openStream(path) {
  const stop = new AbortController();
  const response = await fetch(server.base + path, { signal: stop.signal });
  const heard = [];
  (async () => {
    let rest = "";
    for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + part).split("\n");
      rest = lines.pop();
      heard.push(...lines.filter((line) => line).map((line) => JSON.parse(line)));
    }
  })().catch((error) => { if (error.name !== "AbortError") throw error; });
  return { response, heard, stop: () => stop.abort() };
}

test("lines as they happen, commands beside them", { timeout: 20_000 }, async () => {
  const stream = await openStream("/stream?ch=lobby");
  assert.equal(stream.response.status, 200);
  await until("welcome", () => stream.heard.length > 0);
  const { type, sid, cursor } = stream.heard[0];
  assert.equal(type, "welcome");

  const send = async (body) => {
    const response = await fetch(`${server.base}/send?sid=${encodeURIComponent(sid)}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return response.json();
  };
  const login = await send({ op: "login", ref: 1, nick: "streamer" });
  assert.deepEqual([login.ref, login.ok], [1, true]);
  const replies = await send([
    { op: "publish", ref: 2, ch: "lobby", data: { text: "one" }, key: "a" },
    { op: "publish", ref: 3, ch: "lobby", data: { text: "two" }, key: "b" },
  ]);
  assert.deepEqual(replies.map((reply) => [reply.ref, reply.ok]), [[2, true], [3, true]]);
  await publish(server.base, "lobby", "three");

  const messages = () => stream.heard.filter((o) => o.type === "message");
  await until("three messages", () => messages().length >= 3);
  assert.deepEqual(messages().map((o) => o.from), ["streamer", "streamer", null]);
  assert.deepEqual(messages().map((o) => o.data), [{ text: "one" }, { text: "two" }, "three"]);
  stream.stop();

  const again = await openStream(`/stream?ch=lobby&since=${cursor}`);
  await until("the same three", () => again.heard.filter((o) => o.type === "message").length >= 3);
  assert.deepEqual(again.heard.filter((o) => o.type === "message"), messages());
  again.stop();

  const latest = await openStream("/stream?ch=lobby&last=2");
  await until("the last two", () => latest.heard.filter((o) => o.type === "message").length >= 2);
  assert.deepEqual(latest.heard.filter((o) => o.type === "message"), messages().slice(1));
  latest.stop();
});
