// Runs the browser tests: looks which engines can be driven here, names each, and counts at the end. One that can't
// is said loudly; at least two have to work.
//
//   node run.mjs            everything
//   node run.mjs firefox    what is tested on each engine, on this one alone
//   node run.mjs chat       the tests of chat.test.mjs alone

import { readdirSync } from "node:fs";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";
import { ENGINES, launch } from "./engines.mjs";

const ENGINES_MIN = 2;
const FILES_AT_ONCE = 3; // they wait more than they work

const wanted = process.argv.slice(2);
const some = wanted.filter((name) => ENGINES.includes(name));
const names = some.length ? some : ENGINES;
const from = Date.now();

async function probe(name) {
  try {
    const browser = await launch(name);
    await browser.close();
    console.log(`engine ${name}: ${browser.version}`);
    return name;
  } catch (error) {
    console.log(`\n!!! THE ENGINE ${name} CAN'T BE DRIVEN HERE, and is not tested:\n!!! ${error.message}\n`);
    return null;
  }
}

const engines = (await Promise.all(names.map(probe))).filter(Boolean);
const enough = engines.length >= Math.min(ENGINES_MIN, names.length);
const here = fileURLToPath(new URL(".", import.meta.url));
const common = readdirSync(here).map((name) => /^(.*)\.test\.mjs$/.exec(name)?.[1])
  .filter((name) => name && !ENGINES.includes(name));
const files = (wanted.length ? wanted.filter((name) => [...engines, ...common].includes(name)) : [...engines, ...common])
  .map((name) => `${here}${name}.test.mjs`);
process.env.ENCKE_ENGINES = engines.join(" ");
const count = { pass: 0, fail: 0 };

const events = run({ files, concurrency: FILES_AT_ONCE });
for (const how of ["pass", "fail"]) events.on(`test:${how}`, (one) => { if (one.details?.type !== "suite") count[how]++; });
events.on("end", () => {
  const missing = names.filter((name) => !engines.includes(name));
  console.log(`\nbrowsers: ${engines.join(", ") || "none"}${missing.length ? `; NOT DRIVEN: ${missing.join(", ")}` : ""}`);
  if (!enough) console.log(`fewer than ${ENGINES_MIN} engines work: this is a failure`);
  console.log(`browser tests: ${count.pass} passed, ${count.fail} failed, ${Math.round((Date.now() - from) / 1000)} s`);
  process.exitCode = enough && !count.fail && count.pass ? 0 : 1;
});
events.compose(new spec()).pipe(process.stdout);
