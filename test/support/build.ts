import { execFileSync } from "node:child_process"

/** Builds what the tests of the command line and of the package run. */
export default (): void => {
  execFileSync("npm", ["run", "--silent", "build"], { stdio: "inherit" })
}
