// One line of a conversation as an element: a message in its bubble, a day, joins and leaves, a gap, a notice.
//
// It knows no scrolling and no connection. What a reader may do with a message is in `acts`, given by whoever
// shows the lines. Everything people wrote goes through text nodes (chat-text.js, chat-dom.js).

import { avatar, h, hueOf, icon, iconButton } from "./chat-dom.js";
import { serverNow } from "./chat-model.js";
import { excerptOf, isBig, mentionsMe, nodesOf } from "./chat-text.js";
import { language, t } from "./chat-words.js";

const NAMES_MAX = 3; // names in one line of joins and leaves
const PICTURE_WIDTH_MAX = 360;
const PICTURE_HEIGHT_MAX = 320;
const SIZE_SLACK = 0.03; // by which rounding may change the shape of a picture
const JSON_CHARS_MAX = 4000;

const locale = language() === "zh" ? "zh-CN" : spoken(navigator.language);
const CLOCK = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
const WHOLE = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat(locale, { weekday: "long", month: "long", day: "numeric" });
const FAR_DAY = new Intl.DateTimeFormat(locale, { year: "numeric", month: "long", day: "numeric" });
const DAY_MS = 86400000;

export const clock = (at) => CLOCK.format(at);

// A browser that was started without a language says "C", which is none.
function spoken(tag) {
  try { return Intl.getCanonicalLocales(tag)[0]; } catch (e) { return "en"; }
}

function dayName(at) {
  const day = new Date(at).setHours(0, 0, 0, 0);
  const today = new Date(serverNow()).setHours(0, 0, 0, 0);
  if (day === today) return t("today");
  if (Math.round((today - day) / DAY_MS) === 1) return t("yesterday");
  return Math.abs(today - day) < 180 * DAY_MS ? DAY.format(at) : FAR_DAY.format(at);
}

/** What a message says, in words alone: for quotes, announcements and lists. */
export function wordsOf(content, length) {
  if (content.deleted) return t("removed");
  const text = content.text !== undefined ? content.text : content.notice;
  if (text) return excerptOf(content.picture ? `${t("picture")} · ${text}` : text, length);
  if (content.picture) return `${t("picture")}${content.picture.name ? ` · ${excerptOf(content.picture.name, length)}` : ""}`;
  if (content.bytes !== undefined) return t("bytes", { n: content.bytes });
  return excerptOf(JSON.stringify(content.json) || "", length);
}

/** What a line shows besides what can't change: if it is the same, its element may stay. */
export function signatureOf(line, view) {
  if (line.kind === "presence") return line.entries.map((one) => one.place).join();
  if (line.kind === "day") return dayName(line.at);
  if (line.kind !== "message") return "";
  const { entry } = line;
  const quoted = entry.content.re ? view.conversation.find(entry.content.re) : null;
  return [
    line.isFirst, line.isLast, Boolean(entry.content.deleted), entry.id, entry.at, entry.failed, view.isLive || Boolean(entry.id),
    entry.from === view.me && view.conversation.stateOf(entry), entry.from === view.me && view.conversation.readBy(entry),
    quoted && quoted.place, quoted && quoted.content.deleted, view.hueFor(entry.from), view.nameCount,
  ].join("|");
}

export function elementOf(line, view, acts) {
  switch (line.kind) {
    case "day": return h("li", { class: "day" }, h("span", {}, dayName(line.at)));
    case "new": return h("li", { class: "new" }, h("span", {}, t("newLine")));
    case "presence": return h("li", { class: "presence" }, presenceWords(line.entries));
    case "gap": return h("li", { class: "gap", role: "note" }, t(line.entry.why === "restarted" ? "gapRestarted" : "gapEvicted"));
    case "notice": return h("li", { class: "notice", data: { id: line.entry.id }, role: "note" },
      h("strong", {}, t("notice")), h("div", { class: "text", dir: "auto" }, ...nodesOf(line.entry.content.notice, view.mentions)));
    default: return messageElement(line, view, acts);
  }
}

