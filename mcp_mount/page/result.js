// What a call gives: as it arrives, and then as a model sees it.

const MOST_MESSAGES = 200;
const LONGEST_MESSAGE = 20_000;

// Return the region in which a call is shown, from its start to its end.
function resultRegion() {
  const status = h("span", { class: "status", role: "status" });
  const figures = h("span", { class: "figures" });
  const body = h("div", { class: "result-body" });
  const region = h("section", { class: "result", "aria-label": "Result", hidden: true },
    h("header", {}, h("h3", { "aria-hidden": "true" }, "Result"), status, figures), body);
  const show = (kind, text) => {
    region.hidden = false;
    region.dataset.kind = kind;
    status.textContent = text;
  };
  return { region, show, figures, body };
}

// Show pieces as they arrive, drawn once a frame however many there are.
function liveStream() {
  const text = h("pre", { class: "block live", tabindex: "0", "aria-label": "Stream" });
  const bar = h("progress", { hidden: true, "aria-label": "Progress" });
  const element = h("div", {}, bar, text);
  let waiting = "", scheduled = false, length = 0;
  const draw = () => {
    scheduled = false;
    const isAtEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 24;
    text.append(waiting);
    waiting = "";
    if (isAtEnd) text.scrollTop = text.scrollHeight;
  };
  const add = ({ message = "", progress, total }) => {
    if (total) Object.assign(bar, { hidden: false, max: total, value: progress });
    // Events come as one object each, words as they are.
    const piece = /^[{[].*[}\]]$/s.test(message) ? `${message}\n` : message;
    length += piece.length;
    if (length > LONGEST_SHOWN) return;
    waiting += piece;
    if (!scheduled) requestAnimationFrame(draw);
    scheduled = true;
  };
  return { element, add, draw };
}

// Return the parts of a result, in the order in which a model reads them.
function contentOf(result) {
  const parts = (result.content ?? result.contents ?? []).map(contentBlock);
  const texts = (result.content ?? []).filter(({ type }) => type === "text");
  const structure = JSON.stringify(result.structuredContent);
  if (structure !== undefined && texts.length === 1 && JSON.stringify(parsed(texts[0].text)) === structure)
    parts.push(unfold("Structured", () => json(result.structuredContent), "the same, for clients that read it"));
  else if (structure !== undefined)
    parts.push(part("Structured", json(result.structuredContent), () => JSON.stringify(result.structuredContent, null, 2)));
  if (result._meta?.http) parts.push(unfold("Response", () => json(result._meta.http), `HTTP ${result._meta.http.status ?? ""}`));
  return parts.length ? parts : [h("p", { class: "note" }, "It is empty.")];
}

function part(label, shown, text = null, ...more) {
  return h("div", { class: "part" }, h("div", { class: "part-head" }, h("span", {}, label), more, text && copyButton(text)), shown);
}

function contentBlock(content) {
  const inner = content.resource ?? content;
  if (content.type === "image" && /^image\/[\w.+-]+$/.test(content.mimeType)) {
    const image = h("img", { src: `data:${content.mimeType};base64,${content.data}`, alt: `Image, ${content.mimeType}` });
    return part(`Image · ${content.mimeType}`, h("div", { class: "picture" }, image));
  }
  if (content.type === "audio" && /^audio\/[\w.+-]+$/.test(content.mimeType))
    return part(`Audio · ${content.mimeType}`, h("audio", { controls: true, src: `data:${content.mimeType};base64,${content.data}` }));
  if (typeof inner.text === "string") return textPart(inner.text, inner.uri);
  if (typeof inner.blob === "string")
    return part(`File · ${inner.mimeType ?? "unknown type"}`, h("p", {}, h("code", {}, inner.uri ?? ""), ` ${size(Math.floor(inner.blob.length * 0.75))}`));
  return part(content.type ?? "Content", json(content), () => JSON.stringify(content));
}

// Show a text; JSON is laid out, and can be seen as it was sent.
function textPart(text, uri) {
  const label = uri ? `Text · ${uri}` : "Text";
  const value = /^\s*[{[]/.test(text) && text.length < LONGEST_SHOWN ? parsed(text) : undefined;
  if (value === undefined) return part(label, block(text, "text"), () => text);
  let shown = json(value);
  const toggle = h("button", { type: "button", class: "quiet", "aria-pressed": "false" }, "As sent");
  toggle.addEventListener("click", () => {
    const isRaw = toggle.getAttribute("aria-pressed") !== "true";
    toggle.setAttribute("aria-pressed", String(isRaw));
    const next = isRaw ? block(text, "text") : json(value);
    shown.replaceWith(next);
    shown = next;
  });
  return part(label, shown, () => text, toggle);
}

function parsed(text) {
  try {
    return exact(text);
  } catch {
    return undefined;
  }
}

// Return how many tokens a model reads of a result: clients show it the text or the structure.
function resultTokens(result) {
  const blocks = result.content ?? result.contents ?? [];
  const text = blocks.map((each) => each.text ?? each.resource?.text ?? "").join("");
  const structure = result.structuredContent === undefined ? "" : JSON.stringify(result.structuredContent);
  return Math.max(tokensOf(text), tokensOf(structure));
}

// Return what went back and forth, without the key; it is written when it is looked at.
function rawMessages(exchange) {
  return unfold("Raw messages", () => {
    const head = Object.entries(exchange.sent.headers).map(([name, value]) => `${name}: ${value}`);
    const secret = Object.keys(keyHeaders()).map((name) => `${name}: ••••`);
    const request = `POST ${location.pathname}\n${[...head, ...secret].join("\n")}\n\n${JSON.stringify(exchange.sent.body, null, 2)}`;
    const cut = (text) => (text.length > LONGEST_MESSAGE ? `${text.slice(0, LONGEST_MESSAGE)} …` : text);
    const last = exchange.received.slice(-MOST_MESSAGES).map((each) => block(cut(JSON.stringify(each, null, 2))));
    const left = exchange.received.length - last.length;
    return [
      part("Request", block(cut(request)), () => request),
      part(`Response · HTTP ${exchange.status ?? "–"}`, h("div", { class: "messages" }, left > 0 && h("p", { class: "note" }, `${count(left, "earlier message")} left out.`), last)),
    ];
  });
}
