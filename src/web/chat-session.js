// The chat as a client has it: who we are, the conversations, and what of the server's events belongs where.
//
// It knows no element. It has one encke.js client and says with small events (`on`) what has changed: `log`,
// `people`, `typing` with a conversation; `list`, `me`, `link`, `rooms` with nothing; `said` with a conversation
// and an entry that somebody else wrote just now. A server that lacks a command of the chat refuses it, and the
// page does without. Read first: encke.d.ts.

import { kept, keep, keepSecret, onKept, ownOf, secretOf, tabKept, tabKeep, withOwn } from "./chat-kept.js";
import { Inbound } from "./chat-inbound.js";
import { Conversation, placeOf, toldTime } from "./chat-model.js";
import { Outbound } from "./chat-outbound.js";

const PAGE = 50; // messages asked for at a time
const PAGES_PER_ASK_MAX = 6; // of an inbox, in search of what was said with one person
const INBOX_LAST = 200; // messages of the inbox read on coming in
const ROOMS_OPEN_MAX = 24;
const TELL_MS = 400; // receipts closer together than that are one
const PEOPLE_MS = 1500; // after somebody came in, until the list is asked for anew
const DEFAULTS = { picture_bytes: 512 * 1024, text_bytes: 16 * 1024, rooms: ["lobby"], transports: null };

// What the server calls a transport, where the library has two ways to read it.
const SERVED_AS = { fetch: "stream", xhr: "stream", htmlfile: "iframe", longpoll: "poll", shortpoll: "poll" };

const nothing = () => {};

export class Session {
  constructor() {
    this.handlers = {};
    this.conversations = new Map();
    this.open = null; // the conversation that is shown
    this.me = null; // our name, once the server has said so
    this.isJoining = false;
    this.hue = undefined;
    this.config = DEFAULTS;
    this.roomList = []; // all rooms, as the server lists them
    this.hues = new Map(); // nick -> the hue they chose
    this.lacks = new Set(); // commands that this server doesn't know
    this.client = null;
    this.isActive = () => true; // whether what is shown is being looked at
    this.isScrolledBack = false;
    this.inbound = new Inbound(this);
    this.outbound = new Outbound(this);
    this.why = "";
  }

  on(type, act) {
    (this.handlers[type] = this.handlers[type] || []).push(act);
  }

  emit(type, ...said) {
    for (const act of this.handlers[type] || []) act(...said);
  }

  /** Opens the connection, reads the rooms, and takes the name that this browser has, if any. */
  async start(rooms) {
    const nick = kept("nick");
    this.isJoining = Boolean(nick);
    for (const room of rooms) this.conversation(room);
    await fetch("config").then((r) => (r.ok ? r.json() : {})).then((said) => {
      this.config = Object.assign({}, DEFAULTS, said);
    }).catch(nothing);
    if (!rooms.length) for (const room of this.config.rooms.slice(0, 1)) this.conversation(room);
    this.connect({ sid: tabKept("sid") });
    tabKeep("sid", undefined); // only between leaving and coming back: a tab that is doubled is a client of its own
    addEventListener("pagehide", () => {
      for (const one of this.conversations.values()) if (one.timer) this.tellNow(one);
      tabKeep("sid", this.client.sid);
    });
    this.show((this.rooms()[0]).key);
    if (nick) this.comeBack(nick);
    for (const room of this.rooms()) this.enter(room);
    this.refreshRooms();
    onKept("read", () => this.readElsewhere());
    onKept("rooms", () => this.roomsElsewhere());
  }

  connect(from) {
    this.client = window.Encke(Object.assign({
      url: new URL(".", location.href).href, channels: this.rooms().map((room) => room.key), events: ["receipt"],
      transports: kept("transport") || this.usable(),
    }, from));
    this.inbound.listen();
  }

  comeBack(nick) {
    this.login(nick).catch((error) => { if (error.code !== "closed") this.emit("nameless", nick, error); });
  }

  /** Put out by the server; coming in again is up to the person. */
  putOut(why) {
    this.client.close();
    this.me = null;
    this.emit("me");
    this.emit("putOut", why);
  }

  /** The transports that this server has switched on, best first. */
  usable() {
    const { transports } = this.config;
    return transports ? window.Encke.transports.filter((name) => transports.indexOf(SERVED_AS[name] || name) >= 0) : undefined;
  }

  // ---- who we are ----

  async login(nick, hue) {
    const asked = { nick, secret: secretOf(nick) };
    const chosen = hue === undefined ? kept("hue") : hue;
    if (chosen !== undefined) asked.avatar = chosen;
    if (this.client.state === "closed") this.connect();
    this.isJoining = true;
    this.emit("me");
    try {
      const reply = await this.client.login(asked);
      if (reply.secret) keepSecret(reply.user, reply.secret);
      keep("nick", reply.user);
      this.hue = chosen;
      await this.become(reply.user);
    } finally {
      this.isJoining = false;
      this.emit("me");
    }
  }

