// Addresses in a text: where one ends, whether it may be a link, and how it is written so that it says where it goes.
//
// It knows no element. A link's text is what was typed only where nothing in it can be taken for another address;
// else it is the address as the URL parser spells it. Read first: WHATWG URL, sections 3.3 (host parsing) and 4;
// UTS 39 (Unicode security mechanisms), section 4.

// What is seen as nothing, changes the order of letters, or is laid over what stands before it.
const UNSEEN = /[\u0000-\u001f\u007f-\u00a0\u00ad\u0300-\u036f\u0483-\u0489\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff\u2000-\u200f\u2028-\u202f\u205f-\u206f\u20d0-\u20ff\u2800\u3164\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\uffa0\ufff0-\uffff]|[\ud800-\udfff]/;

// A part of a host's name as it may be shown: ASCII; Latin letters with marks that are seen, among ASCII; or
// ideographs, kana and Hangul alone, none of which looks like a slash, a dot or a Latin letter. What mixes scripts
// otherwise, or is written from right to left, is shown in its ASCII form (punycode).
const PLAIN_LABEL = /^[\w-]+$/;
const LATIN_LABEL = /^[\w\u00e0-\u00f6\u00f8-\u00ff-]+$/;
const EAST_ASIAN_LABEL = /^[\u3041-\u3096\u30a1-\u30fa\u30fc\u4e00-\u9fff\uac00-\ud7a3]+$/;
const LIKE_SIGNS = /[\u4e28\u4e36\u4e3f\u30ce]/; // as a stroke between two names is

const TAIL = /[.,;:!?\]}*_~]/;

/** The address without what ends the sentence: a full stop is the sentence's, a bracket belongs where it was opened. */
export function withoutTail(address) {
  let end = address.length;
  let open = 0;
  for (const char of address) open += char === "(" ? 1 : char === ")" ? -1 : 0;
  for (; end > 0; end--) {
    const last = address[end - 1];
    if (last === ")" && open < 0) open++;
    else if (!TAIL.test(last)) break;
  }
  return address.slice(0, end);
}

const isShown = (label) => PLAIN_LABEL.test(label) || LATIN_LABEL.test(label) || (EAST_ASIAN_LABEL.test(label) && !LIKE_SIGNS.test(label));

// What was typed, if it says where it goes: the scheme, the very host, and nothing unseen behind it.
function isHonest(typed, url) {
  const [, authority, rest] = /^https?:\/\/([^/?#\\]*)(.*)$/i.exec(typed) || [];
  if (authority === undefined || UNSEEN.test(rest) || rest[0] === "\\") return false;
  const [, host, port] = /^(.*?)(?::(\d+))?$/.exec(authority);
  if ((port || "") !== url.port) return false;
  if (host.toLowerCase() === url.hostname) return true;
  // Written in letters that the parser turns into ASCII: each of its parts may be shown.
  return /[^\u0000-\u007f]/.test(host) && host.toLowerCase().split(".").every(isShown);
}

/** `{ href, text }` of an address that may be a link: http or https, and nobody's name in it. Else null. */
export function linkOf(typed) {
  let url;
  try { url = new URL(typed); } catch (e) { return null; }
  if (!/^https?:$/.test(url.protocol) || url.username || url.password) return null;
  return { href: url.href, text: isHonest(typed, url) ? typed : url.href };
}
