// The browser client of the first page: one room, read over any of seven transports.
//
// What it lives by: a reader's position is one cursor, `<epoch>-<seq>`, whatever the transport. So a link
// may be dropped at any moment, and the next one, of any kind, goes on with `since=<cursor>`: nothing is
// lost, and what comes twice is seen by its number and left out. What a server can't make good, it calls
// a gap, and the gap is shown where it is.
//
//   choose ──> connecting ──welcome──> live ──lost, bye, silence──> retrying ──┐
//                   ^                                                          │ backoff
//                   └──────────────────────────────────────────────────────────┘
//
// What goes up is a command with a `ref`; it stays in the outbox until its reply has come, and is sent
// again on the next link. A message's `key` makes sending it twice harmless.
//
// Read first: section "What is seen on the wire" of the documentation.

const HISTORY = 50; // messages shown on entry
const SHOWN_MAX = 2000; // lines kept in the page
const CONNECT_MS = 10_000; // from opening a link to its welcome
const WAIT_S = 25; // how long a long poll may hang
const SHORT_MS = 1000; // between two short polls
const BACKOFF_MS = 500; // the first wait before another try; doubles up to BACKOFF_MAX_MS
const BACKOFF_MAX_MS = 30_000;
const NAMES_KEPT = 20; // names of this browser whose secrets are kept
const GROUP_MS = 5 * 60_000; // messages of one person this close together share one name
const TYPES = ["welcome", "message", "presence", "gap", "heartbeat", "bye", "reply"];

// Where the way is not to be had (a proxy that knows no WebSocket, one that holds back streams), the next one
// is tried, until one has worked. What a person chose stays chosen.
const FALLBACKS = { websocket: "sse", sse: "longpoll" };

const $ = (id) => document.getElementById(id);
const ui = Object.fromEntries(
  ["room", "state", "transport", "online", "count", "log", "messages", "empty", "newest", "notice",
    "join", "nick", "compose", "text", "send"].map((id) => [id, $(id)]));

const room = unescapeOr(location.hash.slice(1)) || "lobby";
const saved = restore();

let sid = saved.sid ?? null; // the logical client, which outlives its links
let nick = saved.nick ?? null;
let cursor = null; // where to go on
let seen = { epoch: "", seq: 0 }; // the last message shown
let beatMs = 30_000; // replaced by every welcome
let tries = 0; // links lost since one last worked
let settled = false; // a way has worked, or was chosen
let link = null; // the one link that may speak
let retryTimer = 0;
let watchdog = 0;

// ---- links: each transport opens one, and returns how to stop it ----

const transports = {
  websocket(link) {
    const socket = new WebSocket(address("/ws").replace(/^http/, "ws"));
    socket.onmessage = (e) => link.event(JSON.parse(e.data));
    socket.onclose = (e) => link.lost(e.reason);
    link.write = (command) => socket.send(JSON.stringify(command));
    return () => socket.close();
  },

  // A native EventSource would reconnect by itself, but only as SSE; here one backoff serves all.
  sse(link) {
    const source = new EventSource(address("/sse"));
    for (const type of TYPES) source.addEventListener(type, (e) => link.event(JSON.parse(e.data)));
    source.onerror = () => link.lost();
    return () => source.close();
  },

  stream(link) {
    const stop = new AbortController();
    readLines(address("/stream"), stop.signal, link.event).then(link.lost, link.lost);
    return () => stop.abort();
  },

  iframe(link) {
    const callback = expose(link.event);
    const frame = document.createElement("iframe");
    frame.className = "wire";
    frame.title = "message transport";
    frame.setAttribute("aria-hidden", "true");
    frame.src = address("/iframe", { callback });
    frame.onload = () => link.lost(); // a forever iframe that has loaded has ended
    document.body.append(frame);
    return () => { frame.onload = null; frame.remove(); retract(callback); };
  },

  longpoll: (link) => poll(link, WAIT_S, fetchBody),
  shortpoll: (link) => poll(link, 0, fetchBody),
  jsonp: (link) => poll(link, WAIT_S, scriptBody),
};

