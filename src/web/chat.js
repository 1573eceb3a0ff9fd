// The chat page: puts its parts together, and what concerns the page as a whole: the address, the title, coming
// and going, announcements, keys, drawers.
//
//   chat-session  who we are, the conversations      chat-inbound, chat-outbound: what comes, what goes; encke.js
//   chat-model    one conversation as data, and the lines it makes
//   chat-log      the lines on the screen          chat-line: one line; chat-text, chat-markup, chat-address: its text
//   chat-compose  writing                          chat-suggest: what is offered; chat-tray, chat-picture; chat-emoji
//   chat-side     the lists at the sides           chat-link, chat-dialogs: windows
//   chat-words    every word in two languages      chat-dom, chat-kept: elements, storage
//
// The parts hear of changes from the session and say what people do to it; they don't know each other. Read
// first: encke.d.ts, and docs on what is seen on the wire.

import { Compose } from "./chat-compose.js";
import { enlarge, findPerson, findRoom, isDialogOpen, removeSure, settings, shortcuts } from "./chat-dialogs.js";
import { $, drawIcons, h, onKey } from "./chat-dom.js";
import { keep, kept } from "./chat-kept.js";
import { wordsOf } from "./chat-line.js";
import { Link } from "./chat-link.js";
import { Log } from "./chat-log.js";
import { Session } from "./chat-session.js";
import { Side } from "./chat-side.js";
import { label, t } from "./chat-words.js";

const IDLE_MS = 5 * 60000; // without a sign of life: away
const HIDDEN_MS = 60000; // in the background: away
const SIGN_EVERY_MS = 10000;
const NOTICE_MS = 6000;
const LIVE_MS = 700; // announcements closer together than that are one
const NARROW = matchMedia("(max-width: 53.69em)"); // as in chat.css
const MIDDLE = matchMedia("(max-width: 72.44em)");
const HAS_MOUSE = matchMedia("(hover: hover)").matches; // a focus opens no keyboard on the screen

const session = new Session();
let compose = null;
let log = null;

label();
drawIcons();

// ---- the address ----

function addressed() {
  const query = new URLSearchParams(location.search);
  return { rooms: query.getAll("room").filter(Boolean), to: query.get("to") };
}

function addressOf(conversation) {
  const address = new URL(location.href);
  for (const name of ["room", "to"]) address.searchParams.delete(name);
  address.searchParams.set(conversation.isPrivate ? "to" : "room", conversation.name);
  address.hash = "";
  return address.href;
}

function open(key, isBack) {
  session.show(key);
  const address = addressOf(session.open);
  if (!isBack && address !== location.href) history.pushState({ key }, "", address);
  drawers(false);
  if (HAS_MOUSE) compose.focus();
}

addEventListener("popstate", () => {
  const { rooms, to } = addressed();
  const key = to ? `@${to}` : rooms[0] || (session.rooms()[0] || {}).key;
  if (key && (!to || session.me)) open(key, true);
});

// ---- what is open ----

session.on("open", (conversation) => {
  const isRoom = !conversation.isPrivate;
  document.body.dataset.kind = isRoom ? "room" : "private";
  $("title").textContent = conversation.name;
  $("title").dir = "auto";
  $("share").hidden = $("share-narrow").hidden = !isRoom;
  $("empty").replaceChildren(
    h("img", { src: "logo.svg", width: "72", height: "72", alt: "" }),
    h("h2", {}, isRoom ? t("emptyRoom") : t("emptyPrivate", { name: conversation.name })),
    h("p", {}, t(isRoom ? "emptyRoomHint" : "emptyPrivateHint", { name: conversation.name })));
  log.open(conversation);
  compose.open(conversation);
  notice("");
  subtitle();
  writing();
});

function subtitle() {
  const conversation = session.open;
  if (!conversation) return;
  const listed = session.roomList.find((room) => room.name === conversation.key);
  const count = conversation.people.size;
  const words = conversation.isPrivate ? t("privateWith") : [listed && listed.topic, count ? t("online", { n: count }) : ""].filter(Boolean).join(" · ");
  $("subtitle").textContent = words;
}

function title() {
  let unread = 0;
  for (const one of session.conversations.values()) unread += one.unread;
  const name = session.open ? session.open.name : "encke";
  document.title = `${unread ? `(${unread}) ` : ""}${name} · encke`;
}

