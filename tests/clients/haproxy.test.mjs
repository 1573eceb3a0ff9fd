// Debian's HAProxy in front, in plain `mode http`: it passes on whatever a visitor says of the host. Left out on a
// machine without it.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { freePort, startKeyless, until } from "./server.mjs";

const HAPROXY = ["haproxy", "/usr/sbin/haproxy"].find((path) => spawnSync(path, ["-v"]).status === 0);
const skip = HAPROXY ? false : "no HAProxy on this machine";

async function startHaproxy(target) {
  const folder = mkdtempSync(`${tmpdir()}/encke-haproxy-`);
  const port = await freePort();
  writeFileSync(`${folder}/haproxy.cfg`, `
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend visitors
  bind 127.0.0.1:${port}
  default_backend encke
backend encke
  server one 127.0.0.1:${target}
`);
  const child = spawn(HAPROXY, ["-db", "-f", `${folder}/haproxy.cfg`], { stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  const answers = () => ask(port, "GET", "/healthz", { host: "localhost" }).then((status) => status === 200, () => false);
  await until("HAProxy answers", answers).catch(async (error) => { await stop(); throw error; });
  return { port, stop };
}

// Node's fetch says what it is connected to in Host; a stranger says what they like.
function ask(port, method, path, headers) {
  return new Promise((resolve, reject) => {
    const asked = request({ port, method, path, headers, host: "127.0.0.1" }, (response) => {
      response.resume().once("end", () => resolve(response.statusCode));
    });
    asked.once("error", reject).end(method === "POST" ? "1" : undefined);
  });
}

test("a stranger who says localhost is no program of this machine", { skip, timeout: 30_000 }, async () => {
  const server = await startKeyless("--host", "chat.example");
  const proxy = await startHaproxy(server.port);
  try {
    for (const path of ["/admin/users", "/metrics", "/channels", "/channels/lobby", "/channels/@ann/history"]) {
      for (const host of ["localhost", "127.0.0.1:8080", "chat.example"]) {
        assert.equal(await ask(proxy.port, "GET", path, { host }), 401, `${path} ${host}`);
      }
    }
    for (const path of ["/admin/kick", "/publish/lobby", "/publish/@ann"]) {
      assert.equal(await ask(proxy.port, "POST", path, { host: "localhost" }), 401, path);
    }
  } finally {
    await proxy.stop();
    await server.stop();
  }
});
