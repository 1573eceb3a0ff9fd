// A program that a driver starts: found, awaited, and ended with everything it started, by its process group.
//
// It knows no browser.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

// Generous, since a machine may be busy with much else; nothing waits longer than it has to.
export const COMMAND_MS = 60_000; // for a driver to answer
export const SCRIPT_MS = 90_000; // for a page, which may wait for something itself
const START_MS = 60_000;
const STOP_MS = 5_000;
const SAID_CHARS_MAX = 20_000;

const groups = new Set();
const folders = new Set();

// Also when the test run itself is ended from outside: nothing is left behind.
process.on("exit", () => {
  for (const pid of groups) kill(pid, "SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => process.exit(1));

function kill(group, signal) {
  try { process.kill(-group, signal); } catch { /* it has ended */ }
}

export function find(what, ...paths) {
  const found = paths.find((path) => path && existsSync(path));
  if (!found) throw new Error(`no ${what} on this machine; tests/run installs it`);
  return found;
}

// An empty folder for a profile, gone at the latest when the run ends.
export function folder(name) {
  const path = mkdtempSync(`${tmpdir()}/encke-${name}-`);
  folders.add(path);
  return {
    path,
    remove() {
      // A browser's helpers may write for a moment longer than it lives.
      rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
      folders.delete(path);
    },
  };
}

// Starts it and resolves once it has said what `ready` matches, or at once without.
export async function start(path, args, ready, env = {}) {
  const child = spawn(path, args, {
    detached: true, // a group of its own, so that its helpers end with it
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  groups.add(child.pid);
  const exited = new Promise((resolve) => child.once("exit", (code, signal) => resolve(signal ?? code)));
  let said = "";
  const match = await new Promise((resolve, reject) => {
    const fail = (why) => { kill(child.pid, "SIGKILL"); reject(new Error(`${path}: ${why}; it said:\n${said}`)); };
    const late = setTimeout(() => fail(`not ready after ${START_MS} ms`), START_MS);
    child.once("error", (error) => fail(error.message));
    exited.then((how) => fail(`it ended with ${how}`));
    if (!ready) child.once("spawn", () => { clearTimeout(late); resolve(null); });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        said = (said + text).slice(-SAID_CHARS_MAX);
        const found = ready?.exec(said);
        if (found) { clearTimeout(late); resolve(found); }
      });
    }
  });
  return {
    match,
    said: () => said,
    async stop() {
      kill(child.pid, "SIGTERM");
      const force = setTimeout(() => kill(child.pid, "SIGKILL"), STOP_MS);
      await exited;
      clearTimeout(force);
      kill(child.pid, "SIGKILL"); // helpers that outlived it
      groups.delete(child.pid);
    },
  };
}

// A promise with an end.
export function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`after ${ms} ms still not so: ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
