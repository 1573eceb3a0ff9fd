// What must be so in the small world of world.mjs, whatever is done to it, and how a test waits there. SEED=n
// runs that one alone, SEEDS=n more of them; a failure names its seed.

import assert from "node:assert/strict";
import { World, random } from "./world.mjs";

const SEEDS = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: Number(process.env.SEEDS ?? 8) }, (_, n) => n + 1);
const SETTLE_MS = 240_000; // of the world's time, after the last fault

export const data = (tab, ch = "lobby") => tab.got.filter((m) => m.ch === ch).map((m) => m.data);
export const kept = (world, ch = "lobby") => world.server.log.filter((m) => m.ch === ch).map((m) => m.data);
export const live = (tab, transport) => () => tab.c.state === "live" && (!transport || tab.c.transport === transport);

export async function seeds(each) {
  for (const seed of SEEDS) {
    const world = new World(seed);
    try {
      await each(world, random(seed * 7919));
      assert.deepEqual(world.errors, []);
    } catch (error) {
      error.message = `SEED=${seed}: ${error.message}`;
      throw error;
    }
  }
}

export async function reach(world, what, done, ms = SETTLE_MS) {
  if (!(await world.run(ms, done))) throw new Error(`not so after ${ms} ms: ${what}`);
}

// Every message of the log once, in its order, from the first the tab was told on; messages that were said
// while it knew of none may come before.
export function toldOnce(world, tab, from, ch = "lobby") {
  assert.deepEqual(data(tab, ch), kept(world, ch).slice(from));
}

export function saidOnce(world, expected) {
  assert.deepEqual(kept(world, "said").sort((a, b) => a - b), expected);
}