// Of each person the latest counts: who came and went again has left.
function presenceWords(entries) {
  const last = new Map();
  for (const entry of entries) last.set(entry.user, entry.event);
  const say = (event, few, many) => {
    const names = Array.from(last.keys()).filter((user) => last.get(user) === event);
    if (!names.length) return null;
    const shown = names.slice(0, NAMES_MAX).join(language() === "zh" ? "、" : ", ");
    return names.length > NAMES_MAX ? t(many, { names: shown, n: names.length - NAMES_MAX }) : t(few, { names: shown });
  };
  return [say("join", "joined", "joinedMany"), say("leave", "left", "leftMany")].filter(Boolean).join(" · ");
}

function messageElement(line, view, acts) {
  const { entry, isFirst, isLast } = line;
  const { content } = entry;
  const isMine = entry.from !== null && entry.from === view.me;
  const isForMe = !isMine && view.me && mentionsMe(content.text || "", view.me);
  const name = entry.from === null ? t("anonymous") : entry.from;
  const hue = hueFor(entry.from, view);
  const classes = ["message", isMine && "mine", isFirst && "first", isLast && "last", isForMe && "for-me", entry.failed && "failed", entry.from === null && "nobody"];
  return h("li", {
    class: classes.filter(Boolean).join(" "), data: { id: entry.id || "", from: entry.from || "", key: line.key }, tabindex: "-1",
    "aria-label": `${isMine ? t("you") : name}, ${clock(entry.at)}: ${wordsOf(content, 200)}`,
  },
  isMine ? null : isFirst ? avatar(entry.from === null ? "?" : entry.from, hue) : h("span", { class: "avatar-space" }),
  h("div", { class: "body" },
    isFirst && !isMine ? nameElement(entry.from, name, hue, acts) : null,
    h("div", { class: "row" }, bubble(entry, view, acts, isMine), actions(entry, view, acts, isMine)),
    entry.failed ? failure(entry, acts) : null));
}

function hueFor(from, view) {
  const chosen = view.hueFor(from);
  return chosen === undefined ? hueOf(from || "") : chosen;
}

function nameElement(from, name, hue, acts) {
  if (from === null) return h("p", { class: "from" }, name, h("small", {}, t("terminal")));
  return h("p", { class: "from" },
    h("button", { type: "button", class: "name", dir: "auto", tabindex: "-1", vars: { "--hue": String(hue) }, on: { click: () => acts.write(from) } }, name));
}

function bubble(entry, view, acts, isMine) {
  const { content } = entry;
  const state = isMine && !content.deleted ? stateElement(entry, view) : null;
  const said = words(content, view);
  // What stands beside the last line needs room behind the text: see chat-log.css.
  if (said) said.dataset.room = `${clock(entry.at)}${state ? ` ${state.textContent}` : ""}`;
  const isLarge = content.text !== undefined && !content.picture && !content.re && isBig(content.text);
  const classes = ["bubble", isLarge && "big", content.picture && "with-picture", content.re && "with-quote", content.deleted && "deleted", content.json !== undefined && "with-json"];
  const wide = content.picture ? { "--wide": `${shownSize(content.picture).width}px` } : undefined;
  return h("div", { class: classes.filter(Boolean).join(" "), vars: wide },
    content.re ? quote(content.re, view, acts) : null,
    content.picture ? picture(content.picture, acts) : null,
    h("div", { class: "flow", dir: "auto" }, said, h("span", { class: "meta" }, timeElement(entry), state)));
}

function words(content, view) {
  if (content.deleted) return h("p", { class: "text" }, t("removed"));
  if (content.text !== undefined) return content.text ? h("div", { class: "text" }, ...nodesOf(content.text, view.mentions, view.me)) : null;
  if (content.notice !== undefined) return h("div", { class: "text" }, ...nodesOf(content.notice, view.mentions, null));
  if (content.bytes !== undefined) return h("p", { class: "text" }, t("bytes", { n: content.bytes }));
  if (content.json !== undefined) return h("pre", { class: "text json", tabindex: "-1" }, spaced(content.json));
  return null;
}

