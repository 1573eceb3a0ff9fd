// The messages of the open conversation on the screen: lines kept in step with the data, the scroll position,
// paging back, and what may be done with a message.
//
// It knows no connection but through the session. Elements are found again by the key of their line, so a change
// touches what has changed and nothing else.

import { $, h, once, onKey } from "./chat-dom.js";
import { elementOf, signatureOf } from "./chat-line.js";
import { linesOf } from "./chat-model.js";
import { Mentions } from "./chat-markup.js";
import { t } from "./chat-words.js";

const NEAR_END = 80; // pixels from the end that still count as being there
const NEAR_TOP = 400; // pixels from the top at which earlier messages are asked for
const JUMP_PAGES_MAX = 8; // pages read back in search of a quoted message
const SKELETONS = 5;

export class Log {
  constructor(session, acts) {
    this.session = session;
    this.box = $("log");
    this.list = $("lines");
    this.acts = Object.assign({ jump: (id) => this.jump(id) }, acts);
    this.shown = new Map(); // key -> { element, signature }
    this.conversation = null;
    this.isAtEnd = true;
    this.missed = 0; // new messages below what is seen
    this.render = once(() => this.renderNow());
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    onKey(this.box, (event) => this.key(event));
    this.list.addEventListener("click", (event) => this.pick(event));
    $("newest").addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => { if (this.isAtEnd) this.pin(); }).observe(this.box);
    this.list.addEventListener("resized", () => { if (this.isAtEnd) this.pin(); });
    session.on("log", (conversation) => { if (conversation === session.open) this.render(); });
    session.on("link", () => this.render());
    session.on("people", (conversation) => { if (conversation === session.open) this.render(); });
    session.on("said", (conversation) => {
      if (conversation === session.open && !this.isAtEnd) this.missed++;
    });
  }

  /** Another conversation, at its end. */
  open(conversation) {
    this.conversation = conversation;
    this.shown.clear();
    this.list.replaceChildren();
    this.missed = 0;
    this.isAtEnd = true;
    this.session.isScrolledBack = false;
    this.renderNow();
    const line = conversation.lineAt && this.list.querySelector(".new");
    if (line && this.box.scrollHeight - line.offsetTop > this.box.clientHeight) {
      this.box.scrollTop = line.offsetTop - 60;
      this.scrolled();
    }
  }

  view() {
    const { session, conversation } = this;
    const names = new Set(conversation.people.keys());
    for (const entry of conversation.entries) if (entry.from) names.add(entry.from);
    if (session.me) names.add(session.me);
    return {
      conversation, mentions: new Mentions(names), nameCount: names.size, me: session.me, isLive: session.client && session.client.state === "live",
      hueFor: (nick) => session.hueFor(nick),
    };
  }

  renderNow() {
    const { conversation } = this;
    if (!conversation) return;
    const anchor = this.anchor();
    const wasAtEnd = this.isAtEnd;
    const view = this.view();
    const lines = linesOf(conversation, this.session.me);
    const shown = new Map();
    let at = this.list.firstChild;
    for (const line of lines) {
      const signature = signatureOf(line, view);
      const old = this.shown.get(line.key);
      let element;
      if (old && old.signature === signature) element = old.element;
      else {
        element = elementOf(line, view, this.acts);
        if (old) {
          if (old.element === at) at = at.nextSibling;
          const hadFocus = old.element.contains(document.activeElement);
          old.element.replaceWith(element);
          if (hadFocus) element.focus({ preventScroll: true });
        }
      }
      if (element === at) at = at.nextSibling;
      else this.list.insertBefore(element, at);
      shown.set(line.key, { element, signature });
    }
    for (const [key, old] of this.shown) if (!shown.has(key)) old.element.remove();
    this.shown = shown;
    this.frame(lines.length);
    if (wasAtEnd && !conversation.hasNewer) this.pin();
    else this.hold(anchor);
    this.scrolled();
  }

  // What stands around the lines: skeletons, the beginning, an empty room.
  frame(count) {
    const { conversation } = this;
    const top = $("log-top");
    const isWaiting = conversation.isLoading || !conversation.isLoaded;
    const isEmpty = !count && conversation.isLoaded && !conversation.isLoading;
    this.box.setAttribute("aria-busy", String(isWaiting));
    $("empty").hidden = !isEmpty;
    const state = isEmpty ? "empty" : isWaiting ? "waiting" : conversation.hasOlder ? "older" : "begin";
    if (top.dataset.state === state) return;
    top.dataset.state = state;
    if (state === "waiting") {
      const bones = Array.from({ length: count ? 1 : SKELETONS }, (_, n) => h("div", { class: `bone bone-${n % 3}` }, h("i"), h("b")));
      top.replaceChildren(h("span", { class: "unseen" }, t("loading")), ...bones);
    } else if (state === "older") {
      top.replaceChildren(h("button", { type: "button", class: "older", on: { click: () => this.session.older(conversation) } }, t("earlier")));
    } else if (state === "begin") top.replaceChildren(h("p", { class: "begin" }, t("beginning")));
    else top.replaceChildren();
  }

  // The first line that is seen, and where: after lines were put above it, it is held there.
  anchor() {
    const top = this.box.scrollTop;
    for (const element of this.list.children) {
      if (element.offsetTop + element.offsetHeight > top) return { element, offset: element.offsetTop - top };
    }
    return null;
  }

  hold(anchor) {
    if (!anchor || !anchor.element.isConnected) return;
    this.box.scrollTop = anchor.element.offsetTop - anchor.offset;
  }

  pin() {
    this.box.scrollTop = this.box.scrollHeight;
  }

  toEnd() {
    const go = () => {
      this.isAtEnd = true;
      this.missed = 0;
      this.renderNow();
      this.pin();
    };
    if (this.conversation.hasNewer) this.session.newest(this.conversation).then(go);
    else go();
  }

  scrolled() {
    const { box, conversation, session } = this;
    if (!conversation) return;
    const left = box.scrollHeight - box.scrollTop - box.clientHeight;
    this.isAtEnd = left < NEAR_END && !conversation.hasNewer;
    session.isScrolledBack = !this.isAtEnd;
    if (this.isAtEnd) this.missed = 0;
    const button = $("newest");
    button.hidden = this.isAtEnd || (!this.missed && left < box.clientHeight && !conversation.hasNewer);
    $("newest-text").textContent = this.missed ? t("newest", { n: this.missed }) : t("toNewest");
    button.classList.toggle("fresh", this.missed > 0);
    if (box.scrollTop < NEAR_TOP && conversation.isLoaded && conversation.hasOlder) session.older(conversation);
    if (session.isActive()) session.markRead(conversation);
  }

  /** Goes to a message that was quoted, reading back for it if need be. */
  async jump(id) {
    const { conversation, session } = this;
    for (let page = 0; page < JUMP_PAGES_MAX && !conversation.find(id) && conversation.hasOlder; page++) {
      await session.older(conversation);
    }
    const entry = conversation.find(id);
    if (!entry || conversation !== this.conversation) return;
    this.isAtEnd = false;
    this.renderNow();
    const held = this.shown.get(entry.key || `m${entry.place}`);
    if (!held) return;
    held.element.scrollIntoView({ block: "center" });
    held.element.focus({ preventScroll: true });
    held.element.classList.add("found");
    setTimeout(() => held.element.classList.remove("found"), 1600);
    this.scrolled();
  }

  messages() {
    return Array.from(this.list.querySelectorAll(".message"));
  }

  // Up and down go from message to message; what may be done with it is a tab away.
  key(event) {
    const here = document.activeElement.closest ? document.activeElement.closest(".message") : null;
    const all = this.messages();
    const at = all.indexOf(here);
    const go = { ArrowUp: at < 0 ? all.length - 1 : at - 1, ArrowDown: at + 1, Home: 0, End: all.length - 1 }[event.key];
    if (go === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    if (!all[go] || (event.key === "ArrowDown" && at < 0)) return;
    event.preventDefault();
    all[go].focus();
    all[go].scrollIntoView({ block: "nearest" });
  }

  // On a screen without a pointer that hovers, a tap shows what may be done with a message.
  pick(event) {
    const message = event.target.closest(".message");
    if (message && !event.target.closest("a, button") && String(getSelection()) === "") message.focus({ preventScroll: true });
  }
}
