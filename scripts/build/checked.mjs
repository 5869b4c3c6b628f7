/**
 * Writes an entry for each module that needs Effect 3. When that is missing, or is Effect 4, no code of ours runs: the runtime or the
 * bundler says that a module of `effect` cannot be found, and names the file that asks for it. So that file's path says what to do.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { root } from "./tools.mjs"

/** `effect/Either` is a module of Effect 3 alone. */
const entry = (module) => `import "effect/Either"
import "../internal/requireEffect.js"
export * from "${module}"
`

/** The entries of `package.json` with a path that says what is needed, and the module that each of them leads to. */
const checked = () => {
  const { exports } = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8"))
  return Object.values(exports)
    .filter((target) => String(target?.default).includes("/needs-effect-3"))
    .map(({ default: file, types }) => ({ file, module: types.replace(/\.d\.ts$/, ".js") }))
}

/** The modules at the top of `dist`, which `nomyo-js/*` stands for. */
const topModules = () =>
  Fs.readdirSync(Path.join(root, "src")).filter((name) => name.endsWith(".ts") && name !== "index.ts").map((name) => Path.parse(name).name)

const expand = ({ file, module }) =>
  file.includes("*")
    ? topModules().map((name) => ({ file: file.replace("*", name), module: module.replace("*", name) }))
    : [{ file, module }]

export const writeCheckedEntries = () =>
  checked().flatMap(expand).map(({ file, module }) => {
    const path = Path.join(root, file)
    Fs.mkdirSync(Path.dirname(path), { recursive: true })
    Fs.writeFileSync(path, entry(Path.posix.relative(Path.posix.dirname(file), module)))
    return Path.posix.normalize(file)
  })
