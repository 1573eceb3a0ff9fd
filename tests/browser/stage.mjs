// What one test plays on: a server, a profile of the browser, and the networks between them.

import { startNginx } from "../clients/nginx.mjs";
import { startServer } from "../clients/server.mjs";
import { startVarnish } from "../clients/varnish.mjs";
import { openClient } from "./client.mjs";
import { startProxy } from "./proxies.mjs";

const FLAGS = ["--jsonp", "--history", "2000"];

export class Stage {
  #networks = new Set();

  static async set(browser, flags = FLAGS) {
    const stage = new Stage();
    stage.flags = flags;
    stage.server = await startServer(...flags);
    stage.profile = await browser.profile();
    return stage;
  }

  async strike() {
    await this.profile.close();
    for (const one of this.#networks) await one.stop();
    await this.server.stop();
  }

  // The network of a client, with its vice; a place is given to what returns after it died. To a browser each is
  // an origin of its own, so that no client shares anything with another.
  async network(vice, at) {
    const proxy = await startProxy(this.server.port, vice, at);
    this.#networks.add(proxy);
    return { ...proxy, die: async () => { if (this.#networks.delete(proxy)) await proxy.stop(); } };
  }

  async nginx(lines) {
    const nginx = await startNginx(this.server.port, lines);
    this.#networks.add(nginx);
    return nginx;
  }

  async varnish() {
    const varnish = await startVarnish(this.server.port);
    this.#networks.add(varnish);
    return varnish;
  }

  async client(options, vice) {
    return openClient(this.profile, (await this.network(vice)).base, options);
  }

  // A tab that shares its origin with all others of this kind.
  tab(options) { return openClient(this.profile, this.server.base, options); }

  // Another process, with nothing of what the one before knew.
  async restartServer() {
    await this.server.stop();
    this.server = await startServer(...this.flags, "--port", String(this.server.port));
  }
}
