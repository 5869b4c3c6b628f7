import { execFileSync } from "node:child_process"
import { install } from "./browser.js"

/** Builds what the tests of the command line, the package and the browser run, and installs the browsers. */
export default (): void => {
  execFileSync("npm", ["run", "--silent", "build"], { stdio: "inherit" })
  install()
}
