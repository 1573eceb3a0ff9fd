// Pictures on their way: made small, sent, said. One that finds no connection waits, across a reload too, like text.
//
// It knows no field and no line of the log. A picture is in the tray, a chip above the field, until it has become a
// message; whatever goes wrong, it stays there to be tried again or thrown away, unless it is none.

import { $, h, icon, iconButton } from "./chat-dom.js";
import { tabKeep, tabKept } from "./chat-kept.js";
import { shrink, upload } from "./chat-picture.js";
import { t } from "./chat-words.js";

const AT_ONCE_MAX = 8; // pictures chosen together
const WAITING_MAX = 24; // pictures in the tray; more are refused
const NAME_CHARS_MAX = 100;
const AGAIN_MS = 4000; // until a picture is tried again though the link looks well
const TRIES_MAX = 4; // on a link that looks well; then it is the person's turn

export class Tray {
  /** `said(conversation)` when a picture has become a message; `notice(words)` when there is something to tell. */
  constructor(session, { notice, said }) {
    this.session = session;
    this.notice = notice;
    this.said = said;
    this.items = [];
    this.box = $("waiting");
    session.on("link", () => { if (this.isLive()) this.sendWaiting(); });
    session.on("me", () => { if (session.me) this.restore(); });
    this.isRestored = false; // once for the page, whatever name is taken later
    this.isKept = true; // what waits would survive a reload
    addEventListener("beforeunload", (event) => { if (!this.isKept) event.preventDefault(); });
  }

  isLive() { return Boolean(this.session.me) && this.session.client.state === "live"; }

  add(conversation, files) {
    for (const file of Array.from(files).slice(0, AT_ONCE_MAX)) {
      if (this.items.length >= WAITING_MAX) return this.notice(t("waitingFull", { n: this.items.length }));
      this.begin(this.put(conversation, (file.name || t("picture")).slice(0, NAME_CHARS_MAX)), file);
    }
    return undefined;
  }

  put(conversation, name) {
    const item = { conversation, name, from: this.session.me, stop: new AbortController(), tries: 0, isBusy: true };
    item.words = h("span", { role: "status" });
    item.bar = h("i", { class: "progress" });
    item.again = h("button", { type: "button", hidden: true, on: { click: () => { item.tries = 0; this.send(item); } } }, t("tryAgain"));
    item.chip = h("div", { class: "chip" }, icon("picture"), item.words, item.again, item.bar,
      iconButton("close", t("cancel"), () => { item.stop.abort(); this.drop(item); }));
    this.items.push(item);
    this.box.append(item.chip);
    this.box.hidden = false;
    return item;
  }

  tell(item, word, more) {
    item.words.textContent = t(word, Object.assign({ name: item.name }, more));
    item.again.hidden = word !== "pictureFailed";
    item.bar.style.setProperty("--share", String(more && more.share || 0));
  }

  drop(item) {
    this.items = this.items.filter((other) => other !== item);
    item.chip.remove();
    this.box.hidden = !this.items.length;
    this.keep();
  }

  async begin(item, file) {
    this.tell(item, "pictureShrink");
    try {
      item.blob = await shrink(file, this.session.config.picture_bytes);
    } catch (error) {
      this.notice(t(error.word || "pictureBad", { name: item.name }));
      return this.drop(item);
    }
    item.base64 = await base64Of(item.blob);
    return this.items.indexOf(item) < 0 ? undefined : this.send(item);
  }

  async send(item) {
    clearTimeout(item.timer);
    if (!this.isLive()) return this.wait(item);
    item.isBusy = true;
    const told = (share) => this.tell(item, "pictureSend", { n: Math.round(share * 100), share });
    told(0);
    try {
      if (!item.said) item.said = await upload(item.blob, item.name, { sid: this.session.client.sid, told, signal: item.stop.signal });
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      item.tries++;
      if (error.isPassing && item.tries < TRIES_MAX) return this.wait(item);
      return this.fail(item, error.message);
    }
    const { id, width, height } = item.said;
    if (!this.session.outbound.say(item.conversation, { picture: { id, name: item.name, width, height } })) {
      return this.fail(item, t("waitingFull", { n: this.session.outbound.count() }));
    }
    this.drop(item);
    return this.said(item.conversation);
  }

  wait(item) {
    item.isBusy = false;
    this.tell(item, "pictureWaits");
    if (this.isLive()) item.timer = setTimeout(() => this.send(item), AGAIN_MS);
    this.keep();
  }

  fail(item, why) {
    item.isBusy = true; // nothing more happens by itself
    this.tell(item, "pictureFailed", { why });
    this.keep();
  }

  sendWaiting() {
    for (const item of this.items.slice()) if (!item.isBusy) this.send(item);
  }

  // ---- across a reload ----

  keep() {
    const all = this.items.filter((item) => item.base64).map((item) => ({
      to: item.conversation.key, name: item.name, from: item.from, type: item.blob.type, base64: item.base64,
    }));
    this.isKept = tabKeep("pictures", all.length ? all : undefined);
  }

  restore() {
    const all = tabKept("pictures");
    if (this.isRestored || !Array.isArray(all)) return;
    this.isRestored = true;
    for (const one of all.slice(0, WAITING_MAX)) {
      if (one.from !== this.session.me) continue;
      const item = this.put(this.session.conversation(one.to), one.name);
      item.base64 = one.base64;
      item.blob = blobOf(one);
      this.send(item);
    }
  }
}

function base64Of(blob) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => resolve("");
    reader.readAsDataURL(blob);
  });
}

function blobOf({ base64, type }) {
  const text = atob(base64);
  return new Blob([Uint8Array.from(text, (char) => char.charCodeAt(0))], { type });
}
