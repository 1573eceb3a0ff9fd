// The browser of the tests: Debian's Chromium, or the one that CHROMIUM names, with nothing that calls home.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PATH = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser"]
  .find((path) => path && existsSync(path));

export function launch() {
  return chromium.launch({
    executablePath: PATH,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}
