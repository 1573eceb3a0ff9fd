// The client library promises to be small, and to parse wherever there is XMLHttpRequest; in both its forms,
// the one to be read and the one that is served.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { parse } from "acorn";
import { compact } from "./minify.mjs";
import { root, startServer } from "../clients/server.mjs";

const BYTES_MAX = 8 * 1024;
const files = { "encke.js": `${root}src/web/encke.js`, "encke.min.js": `${root}src/web/encke.min.js` };
const text = (name) => readFileSync(files[name], "utf8");

for (const name of Object.keys(files)) {
  test(`${name} is ES5, and even ES3`, () => {
    for (const ecmaVersion of [5, 3]) {
      parse(text(name), { ecmaVersion, sourceType: "script", allowReserved: ecmaVersion === 3 ? "never" : false });
    }
    assert.throws(() => parse("const a = 1", { ecmaVersion: 5 }), "the parser must be able to fail");
  });

  test(`${name} is a CommonJS module, and a plain script`, () => {
    const module = { exports: {} };
    new Function("module", "self", text(name))(module, {});
    assert.equal(typeof module.exports, "function");
    assert.equal(module.exports.transports[0], "websocket");
    const self = {};
    new Function("module", "self", text(name))(undefined, self);
    assert.equal(self.Encke.transports[0], "websocket");
    assert.ok(createRequire(import.meta.url).resolve(files[name]));
  });
}

test("encke.min.js is made from encke.js as it is", () => {
  assert.equal(text("encke.min.js"), compact(), "stale: run `npm run minify` in tests/browser");
});

test("encke.min.js names the source to be read", () => {
  assert.match(text("encke.min.js").split("\n")[0], /^\/\/ .*\/encke\.src\.js$/);
});

test("encke.js is at most 8 KiB as it is served", async () => {
  const server = await startServer();
  try {
    const answer = await fetch(`${server.base}/encke.js`, { headers: { "Accept-Encoding": "gzip" } });
    assert.equal(answer.headers.get("content-encoding"), "gzip");
    const length = Number(answer.headers.get("content-length"));
    assert.ok(length > 0 && length <= BYTES_MAX, `it has ${length} bytes`);
    assert.equal(await answer.text(), text("encke.min.js"), "the program is older than the file: build it");
    assert.equal(await (await fetch(`${server.base}/encke.src.js`)).text(), text("encke.js"));
  } finally {
    await server.stop();
  }
});
