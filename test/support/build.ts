import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import type { TestProject } from "vitest/node"
import { install } from "./browser.js"

declare module "vitest" {
  export interface ProvidedContext {
    /** A folder for what the tests of the package share, from before the first one until after the last. */
    readonly packages: string
  }
}

const build = fileURLToPath(new URL("../../scripts/build/main.mjs", import.meta.url))

/**
 * Builds what the tests of the command line, the package and the browser run, where it is out of date; and
 * installs the browsers.
 */
export default (project: TestProject): () => void => {
  execFileSync(process.execPath, [build], { stdio: "inherit" })
  install()
  // the real path: a bundler tells files apart by their paths
  const packages = Fs.realpathSync(Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-packages-")))
  project.provide("packages", packages)
  return () => Fs.rmSync(packages, { recursive: true, force: true })
}
