// Server-Sent Events, read by npm's `eventsource`, an implementation of the standard that shares no line
// with the program. It reconnects by itself, with Last-Event-ID; the page that uses it needs do nothing.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { EventSource } from "eventsource";
import { publish, startServer, until } from "../server.mjs";

const TYPES = ["welcome", "message", "presence", "gap", "heartbeat", "bye"];

let server;
before(async () => { server = await startServer("--history", "2000"); });
after(() => server?.stop());

// A reader whose connection can be cut. `cut` ends the body as a lost connection does; the server sees the
// request aborted.
function read(path) {
  const reader = { heard: [], resumedWith: [], cut: null };
  reader.source = new EventSource(server.base + path, {
    fetch: async (url, init) => {
      reader.resumedWith.push(new Headers(init.headers).get("last-event-id"));
      const connection = new AbortController();
      init.signal?.addEventListener("abort", () => connection.abort());
      const response = await fetch(url, { ...init, signal: connection.signal });
      const from = response.body?.getReader();
      const body = from && new ReadableStream({
        async pull(to) {
          const { done, value } = await from.read().catch(() => ({ done: true }));
          if (done) to.close();
          else to.enqueue(value);
        },
      });
      reader.cut = () => connection.abort();
      const { status, redirected, headers } = response;
      return { status, redirected, headers, url: response.url, body };
    },
  });
  for (const type of TYPES) {
    reader.source.addEventListener(type, (e) => {
      reader.heard.push({ ...JSON.parse(e.data), event: type, lastEventId: e.lastEventId });
    });
  }
  reader.messages = () => reader.heard.filter((o) => o.event === "message");
  return reader;
}

test("a welcome, then messages", { timeout: 20_000 }, async () => {
  const reader = read("/sse?ch=hall");
  await until("welcome", () => reader.heard.length > 0);
  const [welcome] = reader.heard;
  assert.equal(welcome.event, "welcome");
  assert.equal(welcome.type, "welcome");
  assert.equal(welcome.lastEventId, welcome.cursor, "the welcome primes Last-Event-ID");
  const text = "one\ntwo\r\nthree\rfour \u2028 data: five";
  await publish(server.base, "hall", text);
  await until("message", () => reader.messages().length > 0);
  const [message] = reader.messages();
  assert.equal(message.data, text);
  assert.equal(message.lastEventId, message.id);
  reader.source.close();
});

test("a cut connection loses and doubles nothing", { timeout: 60_000 }, async () => {
  const reader = read("/sse?ch=numbers");
  await until("welcome", () => reader.heard.length > 0);
  const expected = [];
  const say = async (count) => {
    for (let n = 0; n < count; n++) {
      expected.push(`number ${expected.length}`);
      await publish(server.base, "numbers", expected.at(-1));
    }
  };
  // Cut before the first message: only the welcome's id tells where to go on.
  reader.cut();
  await say(20);
  await until("twenty", () => reader.messages().length >= 20, 20_000);
  await say(20);
  reader.cut();
  await say(20);
  await until("all", () => reader.messages().length >= 60, 20_000);
  assert.deepEqual(reader.messages().map((o) => o.data), expected);
  assert.equal(reader.heard.filter((o) => o.event === "gap").length, 0);
  assert.equal(reader.resumedWith.length, 3, "it has come back twice");
  assert.equal(reader.resumedWith[1], reader.heard[0].cursor);
  reader.source.close();
});
