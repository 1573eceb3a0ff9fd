// What people do with each other on the chat page: private messages and their states, answers, deletions,
// mentions, links, pictures, emoji, typing, paging back; and how the page reads to a keyboard and a screen reader.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launch } from "./chromium.mjs";
import * as chat from "./chat-page.mjs";
import { asOperator, publish, startServer, until } from "../clients/server.mjs";

const { act, enter, goTo, log, message, online, openEntry, roomEntry, say, shows, texts } = chat;

let server, browser, pages;

before(async () => { browser = await launch(); });
after(() => browser?.close());

beforeEach(async () => {
  pages = [];
  server = await startServer("--history", "2000", "--picture-bytes", "60K");
});
afterEach(async () => {
  for (const page of pages) await page.context().close();
  await server.stop();
  for (const page of pages) assert.deepEqual(page.complaints, [], "the page complained in the console");
});

async function openPage(options) {
  const page = await chat.openPage(browser, server.base, options);
  pages.push(page);
  return page;
}

async function person(nick, options) {
  const page = await openPage(options);
  await enter(page, nick);
  return page;
}

// Somebody who is there without a page.
async function client(nick, room = "lobby") {
  const { sid } = await (await fetch(`${server.base}/poll?ch=${room}`)).json();
  const send = async (command) => (await fetch(`${server.base}/send?sid=${encodeURIComponent(sid)}`,
    { method: "POST", body: JSON.stringify(command) })).json();
  const reply = await send({ op: "login", ref: 1, nick });
  assert.ok(reply.ok, JSON.stringify(reply));
  return { sid, send, secret: reply.secret, say: (ch, data) => send({ op: "publish", ref: 2, ch, data }) };
}

const state = (page, text, name) => message(page, text).getByRole("img", { name, exact: true }).waitFor();

async function writeTo(page, nick) {
  await page.getByRole("complementary", { name: "People" }).getByRole("button", { name: nick, exact: true }).first().click();
  await page.getByRole("heading", { level: 1, name: nick }).waitFor();
}

test("a private message goes from sent to delivered to read", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  const bob = await person("bob");
  await until("ann sees bob", async () => (await online(ann)).includes("bob"));
  await writeTo(ann, "bob");
  await say(ann, "just for you");
  await state(ann, "just for you", "Delivered");
  await roomEntry(bob, "@ann").getByText("1 unread").waitFor();
  await until("the title counts", async () => /^\(1\)/.test(await bob.title()));
  assert.deepEqual(await texts(bob), [], "nothing of it is in the room");
  await openEntry(bob, "@ann");
  await shows(bob, "just for you");
  await state(ann, "just for you", "Read");
  await say(bob, "and for you");
  await shows(ann, "and for you");
});

test("a private message waits for who is not there, and all tabs have it", { timeout: 60_000 }, async () => {
  const bob = await client("bob");
  const ann = await person("ann");
  await until("ann sees bob", async () => (await online(ann)).includes("bob"));
  await writeTo(ann, "bob");
  await say(ann, "for later");
  await state(ann, "for later", "Sent");
  const tab = await openPage({ context: ann.context() });
  await openEntry(tab, "@bob");
  await shows(tab, "for later");
  await say(tab, "from the other tab");
  await shows(ann, "from the other tab");

  // Bob comes with a browser that knows his secret.
  const context = await browser.newContext({ locale: "en-GB" });
  await context.addInitScript((secret) => {
    localStorage.setItem("encke.nick", '"bob"');
    localStorage.setItem("encke.secrets", JSON.stringify({ bob: secret }));
  }, bob.secret);
  const page = await openPage({ context });
  await roomEntry(page, "@ann").getByText("2 unread").waitFor();
  await state(ann, "for later", "Delivered");
  await openEntry(page, "@ann");
  assert.deepEqual(await texts(page), ["for later", "from the other tab"]);
  await state(ann, "for later", "Read");
  await state(tab, "from the other tab", "Read");
});

test("writing to nobody is explained, tried again, discarded", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  await ann.getByRole("button", { name: "Write to somebody" }).click();
  await ann.getByLabel("To whom?").fill("nobody-at-all");
  await ann.keyboard.press("Enter");
  await say(ann, "hello?");
  await message(ann, "hello?").getByText("Nobody by the name nobody-at-all has been here").waitFor();
  await message(ann, "hello?").getByRole("button", { name: "Try again" }).click();
  await message(ann, "hello?").getByText("Nobody by the name nobody-at-all").waitFor();
  await message(ann, "hello?").getByRole("button", { name: "Discard" }).click();
  await until("it is gone", async () => (await texts(ann)).length === 0);
});

