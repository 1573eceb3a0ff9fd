// What goes to the server: messages with their states, from "sending" on, and what is done to them later.
//
// It knows no element. A message is shown at once and waits in its conversation until the server has answered; it
// survives a reload, and its key makes sending it twice harmless.

import { tabKept, tabKeep } from "./chat-kept.js";
import { PENDING_MAX, contentOf, placeTold, serverNow } from "./chat-model.js";

const TYPING_EVERY_MS = 2500;

const key = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");

export class Outbound {
  constructor(session) {
    this.session = session;
    this.typedAt = -TYPING_EVERY_MS;
    this.isKept = true; // what waits would survive a reload
    addEventListener("beforeunload", (event) => { if (!this.isKept) event.preventDefault(); });
  }

  /** Own messages that wait, in all conversations. */
  count() {
    let all = 0;
    for (const one of this.session.conversations.values()) all += one.pending.length;
    return all;
  }

  /** Says something; it is shown at once, and its state with it. False if too much waits already: nothing was taken. */
  say(conversation, data) {
    if (this.count() >= PENDING_MAX) return false;
    const entry = this.waiting(key(), data, serverNow());
    conversation.pending.push(entry);
    this.keepPending();
    this.session.emit("log", conversation);
    this.send(conversation, entry);
    return true;
  }

  waiting(itsKey, data, at) {
    const { session } = this;
    return { kind: "message", key: itsKey, from: session.me, at, place: Infinity, data, content: contentOf(data), failed: "" };
  }

  async send(conversation, entry) {
    const { session } = this;
    entry.failed = "";
    entry.isFlying = true;
    try {
      const reply = await session.client.command("publish", { ch: conversation.key, data: entry.data, key: entry.key });
      this.arrived(conversation, entry, reply.id);
    } catch (error) {
      entry.isFlying = false;
      if (error.code === "closed") return; // another client will send it
      if (error.code === "queue_full") return; // when the link has worked off some, sendKept comes to it
      entry.failed = error.message || error.code;
      this.keepPending();
      session.emit("failed", conversation, entry, error);
    }
    session.emit("log", conversation);
  }

  // The reply and the message itself come in either order.
  arrived(conversation, entry, id) {
    const at = conversation.pending.indexOf(entry);
    if (at >= 0) conversation.pending.splice(at, 1);
    this.keepPending();
    const peerId = conversation.isPrivate ? id : undefined;
    if (conversation.hasNewer || conversation.find(id)) return;
    entry.id = id;
    entry.place = placeTold(id);
    entry.peerId = peerId;
    conversation.insert(entry);
    conversation.readTo = Math.max(conversation.readTo, entry.place);
  }

  // Our own message has come before its reply: the waiting one becomes it, and none is shown twice.
  settle(conversation, message) {
    const { session } = this;
    if (message.from !== session.me || session.me === null) return;
    const said = JSON.stringify(message.data);
    const at = conversation.pending.findIndex((entry) => !entry.failed && JSON.stringify(entry.data) === said);
    if (at >= 0) conversation.pending.splice(at, 1);
  }

  retry(conversation, entry) {
    entry.failed = "";
    this.session.emit("log", conversation);
    this.send(conversation, entry);
  }

  discard(conversation, entry) {
    conversation.pending = conversation.pending.filter((other) => other !== entry);
    this.keepPending();
    this.session.emit("log", conversation);
  }

  // What waits survives a reload; its key makes sending it twice harmless.
  keepPending() {
    const { session } = this;
    const all = [];
    for (const one of session.conversations.values()) {
      for (const entry of one.pending) all.push({ to: one.key, key: entry.key, data: entry.data, at: entry.at, from: session.me });
    }
    this.isKept = tabKeep("pending", all.length ? all : undefined);
  }

  /** Sends what waits: from before a reload, or left by a client that was closed. */
  sendKept() {
    const { session } = this;
    for (const one of tabKept("pending") || []) {
      if (one.from !== session.me) continue;
      const { pending } = session.conversation(one.to);
      if (!pending.some((entry) => entry.key === one.key)) pending.push(this.waiting(one.key, one.data, one.at));
    }
    for (const conversation of session.conversations.values()) {
      for (const entry of conversation.pending.slice()) {
        if (!entry.isFlying && !entry.failed) this.send(conversation, entry);
      }
      if (conversation.pending.length) session.emit("log", conversation);
    }
  }

  remove(conversation, entry) {
    const { session } = this;
    const id = entry.peerId || entry.id;
    return session.client.command("delete", { ch: conversation.key, id }).then(() => {
      conversation.erase(entry.id, session.me);
      session.emit("log", conversation);
    });
  }

  type(conversation) {
    const { session } = this;
    const now = performance.now();
    if (!session.me || now - this.typedAt < TYPING_EVERY_MS || session.client.state !== "live") return;
    this.typedAt = now;
    session.tell("typing", { ch: conversation.key });
  }
}