// The first poll of a link never hangs: its answer is the link's welcome.
function poll(link, wait, ask) {
  const stop = new AbortController();
  (async () => {
    while (!stop.signal.aborted) {
      watch(wait * 1000 + CONNECT_MS);
      const body = await ask(link.welcomed ? wait : 0, stop.signal);
      link.body(body);
      if (wait === 0) await pause(SHORT_MS * (0.75 + Math.random() / 2));
    }
  })().catch(link.lost);
  return () => stop.abort();
}

async function fetchBody(wait, signal) {
  const response = await fetch(address("/poll", { wait }), { signal, cache: "no-store" });
  if (!response.ok) throw await refusal(response);
  return response.json();
}

// A script can't be aborted and tells no status. When stopped, its call goes to nobody; when it fails, the
// same address is fetched once to learn why.
function scriptBody(wait, signal) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const callback = expose((body) => { done(); resolve(body); });
    const done = () => { script.remove(); retract(callback); };
    script.src = address("/jsonp", { wait, callback });
    script.onload = () => { done(); reject(new Error("the script said nothing")); };
    script.onerror = async () => {
      done();
      const response = await fetch(address("/jsonp", { wait: 0, callback })).catch(() => null);
      if (!response || response.ok) return reject(new Error("connection lost"));
      const error = await refusal(response);
      if (response.status === 403 || response.status === 404) {
        error.message = "JSONP is switched off on this server. Choose another transport.";
        error.final = true;
      }
      reject(error);
    };
    signal.addEventListener("abort", () => { done(); reject(signal.reason); });
    document.head.append(script);
  });
}

async function readLines(url, signal, each) {
  const response = await fetch(url, { signal, cache: "no-store" });
  if (!response.ok) throw await refusal(response);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.trim()) each(JSON.parse(line));
  }
}

// ---- the state machine ----

// Starts a link over the chosen transport and silences the one before: whatever that one still says is
// dropped here, and the cursor, which only moves with what was shown, makes the new one say it again.
function connect() {
  drop();
  const mine = { way: ui.transport.value, welcomed: false };
  const alone = (act) => (...said) => { if (link === mine) act(...said); };
  Object.assign(mine, { event: alone(take), body: alone(takeBody), lost: alone(lost) });
  link = mine;
  show("connecting");
  watch(CONNECT_MS);
  mine.stop = transports[mine.way](mine);
}

function drop() {
  clearTimeout(retryTimer);
  clearTimeout(watchdog);
  const last = link;
  link = null;
  last?.stop?.();
}

function lost(why, retry) {
  const { message = why, retryMs = retry, final = false } = why instanceof Error ? why : {};
  const next = settled ? null : FALLBACKS[ui.transport.value];
  drop();
  if (final) return show("off", message);
  if (next) {
    ui.transport.value = next;
    return connect();
  }
  const limit = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** tries++);
  const delay = retryMs ?? limit * (0.5 + Math.random() / 2);
  show("retrying", message);
  retryTimer = setTimeout(connect, delay);
}

function watch(ms) {
  clearTimeout(watchdog);
  watchdog = setTimeout(() => lost("nothing was heard for too long"), ms);
}

function take(event) {
  watch(2 * beatMs + 1000);
  if (event.type !== "welcome") tries = 0;
  switch (event.type) {
    case "welcome":
      beatMs = event.heartbeat * 1000;
      cursor ??= event.cursor;
      watch(2 * beatMs + 1000);
      return enter(event.sid);
    case "message": return takeMessage(event);
    case "presence":
      cursor = event.id;
      return takePresence(event);
    case "gap":
      cursor = event.cursor;
      return addLine("gap", event.why === "restarted"
        ? "The server was restarted; messages are missing here" : "Messages are missing here");
    case "reply": return answer(event);
    case "bye": return lost(event.why, event.retry);
  }
}

