/**
 * Bundles the module that pages load by URL, says what it weighs and of what, and refuses one that has grown too heavy; and the Promise API
 * for Node, where loading the two hundred modules of `effect` one by one takes longer than all else.
 */
import resolve from "@rollup/plugin-node-resolve"
import terser from "@rollup/plugin-terser"
import { createHash } from "node:crypto"
import { gzipSync } from "node:zlib"

const LARGEST = 78_000

const gzipped = (code) => gzipSync(code, { level: 9 }).length
const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`

const report = {
  name: "report",
  generateBundle(_options, bundle) {
    const chunk = bundle["index.js"]
    const size = gzipped(chunk.code)
    const parts = { "nomyo-js": 0, "effect/Schema": 0, "effect, the rest": 0 }
    for (const [id, { renderedLength }] of Object.entries(chunk.modules)) {
      const part = !id.includes("/node_modules/") ? "nomyo-js" : /Schema|ParseResult|schema\//.test(id) ? "effect/Schema" : "effect, the rest"
      parts[part] += renderedLength
    }
    const total = Object.values(parts).reduce((a, b) => a + b)
    const lines = [
      `dist/browser/index.js  ${kB(chunk.code.length)} minified, ${kB(size)} gzipped (at most ${kB(LARGEST)})`,
      ...Object.entries(parts).map(([part, length]) => `  ${part.padEnd(18)} ${(100 * length / total).toFixed(0).padStart(3)} %`),
      `  integrity="sha384-${createHash("sha384").update(chunk.code).digest("base64")}"`
    ]
    process.stdout.write(`${lines.join("\n")}\n`)
    if (size > LARGEST) this.error(`The bundle is larger than ${kB(LARGEST)} gzipped`)
  }
}

/** What is left when `effect` comes from elsewhere: said, not written. */
const reportOwn = {
  name: "report-own",
  generateBundle(_options, bundle) {
    process.stdout.write(`  ${kB(gzipped(bundle["index.js"].code))} gzipped for an app that ships effect already\n`)
    delete bundle["index.js"]
  }
}

/** There is one copy of the error classes, which are told apart by `instanceof`, and of what holds for the process, whichever the entry point. */
const isShared = (id) => /^node:|\/NomyoError\.js$|\/internal\/secureMemory\.js$/.test(id)
/** Names are kept, for those who read a stack trace; and so is the code, since functions that are moved into their only caller are made anew by each call. */
const nodePlugins = [resolve({ exportConditions: ["node"] }), terser({ module: true, ecma: 2020, mangle: false, compress: false })]

const plugins = [resolve({ exportConditions: ["browser"] }), terser({ module: true, ecma: 2020, compress: { passes: 3 } })]
const input = "dist/promise/index.js"
const file = "dist/browser/index.js"

export default [
  { input, output: { file, format: "es", sourcemap: true }, plugins: [...plugins, report] },
  { input, output: { file: "dist/promise/node.js", format: "es" }, external: isShared, plugins: nodePlugins },
  { input, output: { file, format: "es" }, external: /^effect\//, plugins: [...plugins, reportOwn] }
]
