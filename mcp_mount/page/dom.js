// Elements, and what is shown in them. Everything that comes from a server becomes text, never markup.

// Return an element: h("p", {class: "note"}, "text", child). A function is a listener, `false` and
// `null` are left out, `true` is an attribute without a value.
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let lastId = 0;
const freshId = (prefix) => `${prefix}-${++lastId}`;

const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

// Return a size as people write it: "9.8 KB".
function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} KB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const bytesOf = (text) => new TextEncoder().encode(text).length;

// Estimate how many tokens a model reads: four characters of English or JSON make about one.
const tokensOf = (text) => Math.ceil(text.length / 4);

const about = (tokens) => `≈ ${tokens.toLocaleString("en")} token${tokens === 1 ? "" : "s"}`;

// Return a description with its `code` marked. Lines that were broken for an editor flow, lists and
// paragraphs stay.
function prose(text) {
  const flowing = text.replace(/([^\n])\n(?=[^\s\-*•\d|>#])/g, "$1 ");
  const parts = flowing.split(/`([^`\n]+)`/);
  return h("p", { class: "prose" }, parts.map((part, at) => (at % 2 ? h("code", {}, part) : part)));
}

// Read JSON with large numbers as they were written: JavaScript's own end at 2**53, and an id that
// is one off is somebody else's. Such a number can only be written again.
function exact(text) {
  if (!JSON.rawJSON || !/\d{16}|\d[eE]/.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_, value, { source }) =>
    typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER ? JSON.rawJSON(source) : value);
}

const LONGEST_SHOWN = 200_000;
const LONGEST_COLOURED = 60_000;
const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

// Return a block of text; what is very long is cut, because a browser would stand still.
function block(text, kind = "") {
  if (text.length <= LONGEST_SHOWN) return h("pre", { class: `block ${kind}`, tabindex: "0" }, text);
  const shown = h("pre", { class: `block ${kind}`, tabindex: "0" }, text.slice(0, LONGEST_SHOWN));
  const rest = count(text.length - LONGEST_SHOWN, "more character");
  return h("div", {}, shown, h("p", { class: "note" }, `${rest}: copy it to see all.`));
}

// Return a value as JSON, with colours.
function json(value) {
  const text = JSON.stringify(value, null, 2) ?? "";
  if (text.length > LONGEST_COLOURED) return block(text, "json");
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(TOKEN)) {
    parts.push(text.slice(end, found.index));
    const [whole, string, colon] = found;
    const kind = colon ? "key" : string ? "string" : "literal";
    parts.push(h("span", { class: kind }, string ?? whole), colon ?? "");
    end = found.index + whole.length;
  }
  return h("pre", { class: "block json", tabindex: "0" }, parts, text.slice(end));
}

// Return a button that copies what `text` returns, and says so.
function copyButton(text, label = "Copy", name = null) {
  const button = h("button", { type: "button", class: "quiet copy", "aria-label": name }, label);
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text())) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = label), 1600);
  });
  return button;
}

// Copy a text; where a page may not (over plain HTTP), through a selection.
async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch (refused) {
      console.info("The browser refuses to copy by itself:", refused);
    }
  }
  const area = h("textarea", { class: "offscreen", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

// Return a section that is made when it is first opened.
function unfold(title, make, note = "") {
  const summary = h("summary", {}, title, note && h("span", { class: "note" }, note));
  const details = h("details", { class: "unfold" }, summary);
  details.addEventListener("toggle", () => details.append(...[make()].flat()), { once: true });
  return details;
}