  async become(user) {
    const wasAnother = this.me !== null && this.me !== user;
    this.me = user;
    if (wasAnother) for (const one of this.privates()) this.conversations.delete(one.key);
    this.isJoining = false;
    this.emit("me");
    const inbox = `@${user}`;
    await this.client.subscribe(inbox);
    const reply = await this.client.history(inbox, { limit: INBOX_LAST });
    this.inboxFrom = reply.messages.length ? reply.messages[0].id : null;
    this.inboxHasMore = reply.more;
    for (const message of reply.messages) this.inbound.takeInbox(message, true);
    for (const nick of kept("privates") || []) if (nick !== user) this.conversation(`@${nick}`).isLoaded = true;
    for (const room of this.rooms()) this.refreshPeople(room);
    this.outbound.sendKept();
    this.emit("list");
  }

  logout() {
    keep("nick", undefined);
    for (const key of ["sid", "drafts", "pending", "pictures"]) tabKeep(key, undefined);
    location.reload();
  }

  hueFor(nick) {
    return nick === this.me && this.hue !== undefined ? this.hue : this.hues.get(nick);
  }

  // ---- conversations ----

  conversation(name) {
    if (!this.conversations.has(name)) {
      const made = new Conversation(name);
      const draft = ownOf(tabKept("drafts"), name) || {};
      made.readMark = ownOf(kept("read"), this.markOf(name));
      made.draft = String(draft.text || "");
      made.answeringId = String(draft.re || "");
      this.conversations.set(name, made);
    }
    return this.conversations.get(name);
  }

  /** What is being written survives a reload, with what it answers. */
  keepDraft({ key, draft, answeringId }) {
    const all = withOwn(tabKept("drafts"), key, { text: draft, re: answeringId });
    if (!draft && !answeringId) delete all[key];
    tabKeep("drafts", Object.keys(all).length ? all : undefined);
  }

  rooms() { return Array.from(this.conversations.values()).filter((one) => !one.isPrivate); }
  privates() {
    return Array.from(this.conversations.values()).filter((one) => one.isPrivate).sort((a, b) => b.at - a.at);
  }

  /** Shows a conversation; a room that is not read yet is read from now on. */
  show(name) {
    const isNew = !this.conversations.has(name);
    const conversation = this.conversation(name);
    this.open = conversation;
    conversation.lineAt = conversation.unread ? conversation.readTo : 0;
    if (isNew && !conversation.isPrivate && this.client) {
      this.client.subscribe(name).catch((error) => this.emit("refused", error));
      this.enter(conversation);
    }
    if (conversation.isPrivate) this.keepPrivates();
    else this.keepRooms();
    this.emit("open", conversation);
    this.emit("list");
    if (this.isActive()) this.markRead(conversation);
    if (conversation.isPrivate && !conversation.entries.length) this.older(conversation);
  }

  leave(name) {
    const conversation = this.conversations.get(name);
    if (!conversation) return;
    this.conversations.delete(name);
    if (conversation.isPrivate) this.keepPrivates();
    else {
      this.client.unsubscribe(name).catch(nothing);
      this.keepRooms();
    }
    if (this.open === conversation) this.show((this.rooms()[0] || { key: this.config.rooms[0] || "lobby" }).key);
    this.emit("list");
  }

  keepRooms() { keep("rooms", this.rooms().map((room) => room.key).slice(-ROOMS_OPEN_MAX)); }
  keepPrivates() { keep("privates", this.privates().map((one) => one.name).slice(0, ROOMS_OPEN_MAX)); }

  // Another tab joined or left a room: it is the same person's list.
  roomsElsewhere() {
    for (const name of kept("rooms") || []) {
      if (this.conversations.has(name)) continue;
      this.client.subscribe(name).catch(nothing);
      this.enter(this.conversation(name));
    }
    this.emit("list");
  }

  /** What was said before in a room that has just been entered, and who is there. */
  async enter(conversation) {
    this.refreshPeople(conversation);
    await this.older(conversation);
  }

  /** One page of earlier messages. */
  async older(conversation) {
    if (conversation.isLoading || (conversation.isLoaded && !conversation.hasOlder)) return;
    conversation.isLoading = true;
    this.emit("log", conversation);
    try {
      if (conversation.isPrivate) await this.olderPrivate(conversation);
      else await this.olderRoom(conversation);
    } catch (error) {
      if (error.code === "restarted") conversation.hasOlder = false;
    }
    conversation.isLoading = false;
    conversation.isLoaded = true;
    this.emit("log", conversation);
  }

  async olderRoom(conversation) {
    const first = conversation.first();
    const how = { limit: PAGE };
    if (first && conversation.isLoaded) how.before = first.id;
    const reply = await this.client.history(conversation.key, how);
    const isEntry = !conversation.isLoaded;
    for (const message of reply.messages) this.inbound.place(conversation, message);
    conversation.hasOlder = reply.more;
    if (isEntry) this.countUnread(conversation);
    conversation.trim(isEntry);
  }

