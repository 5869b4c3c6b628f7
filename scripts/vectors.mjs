/**
 * Runs a program of `test/contract` that needs what is no part of the project: vectors of a directory
 * (`npm run test:wycheproof -- DIR`, `npm run test:standards -- DIR`), or Redis (`npm run test:redis`).
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import { compile } from "./build/tools.mjs"

const [suite, ...args] = process.argv.slice(2)
// in the project's folder: from node_modules the package would not find itself by its name
const program = await compile(`test/contract/${suite}.ts`, ".")
const { status } = spawnSync(process.execPath, [program, ...args], { stdio: "inherit" })
Fs.rmSync(program)
process.exitCode = status ?? 1
