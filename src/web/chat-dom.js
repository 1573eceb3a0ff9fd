// Making elements, and nothing but elements: text goes into text nodes, so what people write is never markup.
//
// It knows no chat. Read first: MDN on Document.createElement and on the SVG namespace.

const SVG = "http://www.w3.org/2000/svg";

// Drawn on a field of 24 by 24 with a line of 1.75; each entry is the `d` of one path.
const ICONS = {
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  menu: "M4 7h16M4 12h16M4 17h10",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2.5 20c.5-3.6 3-5.5 6.5-5.5S15 16.4 15.5 20M16 4.3a3.5 3.5 0 0 1 0 6.4M17.5 14.9c2.2.7 3.6 2.4 4 5.1",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1.3 1.3M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7l1.3-1.3",
  settings: "M4 8h9M17 8h3M4 16h3M11 16h9M15 10.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4ZM9 18.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4Z",
  smile: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM8.5 14.2c.8 1.3 2 2 3.5 2s2.7-.7 3.5-2M9 9.5v.6M15 9.5v.6",
  picture: "M5.5 4h13A1.5 1.5 0 0 1 20 5.5v13a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 18.5v-13A1.5 1.5 0 0 1 5.5 4ZM4 16l4.5-4.5 4 4 2.5-2.5 5 4.5M15.2 9.2v.1",
  send: "M4.5 12 3 4.5 21 12 3 19.5 4.5 12ZM4.5 12H13",
  down: "M12 5v14M6 13l6 6 6-6",
  reply: "M9 7l-5 5 5 5M4 12h10a6 6 0 0 1 6 6",
  trash: "M5 7h14M10 11v6M14 11v6M7 7l.8 12h8.4L17 7M9.5 7V4.5h5V7",
  again: "M19 12a7 7 0 1 1-2-5M19 3v4.5h-4.5",
  door: "M14 4H6v16h8M11 12h9M16.5 8.5 20 12l-3.5 3.5",
  at: "M16 12a4 4 0 1 1-4-4 4 4 0 0 1 4 4Zm0 0v1.5a2.5 2.5 0 0 0 5 0V12a9 9 0 1 0-4 7.5",
  key: "M4 7h16v10H4zM7.5 10.5v.1M11 10.5v.1M14.5 10.5v.1M8 14h8",
};

/** An element: `h("li", { class: "x", data: { id: 1 }, on: { click: act }, title: "y" }, "text", child)`. */
export function h(tag, props, ...kids) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") made.className = value;
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name === "on") for (const [type, act] of Object.entries(value)) made.addEventListener(type, act);
    else if (name === "vars") for (const [key, set] of Object.entries(value)) made.style.setProperty(key, set);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...kids.filter((kid) => kid !== null && kid !== undefined && kid !== false));
  return made;
}

export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  for (const [key, value] of [["viewBox", "0 0 24 24"], ["width", "20"], ["height", "20"], ["aria-hidden", "true"]]) {
    drawing.setAttribute(key, value);
  }
  drawing.setAttribute("class", "drawing");
  path.setAttribute("d", ICONS[name]);
  drawing.append(path);
  return drawing;
}

/** A button that shows an icon and says what it does. */
export function iconButton(name, label, act, more) {
  const props = Object.assign({ class: "icon-button", type: "button", "aria-label": label, title: label }, more);
  return h("button", Object.assign(props, { on: { click: act } }), icon(name));
}

/** `act(event)` for each key, but for those that go to an input method, which has its own use for Enter and arrows. */
export function onKey(target, act) {
  target.addEventListener("keydown", (event) => { if (!event.isComposing && event.keyCode !== 229) act(event); });
}

/** Writes into a field as if it were typed, in the place of what stands between two positions: undo takes it back. */
export function typeInto(field, text, from, to) {
  field.focus();
  field.setSelectionRange(from, to);
  if (from === to && !text) return;
  // The one way that keeps what can be undone. Where a browser lacks it for fields, the text matters more.
  if (document.execCommand(text ? "insertText" : "delete", false, text)) return;
  field.setRangeText(text, from, to, "end");
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

export const $ = (id) => document.getElementById(id);

/** Puts the drawings into the elements of the page that name one. */
export function drawIcons() {
  for (const place of document.querySelectorAll("[data-icon]")) place.prepend(icon(place.dataset.icon));
}

/** `act` once, before the next picture, however often it is asked for; in a page that is hidden, soon. */
export function once(act) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    const run = () => { asked = false; act(); };
    if (document.hidden) setTimeout(run, 0);
    else requestAnimationFrame(run);
  };
}

/** The initials of a name: of two words, of two parts, or of one. */
export function initials(name) {
  const words = name.split(/[\s._-]+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : [words[0] || "?"];
  return letters.map((word) => Array.from(word)[0]).join("").toUpperCase();
}

/** The hues that people may choose among. */
export const HUES = [4, 28, 48, 92, 142, 164, 190, 212, 238, 266, 294, 330];

/** The hue of who has chosen none: the same for a name everywhere. */
export function hueOf(name) {
  let sum = 7;
  for (const char of name) sum = (sum * 31 + char.codePointAt(0)) % 3600;
  return HUES[sum % HUES.length];
}

export function avatar(name, hue, more) {
  return h("span", { class: `avatar ${more || ""}`, "aria-hidden": "true", vars: { "--hue": String(hue) } }, initials(name));
}
