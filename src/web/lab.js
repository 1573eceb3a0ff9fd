// The laboratory: one channel over all transports side by side, and what each of them costs.
//
// It knows no transport (lab-wires.js) and has no word of its own (lab-words.js): it counts and draws. All it
// keeps is bounded, it draws a few times a second, and while nobody looks every wire is closed.

import { Publisher, WIRES, here } from "./lab-wires.js";
import { label, language, speak, t } from "./lab-words.js";

const LOG_MAX = 40; // entries of what went over a wire
const LOG_CHARS = 480; // of each
const DELAYS_MAX = 60; // that a sparkline shows
const DRAW_MS = 250;
const STARVED_MS = 4000; // without an answer: the browser has no connection left
const DECADES = 4; // of the scale of delays, from 1 ms
const [WIDTH, HEIGHT] = [240, 48]; // of a sparkline

const channel = encodeURIComponent(new URLSearchParams(location.search).get("ch") || "lab");
const page = Math.random().toString(36).slice(2); // tells this page's messages from those of others
const publisher = new Publisher(channel);
const $ = (id) => document.getElementById(id);
const number = (n) => Math.round(n).toLocaleString(language());
const span = (ms) => (ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
const scale = (ms) => Math.min(1, Math.max(0, Math.log10(Math.max(ms, 1)) / DECADES));

function median(all) {
  const sorted = [...all].sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1] : NaN;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** What one wire is seen to do. The wire tells it; `draw` shows it. */
class Meter {
  constructor(wire) {
    this.wire = wire;
    this.is = "off";
    this.log = [];
    this.noted = 0;
    this.clear();
  }

  clear() {
    this.count = { messages: 0, requests: 0, wakes: 0, heads: 0, body: 0 };
    this.isEstimated = false;
    this.delays = [];
    this.isDirty = true;
  }

  state(is) {
    this.is = is;
    this.answered = true;
    this.isDirty = true;
  }

  asks(path, bytes, isEstimated) {
    this.count.requests++;
    this.isEstimated = this.isEstimated || Boolean(isEstimated);
    this.heads(bytes);
    this.note("up", `GET ${path}`);
    if (this.is !== "on") this.waitFor();
  }

  /** A request that isn't even sent shows nothing at all; that is what a starved origin looks like. */
  waitFor() {
    this.answered = false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { if (!this.answered && this.is !== "off") { this.is = "waiting"; this.isDirty = true; } }, STARVED_MS);
  }

  heads(bytes) { this.count.heads += bytes; this.isDirty = true; }
  wakes() { this.count.wakes++; this.isDirty = true; }

  came(bytes, text) {
    this.count.body += bytes;
    this.note("down", text);
  }

  event(event) {
    if (event.type !== "message") return;
    this.count.messages++;
    const data = event.data;
    if (!data || data.page !== page) return;
    this.delays.push(performance.now() - data.at);
    if (this.delays.length > DELAYS_MAX) this.delays.shift();
  }

  note(way, text) {
    this.noted++;
    this.log.push({ way, text: text.length > LOG_CHARS ? `${text.slice(0, LOG_CHARS)}…` : text });
    if (this.log.length > LOG_MAX) this.log.shift();
    this.isDirty = true;
  }

  get each() { return this.count.messages ? (this.count.heads + this.count.body) / this.count.messages : NaN; }
  get isOn() { return Boolean(this.abort); }

  start() {
    if (this.abort || this.isMissing) return;
    this.abort = new AbortController();
    this.is = "lost";
    this.isDirty = true;
    this.wire.run(this, channel, this.abort.signal);
  }

  stop() {
    if (!this.abort) return;
    this.abort.abort();
    this.abort = null;
    clearTimeout(this.timer);
    this.state("off");
  }
}

