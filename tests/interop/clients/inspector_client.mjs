// The Inspector's command line; `--strict` has it refuse schemas that not every client can use.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { run, url } from "./reporting.mjs";

const INSPECTOR = fileURLToPath(new URL("node_modules/.bin/mcp-inspector", import.meta.url));

async function inspect(...options) {
  const common = ["--cli", url, "--transport", "http"];
  const command = [INSPECTOR, ...common, ...options];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, command);
    return JSON.parse(stdout);
  } catch (error) {
    // A tool's error is told by the exit code as well.
    if (error.stdout) return JSON.parse(error.stdout);
    throw error;
  }
}

const command = [INSPECTOR, "--cli", url, "--transport", "http"];
const { stdout } = await promisify(execFile)(process.execPath, [
  ...command,
  ...["--method", "tools/list", "--strict"],
]);
const { tools } = JSON.parse(stdout);
const calls = {};
for (const { name } of tools) {
  calls[name] = (args) => {
    const given = Object.entries(args).flatMap(([key, value]) => [
      "--tool-arg",
      `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`,
    ]);
    return inspect("--method", "tools/call", "--tool-name", name, ...given);
  };
}
await run(calls);
