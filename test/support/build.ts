import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { install } from "./browser.js"

/** When a file was last changed, or any of a directory, in milliseconds since 1970; 0 if there is none. */
const changedAt = (path: string): number => {
  const status = Fs.statSync(path, { throwIfNoEntry: false })
  if (status === undefined) return 0
  const inner = status.isDirectory() ? Fs.readdirSync(path).map((name) => changedAt(Path.join(path, name))) : []
  return Math.max(status.mtimeMs, ...inner)
}

const sources = ["src", "package-lock.json", "package.json", "rollup.config.js", "tsconfig.build.json", "tsconfig.json"]
/** The last that a build writes. */
const built = "dist/cli/nomyo.cjs"

/** Builds what the tests of the command line, the package and the browser run, if it has changed; and installs the browsers. */
export default (): void => {
  if (Math.max(...sources.map(changedAt)) > changedAt(built)) execFileSync("npm", ["run", "--silent", "build"], { stdio: "inherit" })
  install()
}
