/** Builds what is out of date: `node scripts/build/main.mjs [step…]`, all steps by default. */
import { buildBundles } from "./bundles.mjs"
import { buildCommand } from "./command.mjs"
import { buildLibrary } from "./library.mjs"
import { buildNotices } from "./notices.mjs"
import { buildPage } from "./page.mjs"
import { makeBuild } from "./steps.mjs"
import { cache, root } from "./tools.mjs"

const steps = {
  library: { inputs: ["src", "tsconfig.json", "tsconfig.build.json"], needs: [], run: buildLibrary },
  bundles: { inputs: ["src"], needs: ["library"], run: buildBundles },
  command: { inputs: ["src"], needs: [], run: buildCommand },
  page: { inputs: ["src"], needs: [], run: buildPage },
  notices: { inputs: ["src", "LICENSE"], needs: ["library", "bundles", "command", "page"], run: buildNotices }
}

const common = ["package.json", "package-lock.json", "scripts/build"]
const build = makeBuild({ cache, common, output: "dist", root, steps })
const names = process.argv.slice(2)

await build(names.length === 0 ? undefined : names).catch(({ message }) => {
  process.stderr.write(`${message}\n`)
  process.exitCode = 1
})
