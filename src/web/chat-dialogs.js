// The windows over the page: settings, finding a room, writing to somebody, a picture enlarged, the keyboard.
//
// It knows no message. A window is a <dialog>, which keeps the focus inside and gives it back; where a browser
// has none, it is shown all the same.

import { $, HUES, avatar, h, hueOf, icon, iconButton } from "./chat-dom.js";
import { LANGUAGES, language, speak, t } from "./chat-words.js";

const ROOM_CHARS_MAX = 64;
const MAC = /Mac|iPhone|iPad/.test(navigator.platform || "");

/** Opens a window with a title; resolves to how to close it. */
export function openDialog(title, content, more) {
  const opener = document.activeElement;
  const dialog = h("dialog", Object.assign({ class: "dialog card", "aria-labelledby": "dialog-title" }, more),
    h("header", { class: "dialog-head" }, h("h2", { id: "dialog-title" }, title), iconButton("close", t("close"), () => close())), content);
  function close() {
    if (dialog.open && dialog.close) dialog.close();
    if (!dialog.isConnected) return;
    dialog.remove();
    if (opener && opener.isConnected && opener.focus) opener.focus();
  }
  dialog.addEventListener("close", close);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) close(); });
  $("dialogs").replaceChildren(dialog);
  if (dialog.showModal) dialog.showModal();
  else dialog.setAttribute("open", "");
  return close;
}

export const isDialogOpen = () => $("dialogs").childElementCount > 0;

// One of a few, as buttons that look like one.
function choice(label, options, chosen, act) {
  const name = `choice-${label.replace(/\W/g, "")}-${options.length}`;
  return h("fieldset", { class: "choice" }, h("legend", {}, label),
    h("div", { class: "segments" }, ...options.map(([value, words]) => h("label", {},
      h("input", { type: "radio", name, value, checked: value === chosen, on: { change: () => act(value) } }), h("span", {}, words)))));
}

export function settings(session, acts) {
  const { me } = session;
  const chosen = session.hueFor(me);
  const hue = chosen === undefined ? hueOf(me || "") : chosen;
  const hues = HUES.indexOf(hue) < 0 ? [hue].concat(HUES) : HUES;
  const face = avatar(me || "?", hue, "large");
  const choose = (one) => {
    face.style.setProperty("--hue", String(one));
    acts.hue(one);
  };
  const profile = me ? h("section", {},
    h("div", { class: "profile" }, face, h("div", {}, h("strong", { dir: "auto" }, me), h("p", {}, t("logoutHint")))),
    h("fieldset", { class: "hues" }, h("legend", {}, t("colour")), ...hues.map((one) => h("label", { vars: { "--hue": String(one) } },
      h("input", { type: "radio", name: "hue", value: String(one), checked: one === hue, "aria-label": `${t("colour")} ${hues.indexOf(one) + 1}`, on: { change: () => choose(one) } }),
      h("span", {}))))) : null;
  const close = openDialog(t("settings"), h("div", { class: "dialog-body" }, profile,
    choice(t("theme"), [["", t("themeSystem")], ["light", t("themeLight")], ["dark", t("themeDark")]], window.enckeTheme(), (value) => window.enckeTheme(value)),
    choice(t("language"), Object.entries(LANGUAGES), language(), speak),
    h("div", { class: "dialog-buttons" },
      h("button", { type: "button", class: "button", on: { click: () => { close(); acts.connection(); } } }, t("wayTitle")),
      h("button", { type: "button", class: "button", on: { click: () => { close(); shortcuts(); } } }, icon("key"), t("shortcuts")),
      me ? h("button", { type: "button", class: "button danger", on: { click: acts.logout } }, icon("door"), t("logout")) : null)));
}