function writing() {
  const conversation = session.open;
  const names = conversation ? conversation.writing(performance.now()) : [];
  const words = !names.length ? "" : names.length === 1 ? t("typing", { names: names[0] })
    : names.length < 4 ? t("typingMany", { names: names.join(", ") }) : t("typingCrowd");
  if ($("typing").textContent !== words) $("typing").replaceChildren(...(words ? [h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), words] : []));
  clearTimeout(writing.timer);
  if (names.length) writing.timer = setTimeout(writing, 1000);
}

session.on("list", title);
session.on("log", title);
session.on("people", subtitle);
session.on("rooms", subtitle);
session.on("typing", (conversation) => { if (conversation === session.open) writing(); });

// ---- coming in ----

function entrance() {
  const isIn = session.me !== null;
  const changed = $("compose").hidden === isIn;
  const hadFocus = $("join").contains(document.activeElement);
  const wasAsked = !$("join").hidden;
  $("join").hidden = isIn || session.isJoining;
  if (HAS_MOUSE && !wasAsked && !$("join").hidden && !isDialogOpen()) $("nick").focus();
  $("compose").hidden = !isIn;
  document.body.dataset.entered = String(isIn);
  if (changed && isIn) {
    compose.grow();
    if (HAS_MOUSE || hadFocus || document.activeElement === document.body) compose.focus();
    const { to } = addressed();
    if (to && to !== session.me) open(`@${to}`, true);
  }
}

async function join(name) {
  $("join-error").hidden = true;
  $("nick").removeAttribute("aria-invalid");
  $("enter").disabled = true;
  await session.login(name).catch((error) => unnamed(name, error));
  $("enter").disabled = false;
}

function unnamed(name, error) {
  const words = { nick_taken: t("nickTaken", { name }), bad_value: t("nickBad"), banned: t("whyBanned") };
  stayOut(words[error.code] || t("refused", { why: error.message }));
  $("nick").setAttribute("aria-invalid", "true");
  $("nick").value = name;
  $("nick").select();
}

function stayOut(words) {
  entrance();
  $("join-error").textContent = words;
  $("join-error").hidden = false;
}

session.on("nameless", unnamed);
session.on("putOut", (why) => stayOut(t(why === "kicked" ? "whyKicked" : "whyBanned")));

$("nick").value = kept("nick") || "";
$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("nick").value.trim();
  if (name) join(name);
});
session.on("me", entrance);

// ---- notices and announcements ----

function notice(words, isGood) {
  const box = $("notice");
  box.textContent = words;
  box.hidden = !words;
  box.classList.toggle("good", Boolean(isGood));
  clearTimeout(notice.timer);
  if (words) notice.timer = setTimeout(() => { box.hidden = true; }, NOTICE_MS);
}

session.on("failed", (conversation, entry, error) => {
  const words = { no_such_user: t("noSuchUser", { name: conversation.name }), muted: t("muted", { n: Math.ceil((error.retry || 0) / 1000) }) };
  if (words[error.code]) entry.failed = words[error.code];
});
session.on("refused", (error) => notice(t("refused", { why: error.message })));
session.on("notice", (words) => notice(`${t("notice")}: ${words}`));

let toSay = [];
session.on("said", (conversation, entry) => {
  toSay.push(t("said", { name: entry.from || t("anonymous"), room: conversation.name, text: wordsOf(entry.content, 120) }));
  if (toSay.length > 1) return;
  setTimeout(() => {
    $("live").textContent = toSay.slice(-3).join("\n");
    toSay = [];
  }, LIVE_MS);
});

// ---- coming and going ----

let signedAt = performance.now(); // a clock that is set back is no sign of life
let isAway = false;

// Any tab of this browser that is in use keeps its person from being away.
function sign() {
  const now = performance.now();
  if (isAway) setAway(false);
  if (now - signedAt < SIGN_EVERY_MS) return;
  signedAt = now;
  keep("active", Date.now());
}

function setAway(away) {
  if (!session.me || isAway === away) return;
  isAway = away;
  session.tell("away", { away });
}

setInterval(() => {
  const elsewhere = Date.now() - (kept("active") || 0);
  const idle = Math.min(performance.now() - signedAt, elsewhere >= 0 ? elsewhere : Infinity);
  if (idle > (document.hidden ? HIDDEN_MS : IDLE_MS)) setAway(true);
}, SIGN_EVERY_MS);
for (const type of ["pointermove", "pointerdown", "keydown", "wheel", "touchstart"]) addEventListener(type, sign, { passive: true });
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  sign();
  if (session.open && session.isActive()) session.markRead(session.open);
});

// ---- drawers, on screens that are not wide ----

