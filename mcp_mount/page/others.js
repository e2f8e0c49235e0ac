// Resources and prompts, which some servers offer beside tools.

function resourceView(resource) {
  const template = resource.uriTemplate;
  const names = [...(template ?? "").matchAll(/\{[+#./;?&]?([^}]+)\}/g)].flatMap(([, list]) => list.split(","));
  const fields = names.map((name) => [name.replace("*", ""), textField(name.replace("*", ""), { type: "string" }, { root: {}, required: true })]);
  const call = caller({
    label: "Read",
    method: "resources/read",
    make: async () => ({ uri: template ? expand(template, await readFields(fields)) : resource.uri }),
  });
  return simpleView(resource.name ?? resource.uri, resource, template ?? resource.uri, fields, call);
}

// Fill in a template of one level (RFC 6570 §1.2), as most are.
const expand = (template, values) =>
  template.replace(/\{([+?&]?)([^}]+)\}/g, (_, operator, list) => {
    const given = list.split(",").map((name) => name.replace("*", "")).filter((name) => name in values);
    if (operator === "?" || operator === "&")
      return given.length ? operator + given.map((name) => `${name}=${encodeURIComponent(values[name])}`).join("&") : "";
    return given.map((name) => (operator === "+" ? encodeURI : encodeURIComponent)(values[name])).join(",");
  });

function promptView(prompt) {
  const fields = (prompt.arguments ?? []).map(({ name, description, required }) => [
    name,
    textField(name, { type: "string", description }, { root: {}, required }),
  ]);
  const call = caller({
    label: "Get",
    method: "prompts/get",
    make: async () => ({ name: prompt.name, arguments: await readFields(fields) }),
  });
  return simpleView(prompt.name, prompt, "Prompt", fields, call);
}

function simpleView(name, { title, description }, fact, fields, call) {
  const body = h("div", { class: "fields" }, fields.map(([, each]) => each.element));
  const panel = h("form", { class: "panel", novalidate: true, "aria-label": `Try ${name}` }, body, call.element);
  submits(panel, call);
  return h("article", { class: "view" },
    h("div", { class: "heading" },
      h("h2", { class: "mono", tabindex: "-1" }, name),
      title && title !== name && h("p", { class: "subtitle" }, title)),
    h("ul", { class: "facts" }, h("li", { class: "mono" }, fact)),
    prose(description ?? ""),
    h("div", { class: "bench" }, panel, call.region));
}
