/** Runs the vectors of a directory: `npm run test:wycheproof -- DIR`, `npm run test:standards -- DIR`. */
import { build } from "esbuild"
import { spawnSync } from "node:child_process"
import * as Path from "node:path"

const root = Path.join(import.meta.dirname, "..")
const [suite, ...args] = process.argv.slice(2)
const program = Path.join(root, `node_modules/.cache/${suite}.mjs`)

await build({
  absWorkingDir: root,
  entryPoints: [`test/contract/${suite}.ts`],
  outfile: program,
  bundle: true,
  platform: "node",
  format: "esm",
  packages: "external",
  logLevel: "warning"
})
const { status } = spawnSync(process.execPath, [program, ...args], { stdio: "inherit" })
process.exitCode = status ?? 1
