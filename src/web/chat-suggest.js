// What is offered while one writes: names behind an @, emoji behind a colon.
//
// It knows no conversation. A source looks at what stands before the caret and says what could be meant; the list
// over the field shows it, the keyboard or a click takes one, and it is put in as if it were typed.

import { h, onKey, typeInto } from "./chat-dom.js";

const BLUR_MS = 150; // a click on the list takes the focus from the field before it counts

export class Suggest {
  /** `sources`: functions from the text before the caret to `{ at, items, now }` or null; see `nameSource`. */
  constructor(field, list, sources) {
    this.field = field;
    this.list = list;
    this.sources = sources;
    this.found = null;
    this.chosen = 0;
    field.addEventListener("input", () => this.offer());
    field.addEventListener("click", () => this.offer());
    field.addEventListener("blur", () => setTimeout(() => this.close(), BLUR_MS));
    onKey(field, (event) => this.key(event));
  }

  offer() {
    const { selectionStart, selectionEnd, value } = this.field;
    const before = selectionStart === selectionEnd ? value.slice(0, selectionStart) : "";
    this.found = null;
    for (const source of this.sources) this.found = this.found || source(before);
    this.chosen = 0;
    if (this.found && this.found.now) this.take(this.found.now);
    else this.show();
  }

  show() {
    const items = this.found ? this.found.items : [];
    const { field, list } = this;
    list.hidden = !items.length;
    list.replaceChildren(...items.map((item, n) => h("li", {
      role: "option", id: `suggested-${n}`, "aria-selected": String(n === this.chosen),
      on: { mousedown: (event) => { event.preventDefault(); this.take(item.text); } },
    }, ...item.nodes())));
    if (items.length) field.setAttribute("aria-activedescendant", `suggested-${this.chosen}`);
    else field.removeAttribute("aria-activedescendant");
    if (items.length) list.children[this.chosen].scrollIntoView({ block: "nearest" });
  }

  close() {
    this.found = null;
    this.show();
  }

  take(text) {
    const { at } = this.found;
    this.close();
    typeInto(this.field, text, at, this.field.selectionStart);
    this.close();
  }

  // Handled before the field's own keys, which therefore ask `event.defaultPrevented`.
  key(event) {
    const items = this.found ? this.found.items : [];
    if (!items.length) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      this.chosen = (this.chosen + step + items.length) % items.length;
      this.show();
    } else if (event.key === "Enter" || event.key === "Tab") this.take(items[this.chosen].text);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

const NAME_CHARS_MAX = 33; // behind an @, with a space in it
const SHOWN_MAX = 6;

/** Names of `names()` that begin with what stands behind an @; `nodesOf(name)` shows one. */
export function nameSource(names, nodesOf) {
  return (before) => {
    const at = before.lastIndexOf("@");
    const begun = before.slice(at + 1).toLowerCase();
    if (at < 0 || /\w/.test(before[at - 1] || "") || begun.length > NAME_CHARS_MAX || /\n/.test(begun)) return null;
    const all = names().filter((name) => name.toLowerCase().startsWith(begun));
    const meant = all.filter((name) => name.toLowerCase() !== begun || all.length === 1).slice(0, SHOWN_MAX);
    return meant.length ? { at, items: meant.map((name) => ({ text: `@${name} `, nodes: () => nodesOf(name) })) } : null;
  };
}

const EMOJI_BEGUN = /(?:^|\s)(:([^\s:@]{2,32})(:?))$/;

/** Emoji called what stands behind a colon; with a colon behind it too, the one that is called just that is taken. */
export function emojiSource(find) {
  return (before) => {
    const typed = EMOJI_BEGUN.exec(before.slice(-40));
    if (!typed) return null;
    const at = before.length - typed[1].length;
    const all = find(typed[2]);
    if (typed[3]) return all.length && all[0].isExact ? { at, items: [], now: all[0].emoji } : null;
    const items = all.slice(0, SHOWN_MAX).map(({ emoji, name }) => ({
      text: emoji, nodes: () => [h("span", { class: "suggested-emoji", "aria-hidden": "true" }, emoji), h("span", {}, `:${name}:`)],
    }));
    return items.length ? { at, items } : null;
  };
}
