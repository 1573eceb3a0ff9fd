// What the page keeps in the browser: in local storage what is for all tabs and for the next visit, in session
// storage what is for this tab across a reload.
//
// It knows no meaning of what it keeps. A store may refuse: a browser that keeps nothing for pages throws at the
// mention of it, a full one reads and does not write. Then the page itself remembers, for as long as it lives, and
// what it remembers counts before what an older write left in the store. Read first: HTML, section 12 (Web storage).

const PREFIX = "encke.";
const NAMES_MAX = 20; // names of this browser whose secrets are kept
const remembered = new Map(); // what a store refused to write or to remove: place and key -> value

function readFrom(place, key) {
  if (remembered.has(place + key)) return remembered.get(place + key);
  try {
    const text = window[place].getItem(PREFIX + key);
    return text === null ? undefined : JSON.parse(text);
  } catch (e) {
    return undefined; // refused, or not written by us
  }
}

function removeFrom(place, key) {
  try {
    window[place].removeItem(PREFIX + key);
    return true;
  } catch (e) {
    return false;
  }
}

function writeTo(place, key, value) {
  try {
    if (value === undefined) window[place].removeItem(PREFIX + key);
    else window[place].setItem(PREFIX + key, JSON.stringify(value));
    remembered.delete(place + key);
    return true;
  } catch (e) {
    remembered.set(place + key, value);
    removeFrom(place, key); // what a full store has under this key is no longer so
    return false;
  }
}

/** Each `keep` tells whether it will still be there after the page is gone. */
export const kept = (key) => readFrom("localStorage", key);
export const keep = (key, value) => writeTo("localStorage", key, value);
export const tabKept = (key) => readFrom("sessionStorage", key);
export const tabKeep = (key, value) => writeTo("sessionStorage", key, value);

/** `act(value)` when another tab keeps something else under `key`. */
export function onKept(key, act) {
  addEventListener("storage", (event) => {
    if (event.key !== PREFIX + key || event.storageArea !== localStorage) return;
    remembered.delete("localStorage" + key);
    act(kept(key));
  });
}

/** What an object that was kept has of its own under a name that people chose; it may be called `__proto__`. */
export function ownOf(object, name) {
  return object && Object.prototype.hasOwnProperty.call(object, name) ? object[name] : undefined;
}

/** A copy of it with one more: an object that inherits nothing, so that every name is a key like any other. */
export function withOwn(object, name, value) {
  const copy = Object.create(null);
  for (const key of Object.keys(object || {})) copy[key] = object[key];
  copy[name] = value;
  return copy;
}

/** What proves that a name is ours. */
export function secretOf(nick) {
  return ownOf(kept("secrets"), nick.toLowerCase());
}

export function keepSecret(nick, secret) {
  const name = nick.toLowerCase();
  const before = kept("secrets") || {};
  const all = Object.create(null);
  for (const other of Object.keys(before).filter((one) => one !== name).slice(1 - NAMES_MAX)) all[other] = before[other];
  all[name] = secret;
  keep("secrets", all);
}
