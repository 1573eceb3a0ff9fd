// What somebody wrote, taken apart: blocks of code, lists, lines; in them bold, italic, code, links and mentions.
//
// It knows no element: it makes a tree of plain objects, which chat-text.js turns into elements. It goes over the text
// once; whatever is written, its time grows with the length alone, and nothing lies deeper than bold in italic in an
// item of a list. What is not closed stays what it is. Read first: CommonMark, sections 4.5 and 6.2, of which this
// is what people type into chats.

import { linkOf, withoutTail } from "./chat-address.js";

const PARTS_MAX = 2000; // of one message; what comes behind them is shown as it was typed
const LEVELS_MAX = 3; // of lists in lists
const FENCE = "```";

// One thing that begins a part, whichever comes first. Each is found in time that grows with its own length.
const SIGN = /`[^`\n]+`|\bhttps?:\/\/[^\s<>"'`\u3000-\u303f\uff01-\uff5e]+|\*+|@/gi; // addresses stop at Chinese punctuation too
const WORD = /[\w\u00c0-\u024f\u0370-\u1fff]/;
const ITEM = /^( *)(?:[-*\u2022]|(\d{1,9})[.)]) +(?=\S)/;

/** Finds names behind an @: `at(text, place)` is the length of the longest one that stands there, or 0. */
export class Mentions {
  constructor(names) {
    this.folded = new Set();
    this.lengths = [];
    for (const name of names) if (name) this.add(name);
    this.lengths.sort((a, b) => b - a);
  }

  add(name) {
    this.folded.add(name.toLowerCase());
    if (this.lengths.indexOf(name.length) < 0) this.lengths.push(name.length);
  }

  // No word may go on right before the @ or right behind the name.
  at(text, place) {
    if (place > 0 && WORD.test(text[place - 1])) return 0;
    for (const length of this.lengths) {
      const end = place + 1 + length;
      const name = text.slice(place + 1, end);
      const goesOn = WORD.test(text[end] || " ") && WORD.test(text[end - 1]);
      if (!goesOn && name.length === length && this.folded.has(name.toLowerCase())) return length;
    }
    return 0;
  }

  isIn(text) {
    for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", at + 1)) if (this.at(text, at)) return true;
    return false;
  }
}

/**
 * The parts of a text in order. `{ kind: "text" | "code" | "block", text }`, `{ kind: "link", text, href }`,
 * `{ kind: "mention", text, name }`, `{ kind: "bold" | "italic", parts }`, `{ kind: "list", items: [{ level, number, parts }] }`.
 */
export function partsOf(text, mentions) {
  const left = { count: PARTS_MAX };
  const parts = [];
  let at = 0;
  for (;;) {
    const fence = fenceIn(text, at);
    if (!fence || left.count <= 0) break;
    addLines(parts, text.slice(at, fence.begin), mentions, left);
    parts.push({ kind: "block", text: fence.text });
    left.count--;
    at = fence.end;
  }
  addLines(parts, text.slice(at), mentions, left);
  return parts;
}

