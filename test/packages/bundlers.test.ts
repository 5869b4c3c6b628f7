/** What each bundler makes of a program, and that it gets answers. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { describe, expect, it } from "vitest"
import packageJson from "../../package.json" with { type: "json" }
import { root } from "../support/pages.js"
import * as Matrix from "./support.js"

const { devDependencies } = packageJson

/** Runs with the project's own tools. */
const bin = (name: string): string => Path.join(root, "node_modules", name)

interface Bundler {
  readonly name: string
  readonly isQuick?: boolean
  /** Bundles a program of a folder into `out/<name>`, and gives the file. */
  readonly bundle: (cwd: string, program: string) => Promise<string>
}

const esbuild = (format: string, platform: string, extension: string): Bundler => ({
  name: `esbuild ${devDependencies.esbuild}, ${platform}, ${format}`,
  isQuick: true,
  bundle: async (cwd, program) => {
    const file = Path.join(cwd, `out/${Path.parse(program).name}.${platform}.${extension}`)
    const args = ["--bundle", `--platform=${platform}`, `--format=${format}`, `--outfile=${file}`]
    const quiet = ["--log-limit=0", "--log-level=warning"]
    const { stderr } = await Matrix.run(bin("esbuild/bin/esbuild"), [program, ...args, ...quiet], { cwd })
    expect(stderr).toBe("")
    return file
  }
})

const rollup: Bundler = {
  name: `Rollup ${devDependencies.rollup}`,
  bundle: async (cwd, program) => {
    const plugin = bin("@rollup/plugin-node-resolve/dist/es/index.js")
    const config = `import resolve from ${JSON.stringify(plugin)}
export default {
  input: ${JSON.stringify(program)},
  external: /^node:/,
  plugins: [resolve({ exportConditions: ["node"] })],
  output: { dir: "out", format: "es", entryFileNames: "[name].mjs" }
}
`
    Fs.writeFileSync(Path.join(cwd, "rollup.config.mjs"), config)
    await Matrix.node(cwd, bin("rollup/dist/bin/rollup"), "--config", "--silent")
    return Path.join(cwd, "out", program)
  }
}

const webpack: Bundler = {
  name: "webpack 5.113",
  bundle: async (cwd, program) => {
    const webpackModule = await Matrix.tool("webpack", "webpack@5.113.0", "webpack/lib/index.js")
    const filename = JSON.stringify(program)
    const script = `import webpack from ${JSON.stringify(webpackModule)}
webpack({
  mode: "production",
  target: "node20",
  context: process.cwd(),
  entry: ${JSON.stringify(`./${program}`)},
  experiments: { outputModule: true },
  output: { path: process.cwd() + "/out", filename: ${filename}, module: true, chunkFormat: "module" }
}, (error, stats) => {
  const faults = error ? String(error) : stats.toString({ all: false, errors: true, warnings: true })
  if (faults !== "") throw new Error(faults)
})
`
    Fs.writeFileSync(Path.join(cwd, "webpack.mjs"), script)
    await Matrix.node(cwd, "webpack.mjs")
    return Path.join(cwd, "out", program)
  }
}

const vite: Bundler = {
  name: "Vite 8.4, SSR",
  bundle: async (cwd, program) => {
    const config = `export default {
  logLevel: "warn",
  ssr: { noExternal: true },
  build: {
    ssr: ${JSON.stringify(program)},
    outDir: "out",
    rollupOptions: { output: { entryFileNames: "[name].mjs" } }
  }
}
`
    Fs.writeFileSync(Path.join(cwd, "vite.config.mjs"), config)
    await Matrix.node(cwd, await Matrix.tool("vite", "vite@8.4.0", "vite/bin/vite.js"), "build")
    return Path.join(cwd, "out", program)
  }
}

const bundlers: ReadonlyArray<Bundler> = [
  esbuild("esm", "node", "mjs"),
  esbuild("cjs", "node", "cjs"),
  esbuild("esm", "browser", "mjs"),
  rollup,
  webpack,
  vite
]

const programs = [
  { effect: "no effect", packages: [], program: "promise.mjs" },
  { effect: Matrix.effect3, packages: [Matrix.effect3], program: "effect3.mjs" },
  { effect: Matrix.effect4, packages: [Matrix.effect4], program: "effect4.mjs" }
]

const place = Matrix.usePlace()

describe.each(Matrix.cells(bundlers))("$name", ({ bundle, name }) => {
  // the layers of Effect 3 for Node are not for pages
  const fitting = programs.filter(({ program }) => !(name.includes("browser") && program === "effect3.mjs"))

  it.each(fitting)("bundles a program with $effect that gets answers", async ({ packages, program }) => {
    const file = await bundle(Matrix.folder(await Matrix.installed(...packages), "bundler"), program)
    // elsewhere: the bundle finds nothing but what is in it
    const alone = Path.join(Matrix.folder(place.directory, "alone"), Path.basename(file))
    Fs.cpSync(Path.dirname(file), Path.dirname(alone), { recursive: true })
    expect(Matrix.lastLine(await Matrix.node(place.directory, alone, place.router))).toBe(Matrix.ANSWER)
  }, Matrix.TIMEOUT)
})
