// The laboratory in Chromium: every transport reads every message, the counts agree with what the server and the
// browser know, pausing stops, and nobody pays for a page that isn't looked at.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before, test } from "node:test";
import { asOperator, root, startServer, until } from "../clients/server.mjs";
import { launch } from "./chromium.mjs";

const ALL = ["short", "long", "jsonp", "iframe", "stream", "sse", "ws"];
const HELD = ["long", "jsonp", "iframe", "stream", "sse", "ws"];
const opened = new Set();
let server, browser;

before(async () => {
  server = await startServer("--jsonp");
  browser = await launch();
});
// However a test ended: its page would read on, and be counted with the next one's.
afterEach(async () => {
  for (const context of opened) await context.close();
  opened.clear();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function open({ base = server.base, path = "/lab?rate=0", ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en-GB", ...options });
  opened.add(context);
  const page = await context.newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (line) => { if (line.type() === "error") page.complaints.push(line.text()); });
  await page.goto(base + path);
  return page;
}

const card = (page, wire) => page.locator(`#wires [data-wire=${wire}]`);
const state = (page, wire) => card(page, wire).getAttribute("data-state");
const figure = async (page, wire, name) => {
  const text = await card(page, wire).locator(`[data-figure=${name}]`).textContent();
  return Number(text.replace(/[^\d.]/g, "")) || 0;
};
const figures = async (page, wires, name) => Promise.all(wires.map((wire) => figure(page, wire, name)));
const isOpen = (page, wires) => until("all are open", async () => (await Promise.all(wires.map((wire) => state(page, wire)))).every((one) => one === "on"));
// Leaving out JSONP: a script that is under way can't be called back, and is answered when its time is over.
const nobodyReads = async () => !/encke_readers\{transport="(?!jsonp)\w+"\} [1-9]/.test(await (await fetch(`${server.base}/metrics`, asOperator)).text());
const publish = (data) => fetch(`${server.base}/publish/lab`, { ...asOperator, method: "POST", body: data });

test("each transport is told each message, publishing included, with all six connections in use", async () => {
  const page = await open();
  await isOpen(page, ALL);
  await page.getByRole("button", { name: "Count anew" }).click();
  await page.getByRole("button", { name: "Publish one now" }).click();
  await publish("from elsewhere </script>");
  await until("all have both", async () => (await figures(page, ALL, "messages")).every((n) => n === 2));
  for (const wire of ALL) {
    const log = card(page, wire).locator(".log");
    await until(`${wire} shows it`, async () => (await log.textContent()).includes("from elsewhere \\u003c/script>"));
    assert.match(await card(page, wire).locator("figcaption").textContent(), /^Delay of the last 1: /, wire);
  }
  const delay = async (wire) => page.locator(`#race [data-wire=${wire}] .wait`).evaluate((one) => parseFloat(one.style.width));
  for (const wire of HELD) assert.ok(await delay(wire) > 0, wire);
  assert.deepEqual(page.complaints, []);
});

test("what is counted is what went over the wire", async () => {
  const page = await open();
  await isOpen(page, ALL);
  await page.getByRole("button", { name: "Count anew" }).click();
  const text = JSON.stringify("x".repeat(1000));
  await publish(text);
  await until("it came", async () => (await figures(page, HELD, "messages")).every((n) => n === 1));
  const history = await (await fetch(`${server.base}/channels/lab/history?limit=1`, asOperator)).text();
  const message = Buffer.byteLength(history.slice(history.indexOf("{\"type\""), history.lastIndexOf("],\"more\"")));
  const id = JSON.parse(history).messages[0].id;
  const around = { iframe: "<script>e()</script>\n".length, stream: 1, sse: `id: ${id}\nevent: message\ndata: \n\n`.length, ws: 4 };
  for (const [wire, more] of Object.entries(around)) {
    assert.equal(await figure(page, wire, "body"), message + more, wire);
    assert.equal(await figure(page, wire, "requests"), 0, `${wire} goes on as it is`);
    assert.equal(await figure(page, wire, "heads"), 0, wire);
    assert.equal(await figure(page, wire, "wakes"), 1, wire);
  }
  // A long poll was answered and asked anew: one answer's head, one request's.
  assert.equal(await figure(page, "long", "requests"), 1);
  const heads = await figure(page, "long", "heads");
  assert.ok(heads > 400 && heads < 2000, String(heads));
});

test("it publishes at the rate that is chosen", async () => {
  const page = await open({ path: "/lab" });
  await page.getByLabel("Publish", { exact: true }).selectOption("20");
  await until("many came", async () => (await figures(page, HELD, "messages")).every((n) => n > 20));
  await page.getByLabel("Publish", { exact: true }).selectOption("0");
  const sent = async () => Number(await page.locator("#sent").textContent());
  await until("all came", async () => {
    const count = await sent();
    return (await figures(page, ALL, "messages")).every((n) => n === count);
  });
});

test("silence costs a short poll and nobody else", async () => {
  const page = await open();
  await isOpen(page, ALL);
  await page.getByRole("button", { name: "Count anew" }).click();
  await until("it asked twice", async () => await figure(page, "short", "requests") >= 2);
  assert.deepEqual(await figures(page, HELD, "requests"), HELD.map(() => 0));
  assert.deepEqual(await figures(page, HELD, "wakes"), HELD.map(() => 0));
});

test("a paused transport reads nothing, and comes back", async () => {
  const page = await open();
  await isOpen(page, ALL);
  const readers = async () => (await (await fetch(`${server.base}/metrics`, asOperator)).text()).match(/encke_readers\{transport="sse"\} (\d+)/)[1];
  await until("one reads", async () => await readers() === "1");
  await card(page, "sse").getByRole("button", { name: "Pause: Server-Sent Events" }).click();
  await until("the server knows", async () => await readers() === "0");
  await page.getByRole("button", { name: "Count anew" }).click();
  await publish("1");
  await until("the others have it", async () => (await figures(page, ["ws", "stream", "long"], "messages")).every((n) => n === 1));
  assert.equal(await figure(page, "sse", "messages"), 0);
  await card(page, "sse").getByRole("button", { name: "Resume: Server-Sent Events" }).click();
  await isOpen(page, ["sse"]);
  await publish("2");
  await until("it reads again", async () => await figure(page, "sse", "messages") === 1);
  await page.getByRole("button", { name: "Pause all" }).click();
  await until("nobody reads", async () => await nobodyReads());
});

test("a page that is not looked at has no connection", async () => {
  const page = await open();
  await isOpen(page, ALL);
  const hide = (isHidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
  await hide(true);
  await until("nobody reads", async () => await nobodyReads());
  await hide(false);
  await isOpen(page, ALL);
});

test("what it keeps is bounded", async () => {
  const page = await open();
  await isOpen(page, ["ws", "stream", "sse"]);
  const lines = Array.from({ length: 300 }, (_, n) => JSON.stringify({ ch: "lab", data: `${n} ${"y".repeat(2000)}` })).join("\n");
  await fetch(`${server.base}/publish`, { ...asOperator, method: "POST", body: lines });
  await until("all came", async () => await figure(page, "ws", "messages") === 300);
  for (const wire of ["ws", "sse", "stream"]) {
    const entries = await card(page, wire).locator(".log li").allTextContents();
    assert.ok(entries.length <= 40 && entries.every((entry) => entry.length < 500), wire);
  }
});

test("JSONP is named where it is off, and not tried", async () => {
  const plain = await startServer();
  try {
    const page = await open({ base: plain.base });
    await isOpen(page, ALL.filter((wire) => wire !== "jsonp"));
    assert.equal(await state(page, "jsonp"), "missing");
    assert.match(await card(page, "jsonp").textContent(), /--jsonp/);
    assert.deepEqual(page.complaints, []);
    } finally { await plain.stop(); }
});

test("narrow and wide, in both languages, nothing sticks out", async () => {
  for (const width of [360, 1000, 1600]) {
    for (const lang of ["en", "zh"]) {
      const page = await open({ path: `/lab?rate=0&lang=${lang}`, viewport: { width, height: 800 } });
      await isOpen(page, ["ws"]);
      const [wide, over] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide <= over, `${lang} at ${width}: ${wide}`);
      assert.equal(await page.locator("h1").textContent(), lang === "zh" ? "实验室" : "The laboratory");
        }
  }
});

test("each thing is said in both languages, and nothing can become markup", () => {
  const source = (name) => readFileSync(`${root}src/web/${name}`, "utf8");
  const [, table] = /export const WORDS = (\{[\s\S]*?\n\});/.exec(source("lab-words.js"));
  const words = new Function(`return ${table}`)();
  for (const [key, said] of Object.entries(words)) {
    assert.equal(said.length, 2, key);
    assert.doesNotMatch(said[0], /\p{Script=Han}/u, key);
    assert.ok(said[1], key);
  }
  for (const [, key] of source("lab.html").matchAll(/data-t(?:-label)?="(\w+)"/g)) assert.ok(words[key], key);
  for (const name of ["lab.js", "lab-wires.js", "lab-words.js"]) {
    assert.doesNotMatch(source(name), /innerHTML|insertAdjacentHTML|document\.write|\beval\b|setAttribute\("style"/, name);
  }
  assert.doesNotMatch(source("lab.html"), /<script>|<style|\sstyle=|\son\w+=/);
});