// From a fence to the next; one that stands at the end of its line, perhaps with the name of a language, goes to the
// end of the text if it is never closed.
function fenceIn(text, from) {
  const begin = text.indexOf(FENCE, from);
  if (begin < 0) return null;
  const opening = /^[\w+#.-]{0,32}[ \t]*\n/.exec(text.slice(begin + FENCE.length, begin + FENCE.length + 64));
  const inside = begin + FENCE.length + (opening ? opening[0].length : 0);
  const close = text.indexOf(FENCE, inside + (opening ? 0 : 1));
  if (close < 0 && !opening) return null;
  const end = close < 0 ? text.length : close + FENCE.length;
  const code = text.slice(inside, close < 0 ? text.length : close).replace(/\n$/, "");
  return { begin, end: text[end] === "\n" ? end + 1 : end, text: code };
}

function addLines(parts, text, mentions, left) {
  if (!text) return;
  const lines = text.split("\n");
  for (let n = 0; n < lines.length; n++) {
    if (left.count <= 0) return addText(parts, lines.slice(n).join("\n"));
    const items = itemsFrom(lines, n, mentions, left);
    if (items.length) {
      parts.push({ kind: "list", items });
      n += items.length - 1;
      continue;
    }
    for (const part of inline(lines[n], mentions, left)) add(parts, part);
    const isBeforeList = n + 1 < lines.length && ITEM.test(lines[n + 1]);
    if (n + 1 < lines.length && !isBeforeList) addText(parts, "\n");
  }
  return undefined;
}

function itemsFrom(lines, from, mentions, left) {
  const items = [];
  for (let n = from; n < lines.length && left.count > 0; n++) {
    const found = ITEM.exec(lines[n]);
    if (!found) break;
    const level = Math.min(LEVELS_MAX, 1 + Math.floor(found[1].length / 2));
    left.count--;
    items.push({ level, number: found[2], parts: inline(lines[n].slice(found[0].length), mentions, left) });
  }
  return items;
}

function addText(parts, text) {
  if (text) add(parts, { kind: "text", text });
}

// Texts side by side are one.
function add(parts, part) {
  const last = parts[parts.length - 1];
  if (part.kind === "text" && last && last.kind === "text") last.text += part.text;
  else parts.push(part);
}

// ---- within a line ----

const STARS = ["", "italic", "bold", "both"];

// Stars that may begin or end something: they touch a word on that side, and do not stand between two letters or digits.
function touches(text, begin, end) {
  const before = text[begin - 1] || " ";
  const behind = text[end] || " ";
  return {
    mayOpen: /\S/.test(behind) && !/\w/.test(before),
    mayClose: /\S/.test(before) && !/\w/.test(behind),
  };
}

function inline(text, mentions, left) {
  // Those that are open, outermost first: at most one of each length, so nothing is deeper than three.
  const open = [{ parts: [] }];
  const top = () => open[open.length - 1];
  // What was open and is not closed is the stars that were typed, and what stands behind them.
  const giveUp = (depth) => {
    while (open.length > depth) {
      const { stars, parts } = open.pop();
      addText(top().parts, "*".repeat(stars));
      for (const part of parts) add(top().parts, part);
    }
  };
  let at = 0;
  SIGN.lastIndex = 0;
  for (let found = SIGN.exec(text); found && left.count > 0; found = SIGN.exec(text)) {
    const begin = found.index;
    let end = begin + found[0].length;
    let part = null;
    if (found[0][0] === "*") {
      const stars = found[0].length;
      const { mayOpen, mayClose } = touches(text, begin, end);
      const depth = open.findIndex((one) => one.stars === stars);
      if (stars >= STARS.length || !(mayOpen || (mayClose && depth > 0))) continue;
      addText(top().parts, text.slice(at, begin));
      at = end;
      if (depth > 0 && mayClose) {
        giveUp(depth + 1);
        const { parts } = open.pop();
        add(top().parts, starred(stars, parts));
        left.count--;
      } else {
        if (depth > 0) giveUp(depth);
        open.push({ stars, parts: [] });
      }
      continue;
    }
    if (found[0][0] === "`") part = { kind: "code", text: found[0].slice(1, -1) };
    else if (found[0] === "@") {
      const length = mentions.at(text, begin);
      if (!length) continue;
      end = begin + 1 + length;
      part = { kind: "mention", text: text.slice(begin, end), name: text.slice(begin + 1, end) };
    } else {
      const address = withoutTail(found[0]);
      const link = linkOf(address);
      end = begin + address.length;
      part = link ? Object.assign({ kind: "link" }, link) : { kind: "text", text: address };
    }
    addText(top().parts, text.slice(at, begin));
    add(top().parts, part);
    left.count--;
    at = SIGN.lastIndex = end;
  }
  addText(top().parts, text.slice(at));
  giveUp(1);
  return open[0].parts;
}

function starred(stars, parts) {
  if (STARS[stars] !== "both") return { kind: STARS[stars], parts };
  return { kind: "bold", parts: [{ kind: "italic", parts }] };
}
