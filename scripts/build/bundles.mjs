/**
 * Bundles the Promise API, so that it needs nothing beside itself: as ES modules and as CommonJS for Node and
 * for everywhere else, with one file of types; and as the one module that pages load by URL.
 */
import resolve from "@rollup/plugin-node-resolve"
import terser from "@rollup/plugin-terser"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { gzipSync } from "node:zlib"
import { rollup } from "rollup"
import { dts } from "rollup-plugin-dts"
import { packagesOf, root } from "./tools.mjs"

/** The Promise API: its bundles are called `index`. */
const entries = { index: "dist/promise/index.js" }
const types = { index: "dist/promise/index.d.ts" }

/**
 * The modules that pages load by URL, with the largest size of each, gzipped, in bytes. The maps of the
 * larger two would add a megabyte to every install.
 */
const pages = {
  index: { isMapped: true, largest: 78_000, without: /browser[\\/]protocol2\.js$/ },
  "protocol-2": { isMapped: false, largest: 84_000, without: /protocol2[\\/]XWing\.js$/ },
  "post-quantum": { isMapped: false, largest: 95_000, without: undefined }
}

const NOTICE =
  "/*! nomyo-js, Apache-2.0. Contains effect, MIT: see dist/THIRD-PARTY-LICENSES of the package nomyo-js */"

