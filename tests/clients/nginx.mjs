// Debian's nginx in front of the server, for a test: as it comes, or with the lines of the README.

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { freePort, root, until } from "./server.mjs";

export const NGINX = ["nginx", "/usr/sbin/nginx"].find((path) => spawnSync(path, ["-v"]).status === 0);

const SERVER = "http://127.0.0.1:8080"; // as the README names it

export const BARE = { http: "", server: `location / { proxy_pass ${SERVER}; }` };

// What the README tells people to write. The `map` belongs outside of `server`, the rest into it.
export function fromReadme() {
  const block = /```nginx\n([\s\S]*?)```/.exec(readFileSync(`${root}README.md`, "utf8"))[1];
  const [, http, server] = /^((?:map .*\n+)*)([\s\S]*)$/.exec(block);
  if (!http || !server.includes(SERVER)) throw new Error(`this is not what the README used to say:\n${block}`);
  return { http, server };
}

export async function startNginx(target, lines) {
  const folder = mkdtempSync(`${tmpdir()}/encke-nginx-`);
  const port = await freePort();
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  writeFileSync(`${folder}/nginx.conf`, `
daemon off;
pid ${folder}/pid;
events {}
http {
  access_log off;
  ${paths.map((name) => `${name}_temp_path ${folder}/${name};`).join("\n  ")}
  ${lines.http}
  server {
    listen 127.0.0.1:${port};
    ${lines.server.replaceAll(SERVER, `http://127.0.0.1:${target}`)}
  }
}
`);
  const child = spawn(NGINX, ["-c", `${folder}/nginx.conf`, "-e", `${folder}/error.log`], { stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const base = `http://127.0.0.1:${port}`;
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  await until("nginx answers", () => fetch(`${base}/healthz`).then((r) => r.ok, () => false)).catch(async (error) => {
    const said = readFileSync(`${folder}/error.log`, "utf8");
    await stop();
    throw new Error(`${error.message}; nginx said:\n${said}`);
  });
  return { base, port, stop };
}
