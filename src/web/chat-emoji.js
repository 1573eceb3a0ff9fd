// The emoji picker: a small window with groups, a search in both languages, and the arrows of the keyboard.
//
// It knows no message: `act(emoji)` is told what was picked. The emoji are the characters of Unicode as the
// reader's own system draws them; the table says what each is called, for the search and for screen readers.

import { h, onKey } from "./chat-dom.js";
import { EMOJI } from "./chat-emoji-table.js";
import { keep, kept } from "./chat-kept.js";
import { t } from "./chat-words.js";

const RECENT_MAX = 16;

export class EmojiPicker {
  constructor(opener, act) {
    this.opener = opener;
    this.act = act;
    this.box = null;
    opener.addEventListener("click", () => (this.box ? this.close() : this.open()));
    document.addEventListener("pointerdown", (event) => {
      if (this.box && !this.box.contains(event.target) && !opener.contains(event.target)) this.close(false);
    });
  }

  open() {
    this.find = h("input", {
      class: "field", type: "search", placeholder: t("emojiFind"), "aria-label": t("emojiFind"), autocomplete: "off", on: { input: () => this.fill() },
    });
    this.grid = h("div", { class: "emoji-grid" });
    this.box = h("div", { class: "emoji-box card", role: "dialog", "aria-label": t("emoji") }, this.find, this.grid);
    onKey(this.box, (event) => this.key(event));
    this.opener.after(this.box);
    this.opener.setAttribute("aria-expanded", "true");
    this.fill();
    this.find.focus();
  }

  close(takesFocus) {
    if (!this.box) return;
    this.box.remove();
    this.box = null;
    this.opener.setAttribute("aria-expanded", "false");
    if (takesFocus !== false) this.opener.focus();
  }

  fill() {
    const asked = this.find.value.trim().toLowerCase();
    const recent = (kept("emoji") || []).map((one) => [one, nameOf(one)]);
    const groups = asked
      ? [["", Object.values(EMOJI).reduce((all, group) => all.concat(group), []).filter(([, names]) => names.indexOf(asked) >= 0)]]
      : [["emojiRecent", recent]].concat(Object.entries(EMOJI));
    const filled = groups.filter(([, all]) => all.length);
    if (!filled.length) return this.grid.replaceChildren(h("p", { class: "emoji-none" }, t("emojiNone")));
    this.grid.replaceChildren(...filled.map(([word, all]) => h("section", {},
      word ? h("h3", {}, t(word)) : null,
      h("div", { class: "emoji-rows" }, ...all.map(([emoji, names]) => h("button", {
        type: "button", tabindex: "-1", title: names.split(",")[0], "aria-label": names.split(",")[0], on: { click: () => this.pick(emoji) },
      }, emoji))))));
    this.buttons()[0].tabIndex = 0;
  }

  buttons() { return Array.from(this.grid.querySelectorAll("button")); }

  pick(emoji) {
    keep("emoji", [emoji].concat((kept("emoji") || []).filter((one) => one !== emoji)).slice(0, RECENT_MAX));
    this.close(false);
    this.act(emoji);
    document.getElementById("text").focus();
  }

  key(event) {
    event.stopPropagation();
    if (event.key === "Escape") return this.close();
    if (event.key === "Tab" && !event.shiftKey && document.activeElement !== this.find) return this.close();
    const all = this.buttons();
    const at = all.indexOf(document.activeElement);
    if (event.key === "Enter" && at < 0 && all.length) {
      event.preventDefault();
      return this.pick(all[0].textContent);
    }
    const next = at < 0 ? { ArrowDown: 0 }[event.key] : this.step(event.key, all, at);
    if (next === undefined) return undefined;
    event.preventDefault();
    if (next < 0) return this.find.focus();
    const to = all[Math.min(next, all.length - 1)];
    all.forEach((one) => { one.tabIndex = one === to ? 0 : -1; });
    return to.focus();
  }

  // Up and down go by where the emoji stand, since groups end with short rows.
  step(key, all, at) {
    if (key === "ArrowRight") return at + 1;
    if (key === "ArrowLeft") return at - 1;
    if (key !== "ArrowDown" && key !== "ArrowUp") return undefined;
    const from = all[at].getBoundingClientRect();
    const isDown = key === "ArrowDown";
    const places = all.map((one, n) => ({ n, box: one.getBoundingClientRect() }))
      .filter(({ box }) => (isDown ? box.top > from.top + 4 : box.top < from.top - 4));
    if (!places.length) return isDown ? at : -1;
    const top = isDown ? Math.min(...places.map(({ box }) => box.top)) : Math.max(...places.map(({ box }) => box.top));
    const row = places.filter(({ box }) => Math.abs(box.top - top) < 4);
    row.sort((a, b) => Math.abs(a.box.left - from.left) - Math.abs(b.box.left - from.left));
    return row[0].n;
  }
}

const plain = (name) => name.toLowerCase().replace(/[\s_-]/g, "");

/** The emoji of which a name begins like that, in either language; those that are called just that come first. */
export function emojiCalled(begun) {
  const asked = plain(begun);
  const found = [];
  if (!asked) return found;
  for (const [emoji, names] of Object.values(EMOJI).reduce((all, group) => all.concat(group), [])) {
    const name = names.split(",").find((one) => plain(one).startsWith(asked));
    if (name) found.push({ emoji, name: name.replace(/\s/g, "_"), isExact: names.split(",").some((one) => plain(one) === asked) });
  }
  return found.sort((one, other) => other.isExact - one.isExact);
}

function nameOf(emoji) {
  for (const group of Object.values(EMOJI)) {
    const found = group.find(([one]) => one === emoji);
    if (found) return found[1];
  }
  return emoji;
}