test("an answer quotes, and a click on the quote goes there", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  const bob = await person("bob");
  await say(ann, "the first of many");
  for (let n = 0; n < 40; n++) await publish(server.base, "lobby", `between ${n}`);
  await shows(bob, "between 39");
  await log(bob).evaluate((box) => { box.scrollTop = 0; });
  await act(bob, "the first of many", "Reply");
  await say(bob, "to that");
  await shows(ann, "to that");
  const quote = message(ann, "to that").getByRole("button", { name: "Go to the message by ann" });
  assert.match(await quote.textContent(), /ann.*the first of many/);
  await quote.click();
  await until("the quoted one is seen", () => ann.evaluate(() => {
    const here = document.activeElement.getBoundingClientRect();
    return document.activeElement.textContent.includes("the first of many") && here.top >= 0 && here.bottom <= innerHeight;
  }));
});

test("one's own message is deleted for everybody, now and in the history", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  const bob = await person("bob");
  await say(ann, "a slip of the tongue");
  await say(bob, "said by bob");
  await shows(bob, "a slip of the tongue");
  await message(bob, "a slip of the tongue").hover();
  assert.equal(await message(bob, "a slip of the tongue").getByRole("button", { name: "Delete" }).count(), 0, "not bob's");
  await shows(ann, "said by bob");
  await act(ann, "a slip of the tongue", "Delete");
  await ann.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await shows(bob, "This message was deleted");
  await shows(ann, "This message was deleted");
  await bob.reload();
  await shows(bob, "This message was deleted");
  assert.equal((await texts(bob)).includes("a slip of the tongue"), false);
});

test("a deletion, a receipt or a copy that somebody made up counts for nothing", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  await say(ann, "still here");
  await until("it is sent", async () => (await message(ann, "still here").getAttribute("data-id")) !== "");
  const id = await message(ann, "still here").getAttribute("data-id");
  const mallory = await client("mallory");
  for (const [ch, data] of [
    ["lobby", { deletes: id }],
    ["@ann", { to: "bob", id: "x-1", data: { text: "ann never said this" } }],
    ["@ann", { receipt: "read", ch: "lobby", id: null }],
  ]) {
    assert.equal((await mallory.say(ch, data)).error.code, "reserved");
    await publish(server.base, ch, JSON.stringify(data));
  }
  await mallory.say("lobby", { text: "done" });
  await shows(ann, "done");
  await shows(ann, "still here");
  assert.equal(await roomEntry(ann, "@bob").count(), 0);
});

test("a mention is offered behind @, stands out, and counts", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  const bob = await person("Bob B");
  await goTo(bob, "elsewhere");
  await until("ann sees him", async () => (await online(ann)).includes("Bob B"));
  await ann.getByRole("textbox", { name: "Message" }).pressSequentially("hi @bo");
  await ann.getByRole("option", { name: "Bob B" }).waitFor();
  await ann.keyboard.press("Tab");
  assert.equal(await ann.getByRole("textbox", { name: "Message" }).inputValue(), "hi @Bob B ");
  await ann.keyboard.press("Enter");
  await roomEntry(bob, "lobby").getByText("1 unread, 1 mention you").waitFor();
  await openEntry(bob, "lobby");
  assert.equal(await message(bob, "hi @Bob B").locator("mark").textContent(), "@Bob B");
});

test("links are http alone, open elsewhere and tell nobody", { timeout: 60_000 }, async () => {
  const page = await openPage();
  await publish(server.base, "lobby", "see (https://example.org/a_(b)?c=d#e), or HTTP://EXAMPLE.org. javascript:alert(1) ftp://x data:text/html,x 见https://例子.测试/路径。好");
  await until("it is there", async () => (await texts(page)).length === 1);
  const links = await page.$$eval("#lines .text a", (all) => all.map((a) => [a.textContent, a.protocol, a.rel, a.target]));
  assert.deepEqual(links.map(([text]) => text), ["https://example.org/a_(b)?c=d#e", "HTTP://EXAMPLE.org", "https://例子.测试/路径"]);
  for (const [, protocol, rel, target] of links) {
    assert.match(protocol, /^https?:$/);
    assert.equal(rel, "noopener noreferrer nofollow");
    assert.equal(target, "_blank");
  }
});

