// The chat page on all engines: people in different browsers talk to each other; and what is known to make a page
// run a stranger's script is harmless in each. ENCKE_ENGINES names those that run.mjs could drive.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { publish, startServer, until } from "../clients/server.mjs";
import { ENGINES, launch, WAIT_MS } from "./engines.mjs";
import { LINKS, MARKUP, NAMES, SHAPES } from "./injections.mjs";

const engines = process.env.ENCKE_ENGINES?.split(" ") ?? ENGINES;
const TEST = { timeout: 300_000 };
const PAIRS = [["chromium", "firefox"], ["webkit", "chromium"], ["firefox", "webkit"]]
  .filter((pair) => pair.every((name) => engines.includes(name)));

let browsers, server;
before(async () => {
  const all = await Promise.all(engines.map(launch));
  browsers = Object.fromEntries(all.map((browser) => [browser.name, browser]));
});
after(() => Promise.all(Object.values(browsers ?? {}).map((browser) => browser.close())));

const check = (name, act) => test(name, TEST, async (t) => {
  server = await startServer("--history", "2000");
  const profiles = [];
  const open = async (engine, path = "/") => {
    const profile = await browsers[engine].profile();
    profiles.push(profile);
    return { profile, tab: await profile.open(server.base + path) };
  };
  try {
    await act(open, t);
  } finally {
    for (const profile of profiles) await profile.close();
    await server.stop();
  }
  for (const { complaints } of profiles) assert.deepEqual(complaints.filter((one) => one.startsWith("thrown")), []);
});

// ---- what people do, found by role and name as people and screen readers find it ----

async function join(tab, nick) {
  await tab.fill("textbox", "Your name", nick);
  await tab.press("button", "Join");
  await tab.until(`${nick} may write`, () => {
    const box = document.querySelector("textarea[aria-label=Message]");
    return box && box.getBoundingClientRect().height > 0;
  });
}

async function say(tab, text) {
  await tab.fill("textbox", "Message", text);
  await tab.press("button", "Send");
}

// The text of the log, as it is read.
const log = (tab) => tab.evaluate(() => document.querySelector("[role=log]").innerText);

async function shows(tab, ...texts) {
  for (const text of texts) {
    await until(`the log shows ${JSON.stringify(text)}`, async () => (await log(tab)).includes(text), WAIT_MS)
      .catch(async (error) => { throw new Error(`${error.message}; it shows: ${(await log(tab)).slice(-2000)}`); });
  }
}

const count = (text, part) => text.split(part).length - 1;

// ---- a chat between two engines ----

for (const [one, other] of PAIRS) {
  check(`${one} with ${other}: a chat`, async (open) => {
    const ann = (await open(one)).tab;
    const bob = (await open(other)).tab;
    await join(ann, "ann");
    await join(bob, "bob");
    const said = [`hello from ${one}`, `你好 from ${other} 😀`, "<b>not bold</b>", "see https://example.org/ there"];
    await say(ann, said[0]);
    await shows(bob, said[0]);
    await say(bob, said[1]);
    await say(ann, said[2]);
    await say(bob, said[3]);
    for (const tab of [ann, bob]) {
      await shows(tab, ...said);
      const text = await log(tab);
      for (const each of said) assert.equal(count(text, each), 1, `${each} is shown once`);
    }
    for (const tab of [ann, bob]) {
      await tab.until("both are listed", () => ["ann", "bob"].every((nick) =>
        [...document.querySelectorAll("aside li")].some((one) => one.innerText.includes(nick))));
    }

    // Alone with each other: the room does not hear of it, and the author is told that it was read.
    await ann.press("button", /^bob\b/);
    await ann.until("the conversation is open", () => document.querySelector("h1").textContent.trim() === "bob");
    await say(ann, "for bob alone");
    await shows(ann, "for bob alone");
    assert.ok(!(await log(bob)).includes("for bob alone"));
    await bob.until("it is announced", () => /unread/.test(document.querySelector("nav").innerText));
    await bob.press("button", /^ann\b/);
    await shows(bob, "for bob alone");
    await ann.until("it is told as read", () =>
      [...document.querySelectorAll("[role=log] [role=img]")].some((one) => one.getAttribute("aria-label") === "Read"));

    // A name stays its owner's over a reload, and nobody else's.
    await ann.reload();
    await ann.until("it is ann's still", () => /\bann\b/.test(document.querySelector("nav").innerText));
    const eve = (await open(one)).tab;
    await eve.fill("textbox", "Your name", "ann");
    await eve.press("button", "Join");
    await eve.until("it is refused", () => [...document.querySelectorAll("[role=alert]")]
      .some((one) => /Somebody else has the name/.test(one.innerText)));
  });
}

// ---- injections ----

