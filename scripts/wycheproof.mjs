/** Runs Wycheproof's vectors of a directory through the sources: `npm run test:wycheproof -- DIR`. */
import { build } from "esbuild"
import { spawnSync } from "node:child_process"
import * as Path from "node:path"

const root = Path.join(import.meta.dirname, "..")
const program = Path.join(root, "node_modules/.cache/wycheproof.mjs")

await build({
  absWorkingDir: root,
  entryPoints: ["test/contract/wycheproof.ts"],
  outfile: program,
  bundle: true,
  platform: "node",
  format: "esm",
  packages: "external",
  logLevel: "warning"
})
const { status } = spawnSync(process.execPath, [program, ...process.argv.slice(2)], { stdio: "inherit" })
process.exitCode = status ?? 1
