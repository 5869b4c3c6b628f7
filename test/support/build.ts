import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { install } from "./browser.js"

const build = fileURLToPath(new URL("../../scripts/build/main.mjs", import.meta.url))

/** Builds what the tests of the command line, the package and the browser run, where it is out of date; and installs the browsers. */
export default (): void => {
  execFileSync(process.execPath, [build], { stdio: "inherit" })
  install()
}
