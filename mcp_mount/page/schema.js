// Reads JSON Schemas: what a value may be, in the words of the page.

// Return a schema with its reference followed, and what one `allOf` says taken in.
function resolve(schema, root, depth = 0) {
  if (schema === null || typeof schema !== "object") return {};
  if (depth < 20 && typeof schema.$ref === "string" && schema.$ref.startsWith("#")) {
    const found = schema.$ref
      .slice(1)
      .split("/")
      .filter(Boolean)
      .reduce((node, key) => node?.[decodeURIComponent(key).replace(/~1/g, "/").replace(/~0/g, "~")], root);
    const { $ref: _, ...beside } = schema;
    return { ...resolve(found ?? {}, root, depth + 1), ...beside };
  }
  if (depth < 20 && Array.isArray(schema.allOf) && schema.allOf.length === 1) {
    const { allOf, ...beside } = schema;
    return { ...resolve(allOf[0], root, depth + 1), ...beside };
  }
  return schema;
}

// Return what a schema may be, one by one; null is told apart, because a field shows it otherwise.
function alternatives(schema, root) {
  const types = Array.isArray(schema.type) ? schema.type.map((type) => ({ ...schema, type })) : null;
  const listed = types ?? schema.anyOf ?? schema.oneOf;
  if (!Array.isArray(listed)) return { variants: [schema], nullable: false };
  const all = listed.map((each) => resolve(each, root));
  const variants = all.filter((each) => each.type !== "null");
  return { variants, nullable: variants.length < all.length };
}

const isFile = (schema) =>
  schema.type === "object" && "base64" in (schema.properties ?? {}) && "text" in schema.properties;

// Say what a value is, as a person would: "list of texts", "integer, 1 to 100".
function describeType(schema, root, depth = 0) {
  const { variants, nullable } = alternatives(resolve(schema, root), root);
  const names = variants.map((each) => describeOne(each, root, depth));
  if (nullable) names.push("null");
  return [...new Set(names)].join(" or ") || "anything";
}

function describeOne(schema, root, depth) {
  if ("const" in schema) return JSON.stringify(schema.const);
  if (Array.isArray(schema.enum)) return "one of a choice";
  if (isFile(schema)) return "file";
  if (schema.type === "array") {
    const items = resolve(schema.items ?? {}, root);
    const plural = { string: "texts", integer: "integers", number: "numbers", object: "objects", boolean: "booleans" };
    return depth > 2 || !plural[items.type] ? "list" : isFile(items) ? "list of files" : `list of ${plural[items.type]}`;
  }
  if (schema.type === "object") return schema.title ?? "object";
  return schema.type ? `${schema.type === "string" ? "text" : schema.type}${limitsOf(schema)}` : "anything";
}

function limitsOf(schema) {
  const least = schema.minimum ?? schema.exclusiveMinimum;
  const most = schema.maximum ?? schema.exclusiveMaximum;
  if (Math.abs(most ?? 0) > 1e15) return least === undefined ? "" : `, from ${least}`;
  if (least !== undefined && most !== undefined) return `, ${least} to ${most}`;
  if (least !== undefined) return `, from ${least}`;
  if (most !== undefined) return `, up to ${most}`;
  if (schema.format) return `, ${schema.format}`;
  return schema.maxLength && schema.maxLength <= 1000 ? `, up to ${schema.maxLength}` : "";
}

// Return a name for each of several alternatives, for the menu that chooses among them.
function variantNames(variants, root) {
  return variants.map((each, at) => {
    const marks = Object.values(each.properties ?? {}).map((property) => resolve(property, root).const);
    const mark = marks.find((value) => typeof value === "string");
    return each.title ?? mark ?? (each.type === "object" ? `object ${at + 1}` : describeOne(each, root, 0));
  });
}
