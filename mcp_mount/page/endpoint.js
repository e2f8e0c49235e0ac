// Speaks MCP to the endpoint that the page came from, in the version without a handshake.

const VERSION = "2026-07-28";
const DETAILS = "application/vnd.mcp-mount.details+json";
const META = "io.modelcontextprotocol/";
const NAMES = { "tools/call": "name", "prompts/get": "name", "resources/read": "uri" };
const KEY = "mcp_mount.key";

// The address of the endpoint, as clients are told it. A key may be in the query that the page has.
const ADDRESS = location.origin + location.pathname.replace(/\/$/, "");
const TARGET = location.pathname + location.search;

let lastRequest = 0;

// Return the caller's key, {header, value}, which this tab alone remembers; null where there is none.
const readKey = () => JSON.parse(sessionStorage.getItem(KEY) ?? "null");

function writeKey(key) {
  if (key === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, JSON.stringify(key));
}

// Return the headers of the caller's key. A token without a scheme is a bearer token.
function keyHeaders() {
  const key = readKey();
  if (key === null) return {};
  const bare = key.header.toLowerCase() === "authorization" && !/^\w+ /.test(key.value);
  return { [key.header]: bare ? `Bearer ${key.value}` : key.value };
}

// What a request was refused with before MCP saw it: a status, and what the answer says.
class Refused extends Error {
  constructor(status, message, challenge, isOwn) {
    super(message);
    this.status = status;
    this.challenge = challenge;
    this.isOwn = isOwn;
  }
}

// Write a value so that it survives in a header (MCP "Transports", "Value Encoding").
function headerValue(value) {
  const plain = /^[\x20-\x7e]*$/.test(value) && value === value.trim() && !/^=\?base64\?.*\?=$/.test(value);
  return plain ? value : `=?base64?${base64(new TextEncoder().encode(value))}?=`;
}

function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000)
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

// Return the headers that mirror arguments of a call (`x-mcp-header`).
function* mirrored(schema, values) {
  for (const [name, property] of Object.entries(schema?.properties ?? {})) {
    const value = values?.[name];
    if (value === undefined || value === null) continue;
    if (property["x-mcp-header"]) yield [`Mcp-Param-${property["x-mcp-header"]}`, headerValue(typeof value === "string" ? value : JSON.stringify(value))];
    if (property.properties) yield* mirrored(property, value);
  }
}

// Send one request. Returns {result, error, exchange}; `exchange` is what went back and forth.
// Options: `schema` of the tool, `onProgress`, `signal`, and `exchange` to have it from the start.
async function send(method, params = {}, options = {}) {
  const id = ++lastRequest;
  const meta = { [`${META}protocolVersion`]: VERSION, [`${META}clientCapabilities`]: { elicitation: { form: {} } } };
  if (options.onProgress) meta.progressToken = id;
  const body = { jsonrpc: "2.0", id, method, params: { ...params, _meta: meta } };
  const headers = {
    "Content-Type": "application/json",
    Accept: "application/json, text/event-stream",
    "MCP-Protocol-Version": VERSION,
    "Mcp-Method": method,
    ...(method in NAMES && { "Mcp-Name": headerValue(params[NAMES[method]]) }),
    ...Object.fromEntries(mirrored(options.schema, params.arguments)),
  };
  const exchange = Object.assign(options.exchange ?? {}, { sent: { headers, body }, received: [], bytes: 0 });
  const response = await fetch(TARGET, {
    method: "POST",
    headers: { ...headers, ...keyHeaders() },
    body: JSON.stringify(body),
    signal: options.signal,
  });
  exchange.status = response.status;
  for await (const text of messages(response)) {
    exchange.bytes += bytesOf(text);
    const message = read(text);
    if (message === undefined) throw await refusal(response, text);
    const whole = exact(text);
    exchange.received.push(whole);
    if (message.method === "notifications/progress") options.onProgress?.(message.params);
    // An id of null is the endpoint's own word, before MCP saw the request.
    else if (message.error && message.id === null && !response.ok) throw await refusal(response, text);
    else if (message.id === id) return { ...(method in NAMES ? whole : message), exchange };
  }
  throw await refusal(response, "");
}

function read(text) {
  try {
    const message = JSON.parse(text);
    return message?.jsonrpc === "2.0" ? message : undefined;
  } catch {
    return undefined;
  }
}

// Yield the JSON texts of a response: its body, or the events of a stream as they arrive.
async function* messages(response) {
  if (!(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
    yield await response.text();
    return;
  }
  let buffer = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    buffer += value;
    // An event of megabytes comes in many pieces, and is one line.
    if (!value.includes("\n")) continue;
    const events = buffer.split(/\r?\n\r?\n/);
    buffer = events.pop();
    for (const event of events) {
      const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      const text = lines.map((line) => line.slice(5).trimStart()).join("\n");
      if (text) yield text;
    }
  }
}

async function refusal(response, text) {
  let message = "", isOwn = false;
  try {
    const body = JSON.parse(text);
    isOwn = body.jsonrpc === "2.0";
    const said = body.error?.message ?? body.error_description ?? body.detail ?? body.message ?? body.error;
    message = typeof said === "string" ? said : JSON.stringify(said ?? body);
  } catch {
    message = text.slice(0, 500);
  }
  return new Refused(response.status, message, response.headers.get("www-authenticate"), isOwn);
}

// Return what only the server knows of its tools, or one part of that; see `details.py`.
async function fetchDetails(part = null) {
  const query = new URLSearchParams(location.search);
  if (part) query.set("part", part);
  // With the query that the page has, which may choose what clients are shown (`?surface=search`).
  query.set("url", ADDRESS + location.search);
  const key = readKey();
  if (key !== null) query.set("header", key.header);
  const headers = { Accept: DETAILS, "MCP-Protocol-Version": VERSION, ...keyHeaders() };
  const response = await fetch(`${location.pathname}?${query}`, { headers });
  if (!response.ok) throw await refusal(response, await response.text());
  return response.json();
}

// Return everything of a list, page by page; nothing where the server has no such list.
async function listAll(method, field) {
  const found = [];
  let cursor;
  do {
    const { result, error } = await send(method, cursor === undefined ? {} : { cursor });
    if (error?.code === -32601) return found;
    if (error) throw new Error(error.message);
    found.push(...(result[field] ?? []));
    cursor = result.nextCursor;
  } while (cursor !== undefined && cursor !== null);
  return found;
}
