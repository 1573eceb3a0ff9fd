// Debian's nginx in front: what a bare `proxy_pass` lets through, and what the lines do that WebSocket needs.
// Left out on a machine without nginx.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import WebSocket from "ws";
import { BARE, fromReadme, NGINX, startNginx } from "./nginx.mjs";
import { publish, startKeyless, startServer } from "./server.mjs";

const skip = NGINX ? false : "no nginx on this machine";

let server, proxy;
before(async () => { server = skip ? null : await startServer("--jsonp"); });
after(() => server?.stop());
afterEach(async () => { await proxy?.stop(); proxy = null; });

// Reads until `wanted` has come: what is held back by the proxy never does.
async function hears(path, wanted, say) {
  const stop = new AbortController();
  const late = setTimeout(() => stop.abort(), 10_000);
  const response = await fetch(proxy.base + path, { signal: stop.signal });
  assert.equal(response.status, 200, path);
  const decoder = new TextDecoder();
  let [text, said] = ["", false];
  for await (const bytes of response.body) {
    text += decoder.decode(bytes, { stream: true });
    if (!said && text.includes("welcome")) said = !!await say();
    if (text.includes(wanted)) break;
  }
  clearTimeout(late);
  stop.abort();
  assert.ok(text.includes(wanted), `${path}: ${text}`);
}

// As the page of the site asks. Node's fetch says nothing of its own in these fields.
function ping(sid, fields) {
  return fetch(`${proxy.base}/send?sid=${encodeURIComponent(sid)}`,
    { method: "POST", headers: { origin: proxy.base, ...fields }, body: '{"op":"ping","ref":1}' });
}

for (const [name, lines] of [["a bare proxy_pass", BARE], ["the lines of the README", fromReadme()]]) {
  test(`${name}: streams flow, polls are answered`, { skip, timeout: 30_000 }, async () => {
    proxy = await startNginx(server.port, lines);
    for (const path of ["/sse?ch=a", "/stream?ch=a", "/iframe?ch=a&callback=heard"]) {
      const text = `over ${path.slice(1, 4)} ${name}`;
      await hears(path, text, () => publish(server.base, "a", text));
    }
    const { sid, cursor } = await (await fetch(`${proxy.base}/poll?ch=a`)).json();
    const poll = fetch(`${proxy.base}/poll?ch=a&sid=${encodeURIComponent(sid)}&since=${cursor}&wait=10`);
    await publish(server.base, "a", "for the poll");
    assert.deepEqual((await (await poll).json()).events.map((event) => event.data), ["for the poll"]);
    assert.match(await (await fetch(`${proxy.base}/jsonp?ch=a&callback=heard`)).text(), /^\/\*\*\/heard\(/);

    const reply = await (await ping(sid, { "sec-fetch-site": "same-origin" })).json();
    assert.equal(reply.ok, true);
    assert.equal((await ping(sid, { "sec-fetch-site": "cross-site", origin: "http://evil.example" })).status, 403);
  });
}

// From 1.29.7 on nginx does this by itself; older ones do when they are told to.
const MODERN = { http: "", server: BARE.server.replace("{", '{ proxy_http_version 1.1; proxy_set_header Connection "";') };
const OPERATIONS = ["/metrics", "/admin/users", "/channels/@ann", "/channels/@ann/history"];
const LOOKS = ["/channels", "/channels/lobby", "/channels/lobby/history"];
const status = async (base, path, fields) => (await fetch(base + path, fields)).status;

for (const [name, lines] of [["a bare proxy_pass", BARE], ["the lines of the README", fromReadme()], ["HTTP/1.1", MODERN]]) {
  test(`${name}: a visitor is no moderator`, { skip, timeout: 30_000 }, async () => {
    const keyless = await startKeyless();
    try {
      await fetch(`${keyless.base}/publish/lobby`, { method: "POST", body: "1" });
      for (const path of LOOKS) assert.equal(await status(keyless.base, path), 200, path);
      proxy = await startNginx(keyless.port, lines);
      for (const fields of [{}, { headers: { "x-forwarded-for": "127.0.0.1" } }, {}]) {
        for (const path of OPERATIONS) assert.equal(await status(proxy.base, path, fields), 401, path);
        const inbox = { ...fields, method: "POST", body: "1" };
        assert.equal(await status(proxy.base, "/publish/@ann", inbox), 401);
      }
      // Nothing tells a silent HTTP/1.1 from a program on this machine, so rooms are open to visitors. A bare
      // proxy_pass speaks it or not by its version.
      if (lines === BARE) return;
      const rooms = lines === MODERN ? 200 : 401;
      const fresh = await startKeyless();
      try {
        await fetch(`${fresh.base}/publish/lobby`, { method: "POST", body: "1" });
        await proxy.stop();
        proxy = await startNginx(fresh.port, lines);
        for (const path of LOOKS) assert.equal(await status(proxy.base, path), rooms, path);
      } finally {
        await fresh.stop();
      }
    } finally {
      await keyless.stop();
    }
  });
}

test("WebSocket needs the lines", { skip, timeout: 30_000 }, async () => {
  const attempt = () => new Promise((resolve) => {
    const socket = new WebSocket(`${proxy.base.replace("http", "ws")}/ws?ch=a`, { origin: proxy.base });
    socket.on("unexpected-response", (_, response) => resolve(response.statusCode));
    socket.on("error", resolve);
    socket.on("message", (data) => { resolve(JSON.parse(data).type); socket.close(); });
  });
  proxy = await startNginx(server.port, BARE);
  assert.equal(await attempt(), 403, "the site is not named to us, and an Upgrade would not come through either");
  await proxy.stop();
  proxy = await startNginx(server.port, fromReadme());
  assert.equal(await attempt(), "welcome");
});

// What a page or a script of ours names: what it loads, what it links to, what it imports.
const ADDRESSES = /(?:\b(?:src|href)="|\bfrom "(?=[./])|\bimport(?: |\()")([^"]*)"/g;

test("below a path of the site everything that is served finds what it needs", { skip, timeout: 30_000 }, async () => {
  const { http, server: lines } = fromReadme();
  proxy = await startNginx(server.port, { http, server: lines
    .replace("location / {", "location = /healthz { proxy_pass http://127.0.0.1:8080; }\nlocation /chat/ {")
    .replace(/proxy_pass ([^;]*);(?=\s+proxy_http)/, "proxy_pass $1/;") });
  assert.equal((await fetch(`${proxy.base}/encke.js`)).status, 404, "outside of the path there is nothing");
  const seen = new Set(["", "lab", "encke.mjs", "encke.js", "encke.src.js", "encke.d.ts"].map((path) => `${proxy.base}/chat/${path}`));
  for (const at of seen) {
    const answer = await fetch(at);
    assert.equal(answer.status, 200, at);
    if (!/html|javascript/.test(answer.headers.get("content-type"))) continue;
    for (const [, named] of (await answer.text()).matchAll(ADDRESSES)) {
      const { origin, pathname } = new URL(named, at);
      if (origin !== proxy.base) continue;
      assert.ok(pathname.startsWith("/chat/"), `${at} names ${named}`);
      seen.add(`${proxy.base}${pathname}`);
    }
  }
  for (const found of ["lab.css", "lab.js", "lab-wires.js", "chat.js", "chat-kept.js", "theme.js", "logo.svg"]) {
    assert.ok(seen.has(`${proxy.base}/chat/${found}`), `${found} was found`);
  }
  await hears("/chat/sse?ch=a", "below a path", () => publish(server.base, "a", "below a path"));
});
