/** One example of each command, for its help page. */
export const EXAMPLES: { readonly [command: string]: ReadonlyArray<string> } = {
  nomyo: ["nomyo chat \"What is the capital of France?\""],
  "nomyo chat": ["cat report.txt | nomyo chat \"Summarise this\""],
  "nomyo demo": ["nomyo demo"],
  "nomyo doctor": ["nomyo doctor --chat"],
  "nomyo keys": ["nomyo keys show"],
  "nomyo keys check": ["nomyo keys check --dir client_keys"],
  "nomyo keys generate": ["nomyo keys generate --dir client_keys"],
  "nomyo keys rotate": ["nomyo keys rotate"],
  "nomyo keys show": ["nomyo keys show"],
  "nomyo proxy": ["NOMYO_API_KEY=… nomyo proxy --port 12436"],
  "nomyo router": ["nomyo router --upstream http://localhost:11434"]
}
