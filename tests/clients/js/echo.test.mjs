// Messages of every length form, whole and in fragments, compressed and not, there and back again: npm's `ws` against
// examples/echo.rs. Its zlib keeps to the window that was agreed on.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { startEcho } from "../server.mjs";

let server;
before(async () => { server = await startEcho(); });
after(() => server?.stop());

const SIZES = [0, 1, 124, 125, 126, 127, 255, 256, 257, 65_535, 65_536, 65_537, 1 << 20];

const OFFERS = {
  "no deflate": false,
  "deflate as ws offers it": true,
  "deflate, no context": { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0 },
  "deflate, 15 bits": { serverMaxWindowBits: 15, threshold: 0 },
  "deflate, 12 bits": { serverMaxWindowBits: 12, clientMaxWindowBits: 12, threshold: 0 },
  "deflate, 9 bits": { serverMaxWindowBits: 9, clientMaxWindowBits: 9, threshold: 0 },
  "deflate, 8 bits": { serverMaxWindowBits: 8, threshold: 0 },
};

// Text that shrinks, bytes that don't.
function payloads(size) {
  const text = "[12, \"grow\", {\"käse\": 3}] ".repeat(size / 20 + 1).slice(0, size);
  let state = 1;
  const noise = Buffer.alloc(size, undefined).map(() => (state = (state * 48_271) % 2_147_483_647) >> 8);
  return [text, Buffer.from(noise)];
}

async function echo(socket, payload, send) {
  const answer = once(socket, "message");
  send();
  const [data, isBinary] = await answer;
  assert.equal(isBinary, typeof payload !== "string");
  assert.ok(data.equals(Buffer.from(payload)), `${data.length} bytes come back, not the ${payload.length} sent`);
}

for (const [name, perMessageDeflate] of Object.entries(OFFERS)) {
  test(`messages of all sizes, ${name}`, { timeout: 60_000 }, async () => {
    const socket = new WebSocket(server.base.replace("http", "ws"), { perMessageDeflate, maxPayload: 0 });
    await once(socket, "open");
    assert.equal(socket.extensions, perMessageDeflate ? "permessage-deflate" : "");
    for (const size of SIZES) {
      for (const payload of payloads(size)) {
        await echo(socket, payload, () => socket.send(payload));
        // In three fragments, with a ping between two of them.
        const bytes = Buffer.from(payload), [one, two] = [bytes.length >> 2, bytes.length >> 1];
        const binary = typeof payload !== "string", pong = once(socket, "pong");
        await echo(socket, payload, () => {
          socket.send(bytes.subarray(0, one), { binary, fin: false });
          socket.ping("between");
          socket.send(bytes.subarray(one, two), { binary, fin: false });
          socket.send(bytes.subarray(two), { binary, fin: true });
        });
        assert.equal(String((await pong)[0]), "between");
      }
    }
    const closed = once(socket, "close");
    socket.close(4321, "done");
    assert.equal((await closed)[0], 4321);
  });
}

test("many at once come back in order", { timeout: 60_000 }, async () => {
  const socket = new WebSocket(server.base.replace("http", "ws"), { perMessageDeflate: { threshold: 0 } });
  await once(socket, "open");
  const heard = [], all = new Promise((done) => {
    socket.on("message", (data) => { if (heard.push(String(data)) === 500) done(); });
  });
  const said = Array.from({ length: 500 }, (_, n) => `${n} `.repeat(n));
  for (const text of said) socket.send(text);
  await all;
  assert.deepEqual(heard, said);
  socket.close();
});
