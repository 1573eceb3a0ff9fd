// The chat page on a phone and with a keyboard, in Chromium: nothing is cut off on any sheet, in either language, with
// large letters; what is touched is large enough; the focus is where one types; nothing jumps.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./chromium.mjs";
import * as chat from "./chat-page.mjs";
import { publish, startServer, until } from "../clients/server.mjs";

const TEST = { timeout: 150_000 };
const TARGET = 44; // pixels that a finger needs
const FIELD = 16; // pixels of letters below which Safari zooms into a field

let server, browser;
before(async () => {
  server = await startServer("--history", "2000");
  browser = await launch();
  await publish(server.base, "lobby", "A message of several lines, long enough to be broken somewhere, wherever that is: https://example.org/" + "far/".repeat(20));
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function phone(width, lang, large) {
  const context = await browser.newContext({
    viewport: { width, height: 740 }, hasTouch: true, isMobile: true, locale: lang === "zh" ? "zh-CN" : "en-GB",
  });
  if (large) {
    await context.addInitScript(() => addEventListener("DOMContentLoaded", () => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("html { font-size: 200% !important }");
      document.adoptedStyleSheets = [sheet];
    }));
  }
  const page = await context.newPage();
  await page.goto(server.base);
  await chat.live(page);
  return page;
}

// Runs in the page: what is wider than the place it has, and what is too small to be touched or written in.
function faults([target, field]) {
  const found = [];
  const isSeen = (one) => one.getBoundingClientRect().width > 0 && getComputedStyle(one).visibility === "visible" && !one.closest(".unseen, .app[data-drawer=''] .side, .app[data-drawer=''] .people");
  const name = (one) => `${one.localName}#${one.id}.${one.className}`;
  for (const one of document.querySelectorAll("body *")) {
    if (!isSeen(one) || one.closest("svg, .avatar-frame")) continue; // a dot stands over the edge of its face
    const { overflowX, display } = getComputedStyle(one);
    const box = one.getBoundingClientRect();
    if (display !== "inline" && /visible|auto/.test(overflowX) && one.scrollWidth > one.clientWidth + 1 && one.clientWidth) {
      found.push(`${name(one)}: ${one.scrollWidth} in ${one.clientWidth}`);
    }
    if (box.right > innerWidth + 1 && !one.closest(".veil")) found.push(`${name(one)}: ends at ${box.right} of ${innerWidth}`);
  }
  for (const one of document.querySelectorAll("button, select, textarea, [role=option], label:has(input), input:not([type=file], [type=radio])")) {
    const box = one.getBoundingClientRect();
    if (isSeen(one) && (box.height < target - 0.5 || box.width < target - 0.5)) found.push(`${name(one)}: ${box.width} by ${box.height}`);
    if (/^(input|select|textarea)$/.test(one.localName) && parseFloat(getComputedStyle(one).fontSize) < field) found.push(`${name(one)}: letters too small`);
  }
  return found;
}

for (const [width, large] of [[320, false], [360, false], [390, false], [320, true], [390, true]]) {
  for (const lang of ["en", "zh"]) {
    test(`every sheet, window and list fits: ${width} px, ${lang}${large ? ", letters twice as large" : ""}`, TEST, async () => {
      const page = await phone(width, lang, large);
      const settled = () => page.evaluate(() => Promise.all(document.getAnimations().filter((one) => one.effect.getTiming().iterations === 1).map((one) => one.finished.catch(() => {}))));
      const fits = async (what) => {
        await settled();
        assert.deepEqual(await page.evaluate(faults, [TARGET, FIELD]), [], what);
      };
      const press = (id) => page.locator(id).click();
      const closed = async () => {
        await page.keyboard.press("Escape");
        await page.waitForFunction(() => !document.getElementById("dialogs").childElementCount);
      };
      await fits("the entrance");
      await page.fill("#nick", `A Name ${width}${lang}${large}`);
      await press("#enter");
      await page.waitForSelector("#text:visible");
      assert.notEqual(await page.evaluate(() => document.activeElement.localName), "body", "the focus is somewhere");
      await page.fill("#text", "hello");
      await press("#send");
      await fits("the conversation");
      await page.locator("#lines .mine").last().click();
      await fits("what may be done with a message");
      await press("#state");
      await fits("the connection");
      await closed();
      await press("#people-open");
      await fits("the people");
      await page.locator("#share-narrow").click();
      await page.waitForSelector("#notice:visible");
      await press("#people-close");
      await press("#side-open");
      await fits("the rooms");
      for (const [id, what] of [["#room-add", "finding a room"], ["#private-add", "writing to somebody"], ["#me", "settings"]]) {
        await press(id);
        await fits(what);
        await closed();
      }
      assert.equal(await page.evaluate(() => getComputedStyle(document.getElementById("me")).visibility), "visible");
      await press("#me");
      assert.equal(await page.locator(".hues input:checked").count(), 1, "a colour is shown as chosen");
      await page.locator(".dialog-buttons button").nth(1).click();
      await fits("the keys");
      await closed();
      await press("#side-close");
      await press("#emoji");
      await fits("the emoji");
      await page.keyboard.press("Escape");
      await page.locator("#text").pressSequentially(":smi");
      await page.waitForSelector("#names li");
      await fits("what is offered");
      await page.context().close();
    });
  }
}

async function desk() {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB" });
  const page = await context.newPage();
  await page.goto(server.base);
  await chat.live(page);
  return page;
}

test("who comes in types at once, and the keys are listed wherever one is", TEST, async () => {
  const page = await desk();
  await until("the name's field has the focus", () => page.evaluate(() => document.activeElement.id === "nick"));
  await page.keyboard.type("typist");
  await page.keyboard.press("Enter");
  await until("the message's field has it", () => page.evaluate(() => document.activeElement.id === "text"));
  await page.keyboard.press("Control+/");
  const keys = page.getByRole("dialog", { name: "Keyboard" });
  await keys.getByText("From message to message").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#log").focus();
  await page.keyboard.press("?");
  await keys.waitFor();
  await page.context().close();
});

test("nothing jumps: the state's width, the title's place, the time beside a last line", TEST, async () => {
  const page = await desk();
  const places = await page.evaluate(() => {
    const width = (text) => {
      document.getElementById("state-rtt").textContent = text;
      return document.getElementById("state").getBoundingClientRect().width;
    };
    const top = (text) => {
      document.getElementById("subtitle").textContent = text;
      return document.getElementById("title").getBoundingClientRect().top;
    };
    return { widths: ["", "1 ms", "88 ms", "1234 ms"].map(width), tops: ["", "2 here"].map(top) };
  });
  assert.equal(new Set(places.widths).size, 1, places.widths.join());
  assert.equal(new Set(places.tops).size, 1, places.tops.join());
  await chat.enter(page, "liner");
  const said = ["one line", `${"many words on several lines ".repeat(8)}end`, "שורה אחת"];
  for (const text of said) {
    await chat.say(page, text);
    await chat.shows(page, text);
  }
  const apart = await page.evaluate(() => [...document.querySelectorAll("#lines .mine")].map((one) => {
    const range = document.createRange();
    range.selectNodeContents(one.querySelector(".text"));
    const lines = [...range.getClientRects()].filter((box) => box.width > 0);
    return one.querySelector(".meta").getBoundingClientRect().top - Math.max(...lines.map((box) => box.bottom));
  }));
  assert.equal(apart.length, said.length);
  for (const [n, gap] of apart.entries()) assert.ok(gap < 0, `message ${n}: the time stands ${gap} px below the last line`);
  // A letter in the middle of its disc: its box is.
  const off = await page.evaluate(() => [...document.querySelectorAll(".avatar")].map((one) => {
    const range = document.createRange();
    range.selectNodeContents(one);
    const [disc, letter] = [one.getBoundingClientRect(), range.getBoundingClientRect()];
    return Math.abs(disc.top + disc.bottom - letter.top - letter.bottom) / 2;
  }));
  assert.ok(off.length > 1 && off.every((by) => by <= 1.5), off.join());
  await page.context().close();
});

test("a pile of marks leaves what is above it as it was", TEST, async () => {
  const page = await desk();
  await page.evaluate(() => { document.getElementById("lines").replaceChildren(); });
  // Two lines, of which the lower one is piled up or is not: the upper one looks the same.
  const pictures = [];
  const pile = `o${"\u0301".repeat(90)}`.repeat(12);
  for (const [text, isKept] of [["o".repeat(12), true], [pile, true], [pile, false]]) {
    await page.evaluate(async ([text, isKept]) => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(isKept ? "" : ".bubble { contain: none !important }");
      document.adoptedStyleSheets = [sheet];
      const { elementOf } = await import("./chat-line.js");
      const { Conversation } = await import("./chat-model.js");
      const { Mentions } = await import("./chat-markup.js");
      const conversation = new Conversation("lobby");
      const view = { conversation, mentions: new Mentions([]), me: null, isLive: true, hueFor: () => undefined };
      const line = (n, text) => elementOf({ kind: "message", key: `m${n}`, isFirst: true, isLast: true,
        entry: { kind: "message", id: `a-${n}`, place: n, from: n ? `b${text.slice(1, 30)}` : "ann", at: 0, content: { text } } }, view, {});
      document.getElementById("lines").replaceChildren(line(0, "above it all"), line(1, text));
    }, [text, isKept]);
    pictures.push(await page.locator("#lines .message").first().screenshot());
  }
  assert.ok(pictures[0].equals(pictures[1]), "the upper line has changed");
  assert.ok(!pictures[0].equals(pictures[2]), "the test must be able to fail: these letters do not pile up here");
  await page.context().close();
});
