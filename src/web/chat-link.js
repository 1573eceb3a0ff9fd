// The state of the connection, always in sight: the transport, the round trip, and in words why it is that one.
//
// It knows no message. The words of `trail` are encke.js's; here they are told from their beginnings, and what
// isn't known is shown as it came. Read first: encke.d.ts, on transports.

import { $, h } from "./chat-dom.js";
import { openDialog } from "./chat-dialogs.js";
import { keep, kept } from "./chat-kept.js";
import { t } from "./chat-words.js";

const TRAIL_SHOWN_MAX = 12;
const MOMENT_MS = 300; // a link that ended sooner never was one
const BANNER_MS = 2500; // a connection that is back sooner is not worth a banner
const NAMES = {
  websocket: "WebSocket", sse: "Server-Sent Events", fetch: "HTTP stream", xhr: "XHR stream", htmlfile: "htmlfile",
  iframe: "Forever iframe", longpoll: "Long polling", shortpoll: "Short polling", jsonp: "JSONP",
};
const STATES = { connecting: "connecting", retrying: "retrying", offline: "offline", closed: "closed" };
const REASONS = [
  [/^cut|^ended/, "whyCut"], [/^did not open/, "whyClosed"], [/^not in this browser/, "whyMissing"], [/^silent/, "whySilent"],
  [/^no event in/, "whyStarved"], [/held back/, "whyHeld"], [/^slept/, "whySlept"], [/^the network changed/, "whyNetwork"],
  [/^bye: kicked/, "whyKicked"], [/^bye: banned|^banned/, "whyBanned"], [/^bye/, "whyBye"], [/^no reply/, "whyUnanswered"], [/^garbled/, "whyChanged"],
];

export const nameOf = (transport) => NAMES[transport] || transport;

function reason(why) {
  const found = REASONS.find(([pattern]) => pattern.test(why));
  const words = found ? t(found[1]).replace(/[.。]$/, "") : why;
  return /out of reach/.test(why) ? `${words}; ${t("whyReach")}` : words;
}

function lived(ms) {
  return ms < 60000 ? t("seconds", { n: Math.round(ms / 100) / 10 }) : t("minutes", { n: Math.round(ms / 60000) });
}

function sentence({ transport, lived: ms, why, left }) {
  const word = left ? (ms ? "wayLeft" : "waySkipped") : ms < MOMENT_MS ? "wayFailed" : "wayEnded";
  return t(word, { way: nameOf(transport), time: lived(ms), why: reason(why) });
}

// Tries that went the same way one after the other are told once, the latest first.
function told(trail) {
  const all = [];
  for (const one of trail) {
    const words = sentence(one);
    const last = all[all.length - 1];
    if (last && last.words === words) last.times++;
    else all.push({ words, left: one.left, times: 1 });
  }
  return all.slice(-TRAIL_SHOWN_MAX).reverse();
}

export class Link {
  constructor(session) {
    this.session = session;
    this.timer = 0;
    this.wasLive = false;
    this.panel = null;
    session.on("link", () => this.render());
    addEventListener("offline", () => this.render());
    addEventListener("online", () => this.render());
    $("state").addEventListener("click", () => this.open());
  }

  state() {
    const { client } = this.session;
    if (!client || !client.state) return "connecting";
    return client.state !== "live" && navigator.onLine === false ? "offline" : client.state;
  }

  render() {
    const { client } = this.session;
    const rtt = client ? client.rtt : 0;
    const state = this.state();
    const box = $("state");
    const transport = client ? client.transport : "";
    box.dataset.state = state;
    box.dataset.transport = transport;
    const words = state === "live" ? nameOf(transport) : t(STATES[state]);
    const trip = state === "live" && rtt ? t("wayMs", { n: Math.max(1, Math.round(rtt)) }) : "";
    $("state-text").textContent = words;
    $("state-rtt").textContent = trip;
    box.setAttribute("aria-label", `${t("connection")}: ${words} ${trip}`.trim());
    if ($("state-said").textContent !== words) $("state-said").textContent = words;
    box.title = this.session.why && state !== "live" ? reason(this.session.why) : "";
    this.banner(state);
    if (this.panel && this.panel.isConnected) this.fill();
  }

  banner(state) {
    const box = $("banner");
    if (state === "live") {
      clearTimeout(this.timer);
      this.timer = 0;
      this.wasLive = true;
      box.hidden = true;
    } else if (state === "offline") this.show("offlineBanner");
    else if (!this.timer && this.wasLive) {
      this.timer = setTimeout(() => {
        this.timer = 0;
        if (this.state() !== "live") this.show(this.state() === "offline" ? "offlineBanner" : "retryBanner");
      }, BANNER_MS);
    }
  }

  show(word) {
    const box = $("banner");
    if (box.textContent !== t(word)) box.textContent = t(word);
    box.hidden = false;
  }

  open() {
    this.panel = h("div", { class: "dialog-body way" });
    this.facts = h("dl", { class: "facts" });
    this.trail = h("ol", { class: "trail" });
    this.panel.append(this.facts, this.chooser(), h("h3", {}, t("wayTrail")), this.trail, h("p", {}, h("a", { href: "lab" }, t("wayLab"))));
    openDialog(t("wayTitle"), this.panel);
    this.fill();
  }

  chooser() {
    const wanted = this.session.usable() || window.Encke.transports;
    const chosen = kept("transport");
    const field = h("select", { class: "field", id: "transport", on: { change: () => this.choose(field.value) } },
      h("option", { value: "", selected: !chosen }, t("wayAuto")),
      ...wanted.filter((name) => name !== "htmlfile" || window.ActiveXObject).map((name) => h("option", { value: name, selected: name === chosen }, nameOf(name))));
    return h("p", { class: "chooser" }, h("label", { for: "transport" }, t("wayChoose")), field);
  }

  choose(name) {
    keep("transport", name || undefined);
    this.session.client.use(name || this.session.usable());
    this.render();
  }

  fill() {
    const { client } = this.session;
    const rtt = client ? client.rtt : 0;
    const state = this.state();
    const fact = (word, value) => h("div", {}, h("dt", {}, t(word)), h("dd", {}, value));
    this.facts.replaceChildren(
      fact("wayNow", state === "live" ? nameOf(client.transport) : t(STATES[state])),
      fact("wayRtt", state === "live" && rtt ? t("wayMs", { n: Math.max(1, Math.round(rtt)) }) : t("wayUnknown")));
    const trail = told(client.trail.filter((one) => one.why !== "not in this browser" || one.transport !== "htmlfile"));
    this.trail.replaceChildren(...(trail.length
      ? trail.map(({ words, left, times }) => h("li", { class: left ? "left" : "" }, words, times > 1 ? ` ${t("wayTimes", { n: times })}` : ""))
      : [h("li", { class: "quiet" }, t("wayQuiet"))]));
  }
}
