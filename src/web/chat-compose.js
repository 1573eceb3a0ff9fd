// Where one writes: the field that grows, the answer being given, names behind an @, emoji, pictures by pick,
// paste or drop.
//
// It knows no line of the log. What is written goes to the session; a draft stays with its conversation.

import { $, avatar, h, hueOf, icon, iconButton } from "/chat-dom.js";
import { wordsOf } from "/chat-line.js";
import { EmojiPicker } from "/chat-emoji.js";
import { sendPicture } from "/chat-picture.js";
import { t } from "/chat-words.js";

const NAMES_SHOWN_MAX = 6;
const PICTURES_AT_ONCE_MAX = 8;
const MARGIN_BYTES = 200; // of a text's limit, for what stands around it

export class Compose {
  constructor(session, notice) {
    this.session = session;
    this.notice = notice;
    this.field = $("text");
    this.conversation = null;
    this.matches = [];
    this.chosen = 0;
    this.picker = new EmojiPicker($("emoji"), (emoji) => this.insert(emoji));
    $("compose").addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
    this.field.addEventListener("input", () => this.written());
    this.field.addEventListener("keydown", (event) => this.key(event));
    this.field.addEventListener("click", () => this.offerNames());
    this.field.addEventListener("blur", () => setTimeout(() => this.closeNames(), 150));
    this.field.addEventListener("paste", (event) => this.paste(event));
    $("attach").addEventListener("click", () => $("file").click());
    $("file").addEventListener("change", () => { this.pictures($("file").files); $("file").value = ""; });
    this.listenToDrops();
  }

  open(conversation) {
    this.closeNames();
    this.conversation = conversation;
    this.field.value = conversation.draft;
    const to = conversation.isPrivate ? conversation.name : `#${conversation.name}`;
    this.field.placeholder = t("messageHint", { name: to });
    this.grow();
    this.showAnswering();
  }

  focus() { if (!$("compose").hidden) this.field.focus(); }

  written() {
    this.conversation.draft = this.field.value;
    this.grow();
    this.offerNames();
    if (this.field.value.trim()) this.session.outbound.type(this.conversation);
  }

  grow() {
    this.field.style.setProperty("height", "auto");
    this.field.style.setProperty("height", `${this.field.scrollHeight}px`);
    $("send").disabled = !this.field.value.trim();
  }

