// The lists at the sides: rooms, private conversations, ourselves; and who is in the room that is open.
//
// It knows no message. `acts` says what choosing something does.

import { $, avatar, h, hueOf, icon, iconButton, once } from "./chat-dom.js";
import { t } from "./chat-words.js";

const COUNT_SHOWN_MAX = 99;

function badge(conversation) {
  const { unread, mentions } = conversation;
  if (!unread) return null;
  const shown = unread > COUNT_SHOWN_MAX ? `${COUNT_SHOWN_MAX}+` : String(unread);
  const said = mentions ? `${t("unread", { n: unread })}, ${t("mentions", { n: mentions })}` : t("unread", { n: unread });
  return h("span", { class: `badge ${mentions || conversation.isPrivate ? "loud" : ""}` },
    h("span", { "aria-hidden": "true" }, mentions ? `@${shown}` : shown), h("span", { class: "unseen" }, said));
}

export class Side {
  constructor(session, acts) {
    this.session = session;
    this.acts = acts;
    this.render = once(() => this.renderNow());
    for (const type of ["list", "me", "people", "open", "rooms", "link"]) session.on(type, this.render);
  }

  hue(nick) {
    const chosen = this.session.hueFor(nick);
    return chosen === undefined ? hueOf(nick) : chosen;
  }

  renderNow() {
    this.list($("room-list"), this.session.rooms().map((room) => this.roomItem(room)));
    this.list($("private-list"), this.session.privates().map((one) => this.privateItem(one)));
    $("private-hint").hidden = this.session.privates().length > 0;
    $("private-add").hidden = !this.session.me;
    this.me();
    this.people();
    const others = Array.from(this.session.conversations.values()).filter((one) => one !== this.session.open);
    $("side-dot").hidden = !others.some((one) => one.unread);
  }

  // The focus stays where it is although the list is made anew.
  list(box, items) {
    const focused = box.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    box.replaceChildren(...items);
    const again = focused && Array.from(box.querySelectorAll("[data-focus]")).find((one) => one.dataset.focus === focused);
    if (again) again.focus();
  }

  entry(conversation, mark, name, more, leaveWord) {
    const isOpen = conversation === this.session.open;
    const classes = `entry ${conversation.unread && !isOpen ? "unread" : ""}`;
    const canLeave = conversation.isPrivate || this.session.rooms().length > 1;
    return h("li", { class: classes, data: { key: conversation.key } },
      h("button", {
        type: "button", class: "entry-main", "aria-current": isOpen ? "page" : undefined,
        data: { focus: conversation.key }, on: { click: () => this.acts.open(conversation.key) },
      }, mark, h("span", { class: "entry-name", dir: "auto" }, name), more, isOpen ? null : badge(conversation)),
      canLeave ? iconButton("close", t(leaveWord, { name }), () => this.acts.leave(conversation.key), { class: "icon-button entry-leave", "data-focus": `x${conversation.key}` }) : null);
  }

  roomItem(room) {
    const listed = this.session.roomList.find((one) => one.name === room.key);
    const users = room.people.size || (listed ? listed.users : 0);
    const more = users && !room.unread ? h("span", { class: "entry-count", title: t("online", { n: users }) },
      h("span", { "aria-hidden": "true" }, String(users)), h("span", { class: "unseen" }, t("online", { n: users }))) : null;
    return this.entry(room, h("span", { class: "hash", "aria-hidden": "true" }, "#"), room.name, more, "leaveRoom");
  }

  privateItem(one) {
    const presence = this.presenceOf(one.name);
    const mark = h("span", { class: "avatar-frame" }, avatar(one.name, this.hue(one.name), "small"), h("span", { class: `presence-dot ${presence}` }));
    return this.entry(one, mark, one.name, null, "forgetPrivate");
  }

  presenceOf(nick) {
    let best = "gone";
    for (const room of this.session.rooms()) {
      const person = room.people.get(nick);
      if (person && !person.away) return "here";
      if (person) best = "away";
    }
    return best;
  }

  me() {
    const { me } = this.session;
    const name = me || t("guest");
    $("me-name").textContent = name;
    $("me").setAttribute("aria-label", `${name}: ${t("settings")}`);
    const face = $("me-avatar");
    face.textContent = "";
    face.className = "avatar-frame";
    face.replaceChildren(avatar(me || "?", me ? this.hue(me) : 200));
  }

  people() {
    const room = this.session.open;
    if (!room) return;
    const people = room.isPrivate
      ? [[room.name, { away: this.presenceOf(room.name) !== "here" }], [this.session.me || t("guest"), { away: false }]]
      : Array.from(room.people);
    people.sort(([a, one], [b, two]) => one.away - two.away || a.localeCompare(b));
    $("people-count").textContent = people.length ? String(people.length) : "";
    const items = people.map(([nick, { away }]) => this.person(nick, away));
    this.list($("people-list"), items.length ? items : [h("li", { class: "none" }, t("nobodyHere"))]);
  }

  person(nick, away) {
    const isMe = nick === this.session.me;
    const face = h("span", { class: "avatar-frame" }, avatar(nick, this.hue(nick), "small"), h("span", { class: `presence-dot ${away ? "away" : "here"}` }));
    const name = h("span", { class: "person-name", dir: "auto" }, nick);
    const note = isMe ? h("small", {}, t("you")) : away ? h("small", {}, t("away")) : null;
    const props = { class: away ? "person away" : "person", data: { nick } };
    if (isMe || !this.session.me) return h("li", props, h("span", { class: "person-main" }, face, name, note));
    return h("li", props,
      h("button", { type: "button", class: "person-main", data: { focus: nick }, on: { click: () => this.acts.write(nick) } }, face, name, note),
      this.session.open.isPrivate ? null : h("button", {
        type: "button", class: "icon-button person-mention", title: `@${nick}`, "aria-label": `@${nick}`, data: { focus: `@${nick}` },
        on: { click: () => this.acts.mention(nick) },
      }, icon("at")));
  }
}
