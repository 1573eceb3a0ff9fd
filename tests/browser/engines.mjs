// Three real browsers behind one small interface: Chromium, Firefox and WebKit, as Debian packages them.
//
//   const browser = await launch("webkit");            // "chromium", "firefox"; see ENGINES
//   const profile = await browser.profile();           // a storage of its own; { width, height }
//   const tab = await profile.open(url);               // a further tab of that profile
//   await tab.evaluate((a, b) => a + b, 1, 2);         // JSON in and out; a promise is waited for
//   await tab.until("it is live", () => c.state === "live");
//   await tab.add(path);                               // runs a script file in the page
//   await tab.fill("textbox", "Message", "hello");     // by role and accessible name, a string or a pattern
//   await tab.press("button", "Send"); await tab.key("Enter"); await tab.reload();
//   await tab.screenshot(path); await tab.close();
//   await profile.offline(true);                       // where profile.canGoOffline: not in WebKit
//   profile.complaints                                 // of its tabs: `thrown: …` and `console: …`
//   await profile.close(); await browser.close();      // what is left open is closed with it
//
// It knows no client and no server. Every wait has an end; what a driver needs to know is in engines/.

import { readFileSync, writeFileSync } from "node:fs";
import { launch as chromium } from "./engines/chromium.mjs";
import { launch as firefox } from "./engines/firefox.mjs";
import { SCRIPT_MS, within } from "./engines/process.mjs";
import { launch as webkit } from "./engines/webkit.mjs";
import { until } from "../clients/server.mjs";

const LAUNCH_MS = 90_000;
export const WAIT_MS = 60_000;
const KEYS = { Enter: "\uE007", Escape: "\uE00C", Tab: "\uE004" };

const DRIVERS = { chromium, firefox, webkit };
export const ENGINES = Object.keys(DRIVERS);

export async function launch(name) {
  const driver = await within(LAUNCH_MS, `${name} has started`, DRIVERS[name]());
  const profiles = new Set();
  let opening = Promise.resolve(); // one tab after the other: at once, each would take as long as all of them
  return {
    name,
    version: driver.version,
    async profile({ width = 1200, height = 800 } = {}) {
      const complaints = [];
      const one = await driver.profile({ width, height, complain: (text) => complaints.push(text) });
      profiles.add(one);
      return {
        complaints,
        canGoOffline: !!one.offline,
        offline: one.offline,
        async open(url) {
          const mine = opening.then(async () => {
            const tab = new Tab(await one.open());
            if (url) await tab.go(url);
            return tab;
          });
          opening = mine.catch(() => {});
          return mine;
        },
        async close() {
          if (profiles.delete(one)) await one.close();
        },
      };
    },
    async close() {
      for (const one of profiles) await one.close();
      profiles.clear();
      await driver.close();
    },
  };
}

class Tab {
  #driver;

  constructor(driver) { this.#driver = driver; }

  go(url) { return this.#driver.go(url); }
  front() { return this.#driver.front(); }
  close() { return this.#driver.close(); }
  key(name) { return this.#driver.key(KEYS[name] ?? name); }
  async reload() { await this.go(await this.evaluate(() => location.href)); }

  // What goes in and comes out is JSON, since the drivers agree on no more than strings.
  async evaluate(act, ...args) {
    const source = `(async () => JSON.stringify(await (${act})(...${literal(args)})))()`;
    const said = await within(SCRIPT_MS, `the page has run ${act}`, this.#driver.run(source));
    return said === undefined || said === null ? undefined : JSON.parse(said);
  }

  // A script file of ours, as if the page had it.
  add(path) { return this.#driver.run(`void (0, eval)(${JSON.stringify(readFileSync(path, "utf8"))})`); }

  // Looks again and again; the page is not asked to wait, since it may go away meanwhile.
  until(what, act, ...args) { return until(what, () => this.evaluate(act, ...args), WAIT_MS); }

  async screenshot(path) { writeFileSync(path, await this.#driver.picture()); }

  // The accessible names of all that is seen and has this role.
  all(role, name = "") { return this.evaluate(seen, role, pattern(name), "name"); }

  // A click into its middle, as a mouse would.
  async press(role, name) {
    const spot = await this.#find(role, name, "spot");
    await this.#driver.press(spot.x, spot.y);
  }

  // Typed over what is there, as an input method would: any text, in one go.
  async fill(role, name, text) {
    await this.#find(role, name, "focus");
    await this.evaluate((text) => {
      document.execCommand("selectAll");
      document.execCommand(text ? "insertText" : "delete", false, text);
    }, text);
  }

  async #find(role, name, what) {
    let spot;
    await until(`there is a ${role} named ${name}`, async () => {
      [spot] = await this.evaluate(seen, role, pattern(name), what);
      return spot;
    }, WAIT_MS);
    return spot;
  }
}

const literal = (value) => JSON.stringify(value).replace(/[\u2028\u2029]/g, (c) => `\\u${c.charCodeAt().toString(16)}`);

// A string is the whole name, whatever its case.
function pattern(name) {
  if (name instanceof RegExp) return [name.source, name.flags];
  return name ? [`^\\s*${name.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")}\\s*$`, "i"] : ["", ""];
}

// Runs in the page, alone: what has the role, an accessible name that matches, and is seen.
function seen(role, [source, flags], what) {
  const SELECTORS = {
    button: "button, input[type=submit], input[type=button], summary",
    textbox: "textarea, input:not([type]), input[type=text], input[type=search], [contenteditable=true]",
    combobox: "select",
    link: "a[href]",
    img: "img",
    listitem: "li",
    heading: "h1, h2, h3, h4",
    dialog: "dialog[open]",
    article: "article",
  };
  const wanted = new RegExp(source, flags);
  const words = (node) => (node ? node.textContent.replace(/\s+/g, " ").trim() : "");
  function nameOf(one) {
    const ids = one.getAttribute("aria-labelledby");
    if (ids) return ids.split(/\s+/).map((id) => words(document.getElementById(id))).join(" ");
    return one.getAttribute("aria-label") || (one.labels && [...one.labels].map(words).join(" ")) ||
      one.getAttribute("alt") || (/^(INPUT|TEXTAREA|SELECT)$/.test(one.tagName) ? "" : words(one)) ||
      one.getAttribute("title") || one.getAttribute("placeholder") || one.value || "";
  }
  const selector = [`[role=${role}]`, SELECTORS[role]].filter(Boolean).join(", ");
  const found = [...document.querySelectorAll(selector)].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && getComputedStyle(one).visibility === "visible" &&
      (one.getAttribute("role") || role) === role && wanted.test(nameOf(one));
  });
  return found.map((one) => {
    if (what === "name") return nameOf(one);
    one.scrollIntoView({ block: "nearest" });
    if (what === "focus") one.focus();
    const box = one.getBoundingClientRect();
    return { x: box.left + box.width / 2, y: box.top + box.height / 2 };
  });
}
