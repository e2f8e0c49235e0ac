// Vercel's AI SDK: what `toModelOutput` returns is what its model is shown.

import { createMCPClient } from "@ai-sdk/mcp";
import { asSchema } from "ai";
import { run, url } from "./reporting.mjs";

const client = await createMCPClient({ transport: { type: "http", url } });
const tools = await client.tools();
const calls = {};
for (const [name, tool] of Object.entries(tools)) {
  await asSchema(tool.inputSchema).jsonSchema;
  calls[name] = async (input) => {
    const output = await tool.execute(input, { toolCallId: "1", messages: [] });
    return tool.toModelOutput({ toolCallId: "1", input, output });
  };
}
await run(calls);