  // What was said with one person lies among all else in the inbox.
  async olderPrivate(conversation) {
    const before = conversation.entries.length;
    for (let page = 0; page < PAGES_PER_ASK_MAX && conversation.entries.length < before + PAGE / 2; page++) {
      if (!this.me || !this.inboxHasMore) break;
      const reply = await this.client.history(`@${this.me}`, { before: this.inboxFrom, limit: INBOX_LAST });
      if (reply.messages.length) this.inboxFrom = reply.messages[0].id;
      this.inboxHasMore = reply.more;
      for (const message of reply.messages) this.inbound.takeInbox(message, true);
    }
    conversation.hasOlder = Boolean(this.inboxHasMore);
  }

  /** Back to the newest, after paging so far back that they were let go. */
  async newest(conversation) {
    if (!conversation.hasNewer) return;
    conversation.entries = [];
    conversation.hasNewer = false;
    conversation.isLoaded = false;
    if (conversation.isPrivate) {
      this.inboxHasMore = true;
      this.inboxFrom = undefined;
    }
    await this.older(conversation);
  }

  /** A command that is well without an answer, and left alone where the server doesn't know it. */
  tell(op, fields) {
    if (!this.client || this.lacks.has(op)) return Promise.resolve(null);
    return this.client.command(op, fields).catch((error) => {
      if (error.code === "unknown_op") this.lacks.add(op);
      return null;
    });
  }

  // ---- read and unread ----

  markOf(name) { return `${(this.me || "").toLowerCase()} ${name}`; }

  countUnread(conversation) {
    if (!conversation.readTo) return;
    const fresh = conversation.entries.filter((entry) => entry.kind === "message" && entry.place > conversation.readTo && entry.from !== this.me);
    conversation.unread = fresh.length;
    if (conversation === this.open) {
      conversation.lineAt = fresh.length ? conversation.readTo : 0;
      if (this.isActive()) this.markRead(conversation);
    }
    this.emit("list");
  }

  /** All that is there of a conversation has been seen. */
  markRead(conversation) {
    const last = conversation.last();
    const hadUnread = conversation.unread || conversation.mentions;
    conversation.unread = conversation.mentions = 0;
    if (hadUnread) this.emit("list");
    if (!last || last.place <= conversation.readTo) return;
    conversation.readTo = last.place;
    conversation.toTell.read = last;
    this.tellSoon(conversation);
  }

  noteReceived(conversation, entry) {
    conversation.toTell.received = entry;
    this.tellSoon(conversation);
  }

  // One receipt for many messages, since it means all up to that one.
  tellSoon(conversation) {
    if (!conversation.timer) conversation.timer = setTimeout(() => this.tellNow(conversation), TELL_MS);
  }

  tellNow(conversation) {
    const { read, received } = conversation.toTell;
    clearTimeout(conversation.timer);
    conversation.timer = 0;
    conversation.toTell = {};
    if (read) {
      keep("read", withOwn(kept("read"), this.markOf(conversation.key), read.id));
    }
    if (!this.me) return;
    const ch = conversation.isPrivate ? `@${this.me}` : conversation.key;
    const isNews = (entry) => entry && entry.from && entry.from !== this.me;
    if (isNews(received) && !isNews(read)) this.tell("received", { ch, id: received.id });
    if (isNews(read)) this.tell("read", { ch, id: read.id });
  }

  // Another tab has read on.
  readElsewhere() {
    const marks = kept("read");
    for (const one of this.conversations.values()) {
      const id = ownOf(marks, this.markOf(one.key));
      const last = one.last();
      if (placeOf(id) <= one.readTo) continue;
      one.readMark = id;
      if (last && last.place <= one.readTo) one.unread = one.mentions = 0;
    }
    this.emit("list");
  }

  // ---- who is where ----

  async refreshPeople(conversation) {
    if (conversation.isPrivate || !this.client) return;
    const reply = await this.tell("people", { ch: conversation.key }) || await this.tell("who", { ch: conversation.key });
    if (!reply) return;
    const all = reply.people || (reply.users || []).map((nick) => ({ nick, away: false }));
    conversation.people = new Map(all.map((one) => [one.nick, { away: Boolean(one.away) }]));
    for (const one of all) if (Number.isInteger(one.avatar)) this.hues.set(one.nick, one.avatar);
    this.emit("people", conversation);
  }

  refreshPeopleSoon(conversation) {
    if (conversation.asking) return;
    conversation.asking = setTimeout(() => { conversation.asking = 0; this.refreshPeople(conversation); }, PEOPLE_MS);
  }

  async refreshRooms() {
    const reply = await this.tell("rooms", {});
    if (reply && Array.isArray(reply.rooms)) this.roomList = reply.rooms;
    this.emit("rooms");
  }

  async measure() {
    const { client } = this;
    const reply = await this.tell("ping", {});
    if (reply) toldTime(reply.at);
    if (client === this.client) this.emit("link");
  }
}
