// Where one writes: the field that grows, the answer being given, names, emoji, pictures by pick, paste or drop.
//
// It knows no line of the log. What is written goes to the session; a draft stays with its conversation, and what
// is not taken stays in the field.

import { $, avatar, h, hueOf, icon, iconButton, onKey, typeInto } from "./chat-dom.js";
import { wordsOf } from "./chat-line.js";
import { EmojiPicker, emojiCalled } from "./chat-emoji.js";
import { filesIn } from "./chat-picture.js";
import { Suggest, emojiSource, nameSource } from "./chat-suggest.js";
import { Tray } from "./chat-tray.js";
import { t } from "./chat-words.js";

const MARGIN_BYTES = 200; // of a text's limit, for what stands around it

export class Compose {
  constructor(session, notice) {
    this.session = session;
    this.notice = notice;
    this.field = $("text");
    this.conversation = null;
    this.tray = new Tray(session, { notice, said: (conversation) => { if (conversation === this.conversation) this.onSend(); } });
    this.suggest = new Suggest(this.field, $("names"), [nameSource(() => this.names(), (name) => this.nameNodes(name)), emojiSource(emojiCalled)]);
    this.picker = new EmojiPicker($("emoji"), (emoji) => this.insert(emoji));
    $("compose").addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
    this.field.addEventListener("input", () => this.written());
    onKey(this.field, (event) => this.key(event));
    this.field.addEventListener("paste", (event) => this.paste(event));
    $("attach").addEventListener("click", () => $("file").click());
    $("file").addEventListener("change", () => { this.pictures($("file").files); $("file").value = ""; });
    this.listenToDrops();
    session.on("log", (conversation) => { if (conversation === this.conversation) this.findAnswering(); });
  }

  open(conversation) {
    this.suggest.close();
    this.conversation = conversation;
    this.field.value = conversation.draft;
    const to = conversation.isPrivate ? conversation.name : `#${conversation.name}`;
    this.field.placeholder = t("messageHint", { name: to });
    this.grow();
    this.showAnswering();
    this.findAnswering();
  }

  focus() { if (!$("compose").hidden) this.field.focus(); }

  written() {
    this.conversation.draft = this.field.value;
    this.session.keepDraft(this.conversation);
    this.grow();
    if (this.field.value.trim()) this.session.outbound.type(this.conversation);
  }

  grow() {
    this.field.style.setProperty("height", "auto");
    this.field.style.setProperty("height", `${this.field.scrollHeight}px`);
    $("send").disabled = !this.field.value.trim();
  }

  key(event) {
    if (event.defaultPrevented) return; // a suggestion has taken it
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
    const { outbound } = this.session;
    if (!outbound.say(this.conversation, this.withAnswer({ text }))) return this.notice(t("waitingFull", { n: outbound.count() }));
    this.notice("");
    this.field.value = this.conversation.draft = "";
    this.answer(null);
    this.grow();
    this.suggest.close();
    this.onSend();
  }

  withAnswer(data) {
    const re = this.conversation.answeringId;
    return re ? Object.assign({ re }, data) : data;
  }

  insert(text) {
    typeInto(this.field, text, this.field.selectionStart, this.field.selectionEnd);
  }

  // ---- answering ----

  answer(entry) {
    this.conversation.answering = entry;
    this.conversation.answeringId = entry ? entry.peerId || entry.id : "";
    this.session.keepDraft(this.conversation);
    this.showAnswering();
    if (entry) this.focus();
  }

  // After a reload the message is known by its id alone until it has been read again.
  findAnswering() {
    const { conversation } = this;
    if (conversation.answering || !conversation.answeringId) return;
    conversation.answering = conversation.find(conversation.answeringId) || null;
    if (conversation.answering) this.showAnswering();
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

  // ---- names ----

  names() {
    const { conversation, session } = this;
    const all = new Set(conversation.isPrivate ? [conversation.name] : conversation.people.keys());
    for (const entry of conversation.entries) if (entry.kind === "message" && entry.from) all.add(entry.from);
    all.delete(session.me);
    return Array.from(all).sort((a, b) => a.localeCompare(b));
  }

  nameNodes(name) {
    const hue = this.session.hueFor(name);
    return [avatar(name, hue === undefined ? hueOf(name) : hue, "small"), h("span", { dir: "auto" }, name)];
  }

  mention(name) {
    this.insert(`${this.field.value && !/\s$/.test(this.field.value) ? " " : ""}@${name} `);
    this.suggest.close();
  }

  // ---- pictures ----

  // Text goes into the field as browsers put it there.
  paste(event) {
    const files = filesIn(event.clipboardData);
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
      const files = filesIn(event.dataTransfer);
      if (files.length) this.pictures(files);
      else if (this.session.me) this.insert(event.dataTransfer.getData("text/plain"));
    });
  }

  pictures(files) {
    if (this.session.me) this.tray.add(this.conversation, files);
  }
}

Compose.prototype.onSend = () => {};