  key(event) {
    if (event.isComposing || event.keyCode === 229) return; // an input method is at work
    if (this.matches.length && this.keyInNames(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.send();
    } else if (event.key === "Escape" && this.conversation.answering) {
      event.stopPropagation();
      this.answer(null);
    }
  }

  send() {
    const text = this.field.value.trim();
    if (!text || !this.session.me) return;
    const over = new TextEncoder().encode(text).length + MARGIN_BYTES - this.session.config.text_bytes;
    if (over > 0) return this.notice(t("tooLong", { n: over }));
    this.notice("");
    this.session.outbound.say(this.conversation, this.withAnswer({ text }));
    this.field.value = this.conversation.draft = "";
    this.answer(null);
    this.grow();
    this.closeNames();
    this.onSend();
  }

  withAnswer(data) {
    const to = this.conversation.answering;
    return to ? Object.assign({ re: to.peerId || to.id }, data) : data;
  }

  insert(text) {
    const { selectionStart: from, selectionEnd: to, value } = this.field;
    this.field.value = value.slice(0, from) + text + value.slice(to);
    this.field.selectionStart = this.field.selectionEnd = from + text.length;
    this.written();
  }

  // ---- answering ----

  answer(entry) {
    this.conversation.answering = entry;
    this.showAnswering();
    if (entry) this.focus();
  }

  showAnswering() {
    const entry = this.conversation.answering;
    const box = $("answering");
    box.hidden = !entry;
    if (!entry) return box.replaceChildren();
    const chosen = this.session.hueFor(entry.from);
    box.style.setProperty("--hue", String(chosen === undefined ? hueOf(entry.from || "") : chosen));
    box.replaceChildren(
      icon("reply"),
      h("p", {}, h("b", { dir: "auto" }, t("answeringTo", { name: entry.from || t("anonymous") })), h("span", { dir: "auto" }, wordsOf(entry.content, 160))),
      iconButton("close", t("cancel"), () => { this.answer(null); this.focus(); }));
  }

  // ---- names behind an @ ----

  // The @ that is being written, if there is one: at the beginning or after something that is no word.
  typed() {
    const before = this.field.value.slice(0, this.field.selectionStart);
    const at = before.lastIndexOf("@");
    if (at < 0 || (at > 0 && /[\w]/.test(before[at - 1])) || before.length - at > 33 || /\n/.test(before.slice(at))) return null;
    return { at, begun: before.slice(at + 1).toLowerCase() };
  }

  offerNames() {
    const typed = this.typed();
    const all = typed ? this.names().filter((name) => name.toLowerCase().startsWith(typed.begun)) : [];
    this.matches = all.filter((name) => name.toLowerCase() !== typed.begun || all.length === 1).slice(0, NAMES_SHOWN_MAX);
    this.chosen = 0;
    this.showNames();
  }

  names() {
    const { conversation, session } = this;
    const all = new Set(conversation.isPrivate ? [conversation.name] : conversation.people.keys());
    for (const entry of conversation.entries) if (entry.kind === "message" && entry.from) all.add(entry.from);
    all.delete(session.me);
    return Array.from(all).sort((a, b) => a.localeCompare(b));
  }

  showNames() {
    const list = $("names");
    list.hidden = !this.matches.length;
    list.replaceChildren(...this.matches.map((name, n) => {
      const hue = this.session.hueFor(name);
      return h("li", {
        role: "option", id: `name-${n}`, "aria-selected": String(n === this.chosen),
        on: { mousedown: (event) => { event.preventDefault(); this.take(name); } },
      }, avatar(name, hue === undefined ? hueOf(name) : hue, "small"), h("span", { dir: "auto" }, name));
    }));
    if (this.matches.length) this.field.setAttribute("aria-activedescendant", `name-${this.chosen}`);
    else this.field.removeAttribute("aria-activedescendant");
  }

  closeNames() {
    this.matches = [];
    this.showNames();
  }

  keyInNames(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.chosen = (this.chosen + step + this.matches.length) % this.matches.length;
    else if (event.key === "Enter" || event.key === "Tab") this.take(this.matches[this.chosen]);
    else if (event.key === "Escape") this.closeNames();
    else return false;
    event.preventDefault();
    event.stopPropagation();
    if (step) this.showNames();
    return true;
  }

  take(name) {
    const typed = this.typed();
    if (!typed) return;
    const { value, selectionStart } = this.field;
    this.field.value = `${value.slice(0, typed.at)}@${name} ${value.slice(selectionStart)}`;
    this.field.selectionStart = this.field.selectionEnd = typed.at + name.length + 2;
    this.closeNames();
    this.written();
    this.closeNames();
  }

  mention(name) {
    this.insert(`${this.field.value && !/\s$/.test(this.field.value) ? " " : ""}@${name} `);
    this.closeNames();
    this.focus();
  }

  // ---- pictures ----

  paste(event) {
    const files = event.clipboardData ? event.clipboardData.files : [];
    if (!files.length) return;
    event.preventDefault();
    this.pictures(files);
  }

  listenToDrops() {
    const main = $("main");
    const bears = (event) => event.dataTransfer && Array.from(event.dataTransfer.types).indexOf("Files") >= 0;
    main.dataset.drop = t("pictureDrop");
    document.addEventListener("dragover", (event) => {
      if (!bears(event)) return;
      event.preventDefault();
      main.classList.toggle("dropping", Boolean(this.session.me));
    });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) main.classList.remove("dropping"); });
    document.addEventListener("drop", (event) => {
      main.classList.remove("dropping");
      if (!bears(event)) return;
      event.preventDefault();
      this.pictures(event.dataTransfer.files);
    });
  }

  pictures(files) {
    if (!this.session.me) return;
    const conversation = this.conversation;
    for (const file of Array.from(files).slice(0, PICTURES_AT_ONCE_MAX)) this.picture(conversation, file);
  }

  async picture(conversation, file) {
    const name = file.name || t("picture");
    const words = h("span", { role: "status" });
    const bar = h("i", { class: "progress" });
    const stop = new AbortController();
    const chip = h("div", { class: "chip" }, icon("picture"), words, bar, iconButton("close", t("cancel"), () => stop.abort()));
    const told = (share) => {
      words.textContent = share === undefined ? t("pictureShrink", { name }) : t("pictureSend", { name, n: Math.round(share * 100) });
      bar.style.setProperty("--share", String(share || 0));
    };
    told();
    $("waiting").append(chip);
    $("waiting").hidden = false;
    try {
      const { sid } = this.session.client;
      const said = await sendPicture(file, { limit: this.session.config.picture_bytes, sid, told, signal: stop.signal });
      this.session.outbound.say(conversation, { picture: { id: said.id, name: name.slice(0, 100), width: said.width, height: said.height } });
      this.onSend();
    } catch (error) {
      if (error.name !== "AbortError") this.notice(t(error.word || "pictureFailed", { name, why: error.message }));
    }
    chip.remove();
    $("waiting").hidden = !$("waiting").childElementCount;
  }
}

Compose.prototype.onSend = () => {};
