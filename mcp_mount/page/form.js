// A form made from a schema. A field has an `element`, and `read()`, which returns its value or, where
// nothing was entered, `OMITTED`. Nothing is checked here: what the server says of a value is what a
// model would be told of it.

const OMITTED = Symbol("omitted");
const DEEPEST = 5;
const MOST_OPENED = 500;
const LONG_NAMES = /^(body|text|content|prompt|message|markdown|html|sql|code)$/i;

// How many fields have been made of a schema: one that needs itself several times has no end.
const fieldsMade = new WeakMap();

// Return a field for the value `name` of a schema. Options: `root`, `required`, `depth`.
function field(name, given, options) {
  const { root, required = false, depth = 0 } = options;
  fieldsMade.set(root, (fieldsMade.get(root) ?? 0) + 1);
  const schema = resolve(given, root);
  const { variants, nullable } = alternatives(schema, root);
  const beside = { description: schema.description, default: schema.default };
  let made;
  if (depth > DEEPEST || variants.length === 0) made = jsonField(name, schema, options);
  else if (variants.length > 1) made = unionField(name, schema, variants, options);
  else made = oneField(name, { ...beside, ...variants[0] }, { ...options, required, depth });
  return nullable ? withNull(name, made) : made;
}

function oneField(name, schema, options) {
  if ("const" in schema) return constField(name, schema, options);
  if (Array.isArray(schema.enum)) return choiceField(name, schema, schema.enum, options);
  if (schema.type === "boolean") return choiceField(name, schema, [true, false], options);
  if (isFile(schema)) return fileField(name, schema, options);
  if (schema.type === "array") return listField(name, schema, options);
  if (schema.type === "object" && schema.properties) return objectField(name, schema, options);
  if (schema.type === "string") return textField(name, schema, options);
  if (schema.type === "integer" || schema.type === "number") return numberField(name, schema, options);
  return jsonField(name, schema, options);
}

// Return a label, what is under it, and the control itself, which the label names.
function labelled(name, schema, options, control, type = describeType(schema, options.root)) {
  control.id ||= freshId("field");
  const hint = schema.description ? h("p", { class: "hint", id: `${control.id}-hint` }, schema.description) : null;
  if (hint) control.setAttribute("aria-describedby", hint.id);
  if (options.required) control.setAttribute("aria-required", "true");
  const label = h(
    "label",
    { for: control.id },
    h("span", { class: "name" }, name),
    " ",
    h("span", { class: "type" }, type),
    options.required && [" ", h("span", { class: "required" }, "required")],
  );
  return h("div", { class: "field" }, label, control, hint);
}

const placeholderOf = (schema) =>
  schema.default === undefined || schema.default === null || schema.default === ""
    ? null
    : typeof schema.default === "string" ? schema.default : JSON.stringify(schema.default);

function textField(name, schema, options) {
  const isLong = schema.maxLength > 1000 || LONG_NAMES.test(name) || schema.contentMediaType;
  const attributes = { placeholder: placeholderOf(schema), autocomplete: "off", spellcheck: "false" };
  const control = isLong
    ? h("textarea", { ...attributes, rows: "2" })
    : h("input", { ...attributes, type: "text" });
  const read = () => (control.value === "" ? OMITTED : control.value);
  return { element: labelled(name, schema, options, control), read };
}

function numberField(name, schema, options) {
  const attributes = { type: "text", inputmode: "decimal", autocomplete: "off" };
  const control = h("input", { ...attributes, placeholder: placeholderOf(schema) });
  const read = () => {
    const text = control.value.trim();
    if (text === "") return OMITTED;
    if (!/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text)) return control.value;
    return Math.abs(Number(text)) > Number.MAX_SAFE_INTEGER ? parseJson(name, text) : Number(text);
  };
  return { element: labelled(name, schema, options, control), read };
}

function choiceField(name, schema, values, options) {
  const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const preset = placeholderOf(schema);
  const none = h("option", { value: "" }, preset === null ? "–" : `${preset} (default)`);
  const choices = values.map((value, at) => h("option", { value: String(at) }, shown(value)));
  const control = h("select", {}, none, choices);
  const type = schema.type === "boolean" ? "boolean" : "choice";
  const read = () => (control.value === "" ? OMITTED : values[Number(control.value)]);
  return { element: labelled(name, schema, options, control, type), read };
}

function constField(name, schema, options) {
  const control = h("input", { type: "text", readonly: true, value: JSON.stringify(schema.const) });
  return { element: labelled(name, schema, { ...options, required: false }, control, "always"), read: () => schema.const };
}

function fileField(name, schema, options) {
  const control = h("input", { type: "file" });
  const read = async () => {
    const [file] = control.files;
    if (!file) return OMITTED;
    const bytes = new Uint8Array(await file.arrayBuffer());
    return { filename: file.name, ...(file.type && { media_type: file.type }), base64: base64(bytes) };
  };
  return { element: labelled(name, schema, options, control, "file"), read };
}

// A value that only JSON can say, such as a map of any names.
function jsonField(name, schema, options) {
  const control = h("textarea", { rows: "3", class: "code", placeholder: placeholderOf(schema) ?? "{ }", spellcheck: "false" });
  const read = () => {
    if (control.value.trim() === "") return OMITTED;
    return parseJson(name, control.value);
  };
  const type = `${describeType(schema, options.root)}, as JSON`;
  return { element: labelled(name, schema, options, control, type), read };
}

function parseJson(name, text) {
  try {
    return exact(text);
  } catch (wrong) {
    throw new Error(`${name} is not JSON: ${wrong.message}`);
  }
}

