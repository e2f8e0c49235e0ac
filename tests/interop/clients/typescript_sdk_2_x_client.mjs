// The MCP TypeScript SDK of 2026-07-28; it compiles each output schema and checks results.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { run, url } from "./reporting.mjs";

const client = new Client({ name: "interop", version: "1" });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const { tools } = await client.listTools();
await run(
  Object.fromEntries(
    tools.map(({ name }) => [name, (args) => client.callTool({ name, arguments: args })]),
  ),
);
