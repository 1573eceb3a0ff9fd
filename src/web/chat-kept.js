// What the page keeps in the browser: in local storage what is for all tabs and for the next visit, in session
// storage what is for this tab across a reload.
//
// It knows no meaning of what it keeps. A browser that keeps nothing for pages throws at the mention of a
// store; then things are kept for as long as the page lives. Read first: HTML, section 12 (Web storage).

const PREFIX = "encke.";
const fallback = new Map();

function store(name) {
  try { return window[name]; } catch (e) { return null; }
}

function readFrom(where, key) {
  try {
    const text = store(where).getItem(PREFIX + key);
    return text === null ? undefined : JSON.parse(text);
  } catch (e) {
    return fallback.get(where + key);
  }
}

function writeTo(where, key, value) {
  if (value === undefined) fallback.delete(where + key);
  else fallback.set(where + key, value);
  try {
    if (value === undefined) store(where).removeItem(PREFIX + key);
    else store(where).setItem(PREFIX + key, JSON.stringify(value));
  } catch (e) { /* full, or not allowed: the page remembers it for now */ }
}

export const kept = (key) => readFrom("localStorage", key);
export const keep = (key, value) => writeTo("localStorage", key, value);
export const tabKept = (key) => readFrom("sessionStorage", key);
export const tabKeep = (key, value) => writeTo("sessionStorage", key, value);

/** `act(value)` when another tab keeps something else under `key`. */
export function onKept(key, act) {
  addEventListener("storage", (event) => {
    if (event.key === PREFIX + key) act(kept(key));
  });
}

const NAMES_MAX = 20; // names of this browser whose secrets are kept

/** What proves that a name is ours. */
export function secretOf(nick) {
  const all = kept("secrets") || {};
  return all[nick.toLowerCase()];
}

export function keepSecret(nick, secret) {
  const name = nick.toLowerCase();
  const others = Object.entries(kept("secrets") || {}).filter(([other]) => other !== name);
  const all = {};
  for (const [other, its] of others.slice(1 - NAMES_MAX)) all[other] = its;
  all[name] = secret;
  keep("secrets", all);
}
