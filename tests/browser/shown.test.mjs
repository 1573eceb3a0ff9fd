// What the chat page shows is what there is, on all engines: links say where they go, text keeps to its place and is
// set as people meant it, pictures have their shape; names and stores may be as odd as they like, and so may the path.

import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { crc32, deflateSync } from "node:zlib";
import { after, before, test } from "node:test";
import { asOperator, publish, startServer, until } from "../clients/server.mjs";
import { ENGINES, launch } from "./engines.mjs";

const engines = process.env.ENCKE_ENGINES?.split(" ") ?? ENGINES;
const TEST = { timeout: 150_000 };

let browsers, server;
before(async () => {
  const all = await Promise.all(engines.map(launch));
  browsers = Object.fromEntries(all.map((browser) => [browser.name, browser]));
});
after(() => Promise.all(Object.values(browsers ?? {}).map((browser) => browser.close())));

const say = (data) => publish(server.base, "lobby", Buffer.from(JSON.stringify(data))); // bytes: JSON stays JSON
const shows = (tab, text) => tab.until(`"${text}" is shown`, (text) =>
  [...document.querySelectorAll("#lines .message .text")].some((one) => one.textContent.includes(text)), text);
const join = async (tab, nick) => {
  await tab.fill("textbox", "Your name", nick);
  await tab.press("button", "Join");
  await tab.until("one may write", (nick) => !document.getElementById("compose").hidden && document.getElementById("me-name").textContent === nick, nick);
};

// A PNG of so many pixels that says it is to be turned by a quarter.
function turned(width, height) {
  const chunk = (name, content) => {
    const checked = Buffer.concat([Buffer.from(name), content]);
    const ends = Buffer.alloc(8);
    ends.writeUInt32BE(content.length, 0);
    ends.writeUInt32BE(checksum(checked), 4);
    return Buffer.concat([ends.subarray(0, 4), checked, ends.subarray(4)]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head[8] = 8;
  const exif = Buffer.from("MM\0*\0\0\0\b\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0at home", "latin1");
  const pixels = deflateSync(Buffer.alloc((width + 1) * height));
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("eXIf", exif), chunk("IDAT", pixels), chunk("IEND", Buffer.alloc(0))]);
}

// node:zlib has one from version 20.15 on.
function checksum(bytes) {
  if (crc32) return crc32(bytes);
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
}