test("a picture is made smaller, sent, shown in its place, and enlarged", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  const bob = await person("bob");
  // Noise does not compress: as PNG this is more than half a megabyte, and 60 KiB are allowed.
  const size = await ann.evaluate(async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 600, height: 400 });
    const context = canvas.getContext("2d");
    const image = context.createImageData(600, 400);
    for (let at = 0; at < image.data.length; at += 60_000) crypto.getRandomValues(image.data.subarray(at, at + 60_000));
    context.putImageData(image, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve));
    const picked = new DataTransfer();
    picked.items.add(new File([blob], "noise.png", { type: "image/png" }));
    const field = document.getElementById("file");
    field.files = picked.files;
    field.dispatchEvent(new Event("change"));
    return blob.size;
  });
  assert.ok(size > 500_000);
  const picture = bob.getByRole("button", { name: "Enlarge noise.png" });
  await picture.waitFor();
  await until("it is drawn", () => picture.locator("img").evaluate((image) => image.naturalWidth > 0));
  const [width, height] = await picture.locator("img").evaluate((image) => [image.width, image.height]);
  assert.ok(Math.abs(width / height - 1.5) < 0.02, "its shape is kept, and the place for it");
  await picture.click();
  await bob.getByRole("dialog", { name: "noise.png" }).getByRole("img", { name: "noise.png" }).waitFor();
  await bob.keyboard.press("Escape");
  assert.equal(await bob.evaluate(() => document.activeElement.getAttribute("aria-label")), "Enlarge noise.png", "the focus comes back");

  // By paste, and what is no picture is named.
  await ann.evaluate(() => {
    const data = new DataTransfer();
    data.items.add(new File(["no picture"], "notes.png", { type: "image/png" }));
    document.getElementById("text").dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
  });
  await chat.isSaid(ann, "#notice", /notes\.png can’t be shown as a picture/);
});

test("emoji are found by name and picked with the keyboard", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  await ann.getByRole("button", { name: "Emoji" }).click();
  await ann.keyboard.type("彗星");
  await ann.keyboard.press("ArrowDown");
  await ann.keyboard.press("Enter");
  assert.equal(await ann.getByRole("textbox", { name: "Message" }).inputValue(), "☄️");
  assert.equal(await ann.evaluate(() => document.activeElement.id), "text");
  await ann.keyboard.press("Enter");
  await message(ann, "☄️").locator(".big").waitFor();
});

test("who is writing is shown, and until they have said it", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  const bob = await person("bob");
  await bob.getByRole("textbox", { name: "Message" }).pressSequentially("well");
  await ann.getByText("bob is writing…").waitFor();
  await bob.keyboard.press("Enter");
  await shows(ann, "well");
  await until("no longer", async () => (await ann.textContent("#typing")) === "");
});

test("scrolling up pages back, keeps the place, and lets go of what is far", { timeout: 120_000 }, async () => {
  const many = 700;
  const lines = Array.from({ length: many }, (_, n) => JSON.stringify({ ch: "lobby", data: `line ${n}.` })).join("\n");
  const sent = await fetch(`${server.base}/publish`, { ...asOperator, method: "POST", body: lines });
  assert.ok(sent.ok);
  const page = await openPage();
  await shows(page, `line ${many - 1}.`);
  assert.ok((await texts(page)).length < 200, "not all at once");
  for (let wanted = many - 60; wanted > 0; wanted -= 60) {
    const before = (await texts(page))[0];
    if (before === "line 0.") break;
    const top = await log(page).evaluate((box) => {
      box.scrollTop = 300;
      const first = Array.from(document.querySelectorAll("#lines .message")).find((one) => one.getBoundingClientRect().top > 80);
      return { text: first.querySelector(".text").textContent, y: first.getBoundingClientRect().top };
    });
    await until("more has come", async () => (await texts(page))[0] !== before);
    const y = await message(page, top.text).evaluate((one) => one.getBoundingClientRect().top);
    assert.ok(Math.abs(y - top.y) < 3, `${top.text} moved from ${top.y} to ${y}`);
  }
  await until("the first is there", async () => (await texts(page))[0] === "line 0.");
  const kept = await texts(page);
  assert.ok(kept.length <= 400, `${kept.length} lines are in the page`);
  assert.deepEqual(kept, Array.from({ length: kept.length }, (_, n) => `line ${n}.`), "no line is missing or doubled");
  await publish(server.base, "lobby", "the newest");
  await page.getByRole("button", { name: /To the newest|new message/ }).click();
  await shows(page, "the newest");
});

test("joins and leaves are one line, away and back are shown", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  for (const nick of ["bob", "cat", "dan", "eve", "fay"]) await client(nick);
  await until("all are there", async () => (await online(ann)).length === 6);
  await until("one line", async () => (await chat.lines(ann)).join() === "bob, cat, dan and 2 more joined");
  const gus = await client("gus");
  await until("gus is there", async () => (await online(ann)).includes("gus"));
  await gus.send({ op: "away", ref: 3, away: true });
  await ann.locator('#people-list .away[data-nick="gus"]').waitFor();
  await gus.send({ op: "away", ref: 4, away: false });
  await ann.locator('#people-list [data-nick="gus"]:not(.away)').waitFor();
});

