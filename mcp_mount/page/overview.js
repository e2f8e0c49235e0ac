// The server as a whole: what it is, how large its list is, how clients connect, what is left out.

function overview(server) {
  const { info, instructions, tools, details, findings } = server;
  return h("article", { class: "view overview" },
    h("div", { class: "heading" },
      h("h1", { tabindex: "-1" }, info.title ?? info.name),
      h("p", { class: "subtitle" }, info.version && `Version ${info.version} · `, "Model Context Protocol at ", h("code", {}, details.url ?? ADDRESS))),
    instructions && prose(instructions),
    health(tools, findings),
    connect(details.connections),
    tools.length > 0 && whenFound(findings, h("p", { class: "note" }, "Checking the list …"), findingsOfAll, (text) => h("p", { class: "advice" }, text)),
    details.left_out.length > 0 && leftOut(details.left_out));
}

// Say how large the list is, which a model reads before the first question.
function health(tools, findings) {
  const text = JSON.stringify(tools);
  const effects = Object.keys(HINTS).map((effect) => [effect, tools.filter((tool) => effectOf(tool) === effect).length]);
  const told = effects.filter(([, number]) => number).map(([effect, number]) =>
    h("li", { class: `effect ${effect}` }, `${number} ${HINTS[effect][2]}`));
  const bar = h("div", { class: "bar", "aria-hidden": "true" },
    effects.filter(([, number]) => number).map(([effect, number]) => {
      const piece = h("span", { class: effect });
      piece.style.flexGrow = number;
      return piece;
    }));
  const figure = (value, label) => h("div", { class: "figure" }, h("strong", {}, value), h("span", {}, label));
  return h("section", { class: "health", "aria-label": "Health of the list" },
    h("div", { class: "numbers" },
      tools.length > 0 && whenFound(findings, figure("…", "grade"), ({ grade, points }) => figure(gradeMark(grade), `grade, ${points} of 100`)),
      figure(tools.length.toLocaleString("en"), tools.length === 1 ? "tool" : "tools"),
      figure(size(bytesOf(text)), "in the list"),
      figure(about(tokensOf(text)).replace(/ tokens?$/, ""), "tokens, before the first question")),
    tools.length > 0 && bar,
    h("ul", { class: "facts" }, told));
}

// Show how each client is connected, one at a time.
function connect(connections) {
  const panel = h("div", { class: "connection", role: "tabpanel" });
  const tabs = connections.map((each) =>
    h("button", { type: "button", role: "tab", click: () => choose(each) }, each.client));
  const choose = (chosen) => {
    tabs.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(connections[at] === chosen));
      tab.tabIndex = connections[at] === chosen ? 0 : -1;
    });
    panel.setAttribute("aria-label", chosen.client);
    panel.replaceChildren(
      h("div", { class: "part-head" }, h("span", {}, chosen.where),
        chosen.link && h("a", { class: "button", href: chosen.link }, `Add to ${chosen.client}`),
        copyButton(() => chosen.text, "Copy", `Copy for ${chosen.client}`)),
      h("pre", { class: "block", tabindex: "0" }, chosen.text));
  };
  if (connections.length) choose(connections[0]);
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": "Clients" }, tabs);
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length;
    choose(connections[next]);
    tabs[next].focus();
  });
  return h("section", { class: "connect", id: "connect", "aria-label": "Connect" }, h("h2", {}, "Connect a client"), list, panel);
}

function leftOut(operations) {
  const rows = () => h("table", {}, operations.map(({ operation, reason }) =>
    h("tr", {}, h("th", { scope: "row", class: "mono" }, operation), h("td", {}, reason))));
  return unfold("Left out", rows, count(operations.length, "operation"));
}

// Ask who the caller is; `challenge` is what the server said of it (RFC 9110 §11.6.1).
function keyView(onChange, refused = null) {
  const key = readKey();
  // FastAPI's `APIKeyHeader` asks so, and does not say in which header.
  const usual = /^api-?key\b/i.test(refused?.challenge ?? "") ? "X-Api-Key" : "Authorization";
  const header = h("input", { id: "key-header", list: "key-headers", value: key?.header ?? usual, autocomplete: "off", spellcheck: "false" });
  const value = h("input", { id: "key-value", type: "password", value: key?.value ?? "", autocomplete: "off" });
  const problem = h("p", { class: "note", role: "status" });
  const form = h("form", { class: "panel", "aria-label": "Key" },
    h("div", { class: "fields" },
      h("div", { class: "field" }, h("label", { for: "key-value" }, "Key or token"), value),
      h("div", { class: "field" }, h("label", { for: "key-header" }, "Header"), header,
        h("p", { class: "hint" }, "Authorization sends a bearer token; many services take X-Api-Key."))),
    h("datalist", { id: "key-headers" }, ["Authorization", "X-Api-Key"].map((name) => h("option", { value: name }))),
    h("div", { class: "actions" },
      h("button", { type: "submit", class: "primary" }, "Use it"),
      key && h("button", { type: "button", click: () => { writeKey(null); onChange(); } }, "Forget it")),
    problem);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = header.value.trim(), text = value.value.trim();
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || !/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text)) {
      problem.textContent = "A header has a name, and a key of plain characters.";
      return;
    }
    writeKey({ header: name, value: text });
    onChange();
  });
  return h("article", { class: "view key" },
    h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, refused ? "Who is calling?" : "Your key"),
      h("p", { class: "subtitle" }, "It is kept in this tab only, and sent to this server only.")),
    refused && h("p", { class: "advice" }, refused.message || "This server answers only callers that it knows.", ` (HTTP ${refused.status})`),
    refused?.challenge && challenge(refused.challenge),
    form);
}

// Say how a server wants to be asked, and where tokens come from, as far as it tells (RFC 9728).
function challenge(text) {
  const issuers = h("p", { class: "note" });
  const metadata = /resource_metadata="([^"]+)"/.exec(text)?.[1];
  const url = metadata && URL.canParse(metadata) ? new URL(metadata) : null;
  if (url?.origin === location.origin) {
    fetch(url.pathname, { headers: { Accept: "application/json" } })
      .then((response) => response.json())
      .then(({ authorization_servers: servers = [], scopes_supported: scopes = [] }) => {
        issuers.textContent = `Tokens come from ${servers.join(", ") || "elsewhere"}${scopes.length ? `, with the scopes ${scopes.join(" ")}` : ""}.`;
      })
      .catch((failed) => (issuers.textContent = `Where tokens come from could not be read: ${failed.message}`));
  }
  return h("div", {}, h("p", { class: "note" }, "It asks for: ", h("code", {}, text)), issuers);
}
