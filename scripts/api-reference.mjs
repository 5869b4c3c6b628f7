/** Writes `dist/api-reference.md`, the list of all exports, from the types and comments of a built `dist`. */
import { build } from "esbuild"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import ts from "typescript"

const root = Path.join(import.meta.dirname, "..")
const program = Path.join(root, "node_modules/.cache/api.mjs")

process.chdir(root)
await build({
  entryPoints: ["scripts/api.ts"],
  outfile: program,
  bundle: true,
  platform: "node",
  format: "esm",
  packages: "external",
  logLevel: "warning"
})
const Api = await import(pathToFileURL(program).href)
const exported = ts.createProgram(Api.entryPoints.map(([, file]) => file), {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  types: ["node"],
  strict: true,
  skipLibCheck: true,
  noEmit: true
})
Fs.writeFileSync("dist/api-reference.md", `# Exports of nomyo-js\n\n${Api.reference(exported)}\n`)
