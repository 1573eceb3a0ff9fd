// The transports of the laboratory, each as plain as it can be: no fallback, no cursor kept, one channel.
//
// It draws nothing. A wire is started with a meter, tells it of every request, of every byte and of every
// event, and gives back how to stop it. What a page can't see is estimated, and the meter told so.

const SHORT_MS = 2000; // between two short polls
const WAIT_S = 25; // that a long poll is held
const RETRY_MS = 2000; // after a failure
const SILENCE_MS = 70000; // after which an iframe, which tells no error, is opened anew: two heartbeats and more
const IFRAME_PAD = 2048; // bytes of padding, as the server sends them
const WAITING_MAX = 20; // messages for a socket that is not open yet
const SOCKET_ASKS = 160; // bytes that a handshake has beyond a fetch: Upgrade, Connection, Sec-WebSocket-…
const SOCKET_HEAD = 129; // bytes of a 101 with its four lines
const UNNUMBERED = ["heartbeat", "bye", "typing", "receipt"]; // events without an `id:`

const encoder = new TextEncoder();

/** The length of a text in UTF-8. */
export const length = (text) => encoder.encode(text).length;

/** An event as the server spells it: in a script `<` and two line ends are escaped. */
const spelled = (event) => JSON.stringify(event).replace(/[<\u2028\u2029]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

/** Where a path of the server is for this page: a proxy may have put both below a path of its own. */
export const here = (path) => new URL(`.${path}`, document.baseURI).href;

let asked; // bytes of a fetch's request head but for its path, once known
const heads = {}; // of streams, by path

/** What a fetch sends before its empty line, as the server counted it. */
async function requestHead(path) {
  if (asked === undefined) {
    asked = 400; // if it can't be asked for: what browsers send, roughly
    try {
      const answer = await fetch(here("/lab/head"), { cache: "no-store" });
      asked = (await answer.json()).bytes - "/lab/head".length;
    } catch (e) { /* the estimate stays */ }
  }
  return asked + path.length;
}

function responseHead(response) {
  let text = `HTTP/1.1 ${response.status} ${response.statusText}\r\n`;
  response.headers.forEach((value, name) => { text += `${name}: ${value}\r\n`; });
  return length(text) + 2;
}

/** The response head of a stream that does not show its own. */
async function streamHead(path) {
  if (!heads[path]) {
    try { heads[path] = responseHead(await fetch(here(path), { method: "HEAD", cache: "no-store" })); } catch (e) { return 300; }
  }
  return heads[path];
}

const pause = (ms, signal) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); done(); });
});

function take(meter, answer) {
  for (const event of answer.events) meter.event(event);
}

async function poll(meter, channel, signal, wait) {
  let after = "";
  while (!signal.aborted) {
    const path = `/poll?ch=${channel}${after || "&wait=0"}`;
    try {
      meter.asks(path, await requestHead(path));
      const response = await fetch(here(path), { cache: "no-store", signal });
      const text = await response.text();
      const answer = JSON.parse(text);
      if (!response.ok) throw new Error(answer.code);
      meter.state("on");
      meter.wakes();
      meter.heads(responseHead(response));
      meter.came(length(text), `${response.status} · ${text}`);
      take(meter, answer);
      after = `&sid=${answer.sid}&since=${answer.cursor}&wait=${wait}`;
      if (!wait) await pause(SHORT_MS, signal);
    } catch (e) {
      if (signal.aborted) return;
      meter.state("lost");
      after = "";
      await pause(RETRY_MS, signal);
    }
  }
}

async function stream(meter, channel, signal) {
  while (!signal.aborted) {
    const path = `/stream?ch=${channel}`;
    try {
      meter.asks(path, await requestHead(path));
      const response = await fetch(here(path), { cache: "no-store", signal });
      if (!response.ok) throw new Error(String(response.status));
      meter.heads(responseHead(response));
      const reader = response.body.getReader();
      const decoder = new TextDecoder();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        meter.state("on");
        meter.wakes();
        const text = decoder.decode(value, { stream: true });
        meter.came(value.length, text);
        const lines = (rest + text).split("\n");
        rest = lines.pop();
        for (const line of lines) if (line.trim()) meter.event(JSON.parse(line));
      }
    } catch (e) { /* it has ended, one way or the other */ }
    if (signal.aborted) return;
    meter.state("lost");
    await pause(RETRY_MS, signal);
  }
}

async function sse(meter, channel, signal) {
  const path = `/sse?ch=${channel}`;
  const [up, down] = [await requestHead(path), await streamHead(path)];
  if (signal.aborted) return;
  const begin = () => { meter.asks(path, up, true); };
  begin();
  const source = new EventSource(here(path));
  signal.addEventListener("abort", () => source.close());
  source.onopen = () => { meter.state("on"); meter.heads(down); };
  source.onerror = () => {
    if (signal.aborted) return;
    meter.state("lost");
    // It comes back by itself, unless it was refused.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => { if (!signal.aborted) sse(meter, channel, signal); }, RETRY_MS);
    else begin();
  };
  for (const type of ["welcome", "message", "presence", "gap", "heartbeat", "bye", "typing", "receipt"]) {
    source.addEventListener(type, (event) => {
      const id = UNNUMBERED.includes(type) || !event.lastEventId ? "" : `id: ${event.lastEventId}\n`;
      const text = `${id}event: ${type}\ndata: ${event.data}\n\n`;
      meter.wakes();
      meter.came(length(text), text);
      meter.event(JSON.parse(event.data));
    });
  }
}

