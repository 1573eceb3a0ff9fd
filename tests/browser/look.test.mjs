// What can be said of the chat page's words, colours and syntax without a browser: both languages say the same
// things, every word is said somewhere, text can be read on what it stands on, and no script is younger than ES2017.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { parse } from "acorn";
import { root } from "../clients/server.mjs";

const web = `${root}src/web/`;
const source = (name) => readFileSync(web + name, "utf8");
const scripts = readdirSync(web).filter((name) => /^chat.*\.js$/.test(name));
const LINES_MAX = 500;

// The table of words, as the page reads it.
function table() {
  const [, body] = /export const WORDS = (\{[\s\S]*?\n\});/.exec(source("chat-words.js"));
  return new Function(`return ${body}`)();
}

test("each thing is said in both languages, with the same put in", () => {
  const slots = (text) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort().join();
  const all = Object.entries(table());
  assert.ok(all.length > 100);
  for (const [key, said] of all) {
    assert.equal(said.length, 2, key);
    const [english, chinese] = said;
    assert.ok(english && chinese, key);
    for (const form of english.split("|")) assert.equal(slots(form), slots(chinese), key);
    assert.doesNotMatch(english, /\p{Script=Han}/u, `${key} is not English`);
    assert.notEqual(chinese, english, `${key} is not Chinese`);
  }
});

test("every word is said somewhere, and every word said is in the table", () => {
  const words = table();
  const code = [...scripts.filter((name) => name !== "chat-words.js"), "index.html"].map(source).join("\n");
  const named = new Set([...code.matchAll(/["'\s](\w+)["':]/g)].map(([, word]) => word));
  for (const key of Object.keys(words)) assert.ok(named.has(key), `nobody says ${key}`);
  const said = [...code.matchAll(/\bt\("(\w+)"|data-t(?:-\w+)?="(\w+)"/g)].map(([, a, b]) => a ?? b);
  assert.ok(said.length > 80);
  for (const key of said) assert.ok(words[key], `${key} has no words`);
});

test("the scripts are ES2017, short, and open with what they are", () => {
  assert.ok(scripts.length > 10);
  for (const name of scripts) {
    parse(source(name), { ecmaVersion: 2017, sourceType: "module" });
    assert.match(source(name), /^\/\/ [A-Z]/, name);
  }
  parse(source("theme.js"), { ecmaVersion: 5 });
  assert.throws(() => parse("({ ...a })", { ecmaVersion: 2017 }), "the parser must be able to fail");
  for (const name of readdirSync(web).filter((one) => /^(chat|theme|index).*\.(js|css|html)$/.test(one))) {
    assert.ok(source(name).split("\n").length <= LINES_MAX, name);
  }
});

test("nothing people write can become markup", () => {
  for (const name of scripts) {
    assert.doesNotMatch(source(name), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|setAttribute\("style"/, name);
  }
  assert.doesNotMatch(source("index.html"), /<script>|<style|\sstyle=|\son\w+=/);
  assert.doesNotMatch(source("logo.svg"), /<script|<style|\sstyle=/);
});

// WCAG 2.2, 1.4.3 and 1.4.11.
const TEXT = 4.5;
const EDGE = 3;
const SURFACES = ["sunk", "paper", "surface", "raised"];
const READ_ON = {
  "ink": [...SURFACES, "coma-soft", "ember-soft"], "ink-2": [...SURFACES, "coma-soft", "ember-soft"],
  "ink-3": [...SURFACES, "coma-soft", "ember-soft"], "coma": [...SURFACES, "coma-soft"], "coma-ink": ["coma", "coma-strong"],
  "ember": ["ember-soft", "paper", "surface"], "rose": ["rose-soft", "paper", "surface", "raised"],
  "night-ink": ["night", "night-2", "night-3"], "night-ink-2": ["night", "night-2", "night-3"],
  "night-coma": ["night", "night-3"], "night-ember": ["night"],
};

function luminance(rgb) {
  const [r, g, b] = rgb.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one, two) {
  const [light, dark] = [luminance(one), luminance(two)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

const hex = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16) / 255);

function hsl(hue, saturation, lightness) {
  const a = saturation * Math.min(lightness, 1 - lightness);
  return [0, 8, 4].map((n) => {
    const k = (n + hue / 30) % 12;
    return lightness - a * Math.max(-1, Math.min(k - 3, 9 - k, 1));
  });
}

const tokens = (block) => Object.fromEntries([...block.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6}|\d+%)/g)].map(([, name, value]) => [name, value]));
const [, day, night] = /:root \{([\s\S]*?)\n\}[\s\S]*?:root\[data-theme="dark"\] \{([\s\S]*?)\n\}/.exec(source("theme.css"));
const themes = { light: tokens(day), dark: { ...tokens(day), ...tokens(night) } };

for (const [theme, colours] of Object.entries(themes)) {
  test(`what is written can be read: ${theme}`, () => {
    for (const [text, grounds] of Object.entries(READ_ON)) {
      for (const ground of grounds) {
        const found = contrast(hex(colours[text]), hex(colours[ground]));
        assert.ok(found >= TEXT, `${text} on ${ground}: ${found.toFixed(2)}`);
      }
    }
    for (const ground of ["surface", "paper"]) {
      const found = contrast(hex(colours["line-strong"]), hex(colours[ground]));
      assert.ok(found >= EDGE, `line-strong on ${ground}: ${found.toFixed(2)}`);
    }
  });

  test(`names and initials can be read in every hue: ${theme}`, () => {
    const part = (name) => parseInt(colours[name], 10) / 100;
    for (let hue = 0; hue < 360; hue += 2) {
      const disc = contrast(hsl(hue, part("avatar-saturation"), part("avatar-lightness")), hex(colours["avatar-ink"]));
      assert.ok(disc >= TEXT, `initials at ${hue}: ${disc.toFixed(2)}`);
      for (const ground of ["paper", "sunk"]) {
        const name = contrast(hsl(hue, 0.55, part("name-lightness")), hex(colours[ground]));
        assert.ok(name >= TEXT, `a name at ${hue} on ${ground}: ${name.toFixed(2)}`);
      }
    }
  });
}
