// The script of the forever iframe, run with windows of our own making: whom it calls, and whom it does not.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import vm from "node:vm";
import { startServer } from "../server.mjs";

let server;
before(async () => { server = await startServer(); });
after(() => server?.stop());

// What `e`, which every message calls, calls itself, in a window whose parent and top are these.
async function called(callback, frame) {
  const stop = new AbortController();
  const response = await fetch(`${server.base}/iframe?ch=hall&callback=${callback}`, { signal: stop.signal });
  const { value } = await response.body.getReader().read();
  stop.abort();
  const script = /<script>\n([^]*?)<\/script>/.exec(new TextDecoder().decode(value))[1];
  const page = vm.createContext({ document: { body: {} }, ...frame });
  page.self = vm.runInContext("this", page);
  page.top ??= page.self;
  page.parent ??= page.self;
  vm.runInContext(`${script}\ne("said")`, page);
}

test("the parent's callback is called, in htmlfile too", async () => {
  const heard = [];
  const parent = { app: { on: (o) => heard.push(o) }, document: {} };
  await called("app.on", { parent, top: {} });
  await called("app.on", { parent: { document: { parentWindow: parent } }, top: {} });
  assert.deepEqual(heard, ["said", "said"]);
});

test("a window that a stranger opened calls nothing of its opener", async () => {
  let clicks = 0;
  const opener = { document: { forms: { click: () => { clicks += 1; } } } };
  await called("opener.document.forms.click", { opener });
  assert.equal(clicks, 0);
});
