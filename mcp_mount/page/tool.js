// One tool: what a model reads of it, what only the server knows of it, and a form to try it.

const HINTS = {
  reads: ["Reads", "It changes nothing, says the server.", "only read"],
  changes: ["Changes", "It may change something, and destroys nothing, says the server.", "change"],
  destroys: ["May destroy", "It may overwrite or delete something.", "may destroy"],
};

// Return what calls of a tool do, by its hints; without any, it may destroy (MCP "Tools").
function effectOf({ annotations: hints = {} }) {
  if (hints.readOnlyHint) return "reads";
  return hints.destructiveHint === false ? "changes" : "destroys";
}

function toolView(tool, { details, findings }) {
  const known = details.tools[tool.name] ?? {};
  const form = argumentsForm(tool.inputSchema ?? {});
  const call = caller({
    label: "Call",
    method: "tools/call",
    schema: tool.inputSchema,
    make: async () => ({ name: tool.name, arguments: await form.read() }),
  });
  const panel = h("form", { class: "panel", novalidate: true, "aria-label": `Try ${tool.name}` },
    h("header", {}, h("h3", {}, "Arguments"), form.toggle), form.body, call.element);
  const expected = h("p", { class: "expected note" }, "What a model would see of the answer appears here.");
  submits(panel, call);
  return h("article", { class: "view" },
    h("div", { class: "heading" },
      h("h2", { class: "mono", tabindex: "-1" }, tool.name),
      tool.title && h("p", { class: "subtitle" }, tool.title)),
    facts(tool, known, findings),
    prose(tool.description ?? ""),
    h("div", { class: "bench" }, panel, call.region, expected),
    whenFound(findings, h("div"), (found) => findingsOfTool(found, tool.name)),
    h("div", { class: "more" },
      known.limits && unfold("Limits", () => limits(known.limits, details.rate)),
      unfold("Input schema", () => json(tool.inputSchema), size(bytesOf(JSON.stringify(tool.inputSchema)))),
      tool.outputSchema && unfold("Output schema", () => json(tool.outputSchema), size(bytesOf(JSON.stringify(tool.outputSchema)))),
      unfold("As listed", () => json(tool), about(tokensOf(JSON.stringify(tool))))));
}

// Have a form sent by its button, by Enter in a line, and by Ctrl+Enter everywhere.
function submits(panel, call) {
  panel.addEventListener("submit", (event) => {
    event.preventDefault();
    call.run();
  });
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      call.run();
    }
  });
}

function facts(tool, known, findings) {
  const effect = effectOf(tool);
  const hints = tool.annotations ?? {};
  const scopes = [...new Set((known.scopes ?? []).map((each) => each.join(" and ")))].join(", or ");
  return h("ul", { class: "facts", "aria-label": "Facts" },
    h("li", { class: `effect ${effect}`, title: HINTS[effect][1] }, HINTS[effect][0]),
    known.method && h("li", { class: "mono" }, `${known.method} ${known.path}`),
    hints.idempotentHint && effect !== "reads" && h("li", { title: "Calling it again with the same arguments changes nothing more." }, "Repeatable"),
    hints.openWorldHint && h("li", { title: "It reaches beyond this service." }, "Open world"),
    scopes && h("li", {}, `Scope ${scopes}`),
    known.confirm && h("li", {}, "Asks first"),
    known.docs && h("li", {}, h("a", { href: known.docs, target: "_blank", rel: "noopener" }, "API docs ↗")),
    whenFound(findings, h("li", { hidden: true }), (found) => gradeOfTool(found, tool.name)));
}

function limits(given, rate) {
  const rows = [
    ["Time", `${given.timeout} s`],
    ["Answer", `${size(given.max_bytes)}, ${count(given.max_items, "item")}`],
    ["A message of a stream", size(given.max_event_bytes)],
    ["At once", count(given.max_concurrency, "call")],
    ...(rate ? [["Each caller", rate]] : []),
  ];
  return h("dl", {}, rows.map(([term, said]) => [h("dt", {}, term), h("dd", {}, said)]));
}
