// An API of parts with Fastify, whose document @fastify/swagger writes.
import Fastify from "fastify";
import swagger from "@fastify/swagger";

const part = {
  $id: "Part",
  type: "object",
  required: ["name"],
  properties: {
    id: { type: "integer", readOnly: true },
    name: { type: "string", maxLength: 20 },
    size: { type: "string", enum: ["small", "large"], default: "small" },
    price: { type: ["number", "null"] },
    tags: { type: "array", items: { type: "string" } },
  },
};
const answers = { 200: { $ref: "Part#" } };
const numbered = {
  type: "object",
  required: ["number"],
  properties: { number: { type: "integer", minimum: 1 } },
};

const app = Fastify({ ajv: { customOptions: { coerceTypes: "array" } } });
await app.register(swagger, {
  openapi: { openapi: "3.1.0", info: { title: "Parts", version: "1" } },
  refResolver: { buildLocalReference: (json, base, fragment, i) => json.$id || `def-${i}` },
});
app.addSchema(part);
app.addContentTypeParser("application/x-www-form-urlencoded", { parseAs: "string" }, (request, body, done) =>
  done(null, Object.fromEntries(new URLSearchParams(body))),
);

const parts = new Map();
const find = (number) => {
  if (!parts.has(number)) throw Object.assign(new Error(`There is no part ${number}.`), { statusCode: 404 });
  return parts.get(number);
};

const sizes = { type: "array", items: { type: "string", enum: ["small", "large"] } };
const query = { type: "object", properties: { q: { type: "string" }, size: sizes } };
const list = { operationId: "listParts", summary: "List parts", querystring: query, response: { 200: { type: "array", items: { $ref: "Part#" } } } };
app.get("/parts", { schema: list }, async ({ query: { q = "", size } }) =>
  [...parts.values()].filter((each) => each.name.includes(q) && (!size || size.includes(each.size))),
);

const add = { operationId: "addPart", summary: "Add a part", body: { $ref: "Part#" }, response: { 201: { $ref: "Part#" } } };
app.post("/parts", { schema: add }, async (request, reply) => {
  const added = { ...request.body, id: parts.size + 1 };
  parts.set(added.id, added);
  return reply.code(201).send(added);
});

const get = { operationId: "getPart", summary: "Get a part", params: numbered, response: answers };
app.get("/parts/:number", { schema: get }, async ({ params }) => find(params.number));

const replace = { operationId: "replacePart", summary: "Replace a part", params: numbered, body: { $ref: "Part#" }, response: answers };
app.put("/parts/:number", { schema: replace }, async ({ params, body }) => {
  parts.set(params.number, { ...body, id: find(params.number).id });
  return parts.get(params.number);
});

const remove = { operationId: "deletePart", summary: "Delete a part", params: numbered, response: { 204: { type: "null" } } };
app.delete("/parts/:number", { schema: remove }, async ({ params }, reply) => {
  parts.delete(find(params.number).id);
  return reply.code(204).send();
});

const form = { operationId: "form", summary: "Check a part that is sent as a form", consumes: ["application/x-www-form-urlencoded"], body: { $ref: "Part#" }, response: answers };
app.post("/form", { schema: form }, async ({ body }) => body);

const names = { operationId: "export", summary: "Export the names", produces: ["text/csv"], response: { 200: { type: "string" } } };
app.get("/export", { schema: names }, async (request, reply) =>
  reply.type("text/csv").send([...parts.values()].map((each) => `${each.id},${each.name}\n`).join("")),
);

const headers = { type: "object", required: ["x-tenant"], properties: { "x-tenant": { type: "string" } } };
const who = { operationId: "who", summary: "Say who asks", headers, response: { 200: { type: "object", properties: { tenant: { type: "string" } } } } };
app.get("/who", { schema: who }, async (request) => ({ tenant: request.headers["x-tenant"] }));

const fail = { operationId: "fail", summary: "Fail", response: { 500: { type: "object", additionalProperties: true } } };
app.get("/fail", { schema: fail }, async () => {
  throw new Error("This is for the log");
});

app.get("/schema", { schema: { hide: true } }, async () => app.swagger());
await app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });
