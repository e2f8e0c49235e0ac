// A server that keeps its state in an HTTP session, as the examples of the TypeScript SDK do.
import { randomUUID } from "node:crypto";
import express from "express";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { isInitializeRequest } from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";

const text = (said) => ({ content: [{ type: "text", text: String(said) }] });

function counter() {
  let count = 0;
  const server = new McpServer({ name: "counter", version: "1.0.0" });
  server.registerTool(
    "count",
    {
      description: "Count on from where this session is.",
      inputSchema: { by: z.number().int().default(1) },
      outputSchema: { count: z.number() },
    },
    async ({ by }) => {
      count += by;
      return { ...text(count), structuredContent: { count } };
    },
  );
  server.registerTool("grow", { description: "Add the tool `grown`." }, async () => {
    server.registerTool("grown", { description: "Say that it is there." }, async () => text("grown"));
    return text("There is one more tool now.");
  });
  server.registerResource("now", "counter://now", { mimeType: "text/plain" }, async (uri) => ({
    contents: [{ uri: uri.href, mimeType: "text/plain", text: String(count) }],
  }));
  return server;
}

const app = express();
app.use(express.json());
const transports = new Map();

app.post("/mcp", async (request, response) => {
  let transport = transports.get(request.headers["mcp-session-id"]);
  if (!transport && isInitializeRequest(request.body)) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => transports.set(id, transport),
    });
    transport.onclose = () => transports.delete(transport.sessionId);
    await counter().connect(transport);
  }
  if (!transport) {
    const error = { code: -32000, message: "Bad Request: No valid session ID provided" };
    response.status(400).json({ jsonrpc: "2.0", error, id: null });
    return;
  }
  await transport.handleRequest(request, response, request.body);
});

const inSession = async (request, response) => {
  const transport = transports.get(request.headers["mcp-session-id"]);
  if (transport) await transport.handleRequest(request, response);
  else response.status(400).send("Invalid or missing session ID");
};
app.get("/mcp", inSession);
app.delete("/mcp", inSession);

app.listen(Number(process.env.PORT), "127.0.0.1");
