// What one writes on the chat page is neither lost nor taken for something else, on all engines: without a
// connection, over a reload, from a clipboard with several flavours, with an input method, with undo.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { asOperator, publish, startServer, until } from "../clients/server.mjs";
import { ENGINES, launch } from "./engines.mjs";

const engines = process.env.ENCKE_ENGINES?.split(" ") ?? ENGINES;
const TEST = { timeout: 180_000 };
const FLAGS = ["--history", "2000"];
const PENDING_MAX = 200; // chat-model.js

let browsers, server;
before(async () => {
  const all = await Promise.all(engines.map(launch));
  browsers = Object.fromEntries(all.map((browser) => [browser.name, browser]));
});
after(() => Promise.all(Object.values(browsers ?? {}).map((browser) => browser.close())));

// Runs in the page: chooses this file, as the picker would; drawn here, so that it is a picture to every engine.
async function choosePicture(name) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 30, height: 20 });
  canvas.getContext("2d").fillRect(5, 5, 9, 9);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve));
  const picked = new DataTransfer();
  picked.items.add(new File([blob], name, { type: "image/png" }));
  const field = document.getElementById("file");
  field.files = picked.files;
  field.dispatchEvent(new Event("change"));
}

const value = (tab) => tab.evaluate(() => document.getElementById("text").value);
const shows = (tab, text) => tab.until(`"${text}" is shown`, (text) =>
  [...document.querySelectorAll("#lines .message .text")].some((one) => one.textContent === text), text);
const live = (tab) => tab.until("it is live", () => document.getElementById("state").dataset.state === "live");
const said = async () => (await (await fetch(`${server.base}/channels/lobby/history?limit=500`, asOperator)).json()).messages
  .map(({ data }) => data.text ?? data);

async function restart() {
  server = await startServer(...FLAGS, "--port", String(server.port));
}

for (const engine of engines) {
  const check = (name, act) => test(`${engine}: ${name}`, TEST, async () => {
    server = await startServer(...FLAGS);
    const profile = await browsers[engine].profile();
    try {
      const tab = await profile.open(`${server.base}/?lang=en`);
      await tab.fill("textbox", "Your name", "ann");
      await tab.press("button", "Join");
      await tab.until("she may write", () => !document.getElementById("compose").hidden);
      await act(tab);
    } finally {
      await profile.close();
      await server.stop().catch(() => {});
    }
    assert.deepEqual(profile.complaints.filter((one) => one.startsWith("thrown")), []);
  });

  check("one more than may wait stays in its field, and the page says so", async (tab) => {
    await server.stop();
    await tab.until("the link is lost", () => document.getElementById("state").dataset.state !== "live");
    await tab.evaluate((count) => {
      const field = document.getElementById("text");
      for (let n = 0; n < count; n++) {
        field.value = `waits ${n}`;
        field.dispatchEvent(new Event("input"));
        document.getElementById("compose").requestSubmit();
      }
    }, PENDING_MAX);
    await tab.fill("textbox", "Message", "one too many");
    await tab.press("button", "Send");
    await tab.until("it says so", () => /^Not taken: 200 messages wait/.test(document.getElementById("notice").innerText));
    assert.equal(await value(tab), "one too many");
    await restart();
    await until("all are sent", async () => (await said()).length === PENDING_MAX, 120_000);
    assert.deepEqual(await said(), Array.from({ length: PENDING_MAX }, (_, n) => `waits ${n}`), "each once, in order");
    assert.equal(await value(tab), "one too many");
    await tab.press("button", "Send");
    await until("and so is this", async () => (await said()).at(-1) === "one too many");
    assert.equal(await value(tab), "");
  });

  check("what is being written survives a reload, in each conversation, with what it answers", async (tab) => {
    await publish(server.base, "lobby", "a question");
    await shows(tab, "a question");
    await tab.until("it may be answered", () => document.querySelector("#lines .message .acts button"));
    await tab.evaluate(() => document.querySelector("#lines .message .acts button").click());
    await tab.fill("textbox", "Message", "half an answ");
    await tab.evaluate(() => { history.replaceState(null, "", "?lang=en&room=__proto__"); dispatchEvent(new PopStateEvent("popstate")); });
    await tab.until("the room is open", () => document.querySelector("h1").textContent === "__proto__");
    await tab.fill("textbox", "Message", "for another room");
    await tab.reload();
    await tab.until("it is there again", () => document.getElementById("text").value === "for another room");
    await tab.evaluate(() => document.querySelector('#room-list [data-key="lobby"] .entry-main').click());
    await tab.until("and so is the other", () => document.getElementById("text").value === "half an answ");
    await tab.until("with what it answers", () => /a question/.test(document.getElementById("answering").innerText));
    await tab.fill("textbox", "Message", "an answer");
    await tab.press("button", "Send");
    await tab.until("it quotes", () => /a question/.test(document.querySelector("#lines .mine .quote")?.innerText ?? ""));
    await tab.reload();
    await shows(tab, "an answer");
    assert.equal(await value(tab), "", "what was sent is no draft");
  });

  check("a picture chosen without a connection waits, and over a reload too", async (tab) => {
    await server.stop();
    await tab.until("the link is lost", () => document.getElementById("state").dataset.state !== "live");
    await tab.evaluate(choosePicture, "offline.png");
    await tab.until("it waits", () => /offline\.png waits for the connection/.test(document.getElementById("waiting").innerText));
    await restart();
    await tab.until("it is shown", () => document.querySelector('#lines img[alt="offline.png"]')?.naturalWidth > 0);
    await tab.until("nothing waits", () => document.getElementById("waiting").hidden);

    // The line looks well and lets nothing through.
    await tab.evaluate(() => {
      XMLHttpRequest.prototype.send = function () { if (this.upload.onprogress) setTimeout(() => this.onerror()); };
    });
    await tab.evaluate(choosePicture, "reloaded.png");
    await tab.until("it waits", () => /reloaded\.png waits/.test(document.getElementById("waiting").innerText));
    await tab.reload();
    await tab.until("it is shown", () => document.querySelector('#lines img[alt="reloaded.png"]')?.naturalWidth > 0);
    await tab.reload();
    await tab.until("both are shown once", () => document.querySelectorAll("#lines img").length === 2);
  });

  check("a clipboard or a drop with text and a picture of it is text", async (tab) => {
    // As the programs named fill them: [plain, html, file, is it about the picture].
    const flavours = [
      ["Dear Bob,\nhello", "<p><b>Dear</b> Bob,", "image.png", false], // a word processor
      ["1\t2\n3\t4", "<table><tr><td>1", "image.png", false], // a spreadsheet
      ["https://example.org/", "<a href='https://example.org/'>it</a>", "image.png", false], // a link with its icon
      ["", "<img src='https://example.org/a.png'>", "image.png", true], // a picture of a page
      ["https://example.org/a.png", "<img src='https://example.org/a.png'>", "image.png", true], // the same, in another browser
      ["", "", "screenshot.png", true], // a screenshot
      ["holiday.png", "", "holiday.png", true], // a file manager
      ["file:///home/ann/my%20holiday.png", "", "my holiday.png", true], // another one
      ["C:\\Users\\ann\\holiday.png", "", "holiday.png", true], // and another one
    ];
    for (const [plain, html, name, isPicture] of flavours) {
      for (const type of ["paste", "drop"]) {
        const [wasTaken, chips, text] = await tab.evaluate(async ([plain, html, name, type]) => {
          const field = document.getElementById("text");
          field.value = "";
          const file = new File(["no picture"], name, { type: "image/png" });
          const data = { files: [file], types: ["Files", "text/plain"], getData: (kind) => ({ "text/plain": plain, "text/html": html })[kind] ?? "" };
          const event = new Event(type, { bubbles: true, cancelable: true });
          Object.defineProperty(event, "clipboardData", { value: data });
          Object.defineProperty(event, "dataTransfer", { value: data });
          field.dispatchEvent(event);
          return [event.defaultPrevented, document.getElementById("waiting").childElementCount, field.value];
        }, [plain, html, name, type]);
        assert.equal(chips, isPicture ? 1 : 0, `${type}: ${JSON.stringify(plain)} ${html}`);
        if (type === "paste") assert.equal(wasTaken, isPicture, "text is left to the browser");
        else assert.equal(text, isPicture ? "" : plain, "what is dropped as text goes into the field");
        await tab.until("nothing waits", () => document.getElementById("waiting").hidden);
      }
    }
  });

  check("undo takes back an emoji, a mention and what was typed before", async (tab) => {
    await publish(server.base, "lobby", "somebody");
    await tab.fill("textbox", "Message", "hello ");
    await tab.press("button", "Emoji");
    await tab.evaluate(() => document.querySelector(".emoji-grid button").click());
    await tab.until("it is there", () => document.getElementById("text").value.length > 6);
    const emoji = await value(tab);
    const undone = (want) => tab.until(`undo leads back to "${want}"`, (want) => {
      document.getElementById("text").focus();
      if (document.getElementById("text").value !== want) document.execCommand("undo");
      return document.getElementById("text").value === want;
    }, want);
    await undone("hello ");
    await undone("");
    await tab.fill("textbox", "Message", "so :rock");
    await tab.until("emoji are offered", () => document.querySelectorAll("#names li").length > 0);
    await tab.key("Enter");
    await tab.until("one is taken", () => /^so (?!:)/u.test(document.getElementById("text").value));
    await undone("so :rock");
    assert.ok(emoji.startsWith("hello "));
  });

  check("emoji are offered behind a colon and taken by their whole name", async (tab) => {
    await tab.fill("textbox", "Message", "well :heart_ey");
    await tab.until("it is offered", () => /:heart_eyes:/.test(document.getElementById("names").innerText));
    await tab.fill("textbox", "Message", "well :+1:");
    await tab.until("it is taken", () => document.getElementById("text").value === "well 👍");
    for (const text of ["at 10:30:15", "see http://example.org", "note:ok", ":no_such_name:", "::", ":)"]) {
      await tab.fill("textbox", "Message", text);
      assert.equal(await value(tab), text);
      assert.equal(await tab.evaluate(() => document.getElementById("names").hidden), true, text);
    }
  });

  check("a key that an input method has a use for does nothing else", async (tab) => {
    await publish(server.base, "lobby", "a message");
    await shows(tab, "a message");
    await tab.fill("textbox", "Message", "n");
    // Chromium and Firefox say so; WebKit ends the composition before the key that ended it.
    const keys = (selector, names) => tab.evaluate((selector, names) => {
      const box = document.querySelector(selector);
      box.focus();
      for (const key of names) {
        for (const how of [{ isComposing: true }, { keyCode: 229 }]) {
          const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...how });
          if (how.keyCode) Object.defineProperty(event, "keyCode", { value: 229 });
          box.dispatchEvent(event);
          if (event.defaultPrevented) return `${key} with ${JSON.stringify(how)}`;
        }
      }
      return null;
    }, selector, names);
    const all = ["Enter", "Escape", "Tab", "ArrowDown", "ArrowUp", "Home", "End", "?", "/"];
    assert.equal(await keys("#text", all), null);
    assert.equal(await value(tab), "n", "nothing is sent");
    await tab.fill("textbox", "Message", ":smi");
    await tab.until("emoji are offered", () => !document.getElementById("names").hidden);
    assert.equal(await keys("#text", all), null);
    assert.equal(await value(tab), ":smi", "nothing is taken");
    assert.equal(await keys("#lines .message", all), null);
    await tab.press("button", "Emoji");
    assert.equal(await keys(".emoji-box input", all), null);
    assert.equal(await tab.evaluate(() => document.querySelectorAll(".emoji-box").length), 1, "the picker is open");
  });
}
