// Networks that do harm: a proxy in front of the server, with one vice. Plain sockets and Node's http, ours.
//
//   const proxy = await startProxy(server.port, cuts(2000));   // proxy.base, proxy.at
//   await proxy.stop();                                        // it dies; startProxy(…, …, proxy.at) and it returns
//
// A vice is called with the head of a connection's first request, both sockets and the first bytes, and returns
// true if it has taken the connection over. One that reads HTTP brings a server of its own. It knows no browser.

import http from "node:http";
import net from "node:net";

// Each has a loopback address of its own: a browser opens one WebSocket at a time to an address (RFC 6455, section
// 4.1), so that one which is slow to open, or never answered, would hold up all others.
let addresses = 0;
const address = () => `127.0.0.${2 + addresses++ % 250}`;

export async function startProxy(target, vice = none, { port = 0, host = address() } = {}) {
  const open = new Set();
  const listener = vice.server ? vice.server(target) : net.createServer((client) => {
    const upstream = net.connect(target, "127.0.0.1");
    keep(upstream);
    for (const [socket, other] of [[client, upstream], [upstream, client]]) {
      socket.on("close", () => (vice.lateMs ? setTimeout(() => other.destroySoon(), vice.lateMs) : other.destroy()));
    }
    client.once("data", (first) => {
      // The page's own connection ends with it: a transport gets one of its own, and its whole life.
      if (/^GET \/healthz/.test(first)) {
        first = Buffer.from(first.toString("latin1").replace(/^connection: keep-alive/im, "Connection: close"), "latin1");
      }
      if (vice(first.toString("latin1"), client, upstream, first)) return;
      upstream.write(first);
      client.pipe(upstream);
      upstream.pipe(client);
    });
  });
  function keep(socket) {
    open.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
  }
  listener.on("connection", keep);
  await new Promise((resolve, reject) => listener.on("error", reject).listen(port, host, resolve));
  ({ port } = listener.address());
  return {
    at: { port, host },
    base: `http://${host}:${port}`,
    stop: () => new Promise((resolve) => {
      listener.close(resolve);
      for (const socket of open) socket.destroy();
    }),
  };
}

export const upgrades = (head) => /^upgrade: websocket/im.test(head);

export const none = () => false;

// Takes the handshake, and cuts what comes of it.
export const killsUpgraded = (ms) => (head, client, upstream) => {
  if (upgrades(head)) upstream.once("data", () => setTimeout(() => client.destroy(), ms));
  return false;
};

// Passes the request on as if no Upgrade had been asked for.
export function dropsUpgrade(head, client, upstream, first) {
  if (!upgrades(head)) return false;
  upstream.write(first.toString("latin1").replace(/^(upgrade|connection):.*\r\n/gim, ""), "latin1");
  client.pipe(upstream); // what the browser asks next on this connection
  upstream.pipe(client);
  return true;
}

// Answers in the server's place.
export const answersUpgrade = (status) => (head, client) => {
  if (!upgrades(head)) return false;
  client.end(`HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno`);
  return true;
};

// Takes the request, and that is the last one hears of it.
export const ignoresUpgrade = upgrades;

// Holds every answer back until it is complete, as its Content-Length tells; a stream never is.
export function buffers(head, client, upstream, first) {
  if (upgrades(head)) return answersUpgrade(502)(head, client);
  let held = Buffer.alloc(0);
  upstream.on("data", (bytes) => {
    held = Buffer.concat([held, bytes]);
    for (;;) {
      const end = held.indexOf("\r\n\r\n");
      const length = /content-length: (\d+)/i.exec(held.toString("latin1", 0, Math.max(end, 0)));
      if (end < 0 || !length || held.length < end + 4 + Number(length[1])) return;
      const whole = end + 4 + Number(length[1]);
      client.write(held.subarray(0, whole));
      held = held.subarray(whole);
    }
  });
  upstream.write(first);
  client.pipe(upstream);
  return true;
}

// Holds back what came together with the head of an answer until more comes, and nothing after that, as Varnish
// does; and it knows no Upgrade.
export function holdsFirst(head, client, upstream, first) {
  if (upgrades(head)) return answersUpgrade(502)(head, client);
  let held = null;
  let isHead = true; // what comes next begins an answer
  upstream.on("data", (bytes) => {
    const end = isHead ? bytes.indexOf("\r\n\r\n") : -1;
    isHead = false;
    if (end >= 0 && !/^content-length:/im.test(bytes.toString("latin1", 0, end))) {
      client.write(bytes.subarray(0, end + 4));
      held = bytes.subarray(end + 4);
    } else {
      client.write(held ? Buffer.concat([held, bytes]) : bytes);
      held = null;
    }
  });
  upstream.write(first);
  client.on("data", (bytes) => {
    isHead = true;
    upstream.write(bytes);
  });
  return true;
}

// Passes on GET and HEAD alone.
export const readsOnly = {
  server: (target) => http.createServer((request, response) => {
    if (/^(GET|HEAD)$/.test(request.method)) return passOn(target, request, response, (fields) => fields);
    response.writeHead(405, { "Content-Type": "text/html", Connection: "close" });
    response.end("<h1>Method Not Allowed</h1>");
  }),
};

// Passes everything on until `network.isDead`: from then on nothing comes of the connections that there were, and
// none of them ends.
export const dies = (network) => (head, client, upstream, first) => {
  const isOld = !network.isDead;
  const pass = (to) => (bytes) => { if (!(isOld && network.isDead)) to.write(bytes); };
  upstream.on("data", pass(client));
  client.on("data", pass(upstream));
  upstream.write(first);
  return true;
};

// Whatever it is, it is over after so long.
export const cuts = (ms) => (head, client) => {
  setTimeout(() => client.destroy(), ms);
  return false;
};

// All bytes arrive, this much later, in both directions; so does the end.
export function delays(ms) {
  const vice = (head, client, upstream, first) => {
    const late = (to) => (bytes) => setTimeout(() => to.write(bytes), ms);
    late(upstream)(first);
    client.on("data", late(upstream));
    upstream.on("data", late(client));
    return true;
  };
  return Object.assign(vice, { lateMs: ms });
}

// Passes on only what was in HTTP/1.1 when it was young (RFC 2616, section 14), both ways; what goes hop by hop
// is its own affair (RFC 9110, section 7.6.1).
const YOUNG = new Set(`accept accept-charset accept-encoding accept-language accept-ranges age allow authorization
  cache-control content-encoding content-language content-length content-location content-type date etag expect
  expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location
  max-forwards pragma range referer retry-after server user-agent vary warning`.split(/\s+/));

export const stripsHeaders = {
  server: (target) => http.createServer((request, response) => passOn(target, request, response, young)),
};

const young = (headers) => Object.fromEntries(Object.entries(headers).filter(([name]) => YOUNG.has(name)));

function passOn(target, request, response, choose) {
  const { method, url, headers } = request;
  const onward = http.request({ port: target, host: "127.0.0.1", method, path: url, headers: choose(headers), agent: false });
  onward.on("response", (answer) => {
    response.writeHead(answer.statusCode, choose(answer.headers));
    response.flushHeaders();
    answer.pipe(response);
    answer.on("error", () => response.destroy());
  });
  onward.on("error", () => response.destroy());
  response.on("close", () => onward.destroy());
  request.pipe(onward);
}