function takeBody(body) {
  tries = 0;
  for (const event of body.events) {
    take(event);
    if (!link) return; // a bye among them: the next link asks for the rest
  }
  cursor = body.cursor;
  if (!link.welcomed || body.sid !== sid) enter(body.sid);
}

// A link works. If the server no longer knew the client, it has given us a new sid that has no name yet.
function enter(given) {
  const known = given === sid;
  sid = given;
  link.welcomed = settled = true;
  show("live");
  ui.empty.hidden = ui.messages.childElementCount > 0;
  if (!nick) showForm();
  else if (known) showForm();
  else login(nick);
  refreshOnline();
  flush();
}

function takeMessage(message) {
  const [epoch, number] = message.id.split("-");
  const seq = Number(number);
  cursor = message.id;
  if (epoch === seen.epoch && seq <= seen.seq) return;
  seen = { epoch, seq };
  addMessage(message);
}

// ---- commands ----

const outbox = []; // commands without a reply yet, oldest first
let lastRef = 0;
let held = false; // told to wait before sending more
let posting = false;

function command(fields, { first = false } = {}) {
  return new Promise((settle) => {
    const item = { body: { ...fields, ref: ++lastRef }, settle, sentOn: null, refused: 0 };
    if (first) outbox.unshift(item);
    else outbox.push(item);
    flush();
  });
}

function flush() {
  ui.send.setAttribute("aria-busy", outbox.some((item) => item.body.op === "publish"));
  if (held || !link?.welcomed) return;
  if (!link.write) return void post();
  for (const item of outbox) {
    if (item.sentOn === link || item.posting) continue;
    item.sentOn = link;
    link.write(item.body);
  }
}

// One request at a time, so that messages keep their order.
async function post() {
  if (posting) return;
  posting = true;
  while (outbox.length && !held && link?.welcomed && !link.write) {
    const item = outbox[0];
    item.posting = true;
    const reply = await postOne(item).catch(() => (hold(BACKOFF_MS * 2), null));
    item.posting = false;
    if (reply) answer({ ...reply, ref: item.body.ref });
  }
  posting = false;
  if (link?.write) flush(); // the transport was changed meanwhile: the rest goes up there
}

