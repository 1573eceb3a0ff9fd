// What somebody wrote, taken apart: links, mentions, code, and the rest; and put together again as text nodes.
//
// It knows no conversation. An address becomes a link only if the URL parser agrees that it is http or https;
// everything else stays the text it was, whatever it looks like. Read first: WHATWG URL, section 4.

import { h } from "/chat-dom.js";

const LINK = /\bhttps?:\/\/[^\s<>"'`\u3000-\u303f\uff01-\uff5e]+/i; // stops at Chinese punctuation too
const FENCE = /```(?:[\w+-]*\n)?([\s\S]+?)```\n?/;
const CODE = /`([^`\n]+)`/;
const WORD = /[\w\u00c0-\u024f\u0370-\u1fff]/;
const BIG_MAX = 6; // so many emoji alone are shown large

// \p in a regular expression is younger than the rest of the page.
function pattern(source) {
  try { return new RegExp(source, "u"); } catch (e) { return null; }
}
const EMOJI = pattern("^(?:\\p{Extended_Pictographic}|\\p{Emoji_Modifier}|\\p{Regional_Indicator}|[\\u200d\\ufe0f\\u20e3\\s])+$");
const PICTOGRAPH = pattern("\\p{Extended_Pictographic}|\\p{Regional_Indicator}");

/** Whether it is nothing but a few emoji. */
export function isBig(text) {
  if (!EMOJI || text.length > BIG_MAX * 12 || !PICTOGRAPH.test(text) || !EMOJI.test(text)) return false;
  const joined = text.replace(/\s|\ufe0f/g, "").split(/\u200d/).length - 1;
  return Array.from(text.replace(/[\s\ufe0f\u200d]/g, "")).length - 2 * joined <= BIG_MAX;
}

// A full stop ends the sentence, not the address; a bracket belongs to it if it was opened there.
function withoutTail(address) {
  let end = address.length;
  for (;;) {
    const last = address[end - 1];
    const opened = address.slice(0, end).split("(").length - address.slice(0, end).split(")").length;
    if (/[.,;:!?\]}*_~]/.test(last) || (last === ")" && opened < 0)) end--;
    else return address.slice(0, end);
  }
}

function hrefOf(address) {
  try {
    const url = new URL(address);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch (e) {
    return null;
  }
}

// Where one of the names stands with an @ before it, and no word right before or behind.
function mentionIn(text, names) {
  for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", at + 1)) {
    if (at > 0 && WORD.test(text[at - 1])) continue;
    const rest = text.slice(at + 1);
    const folded = rest.toLowerCase();
    const name = names.find((one) => folded.startsWith(one.toLowerCase()) && !(WORD.test(rest[one.length] || " ") && WORD.test(one[one.length - 1])));
    if (name) return { at, length: name.length + 1, name };
  }
  return null;
}

export function mentionsMe(text, me) {
  return Boolean(mentionIn(text, [me]));
}

/** The parts of a text in order: `{ kind: "text" | "link" | "mention" | "code" | "block", text, … }`. */
export function partsOf(text, names) {
  const sorted = Array.from(names || []).filter(Boolean).sort((a, b) => b.length - a.length);
  const finders = [
    (rest) => { const m = FENCE.exec(rest); return m && { at: m.index, length: m[0].length, part: { kind: "block", text: m[1].replace(/\n$/, "") } }; },
    (rest) => { const m = CODE.exec(rest); return m && { at: m.index, length: m[0].length, part: { kind: "code", text: m[1] } }; },
    (rest) => {
      const m = LINK.exec(rest);
      if (!m) return null;
      const address = withoutTail(m[0]);
      const href = hrefOf(address);
      const part = href ? { kind: "link", text: address, href } : { kind: "text", text: address };
      return { at: m.index, length: address.length, part };
    },
    (rest) => {
      const m = mentionIn(rest, sorted);
      return m && { at: m.at, length: m.length, part: { kind: "mention", text: rest.slice(m.at, m.at + m.length), name: m.name } };
    },
  ];
  const parts = [];
  let rest = text;
  while (rest) {
    let first = null;
    for (const find of finders) {
      const found = find(rest);
      if (found && found.length && (!first || found.at < first.at)) first = found;
    }
    if (!first) break;
    if (first.at) parts.push({ kind: "text", text: rest.slice(0, first.at) });
    parts.push(first.part);
    rest = rest.slice(first.at + first.length);
  }
  if (rest) parts.push({ kind: "text", text: rest });
  return parts;
}

/** The nodes of a text. `me`: mentions of that name stand out. */
export function nodesOf(text, names, me) {
  return partsOf(text, names).map((part) => {
    if (part.kind === "link") {
      return h("a", { href: part.href, target: "_blank", rel: "noopener noreferrer nofollow" }, part.text);
    }
    if (part.kind === "mention") {
      const isMe = me && part.name.toLowerCase() === me.toLowerCase();
      return h(isMe ? "mark" : "span", { class: "mention" }, part.text);
    }
    if (part.kind === "code") return h("code", { class: "code" }, part.text);
    if (part.kind === "block") return h("code", { class: "code block", dir: "ltr" }, part.text);
    return document.createTextNode(part.text);
  });
}

/** The beginning of a text on one line, for quotes and announcements. */
export function excerptOf(text, length) {
  const line = text.replace(/\s+/g, " ").trim();
  const chars = Array.from(line);
  return chars.length > length ? `${chars.slice(0, length - 1).join("")}…` : line;
}
