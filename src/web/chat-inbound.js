// What comes from the server: each event goes to the conversation it belongs to.
//
// It knows no element and sends nothing but receipts. A private conversation is made of the inbox: what its other
// side wrote, copies of what we wrote, receipts. Nothing in a message's data is trusted (chat-model.js).

import { placeOf, placeTold, toldTime } from "./chat-model.js";
import { mentionsMe } from "./chat-text.js";

export class Inbound {
  constructor(session) {
    this.session = session;
    this.nonces = new Set(); // of the notices that were told
  }

  listen() {
    const { session } = this;
    const { client } = session;
    client.on("message", (message) => this.takeMessage(message));
    client.on("presence", (event) => this.takePresence(event));
    client.on("gap", (gap) => this.takeGap(gap));
    client.on("typing", (event) => this.takeTyping(event));
    client.on("receipt", (event) => this.takeRoomReceipt(event));
    client.on("bye", (event) => { if (event.why === "kicked" || event.why === "banned") session.putOut(event.why); });
    client.on("error", (error) => {
      if (error.code === "banned") session.putOut("banned");
    });
    client.on("state", (state, why) => {
      if (client !== session.client) return;
      session.why = why || "";
      session.emit("link");
      if (state !== "live") return;
      session.measure();
      session.outbound.sendKept();
      for (const room of session.rooms()) session.refreshPeople(room);
    });
    for (const type of ["trail", "rtt"]) client.on(type, () => session.emit("link"));
    client.on("heartbeat", (event) => { toldTime(event.at); session.measure(); });
    client.on("welcome", () => session.emit("link"));
  }

  place(conversation, message) {
    const data = message.data || {};
    if (typeof data.deletes === "string") {
      conversation.erase(data.deletes, message.from);
      return null;
    }
    if (data.cleared === true && message.from === null) {
      conversation.clear();
      return null;
    }
    return conversation.take(message);
  }

  takeMessage(message) {
    if (message.ch[0] === "@") return this.takeInbox(message, false);
    const conversation = this.session.conversations.get(message.ch);
    if (conversation) this.takeSaid(conversation, message);
  }

  takeSaid(conversation, message, peerId) {
    const { session } = this;
    if (conversation.hasNewer) conversation.unread++; // it comes with its page
    else session.outbound.settle(conversation, message);
    conversation.typing.delete(message.from);
    const entry = conversation.hasNewer ? null
      : peerId ? conversation.take(message, peerId) : this.place(conversation, message);
    if (entry) {
      conversation.trim(conversation !== session.open || !session.isScrolledBack);
      if (entry.from !== session.me) this.noteSaid(conversation, entry);
      else conversation.readTo = Math.max(conversation.readTo, entry.place);
    }
    session.emit("log", conversation);
    session.emit("typing", conversation);
    if (conversation.isPrivate) session.emit("list");
  }

  noteSaid(conversation, entry) {
    const { session } = this;
    if (conversation.isPrivate) session.noteReceived(conversation, entry);
    if (conversation === session.open && session.isActive()) session.markRead(conversation);
    else if (entry.place > conversation.readTo) {
      if (conversation === session.open && !conversation.lineAt) conversation.lineAt = conversation.readTo || entry.place - 1;
      if (!this.isRepeated(entry)) conversation.unread++;
      if (session.me && mentionsMe(entry.content.text || "", session.me)) conversation.mentions++;
      session.emit("list");
    }
    if (!this.isRepeated(entry)) session.emit("said", conversation, entry);
    if (entry.content.nonce) this.nonces.add(entry.content.nonce);
  }

  // A notice to everybody comes in every room, and is news once.
  isRepeated(entry) {
    return entry.from === null && this.nonces.has(entry.content.nonce);
  }

  // Everything between us and one other person: what they wrote, copies of what we wrote, receipts.
  takeInbox(message, isOld) {
    const { session } = this;
    const data = message.data || {};
    if (typeof data.receipt === "string" && message.from) {
      const ch = String(data.ch);
      const conversation = session.conversations.get(ch[0] === "@" ? `@${message.from}` : ch);
      if (conversation && typeof data.id === "string") {
        conversation.receipt(data.receipt, message.from, placeOf(data.id));
        session.emit("log", conversation);
      }
      return;
    }
    if (message.from === null && typeof data.notice === "string" && !isOld) session.emit("notice", data.notice);
    if (message.from === session.me && typeof data.deletes === "string") {
      for (const one of session.privates()) if (one.erase(data.deletes, session.me)) session.emit("log", one);
      return;
    }
    const isCopy = message.from === session.me && typeof data.to === "string" && data.data !== undefined;
    const peer = isCopy ? data.to : message.from;
    if (!peer || (peer === session.me && !isCopy)) return;
    const conversation = session.conversation(`@${peer}`);
    const plain = isCopy ? Object.assign({}, message, { data: data.data }) : message;
    const peerId = isCopy ? String(data.id) : undefined;
    if (!isOld) return this.takeSaid(conversation, plain, peerId);
    const entry = peerId ? conversation.take(plain, peerId) : this.place(conversation, plain);
    conversation.isLoaded = true;
    if (!entry || isCopy) return;
    if (entry.place <= conversation.readTo) return;
    session.noteReceived(conversation, entry);
    if (conversation === session.open && session.isActive()) session.markRead(conversation);
    else conversation.unread++;
  }

  takePresence(event) {
    const { session } = this;
    const conversation = session.conversations.get(event.ch);
    if (!conversation) return;
    const was = conversation.people.get(event.user);
    const person = Object.assign({ away: false }, was);
    if (event.event === "leave") conversation.people.delete(event.user);
    else conversation.people.set(event.user, Object.assign(person, { away: event.event === "away" }));
    if (event.event === "leave") conversation.typing.delete(event.user);
    // Lines are for changes alone, so that what is told twice says nothing twice.
    const isChange = event.event === "join" ? !was : event.event === "leave" && Boolean(was);
    if (isChange && event.user !== session.me && conversation.isLoaded) {
      conversation.insert({ kind: "presence", place: placeTold(event.id), event: event.event, user: event.user, at: 0 });
      session.emit("log", conversation);
    }
    if (event.event === "join" && !was) session.refreshPeopleSoon(conversation);
    session.emit("people", conversation);
  }

  takeGap(gap) {
    const { session } = this;
    const mine = gap.ch[0] === "@" ? session.privates() : [session.conversations.get(gap.ch)];
    for (const conversation of mine) {
      if (!conversation || (conversation.isPrivate && !conversation.entries.length)) continue;
      conversation.insert({ kind: "gap", place: placeTold(gap.cursor) + 0.5, why: gap.why, at: 0 });
      session.emit("log", conversation);
    }
  }

  takeTyping(event) {
    const { session } = this;
    if (event.user === session.me) return;
    const conversation = session.conversations.get(event.ch[0] === "@" ? `@${event.user}` : event.ch);
    if (!conversation) return;
    conversation.wrote(event.user, performance.now());
    session.emit("typing", conversation);
  }

  takeRoomReceipt(event) {
    const { session } = this;
    const conversation = session.conversations.get(event.ch);
    if (!conversation || !event.user || event.user === session.me) return;
    conversation.receipt(event.receipt, event.user, placeOf(event.id));
    session.emit("log", conversation);
  }
}