async function postOne(item) {
  const response = await fetch(`/send?sid=${encodeURIComponent(sid)}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(item.body),
    signal: AbortSignal.timeout(CONNECT_MS),
  });
  if (response.ok) return response.json();
  const { message, retryMs, reply } = await refusal(response);
  if (reply) return reply;
  if (response.status === 429 || response.status >= 500) return void hold(retryMs ?? BACKOFF_MS * 2);
  // Not the command is refused but the client: a new link tells whether the server still knows it.
  if ([401, 403, 404, 409, 410].includes(response.status) && ++item.refused < 3) return void connect();
  return { ok: false, error: { message } };
}

function hold(ms) {
  held = true;
  setTimeout(() => { held = false; flush(); }, ms);
}

function answer(reply) {
  const at = outbox.findIndex((item) => item.body.ref === reply.ref);
  if (at < 0) return;
  if (!reply.ok && reply.error?.retry) {
    outbox[at].sentOn = null;
    return hold(reply.error.retry);
  }
  const [item] = outbox.splice(at, 1);
  item.settle(reply);
  flush();
}

// The secret proves that a name is ours: after a reload, in a second tab, after the server's restart.
async function login(name) {
  const secret = secrets()[name.toLowerCase()];
  const reply = await command({ op: "login", nick: name, ...(secret && { secret }) }, { first: true });
  nick = reply.ok ? reply.user : null;
  notice(reply.ok ? "" : reply.error.message);
  ui.nick.setAttribute("aria-invalid", !reply.ok);
  if (!reply.ok) ui.nick.value = name;
  showForm();
  if (!reply.ok) return ui.nick.select();
  if (reply.secret) keepSecret(reply.user, reply.secret);
  refreshOnline();
}

async function publish(text) {
  const key = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
  const reply = await command({ op: "publish", ch: room, data: { text }, key });
  notice(reply.ok ? "" : reply.error.message);
  if (!reply.ok && !ui.text.value) ui.text.value = text;
}

// ---- who is online ----

const users = new Map(); // nick -> away?

async function refreshOnline() {
  const reply = await command({ op: "who", ch: room });
  if (!reply.ok) return;
  for (const user of users.keys()) if (!reply.users.includes(user)) users.delete(user);
  for (const user of reply.users) if (!users.has(user)) users.set(user, false);
  showOnline();
}

// Lines are shown for changes only, so that a presence event heard twice says nothing twice.
function takePresence({ event, user }) {
  const was = users.has(user);
  if (event === "leave") users.delete(user);
  else users.set(user, event === "away");
  if (event === "join" && !was) addLine("presence", `${user} joined`);
  if (event === "leave" && was) addLine("presence", `${user} left`);
  showOnline();
}

function showOnline() {
  ui.count.textContent = users.size;
  const names = [...users.keys()].sort((a, b) => a.localeCompare(b));
  ui.online.replaceChildren(...names.map((name) => {
    const item = element("li", users.get(name) ? "away" : "", name);
    item.dataset.nick = name;
    return item;
  }));
}

// ---- what is shown ----

const names = Object.fromEntries([...ui.transport.options].map((o) => [o.value, o.text]));

function show(state, why) {
  const way = ui.transport.value;
  ui.state.dataset.state = state;
  ui.state.dataset.transport = way;
  ui.state.textContent = {
    connecting: `Connecting over ${names[way]}`,
    live: `Live over ${names[way]}`,
    retrying: `Retrying over ${names[way]}${why ? `: ${why}` : ""}`,
    off: why,
  }[state];
}

function showForm() {
  const inside = nick !== null;
  const changed = ui.compose.hidden === inside;
  ui.join.hidden = inside;
  ui.compose.hidden = !inside;
  if (changed && matchMedia("(hover: hover)").matches) (inside ? ui.text : ui.nick).focus();
}

function notice(text) {
  ui.notice.textContent = text;
  ui.notice.hidden = !text;
}

let previous = { from: undefined, at: 0 };

function addMessage({ id, from, at, data, encoding }) {
  const item = element("li", "message");
  item.dataset.id = id;
  item.dataset.from = from ?? "";
  item.classList.toggle("mine", from !== null && from === nick);
  item.classList.toggle("nobody", from === null);
  item.classList.toggle("again", from === previous.from && at - previous.at < GROUP_MS);
  previous = { from, at };

  const name = element("span", "from", from ?? "anonymous");
  name.style.setProperty("--hue", hue(from ?? ""));
  const when = new Date(at);
  const time = element("time", "", when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = when.toISOString();
  time.title = when.toLocaleString();
  const text = typeof data === "string" ? data : data?.text;
  const plain = typeof text === "string" && !encoding;
  item.append(name, element("p", plain ? "text" : "text json", plain ? text : spaced(data)), time);
  addItem(item);
}

function addLine(kind, text) {
  previous = { from: undefined, at: 0 };
  addItem(element("li", kind, text));
}

function addItem(item) {
  const { scrollHeight, scrollTop, clientHeight } = ui.log;
  const atEnd = scrollHeight - scrollTop - clientHeight < 80;
  ui.messages.append(item);
  ui.empty.hidden = true;
  while (ui.messages.childElementCount > SHOWN_MAX) ui.messages.firstElementChild.remove();
  if (atEnd || item.classList.contains("mine")) scrollToEnd();
  else ui.newest.hidden = !item.dataset.id && ui.newest.hidden;
}

function scrollToEnd() {
  ui.log.scrollTop = ui.log.scrollHeight;
  ui.newest.hidden = true;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text; // a text node: what people write is never markup
  return made;
}

// JSON with a space wherever a line may end; a string's own line ends are escaped and stay as they are.
function spaced(data) {
  return JSON.stringify(data, null, 1).replace(/\n\s*/g, " ");
}

function hue(name) {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + char.codePointAt(0)) % 360;
  return sum;
}

// ---- small helpers ----

function address(path, more = {}) {
  const query = { ch: room, ...(cursor ? { since: cursor } : { last: HISTORY }), ...(sid && { sid }), ...more };
  const pairs = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return new URL(`${path}?${pairs.join("&")}`, location.href).href;
}

// What an HTTP answer that isn't 2xx says (RFC 9457), as an error that `lost` understands.
async function refusal(response) {
  const said = await response.json().catch(() => ({}));
  const error = new Error(said.detail ?? said.title ?? said.error?.message ?? `HTTP status ${response.status}`);
  const seconds = Number(response.headers.get("retry-after"));
  if (seconds > 0) error.retryMs = seconds * 1000 * (1 + Math.random() / 2);
  if (typeof said.ok === "boolean") error.reply = said;
  return error;
}

// Functions that frames and scripts call by name. A late call finds nobody, and that is no error.
function expose(act) {
  const callback = `encke_${expose.next = (expose.next ?? 0) + 1}`;
  window[callback] = act;
  return callback;
}

function retract(callback) {
  window[callback] = () => {};
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function unescapeOr(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

// The client's id is kept only between leaving the page and coming back to it, so that a reload goes on as
// the same client, while a duplicated tab becomes one of its own.
function restore() {
  const kept = stored("sessionStorage");
  store("sessionStorage", null);
  if (kept.transport) ui.transport.value = kept.transport;
  return kept;
}

function keep() {
  store("sessionStorage", { sid, nick, transport: ui.transport.value });
  drop();
}

// Names and their secrets stay with the browser; the last one used is offered to the next tab.
function secrets() {
  return stored("localStorage").secrets ?? {};
}

function keepSecret(name, secret) {
  const others = Object.entries(secrets()).filter(([other]) => other !== name.toLowerCase());
  const kept = [...others.slice(1 - NAMES_KEPT), [name.toLowerCase(), secret]];
  store("localStorage", { nick: name, secrets: Object.fromEntries(kept) });
}

// A browser that keeps nothing for pages throws at the mention of a store; then nothing is kept.
function stored(where) {
  try { return JSON.parse(window[where].getItem("encke")) ?? {}; } catch { return {}; }
}

function store(where, what) {
  try {
    if (what) window[where].setItem("encke", JSON.stringify(what));
    else window[where].removeItem("encke");
  } catch { /* see above */ }
}

// ---- the page itself ----

ui.room.textContent = room;
ui.nick.value = stored("localStorage").nick ?? "";
document.title = `${room} · encke`;

ui.transport.addEventListener("change", () => { settled = true; tries = 0; connect(); });
ui.join.addEventListener("submit", (e) => {
  e.preventDefault();
  const name = ui.nick.value.trim();
  if (name) login(name);
});
ui.compose.addEventListener("submit", (e) => {
  e.preventDefault();
  const text = ui.text.value.trim();
  ui.text.value = "";
  if (text) publish(text);
});
ui.text.addEventListener("keydown", (e) => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
  e.preventDefault();
  ui.compose.requestSubmit();
});
ui.newest.addEventListener("click", scrollToEnd);
ui.log.addEventListener("scroll", () => {
  if (ui.log.scrollHeight - ui.log.scrollTop - ui.log.clientHeight < 8) ui.newest.hidden = true;
});
addEventListener("online", () => { if (ui.state.dataset.state === "retrying") connect(); });
addEventListener("hashchange", () => location.reload());
addEventListener("pagehide", keep);
addEventListener("pageshow", () => { store("sessionStorage", null); connect(); });
