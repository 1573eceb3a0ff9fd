// A person at the chat page, for the tests: opens it, comes in, says something, looks. What is found is found as a
// person or a screen reader finds it, by role and name; what no role tells is in `data-…` attributes.

import assert from "node:assert/strict";
import { until } from "../clients/server.mjs";

const LIVE_MS = 15_000;

/** The page in a browser of its own, or in a second tab of the one that `options.context` is. */
export async function openPage(browser, base, { context, path = "/", ...options } = {}) {
  context ??= await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (line) => {
    const isExpected = /closed before the connection/.test(line.text()) || line.location().url.endsWith("/config");
    if (line.type() === "error" && !isExpected) page.complaints.push(line.text());
  });
  await page.goto(base + path);
  await live(page);
  return page;
}

export function live(page, transport) {
  const way = transport ? `[data-transport=${transport}]` : "";
  return page.waitForSelector(`#state[data-state=live]${way}`, { timeout: LIVE_MS });
}

/** Chooses a transport by hand, as a person does. */
export async function choose(page, transport) {
  await choosing(page);
  await page.getByLabel("Read over").selectOption(transport);
  await page.keyboard.press("Escape");
  await live(page, transport);
}

/** Opens the window with the connection, to choose in it again and again. */
export async function choosing(page) {
  await page.getByRole("button", { name: /^Connection/ }).click();
  await page.getByRole("dialog", { name: "Connection" }).waitFor();
}

export async function enter(page, nick) {
  await page.getByRole("textbox", { name: "Your name" }).fill(nick);
  await page.getByRole("button", { name: "Join" }).click();
  await page.getByRole("textbox", { name: "Message" }).waitFor();
}

export async function say(page, text) {
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

export const log = (page) => page.getByRole("log", { name: "Messages" });
export const message = (page, text) => log(page).locator(".message", { hasText: text }).last();
export const texts = (page) => page.$$eval("#lines .message .text", (all) => all.map((one) => one.textContent));
export const authors = (page) => page.$$eval("#lines .message", (all) => all.map((one) => one.dataset.from));
export const lines = (page) => page.$$eval("#lines .presence", (all) => all.map((one) => one.textContent));
export const gaps = (page) => log(page).locator(".gap").count();
export const online = (page) => page.$$eval("#people-list [data-nick]", (all) => all.map((one) => one.dataset.nick));

export const roomEntry = (page, name) => page.getByRole("navigation", { name: "Rooms" }).locator(`[data-key="${name}"]`);
export const openEntry = (page, name) => roomEntry(page, name).locator(".entry-main").click();

export async function shows(page, text) {
  await until(`the page shows "${text}"`, async () => (await texts(page)).includes(text));
}

/** Finds or makes a room and goes in. */
export async function goTo(page, room) {
  await page.getByRole("button", { name: "Find or make a room" }).click();
  await page.getByLabel("Name of the room").fill(room);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: room }).waitFor();
}

/** What is done with a message: the button beside it. */
export async function act(page, text, name) {
  const line = message(page, text);
  await line.hover();
  await line.getByRole("button", { name }).click();
}

export async function isSaid(page, id, expected) {
  await page.waitForSelector(`${id}:visible`);
  assert.match(await page.textContent(id), expected);
}