const gzipped = (code) => gzipSync(code, { level: 9 }).length
const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`

/**
 * A program may import `nomyo-js` and `nomyo-js/effect`: these modules exist once, beside the bundles and the
 * other modules.
 */
const isShared = (id) => /[\\/](NomyoError|internal[\\/]secureMemory)\.(js|d\.ts)$/.test(id)

/** Where a shared module is, seen from a folder of `dist`. */
const pathFrom = (folder) => (id) =>
  isShared(id)
    ? Path.posix.relative(folder,
      `dist/${/(NomyoError|internal.secureMemory)\..*/.exec(id)[0].replaceAll("\\", "/")}`)
    : id

/**
 * Names and functions stay as they are, for readers of stack traces; comments go, except those that bundlers
 * read.
 */
const readable = terser({ module: true, ecma: 2020, mangle: false, compress: false,
  format: { preserve_annotations: true } })
const minified = terser({ module: true, ecma: 2020, compress: { passes: 3 } })

/**
 * What may not be in a bundle: an import that nothing provides. The other warnings are of Effect's own
 * modules.
 */
const refuse = (_level, log, handle) => {
  if (["UNRESOLVED_IMPORT", "MISSING_EXPORT"].includes(log.code)) handle("error", log)
}

/** Gives the chunks that were written. */
const bundle = async (input, output) => {
  const built = await rollup({ ...input, onLog: refuse })
  const written = await built.write(output)
  await built.close()
  return written.output
}

const modulesOf = (chunks) => chunks.flatMap(({ modules }) => Object.keys(modules ?? {}))

const filesIn = (folder, chunks) => chunks.map(({ fileName }) => Path.posix.join(folder, fileName))

/**
 * The Promise API for one platform, as ES modules that share the errors, and as CommonJS with errors of its
 * own.
 */
const platformBundles = async (name, conditions) => {
  const dir = `dist/bundle/${name}`
  const input = { input: entries, plugins: [resolve({ exportConditions: conditions }), readable] }
  const esm = await bundle(
    { ...input, external: (id) => id.startsWith("node:") || isShared(id) },
    { dir, format: "es", chunkFileNames: "shared.js", paths: pathFrom(dir) }
  )
  const cjs = await bundle(
    { ...input, external: /^node:/ },
    { dir, format: "cjs", entryFileNames: "[name].cjs", chunkFileNames: "shared.cjs" }
  )
  return { files: filesIn(dir, [...esm, ...cjs]), modules: modulesOf([...esm, ...cjs]) }
}

/** The platforms' modules have the same types as far as the Promise API is concerned. */
const platformTypes = {
  name: "platform-types",
  resolveId: (id) => id === "#platform" ? Path.join(root, "dist/platform/node/index.d.ts") : undefined
}

/**
 * The types name nothing of Effect: what they stand on is in them. Those for CommonJS have the errors of that
 * bundle.
 */
const typeBundles = async () => {
  const dir = "dist/bundle"
  const banner = "/// <reference lib=\"esnext.disposable\" />"
  const input = { input: types, plugins: [platformTypes, dts()] }
  const esm = await bundle(
    { ...input, external: (id) => id.startsWith("effect") || isShared(id) },
    { dir, banner, chunkFileNames: "shared.d.ts", paths: pathFrom(dir) }
  )
  const cjs = await bundle(
    { ...input, external: /^effect/ },
    { dir, banner, entryFileNames: "[name].d.cts", chunkFileNames: "shared.d.cts" }
  )
  return filesIn(dir, [...esm, ...cjs])
}

/** Says what a page module weighs and of what, and refuses one that has grown too heavy. */
const report = (file, largest, { code, modules }) => {
  const size = gzipped(code)
  const parts = { "nomyo-js": 0, "effect/Schema": 0, "effect, the rest": 0 }
  for (const [id, { renderedLength }] of Object.entries(modules)) {
    const isSchema = /Schema|ParseResult/i.test(id)
    const part = !id.includes("node_modules") ? "nomyo-js" : isSchema ? "effect/Schema" : "effect, the rest"
    parts[part] += renderedLength
  }
  const total = Object.values(parts).reduce((a, b) => a + b)
  const lines = [
    `${file}  ${kB(code.length)} minified, ${kB(size)} gzipped (at most ${kB(largest)})`,
    ...Object.entries(parts).map(([part, length]) =>
      `  ${part.padEnd(18)} ${(100 * length / total).toFixed(0).padStart(3)} %`),
    `  integrity="sha384-${createHash("sha384").update(code).digest("base64")}"`
  ]
  process.stdout.write(`${lines.join("\n")}\n`)
  if (size > largest) throw new Error(`${file} is larger than ${kB(largest)} gzipped`)
}

/** Leaves a module out, for pages that do not use it: the option that imports it then fails. */
const leavingOut = (module) => ({
  name: "leaving-out",
  load: (id) => module?.test(id) === true ? "export let layerParts, xWing" : undefined
})

/** One module without imports, for `<script type="module">`. */
const pageBundle = async (name, { isMapped, largest, without }) => {
  const file = `dist/browser/${name}.js`
  const types = `dist/browser/${name}.d.ts`
  const plugins = [leavingOut(without), resolve({ exportConditions: ["browser"] }), minified]
  const chunks = await bundle(
    { input: entries.index, plugins },
    {
      file,
      format: "es",
      inlineDynamicImports: true,
      sourcemap: isMapped,
      sourcemapExcludeSources: true,
      banner: NOTICE
    }
  )
  report(file, largest, chunks[0])
  Fs.writeFileSync(types, "export * from \"../bundle/index.js\"\n")
  return { files: [file, ...(isMapped ? [`${file}.map`] : []), types], modules: modulesOf(chunks) }
}

/**
 * `nomyo-js/fetch` for `require`, as one file. For `import` it is made of modules that need nothing beside
 * themselves.
 */
const fetchBundle = async () => {
  const dir = "dist/bundle"
  const output = { dir, format: "cjs", entryFileNames: "fetch.cjs" }
  const code = await bundle({ input: "dist/fetch/index.js", plugins: [readable] }, output)
  const declarations = { dir, entryFileNames: "fetch.d.cts" }
  return filesIn(dir, [...code,
    ...await bundle({ input: "dist/fetch/index.d.ts", plugins: [dts()] }, declarations)])
}

export const buildBundles = async () => {
  process.chdir(root)
  Fs.rmSync("dist/bundle", { recursive: true, force: true })
  const built = [await platformBundles("node", ["node"]), await platformBundles("web", ["browser"])]
  for (const [name, page] of Object.entries(pages)) built.push(await pageBundle(name, page))
  return {
    outputs: [...built.flatMap(({ files }) => files), ...await typeBundles(), ...await fetchBundle()],
    packages: packagesOf(built.flatMap(({ modules }) => modules))
  }
}
