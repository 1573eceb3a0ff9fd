// Firefox, driven over WebDriver BiDi, which it speaks by itself: Debian has no geckodriver.
//
// Read first: https://w3c.github.io/webdriver-bidi/. A profile of ours is a user context of the one process.

import { writeFileSync } from "node:fs";
import WebSocket from "ws";
import { COMMAND_MS, find, folder, SCRIPT_MS, start, within } from "./process.mjs";

// Firefox turns off most of what would disturb a test by itself when it is driven (remote.prefs.recommended).
const PREFERENCES = {
  "app.normandy.enabled": false,
  "browser.discovery.enabled": false,
  "browser.safebrowsing.downloads.remote.enabled": false,
  "browser.safebrowsing.malware.enabled": false,
  "browser.safebrowsing.phishing.enabled": false,
  "browser.search.update": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.page": 0,
  "browser.topsites.contile.enabled": false,
  "datareporting.healthreport.uploadEnabled": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "dom.ipc.processCount": 2, // not one for each tab
  "dom.ipc.processPrelaunch.enabled": false,
  "extensions.getAddons.cache.enabled": false,
  "extensions.systemAddon.update.enabled": false,
  "extensions.update.enabled": false,
  "fission.autostart": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "network.dns.disablePrefetch": true,
  "network.http.speculative-parallel-limit": 0,
  "network.prefetch-next": false,
  "services.settings.server": "data:,",
  "toolkit.telemetry.enabled": false,
  "toolkit.telemetry.unified": false,
};

export async function launch() {
  const path = find("Firefox", process.env.FIREFOX, "/usr/bin/firefox-esr", "/usr/bin/firefox");
  const home = folder("firefox");
  writeFileSync(`${home.path}/user.js`, Object.entries(PREFERENCES)
    .map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`).join(""));
  const program = await start(path,
    ["--headless", "--no-remote", "--new-instance", "--profile", home.path, "--remote-debugging-port", "0"],
    /WebDriver BiDi listening on (ws:\/\/\S+)/, { MOZ_CRASHREPORTER_DISABLE: "1", HOME: home.path });
  const bidi = await connect(`${program.match[1]}/session`);
  const { capabilities } = await bidi.send("session.new", { capabilities: {} });
  await bidi.send("session.subscribe", { events: ["log.entryAdded"] });
  return {
    version: `Firefox ${capabilities.browserVersion}`,
    profile: (options) => profile(bidi, options),
    async close() {
      await bidi.send("browser.close", {}).catch(() => {}); // it may hang up before it answers
      bidi.close();
      await program.stop();
      home.remove();
    },
  };
}

async function profile(bidi, { width, height, complain }) {
  const { userContext } = await bidi.send("browser.createUserContext", {});
  const tabs = new Set();
  bidi.listeners.add(heard);
  function heard({ method, params }) {
    if (method === "log.entryAdded" && params.level === "error" && tabs.has(params.source.context)) {
      // Of what it reports as JavaScript's, much is about the network.
      const thrown = params.type === "javascript" && /^(uncaught exception|\w*(Error|Exception)\b)/.test(params.text);
      complain(`${thrown ? "thrown" : "console"}: ${params.text}`);
    }
  }
  return {
    async open() {
      const { context } = await bidi.send("browsingContext.create", { type: "tab", userContext });
      tabs.add(context);
      await bidi.send("browsingContext.setViewport", { context, viewport: { width, height } });
      return tab(bidi, context);
    },
    async offline(is) {
      const networkConditions = is ? { type: "offline" } : null;
      await bidi.send("emulation.setNetworkConditions", { networkConditions, userContexts: [userContext] });
    },
    async close() {
      await bidi.send("browser.removeUserContext", { userContext });
      bidi.listeners.delete(heard);
    },
  };
}

function tab(bidi, context) {
  const act = (actions) => bidi.send("input.performActions", { context, actions });
  return {
    go: (url) => bidi.send("browsingContext.navigate", { context, url, wait: "interactive" }),
    async run(source) {
      const said = await bidi.send("script.evaluate",
        { expression: source, target: { context }, awaitPromise: true, userActivation: true }, SCRIPT_MS);
      if (said.type === "exception") throw new Error(said.exceptionDetails.text);
      return said.result.value;
    },
    press: (x, y) => act([{ type: "pointer", id: "mouse", actions: [
      { type: "pointerMove", x: Math.round(x), y: Math.round(y) },
      { type: "pointerDown", button: 0 }, { type: "pointerUp", button: 0 }] }]),
    key: (value) => act([{ type: "key", id: "keys", actions: [{ type: "keyDown", value }, { type: "keyUp", value }] }]),
    front: () => bidi.send("browsingContext.activate", { context }),
    picture: async () => Buffer.from((await bidi.send("browsingContext.captureScreenshot", { context })).data, "base64"),
    close: () => bidi.send("browsingContext.close", { context }),
  };
}

async function connect(url) {
  const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: 64 << 20 });
  const waiting = new Map();
  const listeners = new Set();
  let serial = 0;
  await within(COMMAND_MS, "Firefox takes a connection", new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  }));
  socket.on("message", (text) => {
    const said = JSON.parse(text);
    if (said.type === "event") for (const hear of listeners) hear(said);
    const act = waiting.get(said.id);
    waiting.delete(said.id);
    if (act && said.type === "success") act.resolve(said.result);
    else if (act) act.reject(new Error(`Firefox: ${said.error}: ${said.message}`));
  });
  socket.on("close", () => {
    for (const act of waiting.values()) act.reject(new Error("Firefox has ended"));
    waiting.clear();
  });
  return {
    listeners,
    send(method, params, ms = COMMAND_MS) {
      const id = ++serial;
      const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
      socket.send(JSON.stringify({ id, method, params }));
      return within(ms, `Firefox answers ${method}`, answer).finally(() => waiting.delete(id));
    },
    close: () => socket.terminate(),
  };
}
