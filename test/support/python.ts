/** Debian's Python with `httpx`. */
import { execFileSync } from "node:child_process"

/** Debian's own, which sees the packages of apt. */
export const PYTHON = "/usr/bin/python3"

const hasHttpx = (): boolean => {
  try {
    execFileSync(PYTHON, ["-c", "import httpx"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

/** Installs `httpx` if it is missing. Throws if it cannot. */
export const ensureHttpx = (): void => {
  if (hasHttpx()) return
  if (process.getuid?.() !== 0)
    throw new Error("The proxy's tests need httpx; run: sudo apt-get install -y python3-httpx")
  const options = { stdio: ["ignore", "ignore", "inherit"] as Array<"ignore" | "inherit">,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } }
  execFileSync("apt-get", ["update"], options)
  execFileSync("apt-get", ["install", "-y", "--no-install-recommends", "python3-httpx"], options)
}
