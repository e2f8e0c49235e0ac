// Runs a client in its own environment: lists, calls, and prints what came of it (see reporting.py).

export async function run(tools) {
  const calls = JSON.parse(process.argv[3]);
  const shown = {};
  const raised = {};
  for (const [name, args] of Object.entries(calls)) {
    if (!(name in tools)) continue;
    try {
      shown[name] = await tools[name](args);
    } catch (error) {
      raised[name] = String(error);
    }
  }
  const report = { tools: Object.keys(tools).sort(), shown, raised };
  // A client may keep its connection open: what is written ends the process.
  process.stdout.write(`\n${JSON.stringify(report)}\n`, () => process.exit(0));
}

export const url = process.argv[2];
