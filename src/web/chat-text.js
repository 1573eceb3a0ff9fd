// What somebody wrote as elements: text nodes in elements made by hand, so that nothing of it is ever markup.
//
// It knows no conversation. What a text is made of is found by chat-markup.js. A link says where it goes
// (chat-address.js) and is a direction of its own, so that what stands around it cannot turn it.

import { h } from "./chat-dom.js";
import { Mentions, partsOf } from "./chat-markup.js";

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

export function mentionsMe(text, me) {
  return new Mentions([me]).isIn(text);
}

/** The nodes of a text. `me`: mentions of that name stand out. */
export function nodesOf(text, mentions, me) {
  return partsOf(text, mentions).map((part) => nodeOf(part, me));
}

// A word of so many letters may be broken there: WebKit takes half a minute to break one of 60,000 by itself. Not in
// scripts that need no space to break a line.
const LONG_WORD = /[^\s\u2e80-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef]{256}/g;

function textIn(text) {
  const nodes = [];
  let at = 0;
  LONG_WORD.lastIndex = 0;
  for (let found = LONG_WORD.exec(text); found; found = LONG_WORD.exec(text)) {
    const isHalf = /[\ud800-\udbff]/.test(text[LONG_WORD.lastIndex - 1]); // a character of two parts stays whole
    const end = LONG_WORD.lastIndex + (isHalf ? 1 : 0);
    nodes.push(text.slice(at, end), h("wbr"));
    at = LONG_WORD.lastIndex = end;
  }
  return nodes.concat(text.slice(at));
}

const nodesIn = (parts, me) => parts.map((part) => nodeOf(part, me));

function nodeOf(part, me) {
  switch (part.kind) {
    case "link": return h("a", { href: part.href, dir: "ltr", target: "_blank", rel: "noopener noreferrer nofollow" }, ...textIn(part.text));
    case "mention": {
      const isMe = me && part.name.toLowerCase() === me.toLowerCase();
      return h(isMe ? "mark" : "span", { class: "mention", dir: "auto" }, part.text);
    }
    case "code": return h("code", { class: "code", dir: "auto" }, ...textIn(part.text));
    case "block": return h("pre", { class: "code block", dir: "ltr" }, h("code", {}, ...textIn(part.text)));
    case "bold": return h("strong", {}, ...nodesIn(part.parts, me));
    case "italic": return h("em", {}, ...nodesIn(part.parts, me));
    case "list": return listOf(part.items, me);
    default: {
      const nodes = document.createDocumentFragment();
      nodes.append(...textIn(part.text));
      return nodes;
    }
  }
}

// Items that are further in lie in a list of their own, in the item above them.
function listOf(items, me) {
  const box = document.createDocumentFragment();
  const lists = [];
  const base = Math.min(...items.map((item) => item.level));
  for (const { level, number, parts } of items) {
    const depth = Math.min(level - base, lists.length);
    const tag = number === undefined ? "ul" : "ol";
    lists.length = Math.min(lists.length, depth + 1);
    if (!lists[depth] || lists[depth].localName !== tag) {
      lists[depth] = h(tag, { class: "list" });
      (depth ? lists[depth - 1].lastElementChild : box).append(lists[depth]);
    }
    lists[depth].append(h("li", { value: number, dir: "auto" }, ...nodesIn(parts, me)));
  }
  return box;
}

/** The beginning of a text on one line, for quotes and announcements. */
export function excerptOf(text, length) {
  const line = text.slice(0, length * 8).replace(/\s+/g, " ").trim();
  const chars = Array.from(line);
  return chars.length > length ? `${chars.slice(0, length - 1).join("")}…` : line;
}