test("the page speaks Chinese to who reads it, and changes on a word", { timeout: 60_000 }, async () => {
  const page = await openPage({ locale: "zh-CN" });
  await page.getByRole("textbox", { name: "你的名字" }).fill("李雷");
  await page.getByRole("button", { name: "加入" }).click();
  await page.getByRole("textbox", { name: "消息" }).waitFor();
  assert.equal(await page.getAttribute("html", "lang"), "zh-CN");
  await page.getByRole("button", { name: "李雷: 设置" }).click();
  await page.getByText("English").click();
  await page.getByRole("textbox", { name: "Message" }).waitFor();
  assert.equal(await page.getAttribute("html", "lang"), "en");
});

test("the theme follows the system until it is chosen", { timeout: 60_000 }, async () => {
  const page = await person("ann", { colorScheme: "dark" });
  const theme = () => page.getAttribute("html", "data-theme");
  assert.equal(await theme(), "dark");
  await page.emulateMedia({ colorScheme: "light" });
  await until("it follows", async () => (await theme()) === "light");
  await page.getByRole("button", { name: "ann: Settings" }).click();
  await page.getByText("Dark", { exact: true }).click();
  assert.equal(await theme(), "dark");
  await page.reload();
  assert.equal(await theme(), "dark");
});

test("the keyboard alone is enough, and new messages are announced", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  await goTo(ann, "second");
  await ann.keyboard.press("Alt+ArrowUp");
  await ann.getByRole("heading", { level: 1, name: "lobby" }).waitFor();
  await ann.getByText("Quiet as space").waitFor(); // what comes with the first page is not news
  await publish(server.base, "lobby", "read me out");
  await until("it is announced", async () => (await ann.textContent("#live")) === "anonymous in lobby: read me out");
  await ann.getByRole("textbox", { name: "Message" }).press("Shift+Tab");
  await log(ann).focus();
  await ann.keyboard.press("ArrowUp");
  assert.match(await ann.evaluate(() => document.activeElement.getAttribute("aria-label")), /^anonymous, .*: read me out$/);
  await ann.keyboard.press("?");
  const help = ann.getByRole("dialog", { name: "Keyboard" });
  await help.waitFor();
  await ann.keyboard.press("Escape");
  await help.waitFor({ state: "hidden" });
  await ann.keyboard.press("/");
  assert.equal(await ann.evaluate(() => document.activeElement.id), "text");
  await ann.keyboard.press("Control+k");
  await ann.getByRole("dialog", { name: "Find or make a room" }).waitFor();
});

test("on a phone the lists are drawers that give the focus back", { timeout: 60_000 }, async () => {
  const ann = await person("ann", { viewport: { width: 390, height: 780 } });
  const rooms = ann.getByRole("navigation", { name: "Rooms" });
  assert.equal(await rooms.isVisible(), false);
  await ann.getByRole("button", { name: "Rooms" }).click();
  await rooms.getByRole("button", { name: "Close" }).waitFor();
  await ann.keyboard.press("Escape");
  await rooms.waitFor({ state: "hidden" });
  assert.equal(await ann.evaluate(() => document.activeElement.id), "side-open");
});

async function admin(path, body) {
  const answer = await fetch(`${server.base}/admin/${path}`, { ...asOperator, method: "POST", body: JSON.stringify(body) });
  assert.ok(answer.ok, await answer.text());
}

test("what a moderator does is seen and explained", { timeout: 60_000 }, async () => {
  const ann = await person("ann");
  await goTo(ann, "second");
  await openEntry(ann, "lobby");
  await admin("notice", { text: "back in a minute" });
  await log(ann).getByRole("note").filter({ hasText: "back in a minute" }).waitFor();
  await say(ann, "to be cleared");
  await shows(ann, "to be cleared");
  await admin("clear", { ch: "lobby" });
  await ann.getByText("Quiet as space").waitFor();

  await admin("kick", { user: "ann" });
  await chat.isSaid(ann, "#join-error", /You were asked to leave/);
  assert.equal(await ann.getAttribute("#state", "data-state"), "closed", "and doesn't come back by itself");
  await ann.getByRole("button", { name: "Join" }).click();
  await ann.getByRole("textbox", { name: "Message" }).waitFor();
  await say(ann, "I am back");
  await state(ann, "I am back", "Sent");
});

test("nothing is inline, nothing comes from elsewhere", { timeout: 60_000 }, async () => {
  const { headers } = await fetch(server.base);
  const policy = headers.get("content-security-policy");
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /script-src 'self'(;|$)/);
  assert.match(policy, /style-src 'self'(;|$)/);
  assert.match(policy, /connect-src 'self'(;|$)/);
  assert.match(policy, /img-src 'self' blob:(;|$)/);
  const page = await openPage();
  const elsewhere = await page.evaluate((base) => performance.getEntriesByType("resource").map((one) => one.name).filter((name) => !name.startsWith(base)), server.base);
  assert.deepEqual(elsewhere, []);
});
