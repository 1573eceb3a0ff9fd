// Debian's Varnish in front of the server, for a test: as it is installed, with the backend named and no more.

import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { freePort, until } from "./server.mjs";

const VARNISH = ["varnishd", "/usr/sbin/varnishd"].find((path) => spawnSync(path, ["-V"]).status === 0);
const START_MS = 60_000; // it compiles its configuration with the C compiler

export async function startVarnish(target) {
  const folder = mkdtempSync(`${tmpdir()}/encke-varnish-`);
  chmodSync(folder, 0o755); // started as root, it works as a user of its own
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  // -F: in the foreground, where it ends with the test.
  const flags = ["-F", "-n", folder, "-a", `127.0.0.1:${port}`, "-b", `127.0.0.1:${target}`, "-s", "malloc,16m"];
  const child = spawn(VARNISH, flags, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text) => { said = (said + text).slice(-5_000); });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  await until("Varnish answers", () => fetch(`${base}/healthz`).then((r) => r.ok, () => false), START_MS).catch(async (error) => {
    await stop();
    throw new Error(`${error.message}; Varnish said:\n${said}`);
  });
  return { base, port, stop };
}