// A group of fields with a name of its own.
function group(name, schema, options, type, ...children) {
  const legend = h("legend", {}, h("span", { class: "name" }, name), " ", h("span", { class: "type" }, type),
    options.required && [" ", h("span", { class: "required" }, "required")]);
  const hint = schema.description && h("p", { class: "hint" }, schema.description);
  return h("fieldset", {}, legend, hint, children);
}

async function readFields(fields) {
  // Without a prototype, which an argument called `__proto__` would set.
  const value = Object.create(null);
  for (const [name, each] of fields) {
    const read = await each.read();
    if (read !== OMITTED) value[name] = read;
  }
  return value;
}

function fieldsOf(schema, { root, depth }) {
  const required = new Set(schema.required ?? []);
  const entries = Object.entries(schema.properties ?? {});
  // What is needed comes first.
  entries.sort(([one], [other]) => required.has(other) - required.has(one));
  return entries.map(([name, each]) => [name, field(name, each, { root, required: required.has(name), depth })]);
}

function objectField(name, schema, options) {
  const inner = { root: options.root, depth: options.depth + 1 };
  let fields = null;
  const body = h("div", { class: "fields" });
  const open = () => {
    fields = fieldsOf(schema, inner);
    body.replaceChildren(...fields.map(([, each]) => each.element));
  };
  const close = () => {
    fields = null;
    body.replaceChildren(add);
  };
  const add = h("button", { type: "button", class: "quiet", click: () => { open(); body.append(remove); } }, `Add ${name}`);
  const remove = h("button", { type: "button", class: "quiet", click: close }, `Leave ${name} out`);
  // What may be left out is made when it is wanted: a schema may hold itself.
  if (options.required && fieldsMade.get(options.root) < MOST_OPENED) open();
  else close();
  return {
    // As one of several kinds it stands under the name of the choice.
    element: options.isVariant ? body : group(name, schema, options, schema.title ?? "object", body),
    read: () => (fields === null ? OMITTED : readFields(fields)),
  };
}

function listField(name, schema, options) {
  const items = resolve(schema.items ?? {}, options.root);
  const list = h("div", { class: "fields" });
  const rows = [];
  const add = () => {
    const number = rows.length + 1;
    const inner = { root: options.root, required: items.type === "object", depth: options.depth + 1 };
    const each = field(`${name} ${number}`, { ...items, default: undefined }, inner);
    const row = { each };
    const drop = h("button", { type: "button", class: "quiet", "aria-label": `Remove ${name} ${number}`, click: () => {
      rows.splice(rows.indexOf(row), 1);
      row.element.remove();
    } }, "Remove");
    row.element = h("div", { class: "row" }, each.element, drop);
    rows.push(row);
    list.append(row.element);
  };
  // An empty row costs nothing, and shows what goes in; an object is asked for.
  if (["string", "integer", "number"].includes(items.type) && options.depth < 2) add();
  const more = h("button", { type: "button", class: "quiet", click: add }, `Add to ${name}`);
  const read = async () => {
    const values = [];
    for (const { each } of rows) {
      const value = await each.read();
      if (value !== OMITTED) values.push(value);
    }
    return values.length || options.required ? values : OMITTED;
  };
  return { element: group(name, schema, options, describeType(schema, options.root), list, more), read };
}

function unionField(name, schema, variants, options) {
  const names = variantNames(variants, options.root);
  const body = h("div", { class: "fields" });
  let chosen = null;
  const control = h("select", { change: () => choose(control.value) },
    !options.required && h("option", { value: "" }, "–"),
    names.map((each, at) => h("option", { value: String(at) }, each)));
  const choose = (at) => {
    const inner = { root: options.root, required: true, isVariant: true, depth: options.depth + 1 };
    chosen = at === "" ? null : field(name, variants[Number(at)], inner);
    body.replaceChildren(...(chosen ? [chosen.element] : []));
  };
  choose(control.value);
  const element = h("div", { class: "union" }, labelled(name, schema, options, control, "kind"), body);
  return { element, read: () => (chosen === null ? OMITTED : chosen.read()) };
}

// A field that may also be null, which is another thing than nothing.
function withNull(name, made) {
  const button = h("button", { type: "button", class: "quiet null", "aria-pressed": "false", "aria-label": `null for ${name}` }, "null");
  const isNull = () => button.getAttribute("aria-pressed") === "true";
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(!isNull()));
    made.element.classList.toggle("off", isNull());
  });
  return {
    element: h("div", { class: "nullable" }, made.element, button),
    read: () => (isNull() ? null : made.read()),
  };
}

// Return the fields of all arguments, and the same as JSON; `read()` returns what the shown one holds.
function argumentsForm(schema) {
  const fields = fieldsOf(schema, { root: schema, depth: 0 });
  const body = h("div", { class: "fields" }, fields.map(([, each]) => each.element));
  if (!fields.length) body.append(h("p", { class: "note" }, "It takes no arguments."));
  const text = h("textarea", { class: "code", rows: "10", spellcheck: "false", "aria-label": "JSON of the arguments" });
  const toggle = h("button", { type: "button", class: "quiet", "aria-pressed": "false" }, "JSON");
  const isText = () => toggle.getAttribute("aria-pressed") === "true";
  toggle.addEventListener("click", async () => {
    if (!isText()) text.value = JSON.stringify(await readFields(fields), null, 2);
    toggle.setAttribute("aria-pressed", String(!isText()));
    (isText() ? body : text).replaceWith(isText() ? text : body);
  });
  const read = () => (isText() ? parseJson("What stands there", text.value) : readFields(fields));
  return { body, toggle: fields.length ? toggle : null, read };
}