// A person without a page, who sends what no page would.
async function stranger(nick, ch = "lobby") {
  const { sid } = await (await fetch(`${server.base}/poll?ch=${encodeURIComponent(ch)}`)).json();
  const post = async (body) => (await fetch(`${server.base}/send?sid=${encodeURIComponent(sid)}`,
    { method: "POST", body: JSON.stringify(body) })).json();
  const send = (command) => post({ ref: 1, ...command });
  const { ok } = await send({ op: "login", nick });
  return {
    ok,
    sid,
    send,
    say: (ch, data) => send({ op: "publish", ch, data }),
    async sayAll(ch, all) {
      const commands = all.map((data, ref) => ({ op: "publish", ref, ch, data }));
      for (let from = 0; from < commands.length; from += 50) {
        for (const reply of await post(commands.slice(from, from + 50))) {
          // What only the server says comes from a back end then: the page must bear it all the same.
          if (reply.error?.code === "reserved") await publish(server.base, ch, JSON.stringify(all[reply.ref]));
          else assert.ok(reply.ok, JSON.stringify(reply));
        }
      }
    },
  };
}

// A picture of one pixel, under this name.
async function picture(who, ch, name) {
  const bytes = Buffer.from(PIXEL, "base64");
  const url = `${server.base}/pictures?sid=${encodeURIComponent(who.sid)}&name=${encodeURIComponent(name)}`;
  const answer = await (await fetch(url, { method: "POST", body: bytes })).json();
  assert.ok(answer.ok, JSON.stringify(answer));
  await who.say(ch, { picture: { id: answer.id, name, width: answer.width, height: answer.height }, text: name });
}
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

// Runs in the page, before anything hostile is in it.
function watch() {
  self.harm = [];
  self.pwned = self.alert = () => { harm.push("a script ran"); };
  document.addEventListener("securitypolicyviolation", (event) => {
    harm.push(`${event.effectiveDirective}: ${event.blockedURI} ${event.sample}`);
  });
}

// Runs in the page: what there would be if something had been taken for markup.
function look() {
  const found = [...harm];
  for (const one of document.querySelectorAll("*")) {
    for (const { name, value } of one.attributes) {
      if (/^on/i.test(name)) found.push(`<${one.tagName} ${name}>`);
      if (/^(href|src|action|data|xlink:href)$/i.test(name) && /^\s*(javascript|data|vbscript):/i.test(value)) {
        found.push(`<${one.tagName} ${name}=${value}>`);
      }
    }
    if (/^(iframe|object|embed|base|marquee|xss|math|video|audio|isindex|template|frame)$/i.test(one.tagName)) {
      found.push(`<${one.tagName}>`);
    }
    if (/^script$/i.test(one.tagName) && !/^[\w.-]+\.m?js$/.test(one.getAttribute("src") || "")) found.push("a script");
  }
  for (const { protocol, href } of document.querySelectorAll("a[href]")) {
    if (!/^(https?|mailto):$/.test(protocol)) found.push(`a link to ${href}`);
  }
  if (({}).text !== undefined || document.title.includes("pwned") && !document.title.includes("(")) found.push("spoilt");
  return found;
}

for (const engine of engines) {
  check(`${engine}: known injections are harmless`, async (open) => {
    const victim = (await open(engine)).tab;
    await victim.evaluate(watch);
    await join(victim, "victim");

    // At names: in the list, in the lines of who comes and goes, beside messages, in private.
    const taken = [];
    for (const nick of NAMES) {
      const who = await stranger(nick);
      if (!who.ok) continue; // a name that the server refuses does no harm either
      taken.push(who);
      await who.send({ op: "typing", ch: "lobby" });
      await who.say("lobby", { text: `I am ${nick}` });
      await who.say("@victim", { text: `private from ${nick}` });
    }
    assert.ok(taken.length >= NAMES.length / 2, `only ${taken.length} names were taken`);
    await shows(victim, `I am ${NAMES[0]}`);

    // At messages, as they come in and as history.
    for (const room of ["lobby", "later"]) {
      const eve = await stranger(`eve of ${room}`);
      const texts = [...MARKUP, ...LINKS].flatMap((text) => [text, { text }]);
      await eve.sayAll(room, [...texts, ...SHAPES]);
      await Promise.all([...NAMES, ...MARKUP.slice(0, 20)].map((name) => picture(eve, room, name)));
      await eve.say(room, { text: "that was all" });
    }
    await shows(victim, MARKUP[10], "that was all");
    assert.deepEqual(await victim.evaluate(look), []);

    // At rooms: in the address, the title, the list; each with something said in it.
    const eve = await stranger("eve of rooms");
    for (const room of NAMES) {
      const { ok } = await eve.say(room, { text: `in ${room}` });
      if (!ok) continue;
      await victim.evaluate((room) => {
        history.replaceState(null, "", `/?room=${encodeURIComponent(room)}`);
        dispatchEvent(new PopStateEvent("popstate"));
      }, room);
    }
    assert.deepEqual(await victim.evaluate(look), []);
    for (const room of [NAMES[0], NAMES[1], "later"]) {
      const tab = (await open(engine, `/?room=${encodeURIComponent(room)}`)).tab;
      await tab.evaluate(watch);
      await shows(tab, room === "later" ? "that was all" : `in ${room}`);
      assert.deepEqual(await tab.evaluate(look), []);
    }
    assert.deepEqual(await victim.evaluate(look), []);

    // Whoever judges must be able to condemn.
    await victim.evaluate((markup) => { document.body.insertAdjacentHTML("beforeend", markup); }, MARKUP[10]);
    await until("what is markup is seen", async () => (await victim.evaluate(look)).length >= 2, WAIT_MS);
  });
}