/** The card of a meter, and its line in the race. */
class Card {
  constructor(meter) {
    const { key, at } = meter.wire;
    this.meter = meter;
    this.root = $("wire").content.firstElementChild.cloneNode(true);
    this.root.dataset.wire = key;
    const find = (what) => this.root.querySelector(what);
    find("h2").textContent = t(key);
    find(".at").textContent = at;
    find(".brief").textContent = t(`${key}Brief`);
    find("h3").textContent = t("onWire");
    find("summary").textContent = t("how");
    find("details p").textContent = t(`${key}How`);
    this.log = find(".log");
    this.shown = 0; // of what the meter noted
    this.log.setAttribute("aria-label", `${t("onWire")}: ${t(key)}`);
    this.button = find(".pause");
    this.button.addEventListener("click", () => { (meter.isOn ? meter.stop() : meter.start()); draw(); });
    this.status = find(".status-text");
    this.line = find("polyline");
    this.caption = find("figcaption");
    this.figures = {};
    for (const name of ["messages", "requests", "wakes", "heads", "body", "each"]) {
      const figure = element("div");
      this.figures[name] = element("dd", "", "0");
      this.figures[name].dataset.figure = name;
      figure.append(element("dt", "", t(name)), this.figures[name]);
      find("dl").append(figure);
    }
    $("wires").append(this.root);
    this.lane = this.makeLane(key);
  }

  makeLane(key) {
    const lane = element("li");
    const [bar, wait] = [element("span", "bar"), element("span", "bar")];
    const lanes = { heads: element("i", "heads"), body: element("i", "body"), each: element("b"), wait: element("i", "wait"), delay: element("b") };
    bar.append(lanes.heads, lanes.body, lanes.each);
    wait.append(lanes.wait, lanes.delay);
    lane.append(element("span", "lane-name", t(key)), bar, wait);
    lane.dataset.wire = key;
    $("race").append(lane);
    return { ...lanes, root: lane };
  }

  draw(most) {
    const { meter, figures } = this;
    const about = meter.isEstimated ? "≈ " : "";
    // One that has not changed has another share of the whole all the same.
    this.drawLane(most, about);
    if (!meter.isDirty) return;
    for (const name of ["messages", "requests", "wakes", "body"]) figures[name].textContent = number(meter.count[name]);
    figures.heads.textContent = about + number(meter.count.heads);
    figures.each.textContent = isNaN(meter.each) ? "–" : about + number(meter.each);
    this.root.dataset.state = meter.isMissing ? "missing" : meter.is;
    this.status.textContent = meter.isMissing ? t("jsonpOff") : t(meter.is);
    this.button.hidden = Boolean(meter.isMissing);
    this.button.textContent = t(meter.isOn ? "pause" : "resume");
    this.button.setAttribute("aria-pressed", String(!meter.isOn));
    this.button.setAttribute("aria-label", `${t(meter.isOn ? "pause" : "resume")}: ${t(meter.wire.key)}`);
    this.drawDelays();
    this.drawLog();
    meter.isDirty = false;
  }

  drawDelays() {
    const { delays } = this.meter;
    const step = WIDTH / (DELAYS_MAX - 1);
    const from = DELAYS_MAX - delays.length;
    const points = delays.map((ms, at) => `${((from + at) * step).toFixed(1)},${(HEIGHT - 2 - scale(ms) * (HEIGHT - 4)).toFixed(1)}`);
    this.line.setAttribute("points", points.join(" "));
    this.caption.textContent = delays.length
      ? t("delays", { n: delays.length, last: span(delays[delays.length - 1]), median: span(median(delays)) }) : t("noDelay");
  }

  /** Only what is new: most of what is seen stays as it is. */
  drawLog() {
    const { log, meter } = this;
    const fresh = Math.min(meter.noted - this.shown, meter.log.length);
    this.shown = meter.noted;
    if (!fresh) return;
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    for (const { way, text } of meter.log.slice(-fresh)) {
      const line = element("li", way);
      line.append(element("span", "", way === "up" ? "→" : "←"), element("code", "", text.replace(/\n$/, "")));
      log.append(line);
    }
    while (log.children.length > LOG_MAX) log.firstElementChild.remove();
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  }