const isRoomName = (name) => Array.from(name).length <= ROOM_CHARS_MAX && !/[/,?#@\u0000-\u001f]/.test(name) && name !== "";

export function findRoom(session, open) {
  const list = h("ul", { class: "finds" });
  const error = h("p", { class: "error", role: "alert" });
  const button = h("button", { type: "submit", class: "button first" }, t("roomEnter"));
  const field = h("input", { class: "field", id: "room-name", autocomplete: "off", placeholder: t("roomNameHint"), maxlength: String(ROOM_CHARS_MAX), on: { input: fill } });
  const form = h("form", { class: "finder", on: { submit: (event) => { event.preventDefault(); enter(field.value.trim()); } } },
    h("label", { for: "room-name" }, t("roomName")), h("div", { class: "join-fields" }, field, button), error);
  const close = openDialog(t("roomAdd"), h("div", { class: "dialog-body" }, form, h("h3", {}, t("roomsNow")), list));
  session.on("rooms", fill);
  session.refreshRooms();
  fill();
  field.focus();

  function enter(name) {
    if (!isRoomName(name)) {
      error.textContent = t("roomBad");
      field.setAttribute("aria-invalid", "true");
      return;
    }
    close();
    open(name);
  }

  function fill() {
    const asked = field.value.trim();
    const all = session.roomList.filter((room) => room.name.toLowerCase().indexOf(asked.toLowerCase()) >= 0);
    error.textContent = "";
    field.removeAttribute("aria-invalid");
    button.textContent = asked && !session.roomList.some((room) => room.name === asked) && !session.conversations.has(asked) ? t("roomMake", { name: asked }) : t("roomEnter");
    list.replaceChildren(...all.map((room) => h("li", {}, h("button", { type: "button", on: { click: () => enter(room.name) } },
      h("span", { class: "hash", "aria-hidden": "true" }, "#"), h("span", { class: "entry-name", dir: "auto" }, room.name, room.topic ? h("small", {}, room.topic) : null),
      h("small", {}, t("online", { n: room.users || 0 }))))));
    if (!all.length) list.replaceChildren(h("li", { class: "none" }, t("roomsNone")));
  }
}

export function findPerson(session, open) {
  const everyone = new Map();
  for (const room of session.rooms()) for (const [nick, person] of room.people) if (nick !== session.me) everyone.set(nick, person);
  const list = h("ul", { class: "finds" });
  const field = h("input", { class: "field", id: "person-name", autocomplete: "off", maxlength: "32", on: { input: fill } });
  const form = h("form", { class: "finder", on: { submit: (event) => { event.preventDefault(); enter(field.value.trim()); } } },
    h("label", { for: "person-name" }, t("privateName")), h("div", { class: "join-fields" }, field, h("button", { type: "submit", class: "button first" }, t("privateStart"))));
  const close = openDialog(t("privateAdd"), h("div", { class: "dialog-body" }, form, list));
  fill();
  field.focus();

  function enter(name) {
    if (!name || /[/,?#@]/.test(name)) return field.setAttribute("aria-invalid", "true");
    close();
    return open(name);
  }

  function fill() {
    const asked = field.value.trim().toLowerCase();
    const all = Array.from(everyone.keys()).filter((nick) => nick.toLowerCase().indexOf(asked) >= 0).sort((a, b) => a.localeCompare(b));
    list.replaceChildren(...all.map((nick) => {
      const hue = session.hueFor(nick);
      return h("li", {}, h("button", { type: "button", on: { click: () => enter(nick) } }, avatar(nick, hue === undefined ? hueOf(nick) : hue, "small"), h("span", { class: "entry-name", dir: "auto" }, nick)));
    }));
  }
}

export function shortcuts() {
  const alt = MAC ? "⌥" : "Alt";
  const command = MAC ? "⌘" : "Ctrl";
  const all = [
    ["keySend", ["Enter"]], ["keyLine", ["Shift", "Enter"]], ["keyMention", ["@"]], ["keyEmoji", [":"]], ["keyRooms", [alt, "↑ ↓"]],
    ["keyUnread", [alt, "Shift", "↑ ↓"]], ["keyMessages", ["↑ ↓", "Home", "End"]], ["keyFind", [command, "K"]], ["keyWrite", ["/"]],
    ["keyEscape", ["Esc"]], ["keyHelp", ["?", `${command} /`]],
  ];
  openDialog(t("shortcuts"), h("dl", { class: "dialog-body keys" }, ...all.map(([word, keys]) => h("div", {},
    h("dt", {}, t(word)), h("dd", {}, ...keys.map((one) => h("kbd", {}, one)))))));
}

export function removeSure(act) {
  const close = openDialog(t("remove"), h("div", { class: "dialog-body" }, h("p", {}, t("removeSure")),
    h("div", { class: "dialog-buttons" },
      h("button", { type: "button", class: "button", on: { click: () => close() } }, t("cancel")),
      h("button", { type: "button", class: "button danger", autofocus: true, on: { click: () => { close(); act(); } } }, icon("trash"), t("remove")))), { role: "alertdialog" });
}

/** A picture as large as the window. */
export function enlarge(its) {
  const name = its.name || t("picture");
  const address = `pictures/${its.id}`;
  openDialog(name, h("figure", { class: "enlarged" },
    h("img", { src: address, alt: name, width: String(its.width || ""), height: String(its.height || "") }),
    h("figcaption", {}, h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, t("pictureOriginal")))), { class: "dialog wide" });
}
