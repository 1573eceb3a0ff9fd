// Starts the built program on a free port for a test, and stops that one process again.
//
// The binary is the one named by ENCKE, else the release build, else the debug build.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import net from "node:net";
import { fileURLToPath } from "node:url";

const START_MS = 10_000;
const STOP_MS = 5_000; // a shutdown with open streams ends at once; this is for a loaded machine

export const root = fileURLToPath(new URL("../../", import.meta.url));

function binary() {
  const target = process.env.CARGO_TARGET_DIR ?? `${root}target`;
  const choices = process.env.ENCKE ? [process.env.ENCKE]
    : [`${target}/release/encke`, `${target}/debug/encke`];
  const found = choices.find((path) => existsSync(path));
  if (!found) throw new Error(`no program at ${choices.join(" or ")}; run cargo build --release`);
  return found;
}

// examples/echo.rs, which `cargo test` builds: a WebSocket to any path, and what comes is sent back.
export function startEcho() {
  const path = `${process.env.CARGO_TARGET_DIR ?? `${root}target`}/debug/examples/echo`;
  if (!existsSync(path)) throw new Error(`no program at ${path}; run cargo build --examples`);
  return start(path, ["0"]);
}

// Of those who run the server: what a request of theirs carries.
const KEY = "of-those-who-run-it";
export const asOperator = { headers: { authorization: `Bearer ${KEY}` } };

// Without a key the program draws one and tells it to nobody here.
export function startKeyless(...flags) {
  return start(binary(), ["--port", "0", ...flags]);
}

// On a free port, unless the flags name one. Resolves to { base: "http://127.0.0.1:PORT", port, stop() } once the program says where it listens.
export async function startServer(...flags) {
  const port = flags.includes("--port") ? [] : ["--port", "0"];
  return start(binary(), [...port, ...flags], { ENCKE_PUBLISH_KEY: KEY });
}

async function start(program, flags, variables = {}) {
  const env = { ...process.env, ...variables };
  const child = spawn(program, flags, { stdio: ["ignore", "pipe", "pipe"], env });
  let said = "";
  const exited = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
  const address = new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no address after ${START_MS} ms; it said:\n${said}`)), START_MS);
    const listen = (chunk) => {
      said = (said + chunk).slice(-20_000);
      const match = /http:\/\/127\.0\.0\.1:(\d+)/.exec(said);
      if (match) {
        clearTimeout(late);
        resolve({ base: match[0], port: Number(match[1]) });
      }
    };
    child.stdout.setEncoding("utf8").on("data", listen);
    child.stderr.setEncoding("utf8").on("data", (chunk) => { said = (said + chunk).slice(-20_000); });
    child.once("error", reject);
    exited.then((how) => { clearTimeout(late); reject(new Error(`it ended with ${JSON.stringify(how)}:\n${said}`)); });
  });
  try {
    return { ...(await address), stop: () => stop(child, exited) };
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

async function stop(child, exited) {
  let late = false;
  const force = setTimeout(() => { late = true; child.kill("SIGKILL"); }, STOP_MS);
  child.kill("SIGTERM");
  await exited;
  clearTimeout(force);
  if (late) throw new Error(`the program did not end within ${STOP_MS} ms of SIGTERM`);
}

export async function publish(base, channel, text) {
  const order = { ...asOperator, method: "POST", body: text };
  const response = await fetch(`${base}/publish/${encodeURIComponent(channel)}`, order);
  const said = await response.text();
  if (!response.ok) throw new Error(`publish answered ${response.status}: ${said}`);
  return said;
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().on("error", reject).listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

// Waits until `done()` is true; the condition is looked at, the time is not guessed.
export async function until(what, done, ms = 15_000) {
  const end = Date.now() + ms;
  while (!(await done())) {
    if (Date.now() > end) throw new Error(`after ${ms} ms still not so: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
