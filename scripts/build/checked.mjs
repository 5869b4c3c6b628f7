/**
 * Writes an entry for each module that needs Effect. When that is missing, or another version, no code of
 * ours runs: the runtime or the bundler says that a module of `effect` cannot be found, and names the file
 * that asks for it. So that file's path says what to do.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { root } from "./tools.mjs"

/** A module that only one version of Effect has, and what else the entries check. */
const checks = {
  3: ["effect/Either", "../internal/requireEffect.js"],
  4: ["effect/Result"]
}

const entry = (version, module) =>
  `${checks[version].map((check) => `import "${check}"\n`).join("")}export * from "${module}"\n`

/**
 * The entries of `package.json` with a path that says what is needed, and the module that each of them leads
 * to.
 */
const checked = () => {
  const { exports } = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8"))
  return Object.values(exports).flatMap((target) => {
    const [, version] = /\/needs-effect-(\d)/.exec(target?.default) ?? []
    return version === undefined
      ? []
      : [{ version, file: target.default, module: target.types.replace(/\.d\.ts$/, ".js") }]
  })
}

/** The modules at the top of `dist`, which `nomyo-js/*` stands for. */
const topModules = () =>
  Fs.readdirSync(Path.join(root, "src")).filter((name) => name.endsWith(".ts") && name !== "index.ts").map((
    name
  ) => Path.parse(name).name)

const expand = ({ file, module, version }) =>
  file.includes("*")
    ? topModules().map((name) => ({ version, file: file.replace("*", name),
      module: module.replace("*", name) })
    )
    : [{ file, module, version }]

export const writeCheckedEntries = () =>
  checked().flatMap(expand).map(({ file, module, version }) => {
    const path = Path.join(root, file)
    Fs.mkdirSync(Path.dirname(path), { recursive: true })
    Fs.writeFileSync(path, entry(version, Path.posix.relative(Path.posix.dirname(file), module)))
    return Path.posix.normalize(file)
  })
