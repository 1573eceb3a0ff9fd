// One conversation, a room or two people, as data: what was said, who is there, what is unread.
//
// It knows no element and no connection. Ids are cursors, `<epoch>-<seq>`; a message's place is a number made of
// both, so that what was said before a restart of the server stays above what was said after it.

export const KEPT_MAX = 400; // entries of one conversation in the page; what is older is paged in again
export const PENDING_MAX = 200; // own messages that wait to be sent, in all conversations
const TYPING_MS = 6000; // how long somebody counts as writing after the last sign of it
const ERA = Math.pow(2, 40);
const eras = [];

let aheadMs = 0; // by how much this computer's clock is ahead of the server's

/** The server has told its time. */
export function toldTime(at) {
  if (Number.isFinite(at)) aheadMs = Date.now() - at;
}

/** The time by the server's clock, as far as it is known: what is shown beside times that the server told. */
export const serverNow = () => Date.now() - aheadMs;

/** The place of a cursor; 0, before everything, if the server has told nothing of its epoch: anybody can make one up. */
export function placeOf(id) {
  const [epoch, seq] = String(id).split("-");
  return Math.max(0, eras.indexOf(epoch) * ERA + (Number(seq) || 0));
}

/** The place of a cursor that the server has told. Epochs count in the order in which the page met them. */
export function placeTold(id) {
  const epoch = String(id).split("-")[0];
  if (eras.indexOf(epoch) < 0) eras.push(epoch);
  return placeOf(id);
}

const isObject = (data) => typeof data === "object" && data !== null && !Array.isArray(data);
const count = (value) => (Number.isInteger(value) && value > 0 && value < 100000 ? value : 0);

/** What a message's data says. Anybody may publish anything: what is not known is shown as JSON. */
export function contentOf(data, encoding) {
  if (encoding) return { bytes: Math.floor(String(data).length * 3 / 4) };
  if (typeof data === "string") return { text: data };
  if (!isObject(data)) return { json: data };
  if (data.deleted === true) return { deleted: true };
  const said = { re: typeof data.re === "string" ? data.re : undefined };
  if (typeof data.text === "string") said.text = data.text;
  if (typeof data.notice === "string") Object.assign(said, { notice: data.notice, nonce: String(data.nonce) });
  const picture = isObject(data.picture) ? data.picture : {};
  if (typeof picture.id === "string" && /^[\w-]{1,64}$/.test(picture.id)) {
    said.picture = { id: picture.id, name: String(picture.name || ""), width: count(picture.width), height: count(picture.height) };
  }
  if (said.text === undefined && said.notice === undefined && !said.picture) return { json: data };
  return said;
}

export class Conversation {
  /** `key` is a room's name, or `@nick` for what is said with one person. */
  constructor(key) {
    this.key = key;
    this.isPrivate = key[0] === "@";
    this.name = this.isPrivate ? key.slice(1) : key;
    this.entries = []; // by place: messages, joins and leaves, gaps
    this.pending = []; // own messages that have no id yet, oldest first
    this.people = new Map(); // nick -> { away, hue }
    this.unread = 0;
    this.mentions = 0;
    this.readPlace = 0; // the place up to which it was read in this page
    this.readMark = ""; // the cursor up to which it was read before, or in another tab
    this.lineAt = 0; // where the line "new" stands: what was unread when it was opened
    this.hasOlder = true;
    this.hasNewer = false; // paged so far back that the newest were let go
    this.isLoaded = false;
    this.isLoading = false;
    this.typing = new Map(); // nick -> until when
    this.seen = new Map(); // nick -> the place up to which they have read
    this.deliveredTo = 0;
    this.draft = "";
    this.answeringId = ""; // of the message that the next one replies to
    this.answering = null; // its entry, once it is here
    this.toTell = {}; // receipts that wait to be told, and the timers of that and of asking who is there
    this.timer = this.asking = 0;
    this.at = 0; // the time of the latest message
  }

  /** The place up to which it was read here. */
  get readTo() { return Math.max(this.readPlace, placeOf(this.readMark)); }
  set readTo(place) { this.readPlace = place; }

  find(id) {
    return this.entries.find((entry) => entry.kind === "message" && (entry.id === id || entry.peerId === id || entry.copyId === id));
  }

  last() {
    for (let i = this.entries.length - 1; i >= 0; i--) {
      if (this.entries[i].kind === "message") return this.entries[i];
    }
    return null;
  }

  first() {
    return this.entries.find((entry) => entry.kind === "message") || null;
  }

