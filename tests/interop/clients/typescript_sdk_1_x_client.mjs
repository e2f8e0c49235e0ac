// The MCP TypeScript SDK of the handshake versions; it compiles each output schema and checks results.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { run, url } from "./reporting.mjs";

const client = new Client({ name: "interop", version: "1" });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const { tools } = await client.listTools();
await run(
  Object.fromEntries(
    tools.map(({ name }) => [name, (args) => client.callTool({ name, arguments: args })]),
  ),
);
