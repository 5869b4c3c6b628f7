/** Writes `dist/api-reference.md`, the list of all exports, from the types and comments of a built `dist`. */
import * as Fs from "node:fs"
import { pathToFileURL } from "node:url"
import ts from "typescript"
import { compile, root } from "./build/tools.mjs"

process.chdir(root)
const Api = await import(pathToFileURL(await compile("scripts/api.ts")).href)
const exported = ts.createProgram(Api.entryPoints.map(([, file]) => file), {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  types: ["node"],
  strict: true,
  skipLibCheck: true,
  noEmit: true
})
Fs.writeFileSync("dist/api-reference.md", `# Exports of nomyo-js\n\n${Api.reference(exported)}\n`)
