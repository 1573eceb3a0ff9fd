// The client library promises to be small, and to parse wherever there is XMLHttpRequest.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { parse } from "acorn";
import { root } from "../clients/server.mjs";

const BYTES_MAX = 7 * 1024;
const file = `${root}src/web/encke.js`;
const source = readFileSync(file, "utf8");

test("encke.js is ES5, and even ES3", () => {
  for (const ecmaVersion of [5, 3]) {
    parse(source, { ecmaVersion, sourceType: "script", allowReserved: ecmaVersion === 3 ? "never" : false });
  }
  assert.throws(() => parse("const a = 1", { ecmaVersion: 5 }), "the parser must be able to fail");
});

test("encke.js is at most 7 KiB gzipped", () => {
  const bytes = gzipSync(source, { level: 9 }).length;
  assert.ok(bytes <= BYTES_MAX, `it has ${bytes} bytes`);
});

test("encke.js is a CommonJS module", () => {
  const module = { exports: {} };
  new Function("module", source)(module);
  assert.equal(typeof module.exports, "function");
  assert.equal(module.exports.transports[0], "websocket");
  assert.ok(createRequire(import.meta.url).resolve(file));
});
