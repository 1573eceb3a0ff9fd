// Chromium, driven by Playwright over its own protocol.

import { launch as start } from "../chromium.mjs";

export async function launch() {
  const browser = await start();
  return {
    version: `Chromium ${browser.version()}`,
    profile: (options) => profile(browser, options),
    close: () => browser.close(),
  };
}

async function profile(browser, { width, height, complain }) {
  const context = await browser.newContext({ viewport: { width, height } });
  return {
    async open() {
      const page = await context.newPage();
      page.on("pageerror", (error) => complain(`thrown: ${error}`));
      page.on("console", (line) => { if (line.type() === "error") complain(`console: ${line.text()} ${line.location().url}`); });
      return tab(page);
    },
    offline: (is) => context.setOffline(is),
    close: () => context.close(),
  };
}

function tab(page) {
  return {
    go: (url) => page.goto(url, { waitUntil: "domcontentloaded" }),
    run: (source) => page.evaluate(source),
    press: (x, y) => page.mouse.click(x, y),
    key: (value) => page.keyboard.press(KEYS[value] ?? value),
    front: () => page.bringToFront(),
    picture: () => page.screenshot(),
    close: () => page.close(),
  };
}

// Playwright has names for the keys that WebDriver numbers.
const KEYS = { "\uE007": "Enter", "\uE00C": "Escape", "\uE004": "Tab" };
