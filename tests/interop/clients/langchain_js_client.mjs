// LangChain.js: the content of the tool message is what its model is shown.

import { convertToOpenAITool } from "@langchain/core/utils/function_calling";
import { MultiServerMCPClient } from "@langchain/mcp-adapters";
import { run, url } from "./reporting.mjs";

const client = new MultiServerMCPClient({
  onConnectionError: "throw",
  mcpServers: { it: { transport: "http", url } },
});
const calls = {};
for (const tool of await client.getTools()) {
  convertToOpenAITool(tool);
  calls[tool.name] = async (args) => {
    const message = await tool.invoke({ type: "tool_call", id: "1", name: tool.name, args });
    return message.content;
  };
}
await run(calls);