async function iframe(meter, channel, signal) {
  const path = `/iframe?ch=${channel}&callback=enckeLab`;
  const [up, down] = [await requestHead(path), await streamHead(path)];
  if (signal.aborted) return;
  meter.asks(path, up, true);
  const frame = document.createElement("iframe");
  frame.hidden = true;
  frame.src = here(path);
  let [isFirst, timer] = [true, 0];
  const end = () => { clearTimeout(timer); frame.remove(); };
  const again = () => {
    end();
    if (signal.aborted) return;
    meter.state("lost");
    setTimeout(() => { if (!signal.aborted) iframe(meter, channel, signal); }, RETRY_MS);
  };
  window.enckeLab = (event) => {
    if (signal.aborted) return;
    clearTimeout(timer);
    timer = setTimeout(again, SILENCE_MS);
    if (isFirst) {
      isFirst = false;
      meter.state("on");
      meter.heads(down);
      // The document up to its body, and the padding.
      const document = frame.contentDocument.documentElement.outerHTML;
      meter.came(length(document) + IFRAME_PAD, `<!DOCTYPE html>${document.slice(0, 60)}… <!-- ${IFRAME_PAD} -->`);
    }
    const text = `<script>e(${spelled(event)})</script>\n`;
    meter.wakes();
    meter.came(length(text), text);
    meter.event(event);
    if (event.type === "bye") again();
  };
  timer = setTimeout(again, SILENCE_MS);
  signal.addEventListener("abort", end);
  document.body.append(frame);
}

/** One script, one call of the function of that name: what it was called with, if it came. */
function load(path, name, signal) {
  return new Promise((done) => {
    const script = document.createElement("script");
    let answer = null;
    window[name] = (came) => { answer = came; };
    const end = () => {
      script.remove();
      delete window[name];
      done(answer);
    };
    script.onload = end;
    script.onerror = end;
    signal.addEventListener("abort", () => {
      // A script that is under way can't be called back: it comes when it comes, and finds nobody at home.
      window[name] = () => {};
      done(null);
    });
    script.src = here(path);
    document.head.append(script);
  });
}

let scripts = 0;

async function jsonp(meter, channel, signal) {
  let after = "&wait=0";
  while (!signal.aborted) {
    const name = `enckeLab${++scripts}`;
    const path = `/jsonp?ch=${channel}&callback=${name}${after}`;
    meter.asks(path, await requestHead(path), true);
    const answer = await load(path, name, signal);
    if (signal.aborted) return;
    if (answer) {
      const text = `/**/${name}(${spelled(answer)});`;
      meter.state("on");
      meter.wakes();
      meter.heads(await streamHead(`/jsonp?ch=${channel}&callback=enckeLab`));
      meter.came(length(text), text);
      take(meter, answer);
      after = `&sid=${answer.sid}&since=${answer.cursor}&wait=${WAIT_S}`;
    } else {
      meter.state("lost");
      after = "&wait=0";
      await pause(RETRY_MS, signal);
    }
  }
}

const frameHead = (bytes) => (bytes < 126 ? 2 : bytes < 65536 ? 4 : 10);

async function ws(meter, channel, signal) {
  const path = `/ws?ch=${channel}`;
  const up = await requestHead(path);
  if (signal.aborted) return;
  meter.asks(path, up + SOCKET_ASKS, true);
  const socket = new WebSocket(here(path).replace(/^http/, "ws"));
  signal.addEventListener("abort", () => socket.close());
  socket.onopen = () => { meter.state("on"); meter.heads(SOCKET_HEAD + (socket.extensions ? length(socket.extensions) + 28 : 0)); };
  socket.onmessage = ({ data }) => {
    const bytes = length(data);
    meter.wakes();
    meter.came(bytes + frameHead(bytes), `81 ${bytes.toString(16).padStart(2, "0")} · ${data}`);
    meter.event(JSON.parse(data));
  };
  socket.onclose = () => {
    if (signal.aborted) return;
    meter.state("lost");
    setTimeout(() => { if (!signal.aborted) ws(meter, channel, signal); }, RETRY_MS);
  };
}

/** From the oldest idea to the newest. `run(meter, channel, signal)` reads until the signal aborts. */
export const WIRES = [
  { key: "short", at: "/poll?wait=0", run: (...all) => poll(...all, 0) },
  { key: "long", at: `/poll?wait=${WAIT_S}`, run: (...all) => poll(...all, WAIT_S) },
  { key: "jsonp", at: "/jsonp", run: jsonp, needs: "jsonp" },
  { key: "iframe", at: "/iframe", run: iframe },
  { key: "stream", at: "/stream", run: stream },
  { key: "sse", at: "/sse", run: sse },
  { key: "ws", at: "/ws", run: ws },
];

/** A way to publish that takes none of the six connections: a WebSocket of its own, opened when it is needed. */
export class Publisher {
  constructor(channel) {
    this.channel = decodeURIComponent(channel);
    this.waiting = []; // said before the socket was open
  }

  publish(data) {
    const command = JSON.stringify({ op: "publish", ch: this.channel, data });
    const { socket, waiting } = this;
    if (socket && socket.readyState === WebSocket.OPEN) { socket.send(command); return; }
    if (waiting.length < WAITING_MAX) waiting.push(command);
    if (socket && socket.readyState === WebSocket.CONNECTING) return;
    this.socket = new WebSocket(here("/ws").replace(/^http/, "ws"));
    this.socket.onopen = ({ target }) => { for (const one of waiting.splice(0)) target.send(one); };
  }

  close() {
    if (this.socket) this.socket.close();
    this.socket = null;
  }
}
