// Asks the server what it offers, and shows what the address of the page names.

const VIEWS = { tool: toolView, resource: resourceView, prompt: promptView };
const main = document.querySelector("main");
const side = document.querySelector("aside");
const made = new Map();
let server = null;
let menu = null;

// Ask for everything there is, as the caller whose key was entered.
async function load() {
  const { result, error } = await send("server/discover");
  if (error) throw new Error(error.message);
  const has = result.capabilities ?? {};
  const [tools, details, resources, templates, prompts] = await Promise.all([
    has.tools ? listAll("tools/list", "tools") : [],
    fetchDetails(),
    has.resources ? listAll("resources/list", "resources") : [],
    has.resources ? listAll("resources/templates/list", "resourceTemplates") : [],
    has.prompts ? listAll("prompts/list", "prompts") : [],
  ]);
  const info = result._meta?.[`${META}serverInfo`] ?? { name: "MCP server" };
  // Not waited for: a long list takes the server a while to check.
  const findings = fetchDetails("findings").catch(({ message }) => ({ problem: `The list could not be checked: ${message}` }));
  return { info, instructions: result.instructions, tools, details, findings, resources: [...resources, ...templates], prompts };
}

function entriesOf({ tools, details, resources, prompts }) {
  const known = (tool) => details.tools[tool.name] ?? {};
  const found = tools.map((tool) => ({
    kind: "tool", id: tool.name, value: tool, name: tool.name, title: tool.title, text: tool.description,
    group: known(tool).group || "", effect: effectOf(tool), badge: known(tool).method, path: known(tool).path,
  }));
  // Those of one group stand together, in the order in which the groups begin.
  const order = [...new Set(found.map(({ group }) => group))];
  found.sort((one, other) => order.indexOf(one.group) - order.indexOf(other.group));
  const others = (kind, group, values, id) => values.map((value) => ({
    kind, group, value, id: id(value), name: value.name ?? id(value), title: value.title, text: value.description,
  }));
  return [
    ...found,
    ...others("resource", "Resources", resources, (each) => each.uri ?? each.uriTemplate),
    ...others("prompt", "Prompts", prompts, (each) => each.name),
  ];
}

const addressOf = ({ kind, id }) => `#/${kind}/${encodeURIComponent(id)}`;

// Return a part of an address; who has written it by hand may have meant a bare percent sign.
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// Show what the address names: an entry, the key, or the overview.
function route({ focus = true } = {}) {
  const [, kind, id] = location.hash.split("/").map(decoded);
  const entry = menu.entries.find((each) => each.kind === kind && each.id === id);
  menu.mark(kind, id);
  document.body.dataset.view = entry || kind ? "detail" : "list";
  if (entry) {
    const at = addressOf(entry);
    if (!made.has(at)) made.set(at, VIEWS[kind](entry.value, server));
    show(made.get(at), entry.name, focus);
  } else if (kind === "key") show(keyView(restart), "Key", focus);
  else show(overview(server), "", focus && kind === "overview");
}

function show(view, title, focus) {
  main.replaceChildren(view);
  main.scrollTop = 0;
  document.title = [title, server?.info.name ?? "MCP"].filter(Boolean).join(" · ");
  if (focus) view.querySelector("[tabindex='-1']")?.focus({ preventScroll: true });
}

async function start() {
  made.clear();
  document.body.dataset.state = "loading";
  try {
    server = await load();
  } catch (failed) {
    server = menu = null;
    side.querySelector(".list")?.remove();
    document.body.dataset.state = "closed";
    document.body.dataset.view = "detail";
    // What the endpoint itself refuses, such as a page of another origin, no key would open.
    const wantsKey = failed instanceof Refused && [401, 403, 407, 422].includes(failed.status) && !failed.isOwn;
    show(wantsKey ? keyView(restart, failed) : failure(failed), "", true);
    return;
  }
  const entries = entriesOf(server);
  menu = { entries, ...sidebar(entries, (entry) => (location.hash = addressOf(entry))) };
  side.replaceChildren(h("div", { class: "search" }, menu.search, menu.status), menu.list);
  document.querySelector("#server").textContent = server.info.title ?? server.info.name;
  document.querySelector("#version").textContent = server.info.version ?? "";
  document.querySelector("#key").textContent = readKey() ? "Key ••••" : "Key";
  document.body.dataset.state = "open";
  route({ focus: false });
}

// Begin anew as another caller, where that one left off.
function restart() {
  if (location.hash.startsWith("#/key")) history.replaceState(null, "", "#/overview");
  start();
}

function failure(failed) {
  return h("article", { class: "view" },
    h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, "It does not answer")),
    h("p", { class: "advice" }, failed.message || `HTTP ${failed.status}`),
    h("div", { class: "actions" }, h("button", { type: "button", class: "primary", click: start }, "Try again")));
}

addEventListener("hashchange", () => (menu ? route() : null));
addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && menu) {
    event.preventDefault();
    menu.search.focus();
  }
});
start();
