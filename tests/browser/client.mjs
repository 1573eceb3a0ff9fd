// A tab with nothing in it but encke.js and one client `c`, which notes what it is told; and what is asked of it.

import assert from "node:assert/strict";
import { asOperator, root, until } from "../clients/server.mjs";

// From the last message sent to the last one seen: a client waits up to 30 s before it tries a lost server again.
export const SETTLE_MS = 75_000;
export const LIBRARY = process.env.ENCKE_JS ?? `${root}src/web/encke.min.js`;

export async function openClient(profile, base, options = {}) {
  const tab = await profile.open(`${base}/healthz`);
  await tab.add(LIBRARY);
  if ([options.transports].flat().includes("htmlfile")) await tab.evaluate(htmlfile);
  await tab.evaluate((given) => {
    self.got = [];
    self.gaps = [];
    self.errors = [];
    self.c = Encke({ channels: ["lobby"], ...given })
      .on("message", (m) => got.push(/^\d+$/.test(m.data) ? Number(m.data) : m.data))
      .on("gap", (g) => gaps.push(`${g.ch} ${g.why}`))
      .on("error", (e) => errors.push(e.code));
  }, options);
  return tab;
}

// What Internet Explorer calls an htmlfile, as far as the transport uses it: a document with a window.
export function htmlfile() {
  self.ActiveXObject = function () {
    const frame = document.createElement("iframe");
    document.body.append(frame);
    const file = frame.contentDocument;
    Object.defineProperty(file, "parentWindow", { value: frame.contentWindow });
    file.open = file.write = file.close = () => {};
    return file;
  };
  self.CollectGarbage = () => { self.collected = true; };
}

// What it found out about the transports, in short: without htmlfile, which only one browser ever had.
export const trail = async (tab) => (await tab.evaluate(() => c.trail)).filter((one) => one.transport !== "htmlfile");
export const got = (tab) => tab.evaluate(() => got);
export const numbers = (count, from = 0) => Array.from({ length: count }, (_, n) => n + from);

// Waits, and says what the client had found out if it was in vain.
async function eventually(what, tab, done, ...args) {
  await until(what, () => tab.evaluate(done, ...args), SETTLE_MS).catch(async (error) => {
    const is = await tab.evaluate(() => ({ state: c.state, transport: c.transport, trail: c.trail, got: got.length,
      last: got.slice(-3), replies: self.replies && replies.filter(Boolean).length, gaps, errors, visible: document.visibilityState }));
    throw new Error(`${error.message}; it is ${JSON.stringify(is)}`);
  });
}

export const live = (tab, transport) => eventually(`live over ${transport ?? "anything"}`, tab,
  (transport) => c.state === "live" && (!transport || c.transport === transport), transport);

// Everything up to this one, whatever it is.
export async function comes(tab, last) {
  await eventually(`${last} has come`, tab, (last) => got.includes(last), last);
  return got(tab);
}

// All of it, once each, in order, and nothing else.
export async function arrives(tab, expected) {
  assert.deepEqual(await comes(tab, expected.at(-1)), expected);
}

// Published by a back end, five at a time.
export async function burst(base, count, { from = 0, pauseMs = 0, ch = "lobby" } = {}) {
  const end = from + count;
  for (let n = from; n < end; n += 5) {
    const lines = numbers(Math.min(5, end - n), n).map((data) => `${JSON.stringify({ ch, data })}\n`);
    const answer = await fetch(`${base}/publish`, { ...asOperator, method: "POST", body: lines.join("") });
    if (!answer.ok) throw new Error(`publish answered ${answer.status}: ${await answer.text()}`);
    if (pauseMs) await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

// Published by the page itself, all at once. No timer of the page is in it: those stand almost still in a tab that
// is behind another.
export function speaks(tab, ch, count, from = 0) {
  return tab.evaluate((ch, count, from) => {
    self.replies ??= [];
    for (let n = from; n < from + count; n++) c.publish(ch, n).then((reply) => { replies[n] = reply.id; });
  }, ch, count, from);
}

// Waits until each has its reply.
export async function spoken(tab, count, from = 0) {
  await eventually(`${count} are said`, tab, (from, to) => {
    for (let n = from; n < to; n++) if (!replies[n]) return false;
    return true;
  }, from, from + count);
}

export async function says(tab, ch, count, from) {
  await speaks(tab, ch, count, from);
  await spoken(tab, count, from);
}

// The ids of what the page said.
export const replies = (tab) => tab.evaluate(() => replies);

// What the server has of a channel, oldest first.
export async function kept(base, ch) {
  const answer = await fetch(`${base}/channels/${encodeURIComponent(ch)}/history?limit=1000`, asOperator);
  return answer.ok ? (await answer.json()).messages : [];
}