// JSON with a space wherever a line may end; a string's own line ends are escaped and stay as they are.
function spaced(data) {
  const text = JSON.stringify(data, null, 1).replace(/\n\s*/g, " ");
  return text.length > JSON_CHARS_MAX ? `${text.slice(0, JSON_CHARS_MAX)}…` : text;
}

function timeElement(entry) {
  const when = new Date(entry.at);
  return h("time", { datetime: when.toISOString(), title: WHOLE.format(when) }, clock(when));
}

const TICKS = { sending: "◌", sent: "✓", delivered: "✓✓", read: "✓✓", failed: "!" };

function stateElement(entry, view) {
  const state = view.conversation.stateOf(entry);
  const by = view.conversation.isPrivate ? 0 : view.conversation.readBy(entry);
  const said = state === "sending" && !view.isLive ? t("waits") : by ? t("readBy", { n: by }) : t(state);
  return h("span", { class: "tick", data: { state }, role: "img", "aria-label": said, title: said }, TICKS[state]);
}

function quote(id, view, acts) {
  const entry = view.conversation.find(id);
  const author = entry ? (entry.from === null ? t("anonymous") : entry.from) : "";
  return h("button", {
    type: "button", class: "quote", tabindex: "-1", "aria-label": t("quoteJump", { name: author || t("quoteGone") }),
    vars: { "--hue": String(entry ? hueFor(entry.from, view) : 160) }, on: { click: () => acts.jump(id) },
  }, entry ? h("b", { dir: "auto" }, author) : null, h("span", { dir: "auto" }, entry ? wordsOf(entry.content, 120) : t("quoteGone")));
}

// The size is known beforehand, so nothing moves when the picture comes.
function shownSize(its) {
  const width = its.width || 240;
  const height = its.height || 180;
  const scale = Math.min(1, PICTURE_WIDTH_MAX / width, PICTURE_HEIGHT_MAX / height);
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

// What was said of its size may not be so: told by a stranger, or of a picture that is stored on its side. Its own
// size, as it is shown, counts.
function fit(image, said) {
  const is = image.naturalWidth / image.naturalHeight;
  if (!is || Math.abs(Math.log(said / is)) < SIZE_SLACK) return;
  const { width, height } = shownSize({ width: image.naturalWidth, height: image.naturalHeight });
  image.width = width;
  image.height = height;
  image.closest(".bubble").style.setProperty("--wide", `${width}px`);
  image.dispatchEvent(new Event("resized", { bubbles: true }));
}

function picture(its, acts) {
  const { width, height } = shownSize(its);
  const name = its.name || t("picture");
  const image = h("img", { src: `pictures/${its.id}`, alt: name, width: String(width), height: String(height), decoding: "async" });
  image.addEventListener("load", () => fit(image, width / height));
  const button = h("button", {
    type: "button", class: "picture", tabindex: "-1", "aria-label": t("pictureOpen", { name }), on: { click: () => acts.enlarge(its, button) },
  }, image);
  image.addEventListener("error", () => {
    button.replaceWith(h("p", { class: "picture gone" }, icon("picture"), t("pictureGone")));
  });
  return button;
}

function actions(entry, view, acts, isMine) {
  if (!entry.id || entry.content.deleted || !view.me) return null;
  return h("div", { class: "acts" },
    iconButton("reply", t("reply"), () => acts.answer(entry)),
    isMine && acts.canRemove() ? iconButton("trash", t("remove"), () => acts.remove(entry)) : null);
}

function failure(entry, acts) {
  return h("p", { class: "failure" },
    h("span", {}, `${t("failed")}. ${entry.failed}`),
    h("button", { type: "button", on: { click: () => acts.retry(entry) } }, t("tryAgain")),
    h("button", { type: "button", on: { click: () => acts.discard(entry) } }, t("discard")));
}
