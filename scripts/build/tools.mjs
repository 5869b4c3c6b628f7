/** What the steps of the build share. */
import { build } from "esbuild"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

/** The project's folder. */
export const root = Path.join(import.meta.dirname, "../..")

/** Where the build keeps its records and what is not published. */
export const cache = Path.join(root, "node_modules/.cache/nomyo-js-build")

/** Every file at or below a path. */
export const filesOf = (path) =>
  Fs.statSync(path).isDirectory()
    ? Fs.readdirSync(path).toSorted().flatMap((name) => filesOf(Path.join(path, name)))
    : [path]

/** Runs a tool of `node_modules/.bin` in the project's folder, and shows what it prints. */
export const tool = (name, ...args) =>
  execFileSync(Path.join(root, "node_modules/.bin", name), args, {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32"
  })

/** Changes a text file in place. */
export const edit = (file, change) => Fs.writeFileSync(file, change(Fs.readFileSync(file, "utf8")))

/** The folder of the installed package that a module belongs to; none if it is the project's own. */
export const packageOf = (module) =>
  /^(.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/.exec(module)?.[1]

/** The folders of the installed packages that these modules belong to, relative to the project's. */
export const packagesOf = (modules) => {
  const folders = modules.map((module) => packageOf(Path.resolve(root, module))).filter((folder) =>
    folder !== undefined
  )
  return [...new Set(folders.map((folder) => Path.relative(root, folder)))].toSorted()
}

/** Compiles a TypeScript program to one file in a folder of the project, and gives its path. */
export const compile = async (entry, folder = "node_modules/.cache") => {
  const outfile = Path.join(root, folder, `${Path.basename(entry, ".ts")}.mjs`)
  await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    logLevel: "warning"
  })
  return outfile
}
