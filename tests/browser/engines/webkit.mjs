// WebKit, as Debian has it: WebKitGTK's MiniBrowser on a screen that nobody sees (Xvfb), driven over W3C
// WebDriver by WebKitWebDriver.
//
// Read first: https://www.w3.org/TR/webdriver2/. The driver knows one session, so each profile is a driver and a
// browser of its own. What it lacks: it takes no input for a tab that is behind another, so tabs are windows here,
// none of them hidden; it tells nothing of the console, so errors are caught in the page, once it has loaded; it
// can't emulate a network that is away.

import { freePort, until } from "../../clients/server.mjs";
import { COMMAND_MS, find, folder, SCRIPT_MS, start } from "./process.mjs";

const SCREEN = "1600x1200x24";
const ELSEWHERE = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/libexec", "/usr/lib64", "/usr/lib"];

export async function launch() {
  const driver = find("WebKitWebDriver", "/usr/bin/WebKitWebDriver");
  const browser = find("MiniBrowser", process.env.MINIBROWSER,
    ...ELSEWHERE.flatMap((path) => ["4.1", "4.0", "6.0"].map((api) => `${path}/webkit2gtk-${api}/MiniBrowser`)));
  // It chooses a free display and says which one.
  const screen = await start(find("Xvfb", "/usr/bin/Xvfb"),
    ["-displayfd", "1", "-screen", "0", SCREEN, "-nolisten", "tcp"], /^(\d+)\n/m);
  const display = `:${screen.match[1]}`;
  const first = await session(driver, browser, display); // what can't be driven is found here
  const version = `WebKitGTK ${first.capabilities.browserVersion}`;
  await first.end();
  return {
    version,
    profile: (options) => profile(driver, browser, display, options),
    close: () => screen.stop(),
  };
}

async function session(driver, browser, display) {
  const home = folder("webkit");
  const port = await freePort();
  const program = await start(driver, [`--port=${port}`, "--host=127.0.0.1"], null, {
    DISPLAY: display, GDK_BACKEND: "x11", NO_AT_BRIDGE: "1", HOME: home.path, XDG_CACHE_HOME: home.path,
    XDG_CONFIG_HOME: home.path, XDG_DATA_HOME: home.path, XDG_RUNTIME_DIR: home.path,
  });
  const wire = { base: `http://127.0.0.1:${port}` };
  const end = async () => {
    if (wire.session) await send(wire, "DELETE", "").catch(() => {}); // the browser ends, whatever is answered
    await program.stop();
    home.remove();
  };
  try {
    await until("WebKitWebDriver answers", () => send(wire, "GET", "/status").then(() => true, () => false));
    const { sessionId, capabilities } = await send(wire, "POST", "/session", { capabilities: { alwaysMatch: {
      pageLoadStrategy: "eager",
      unhandledPromptBehavior: "dismiss",
      "webkitgtk:browserOptions": {
        binary: browser,
        args: ["--automation"],
      },
    } } });
    wire.session = sessionId;
    return { wire, capabilities, end };
  } catch (error) {
    await end();
    throw new Error(`${error.message}; it said:\n${program.said()}`);
  }
}

async function send(wire, method, path, body) {
  const url = `${wire.base}${wire.session ? `/session/${wire.session}` : ""}${path}`;
  const answer = await fetch(url, { method, body: body && JSON.stringify(body), signal: AbortSignal.timeout(COMMAND_MS) });
  const { value } = await answer.json();
  if (!answer.ok) throw new Error(`WebKit: ${path}: ${value.error}: ${value.message}`);
  return value;
}

async function profile(driver, browser, display, { width, height, complain }) {
  const { wire, end } = await session(driver, browser, display);
  // A command is for the window that was chosen last; two commands for two windows must not cross.
  let turn = Promise.resolve();
  const inTurn = (act) => (turn = turn.catch(() => {}).then(act));
  const at = (handle, ...command) => inTurn(async () => {
    await send(wire, "POST", "/window", { handle });
    return command.length ? send(wire, ...command) : null;
  });
  let [first] = await send(wire, "GET", "/window/handles");
  await send(wire, "POST", "/window/rect", { width, height });
  return {
    async open() {
      const handle = first ?? (await inTurn(() => send(wire, "POST", "/window/new", { type: "window" }))).handle;
      first = null;
      return tab((...command) => at(handle, ...command), complain);
    },
    close: end,
  };
}

function tab(at, complain) {
  const execute = (script, ...args) => at("POST", "/execute/sync", { script, args });
  const act = (actions) => at("POST", "/actions", { actions });
  return {
    async go(url) {
      await at("POST", "/url", { url });
      await execute(`(${listen})();`);
    },
    // A promise is not waited for in the driver: meanwhile it would take no command for any other tab.
    async run(source) {
      const name = `encke_run_${Math.random()}`;
      await execute(`const mine = window[arguments[0]] = {};
        (async () => (${source}))().then((value) => { mine.value = value; mine.done = true; },
          (error) => { mine.error = error + "\\n" + (error && error.stack); mine.done = true; });`, name);
      let said;
      await until("the page has an answer", async () => {
        said = await execute(`const mine = window[arguments[0]] || { error: "the page has changed", done: true };
          if (mine.done) delete window[arguments[0]];
          return Object.assign({ heard: (window.encke_heard || []).splice(0) }, mine);`, name);
        said.heard.forEach(complain);
        return said.done;
      }, SCRIPT_MS);
      if (said.error) throw new Error(said.error);
      return said.value;
    },
    press: (x, y) => act([{ type: "pointer", id: "mouse", parameters: { pointerType: "mouse" }, actions: [
      { type: "pointerMove", x: Math.round(x), y: Math.round(y) },
      { type: "pointerDown", button: 0 }, { type: "pointerUp", button: 0 }] }]),
    key: (value) => act([{ type: "key", id: "keys", actions: [{ type: "keyDown", value }, { type: "keyUp", value }] }]),
    front: () => at(),
    picture: async () => Buffer.from(await at("GET", "/screenshot"), "base64"),
    close: () => at("DELETE", "/window"),
  };
}

// Runs in the page: the driver does not tell what the console says.
function listen() {
  const heard = window.encke_heard = [];
  const { error } = console;
  console.error = function (...all) { heard.push(`console: ${all.join(" ")}`); error.apply(console, all); };
  addEventListener("error", (event) => { if (event.message) heard.push(`thrown: ${event.message}`); });
  addEventListener("unhandledrejection", (event) => { heard.push(`thrown: ${event.reason}`); });
}
