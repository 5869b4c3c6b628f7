/** Runs the vectors of a directory: `npm run test:wycheproof -- DIR`, `npm run test:standards -- DIR`. */
import { spawnSync } from "node:child_process"
import { compile } from "./build/tools.mjs"

const [suite, ...args] = process.argv.slice(2)
const program = await compile(`test/contract/${suite}.ts`)
const { status } = spawnSync(process.execPath, [program, ...args], { stdio: "inherit" })
process.exitCode = status ?? 1