function drawers(which) {
  const app = $("app");
  const was = app.dataset.drawer || "";
  const shown = which || "";
  app.dataset.drawer = shown;
  $("veil").hidden = !shown;
  $("people-open").setAttribute("aria-expanded", String(MIDDLE.matches ? shown === "people" : app.dataset.people !== "closed"));
  if (shown === was) return;
  if (shown) $(shown === "side" ? "side-close" : "people-close").focus();
  else if (was) $(was === "side" ? "side-open" : "people-open").focus();
}

$("side-open").addEventListener("click", () => drawers("side"));
$("side-close").addEventListener("click", () => drawers(false));
$("people-close").addEventListener("click", () => togglePeople());
$("people-open").addEventListener("click", () => togglePeople());
$("veil").addEventListener("click", () => drawers(false));
NARROW.addEventListener("change", () => drawers(false));
MIDDLE.addEventListener("change", () => drawers(false));

function togglePeople() {
  const app = $("app");
  if (MIDDLE.matches) return drawers(app.dataset.drawer === "people" ? false : "people");
  app.dataset.people = app.dataset.people === "closed" ? "open" : "closed";
  keep("people", app.dataset.people);
  return drawers(false);
}
$("app").dataset.people = kept("people") || "open";
drawers(false);

// ---- what may be done ----

const write = (nick) => { if (session.me && nick !== session.me) open(`@${nick}`); };
const find = () => findRoom(session, open);

async function share() {
  const address = addressOf(session.open);
  try {
    await navigator.clipboard.writeText(address);
    notice(t("shared"), true);
  } catch (error) {
    notice(`${t("shareBy")} ${address}`, true);
  }
}

$("share").addEventListener("click", share);
$("share-narrow").addEventListener("click", share);
$("room-add").addEventListener("click", find);
$("private-add").addEventListener("click", () => findPerson(session, write));
$("me").addEventListener("click", () => settings(session, {
  hue: (hue) => { keep("hue", hue); session.login(session.me, hue).catch((error) => notice(t("refused", { why: error.message }))); },
  connection: () => link.open(),
  logout: () => session.logout(),
}));

function leave(key) {
  const wasOpen = session.open && session.open.key === key;
  session.leave(key);
  if (wasOpen) history.replaceState({}, "", addressOf(session.open));
}

// ---- keys ----

function step(by, isUnread) {
  const all = session.rooms().concat(session.privates());
  const at = all.indexOf(session.open);
  for (let n = 1; n <= all.length; n++) {
    const next = all[(at + by * n + all.length * n) % all.length];
    if (!isUnread || next.unread) return open(next.key);
  }
  return undefined;
}

onKey(window, (event) => {
  if (isDialogOpen()) return;
  const isWriting = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  const command = event.ctrlKey || event.metaKey;
  if (command && event.key.toLowerCase() === "k") find();
  else if (event.altKey && (event.key === "ArrowDown" || event.key === "ArrowUp")) step(event.key === "ArrowDown" ? 1 : -1, event.shiftKey);
  else if (event.key === "Escape" && $("app").dataset.drawer) drawers(false);
  else if (event.key === "Escape") { log.toEnd(); compose.focus(); }
  else if ((command && event.key === "/") || (!isWriting && !command && event.key === "?")) shortcuts();
  else if (!isWriting && !command && event.key === "/") compose.focus();
  else return;
  event.preventDefault();
});

// ---- and go ----

const link = new Link(session);
compose = new Compose(session, notice);
compose.onSend = () => log.toEnd();
log = new Log(session, {
  write, enlarge,
  answer: (entry) => compose.answer(entry),
  remove: (entry) => removeSure(() => session.outbound.remove(session.open, entry).catch((error) => notice(t("refused", { why: error.message })))),
  canRemove: () => !session.lacks.has("delete"),
  retry: (entry) => session.outbound.retry(session.open, entry),
  discard: (entry) => session.outbound.discard(session.open, entry),
});
session.isActive = () => !document.hidden && log.isAtEnd;
new Side(session, { open, leave, write, mention: (nick) => { drawers(false); compose.mention(nick); } });

const { rooms } = addressed();
const remembered = rooms.concat(kept("rooms") || []).filter((room, n, all) => room[0] !== "@" && all.indexOf(room) === n);
session.start(remembered).catch((error) => notice(String(error)));
entrance();
session.on("open", () => { if (!addressed().to && !addressed().rooms.length) history.replaceState({}, "", addressOf(session.open)); });