  /** Puts an entry in its place; false if it is there already. */
  insert(entry) {
    let at = this.entries.length;
    while (at > 0 && this.entries[at - 1].place > entry.place) at--;
    const before = this.entries[at - 1];
    if (before && before.place === entry.place && before.kind === entry.kind) return false;
    this.entries.splice(at, 0, entry);
    if (entry.kind === "message") this.at = Math.max(this.at, entry.at);
    return true;
  }

  /** Lets go of what is too much, on the side that is not being read. */
  trim(atEnd) {
    const over = this.entries.length - KEPT_MAX;
    if (over <= 0) return;
    if (atEnd) {
      this.entries.splice(0, over);
      this.hasOlder = true;
    } else {
      this.entries.splice(KEPT_MAX);
      this.hasNewer = true;
    }
  }

  /** A message as the server tells it. `peerId`: its id in the inbox of whom it was written to. */
  take(message, peerId) {
    const entry = {
      kind: "message", id: message.id, place: placeTold(message.id), from: message.from, at: message.at,
      content: contentOf(message.data, message.encoding), data: message.data, peerId: peerId || undefined,
    };
    const known = this.find(peerId || message.id);
    if (known) {
      // Ours, and its reply came before it: until now it had the time of this computer's clock.
      if (peerId) known.copyId = message.id;
      known.at = message.at;
      return null;
    }
    return this.insert(entry) ? entry : null;
  }

  erase(id, from) {
    const entry = this.find(id);
    if (!entry || entry.from !== from) return false;
    entry.content = { deleted: true };
    entry.data = { deleted: true };
    return true;
  }

  clear() {
    this.entries = [];
    this.hasOlder = this.hasNewer = false;
    this.unread = this.mentions = 0;
  }

  /** How far an own message has come. */
  stateOf(entry) {
    if (!entry.id) return entry.failed ? "failed" : "sending";
    const place = entry.peerId ? placeOf(entry.peerId) : entry.place;
    if (this.isPrivate) {
      if (place <= (this.seen.get(this.name) || 0)) return "read";
      return place <= this.deliveredTo ? "delivered" : "sent";
    }
    return this.readBy(entry) > 0 ? "read" : "sent";
  }

  readBy(entry) {
    let all = 0;
    for (const [nick, place] of this.seen) if (nick !== entry.from && place >= entry.place) all++;
    return all;
  }

  receipt(kind, user, place) {
    if (kind === "read") this.seen.set(user, Math.max(place, this.seen.get(user) || 0));
    this.deliveredTo = Math.max(this.deliveredTo, place);
  }

  wrote(user, now) {
    this.typing.set(user, now + TYPING_MS);
  }

  /** Who is writing; the moment at which that is no longer true is forgotten with it. */
  writing(now) {
    for (const [user, until] of this.typing) if (until <= now) this.typing.delete(user);
    return Array.from(this.typing.keys());
  }
}

const GROUP_MS = 5 * 60000; // messages of one person this close together share a name
const dayOf = (at) => new Date(at).setHours(0, 0, 0, 0);

/**
 * The lines that a conversation is shown as: days, the line before what is new, messages in groups, joins and
 * leaves gathered, gaps. Each has a `key`, by which its element is found again.
 */
export function linesOf(conversation, me) {
  const lines = [];
  let day = 0;
  let above = null; // the message above, if nothing stands between
  let isNewShown = !conversation.lineAt;
  for (const entry of conversation.entries.concat(conversation.pending)) {
    if (entry.kind === "presence") {
      const last = lines[lines.length - 1];
      if (last && last.kind === "presence") last.entries.push(entry);
      else lines.push({ kind: "presence", key: `p${entry.place}`, entries: [entry] });
      above = null;
      continue;
    }
    if (entry.at && dayOf(entry.at) !== day) {
      day = dayOf(entry.at);
      lines.push({ kind: "day", key: `d${day}`, at: entry.at });
      above = null;
    }
    if (!isNewShown && entry.kind === "message" && entry.place > conversation.lineAt && entry.from !== me) {
      isNewShown = true;
      lines.push({ kind: "new", key: "new" });
      above = null;
    }
    if (entry.kind !== "message") {
      lines.push({ kind: entry.kind, key: `${entry.kind}${entry.place}`, entry });
      above = null;
      continue;
    }
    const isNotice = entry.content.notice !== undefined && entry.from === null;
    const goesOn = above && above.entry.from === entry.from && entry.at - above.entry.at < GROUP_MS && !isNotice;
    const line = { kind: isNotice ? "notice" : "message", key: entry.key || `m${entry.place}`, entry, isFirst: !goesOn, isLast: true };
    if (goesOn) above.isLast = false;
    lines.push(line);
    above = isNotice ? null : line;
  }
  return lines;
}