  drawLane(most, about) {
    const { meter, lane } = this;
    const share = (bytes) => `${(72 * bytes) / meter.count.messages / most}%`;
    const has = meter.count.messages > 0;
    lane.heads.style.width = has ? share(meter.count.heads) : "0";
    lane.body.style.width = has ? share(meter.count.body) : "0";
    lane.each.textContent = has ? about + number(meter.each) : "–";
    const wait = median(meter.delays);
    lane.wait.style.width = isNaN(wait) ? "0" : `${Math.max(1, 72 * scale(wait))}%`;
    lane.delay.textContent = isNaN(wait) ? "–" : span(wait);
    lane.root.hidden = Boolean(meter.isMissing);
  }
}

const meters = WIRES.map((wire) => new Meter(wire));
let cards = [];
let sent = 0;

function draw() {
  const most = Math.max(1, ...meters.map((meter) => meter.each || 0));
  if (meters.some((meter) => meter.isDirty)) for (const card of cards) card.draw(most);
  $("sent").textContent = number(sent);
  const isAnyOn = meters.some((meter) => meter.isOn);
  $("all").textContent = t(isAnyOn ? "pauseAll" : "resumeAll");
  $("all").setAttribute("aria-pressed", String(!isAnyOn));
}

function say() {
  sent++;
  publisher.publish({ page, n: sent, at: Math.round(performance.now() * 10) / 10, text: "x".repeat(Number($("size").value)) || "hello" });
}

let ticking = 0;
let publishing = 0;

function setRate() {
  clearInterval(publishing);
  const rate = Number($("rate").value);
  publishing = rate ? setInterval(say, 1000 / rate) : 0;
}

/** What was running before nobody looked. */
let resting = null;

function rest() {
  if (resting) return;
  resting = meters.filter((meter) => meter.isOn);
  for (const meter of meters) meter.stop();
  publisher.close();
  clearInterval(publishing);
  clearInterval(ticking);
}

function wake() {
  const before = resting || meters;
  resting = null;
  for (const meter of before) meter.start();
  setRate();
  clearInterval(ticking);
  ticking = setInterval(draw, DRAW_MS);
  draw();
}

function switchTheme() {
  window.enckeTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
}

async function begin() {
  label();
  document.title = `encke · ${t("title")}`;
  $("language").textContent = language() === "zh" ? "English" : "中文";
  $("language").lang = language() === "zh" ? "en" : "zh-CN";
  $("language").addEventListener("click", () => speak(language() === "zh" ? "en" : "zh"));
  $("theme").addEventListener("click", switchTheme);
  $("curl").textContent = `curl -d hello ${here("/publish/").replace(/^https?:\/\//, "")}${channel}`;
  cards = meters.map((meter) => new Card(meter));
  // A link may say how fast: /lab?rate=0.
  const rate = new URLSearchParams(location.search).get("rate");
  if ([...$("rate").options].some((option) => option.value === rate)) $("rate").value = rate;
  $("one").addEventListener("click", () => { say(); draw(); });
  $("rate").addEventListener("change", setRate);
  $("reset").addEventListener("click", () => { sent = 0; for (const meter of meters) meter.clear(); draw(); });
  $("all").addEventListener("click", () => {
    const isAnyOn = meters.some((meter) => meter.isOn);
    for (const meter of meters) isAnyOn ? meter.stop() : meter.start();
    draw();
  });
  let served = [];
  try { served = (await (await fetch(here("/config"))).json()).transports; } catch (e) { /* the standard ones, then */ }
  for (const meter of meters) meter.isMissing = Boolean(meter.wire.needs) && !served.includes(meter.wire.needs);
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : wake()));
  addEventListener("pagehide", rest);
  addEventListener("pageshow", (event) => { if (event.persisted) wake(); });
  if (document.hidden) { resting = meters; draw(); } else wake();
}

// A forever iframe that is there before the page has loaded keeps it from ever having loaded.
if (document.readyState === "complete") begin();
else addEventListener("load", () => begin());