// Everything below /chat/ and nothing else, as `location /chat/ { proxy_pass http://…/; }` has it.
async function underPath(port) {
  const strange = [];
  const inside = (url) => {
    if (!url.startsWith("/chat/")) strange.push(url);
    return url.startsWith("/chat/") ? url.slice(5) : null;
  };
  const proxy = http.createServer((request, response) => {
    const path = inside(request.url);
    if (!path) return response.writeHead(404).end();
    const on = http.request({ port, path, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    on.on("error", () => response.destroy());
    return request.pipe(on);
  });
  const sockets = new Set();
  proxy.on("upgrade", (request, socket, head) => {
    sockets.add(socket);
    const path = inside(request.url);
    const on = net.connect(port, "127.0.0.1");
    for (const [one, other] of [[on, socket], [socket, on]]) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
    on.write(`GET ${path ?? "/"} HTTP/1.1\r\n${request.rawHeaders.reduce((all, part, n) => all + part + (n % 2 ? "\r\n" : ": "), "")}\r\n`);
    on.write(head);
    on.pipe(socket).pipe(on);
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  return {
    base: `http://127.0.0.1:${proxy.address().port}/chat/`,
    strange,
    stop: () => new Promise((resolve) => { 
      proxy.close(resolve);
      proxy.closeAllConnections();
      for (const socket of sockets) socket.destroy();
    }),
  };
}

for (const engine of engines) {
  const check = (name, act) => test(`${engine}: ${name}`, TEST, async () => {
    server = await startServer("--history", "2000");
    const profile = await browsers[engine].profile();
    const open = (base = `${server.base}/`) => profile.open(`${base}?lang=en`);
    try {
      await act(open);
    } finally {
      await profile.close();
      await server.stop();
    }
    assert.deepEqual(profile.complaints.filter((one) => one.startsWith("thrown")), []);
  });

  check("a link shows where it goes", async (open) => {
    const tab = await open();
    const honest = ["https://example.org/a_(b)?c=d#e", "HTTP://EXAMPLE.org", "https://example.org:8443/x", "https://münchen.example/straße",
      "https://例子.测试/路径", "https://xn--80ak6aa92e.com/", "http://[::1]:8080/", "https://example.org/a/%E2%80%AE"];
    const tricks = {
      "https://example.org/\u202egpj.exe": "https://example.org/%E2%80%AEgpj.exe", // letters turned around
      "https://\u0430\u0440\u0440\u04cf\u0435.com/": "https://xn--80ak6aa92e.com/", // Cyrillic that looks Latin
      "https://p\u0430ypal.com/": "https://xn--pypal-4ve.com/", // one letter of another script
      "https://exa\u200bmple.org/": "https://example.org/", // nothing that is seen
      "https://bank.com\\@evil.example/": "https://bank.com/@evil.example/",
      "https://0x7f.1/": "https://127.0.0.1/",
      "https://%65vil.example/": "https://evil.example/",
      "https://example.org:443/": "https://example.org/",
      "https://bank.com\u2044login.evil.example/": "https://bank.xn--comlogin-8t2d.evil.example/", // a slash that is none
    };
    const none = ["https://bank.com@evil.example/", "https://bank.com:pass@evil.example/", "https://", "javascript:alert(1)"];
    const all = [...honest, ...Object.keys(tricks), ...none];
    for (const [n, address] of all.entries()) await say({ text: `${n}: ${address} .` });
    await shows(tab, `${all.length - 1}: `);
    const found = await tab.evaluate(() => [...document.querySelectorAll("#lines .text")].map((text) => {
      const a = text.querySelector("a");
      return a && { shown: a.textContent, goes: a.href, apart: getComputedStyle(a).unicodeBidi, dir: a.dir };
    }));
    for (const [n, address] of all.entries()) {
      if (none.includes(address)) {
        assert.equal(found[n], null, address);
        continue;
      }
      const { shown, goes, apart, dir } = found[n];
      assert.deepEqual([dir, /isolate/.test(apart)], ["ltr", true], address);
      assert.equal(new URL(shown).href, goes, address);
      if (tricks[address] && !/comlogin/.test(tricks[address])) assert.equal(shown, tricks[address]);
      else if (tricks[address]) assert.match(shown, /^https:\/\/bank\.xn--[\w-]+\.evil\.example\/$/);
      else assert.equal(shown, address);
    }
  });

  check("bold, italic, code, lists and blocks are set as people type them", async (open) => {
    const tab = await open();
    const text = "**bold** *it* ***both*** `a*b*` 2*3*4 **粗体**字\n- one\n- two **x**\n  1. in\n3) three\n```js\n*not* <b>\n```\nend *open **un";
    await say({ text });
    await shows(tab, "end");
    const html = await tab.evaluate(() => document.querySelector("#lines .text").innerHTML.replace(/ (class|dir)="[^"]*"/g, ""));
    assert.equal(html, "<strong>bold</strong> <em>it</em> <strong><em>both</em></strong> <code>a*b*</code> 2*3*4 <strong>粗体</strong>字" +
      '<ul><li>one</li><li>two <strong>x</strong><ol><li value="1">in</li></ol></li></ul><ol><li value="3">three</li></ol>' +
      "<pre><code>*not* &lt;b&gt;</code></pre>end *open **un");
    const label = await tab.evaluate(() => document.querySelector("#lines .message").getAttribute("aria-label"));
    assert.match(label, /\*\*bold\*\* \*it\*/, "elsewhere it is as it was typed");
  });

  check("a text made to cost much costs no more than its length", async (open) => {
    const tab = await open();
    const parts = ["*", "**", "* ", "*a", "*a ", "**a *b ", "***a*b", "`", "`a", "`a` ", "```", "```\n", "``` a\n", "- a\n", "  - a\n", "1. ", "1.\n", "@", "@a",
      "@ann ", "http://a ", "https://a.", "https://(", "https://a)", "https://a:1:", "\n", " ", "x`*`@"];
    const size = (part) => Math.floor((/\n/.test(part) ? 30_000 : 60_000) / part.length); // a line's end takes two bytes
    // Taken apart: all of them, at once.
    const taken = await tab.evaluate(async (all) => {
      const { Mentions, partsOf } = await import("./chat-markup.js");
      const deep = (part) => 1 + Math.max(0, ...(part.parts ?? (part.items ?? []).flatMap((item) => item.parts)).map(deep));
      return all.map(([part, times]) => {
        const parts = partsOf(part.repeat(times), new Mentions(["ann"]));
        return [parts.length, Math.max(...parts.map(deep))];
      });
    }, parts.map((part) => [part, size(part)]));
    for (const [n, [count, depth]] of taken.entries()) {
      assert.ok(count <= 4_010 && depth <= 5, `${JSON.stringify(parts[n])}: ${count} parts, ${depth} deep`);
    }
    assert.ok(Math.max(...taken.map(([count]) => count)) > 1_000);
    // And shown, one at a time, since layout has its own cost.
    for (const [n, part] of ["*", "*a", "`a` ", "- a\n", "http://a "].entries()) {
      const text = `${part.repeat(size(part))}\nend ${n}`;
      await say({ text });
      await shows(tab, `end ${n}`);
      const [count, shown] = await tab.evaluate(() => {
        const line = document.querySelector("#lines .text");
        return [line.querySelectorAll("*:not(wbr)").length, line.textContent];
      });
      assert.ok(count < 10_000, `${JSON.stringify(part)}: ${count} elements`);
      if (count === 0) assert.equal(shown, text, "nothing of it is lost");
      await fetch(`${server.base}/admin/clear`, { ...asOperator, method: "POST", body: '{"ch":"lobby"}' });
      await tab.until("it is cleared", () => !document.querySelector("#lines .text"));
    }
  });

  check("a picture has its own shape, whatever was said of it and however it is stored", async (open) => {
    const { sid } = await (await fetch(`${server.base}/poll?ch=lobby`)).json();
    await fetch(`${server.base}/send?sid=${encodeURIComponent(sid)}`, { method: "POST", body: '{"op":"login","nick":"cam"}' });
    const bytes = turned(80, 20);
    const kept = await (await fetch(`${server.base}/pictures?sid=${encodeURIComponent(sid)}`, { method: "POST", body: bytes })).json();
    assert.deepEqual([kept.width, kept.height], [20, 80], "as it is shown");
    const back = Buffer.from(await (await fetch(`${server.base}/pictures/${kept.id}`)).arrayBuffer());
    assert.ok(bytes.includes("at home") && !back.includes("at home"));
    const tab = await open();
    for (const [width, height] of [[20, 80], [80, 20], [2000, 10], [9, 9000]]) {
      await say({ picture: { id: kept.id, name: `${width} by ${height}`, width, height } });
      await tab.until("it has the shape it is shown with", (name) => {
        const image = document.querySelector(`#lines img[alt="${name}"]`);
        if (!image || !image.naturalWidth) return false;
        const box = image.getBoundingClientRect();
        return Math.abs(box.width / box.height / (image.naturalWidth / image.naturalHeight) - 1) < 0.1 && box.height <= 320 && box.width <= 360;
      }, `${width} by ${height}`);
    }
  });

  check("ink stays in its box", async (open) => {
    const tab = await open();
    const pile = `${`o${"\u0301".repeat(90)}`.repeat(12)}`;
    await say({ text: pile });
    await say({ notice: pile });
    await join(tab, "ann");
    await shows(tab, "o\u0301");
    await tab.until("she is in the list", () => document.querySelector(".person-name"));
    const clipped = await tab.evaluate(() => ["#lines .bubble", "#title", "#empty", ".me-name", ".entry-name", ".person-name", "#typing", ".avatar"].map((selector) => {
      const style = getComputedStyle(document.querySelector(selector));
      return [selector, /paint|strict|content/.test(style.contain) || /hidden|clip|auto/.test(style.overflowY)];
    }));
    for (const [selector, is] of clipped) assert.ok(is, `${selector} draws over what is around it`);
  });

  check("a name may be any word, __proto__ too", async (open) => {
    const tab = await open();
    await join(tab, "__proto__");
    await tab.reload();
    await tab.until("it is still theirs", () => !document.getElementById("compose").hidden && document.getElementById("me-name").textContent === "__proto__");
    const found = await tab.evaluate(async () => {
      const { keepSecret, ownOf, secretOf } = await import("./chat-kept.js");
      const before = [secretOf("constructor"), secretOf("toString"), ownOf({}, "__proto__")];
      for (const name of ["constructor", "hasOwnProperty"]) keepSecret(name, `of ${name}`);
      return [before.every((one) => one === undefined), typeof secretOf("__proto__"), secretOf("constructor"), secretOf("hasOwnProperty"), secretOf("valueOf") === undefined];
    });
    assert.deepEqual(found, [true, "string", "of constructor", "of hasOwnProperty", true]);
  });

  check("a store that is full is one that keeps nothing", async (open) => {
    const tab = await open();
    const found = await tab.evaluate(async () => {
      const { keep, kept, tabKeep, tabKept } = await import("./chat-kept.js");
      keep("old", "stale");
      const { setItem } = Storage.prototype;
      Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); };
      const said = [keep("x", 1), keep("old", "new"), tabKeep("y", { z: 2 })];
      const during = [kept("x"), kept("old"), localStorage.getItem("encke.old"), tabKept("y")];
      window.enckeTheme("dark");
      const theme = [window.enckeTheme(), document.documentElement.dataset.theme];
      Storage.prototype.setItem = setItem;
      return [said, during, theme, keep("x", 3), kept("x"), localStorage.getItem("encke.x"), keep("x", undefined), kept("x") === undefined];
    });
    assert.deepEqual(found, [[false, false, false], [1, "new", null, { z: 2 }], ["dark", "dark"], true, 3, "3", true, true]);

    // And one's own name is one's own after being sent away, though its secret could not be written.
    await tab.evaluate(() => { Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); }; });
    await join(tab, "ann");
    await fetch(`${server.base}/admin/kick`, { ...asOperator, method: "POST", body: '{"user":"ann"}' });
    await tab.until("she is out", () => !document.getElementById("join").hidden);
    await join(tab, "ann"); // this fails if the name is somebody else's
  });

  check("a clock that is a day ahead changes no time and no day", async (open) => {
    const tab = await open();
    await say({ text: "from elsewhere" });
    await shows(tab, "from elsewhere");
    await tab.evaluate(() => {
      const now = Date.now.bind(Date);
      Date.now = () => now() + 86_400_000;
    });
    await join(tab, "ann");
    // The page learns by how much it is ahead as it learns how long a round trip takes.
    await tab.evaluate(async () => {
      const { toldTime } = await import("./chat-model.js");
      toldTime(Date.now() - 86_400_000);
    });
    await tab.fill("textbox", "Message", "from here");
    await tab.press("button", "Send");
    await tab.until("it is sent", () => document.querySelector("#lines .mine")?.dataset.id);
    const { messages } = await (await fetch(`${server.base}/channels/lobby/history?limit=2`, asOperator)).json();
    await tab.until("it has the server's time", (at) => document.querySelector("#lines .mine time").dateTime === at, new Date(messages[1].at).toISOString());
    assert.deepEqual(await tab.evaluate(() => [...document.querySelectorAll("#lines .day")].map((one) => one.textContent)), ["Today"]);
  });

  check("the page works under a path", async (open) => {
    const path = await underPath(server.port);
    try {
      const tab = await open(path.base);
      await join(tab, "ann");
      await tab.fill("textbox", "Message", "from below");
      await tab.press("button", "Send");
      await until("it is said", async () => (await (await fetch(`${server.base}/channels/lobby/history`, asOperator)).json()).messages.length === 1);
      const { sid } = await (await fetch(`${server.base}/poll?ch=lobby`)).json();
      await fetch(`${server.base}/send?sid=${encodeURIComponent(sid)}`, { method: "POST", body: '{"op":"login","nick":"cam"}' });
      const { id } = await (await fetch(`${server.base}/pictures?sid=${encodeURIComponent(sid)}`, { method: "POST", body: turned(4, 4) })).json();
      await say({ picture: { id, name: "small", width: 4, height: 4 } });
      await tab.until("the picture is shown", () => document.querySelector('#lines img[alt="small"]')?.naturalWidth > 0);
      assert.equal(await tab.evaluate(() => document.getElementById("state").dataset.transport), "websocket");
      assert.match(await tab.evaluate(() => location.href), /\/chat\/\?/);
      assert.deepEqual(path.strange.filter((url) => url !== "/favicon.ico"), []);
    } finally {
      await path.stop();
    }
  });
}
