// The chat page's model of a conversation, alone: what a peer makes up in the place of a cursor moves nothing.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { root } from "../server.mjs";

const source = readFileSync(`${root}src/web/chat-model.js`, "utf8");
const { Conversation, placeOf } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

const said = (id, data = { text: id }) => ({ id, from: "ann", at: 1, data });

test("an epoch is known when the server has told of it, and later ones lie above it", () => {
  const room = new Conversation("hall");
  room.readMark = "0000000a-7";
  assert.equal(room.readTo, 0, "nothing is known of that epoch yet");
  assert.equal(room.find("ffffffff-9"), undefined);
  assert.equal(placeOf("ffffffff-9"), 0);
  room.take(said("0000000a-5"));
  assert.equal(room.readTo, placeOf("0000000a-7"));
  room.take(said("0000000b-1"));
  room.take(said("0000000a-6"));
  assert.deepEqual(room.entries.map((entry) => entry.id), ["0000000a-5", "0000000a-6", "0000000b-1"]);
  assert.ok(room.entries[2].place > room.readTo && room.entries[1].place < room.readTo);
});

test("a message that answers a made-up one does not move what comes after it", () => {
  const room = new Conversation("hall");
  room.take(said("0000000b-2", { text: "see", re: "ffffffff-1" }));
  assert.equal(room.find("ffffffff-1"), undefined);
  room.readMark = "ffffffff-1";
  const entry = room.take(said("0000000b-3"));
  assert.ok(entry.place > room.readTo, "it is unread");
  assert.equal(room.find("0000000b-2").content.re, "ffffffff-1");
});
