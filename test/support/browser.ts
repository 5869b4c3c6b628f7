import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import type * as Http from "node:http"
import { type Browser, chromium } from "playwright-core"
import { type Browser as Firefox, launch as launchBidi } from "puppeteer-core"

const CHROMIUM = "/usr/bin/chromium"
const FIREFOX = "/usr/bin/firefox-esr"

/** Installs Debian's Chromium and Firefox if they are not there. Fails with what to do if it may not. */
export const install = (): void => {
  if (existsSync(CHROMIUM) && existsSync(FIREFOX)) return
  if (process.getuid?.() !== 0)
    throw new Error("The browser tests need two browsers; run: sudo apt-get install -y chromium firefox-esr")
  const apt = (...args: ReadonlyArray<string>) =>
    execFileSync("apt-get", [...args], { stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } })
  apt("update", "-qq")
  apt("install", "-y", "-qq", "--no-install-recommends", "chromium", "firefox-esr", "fonts-dejavu-core")
}

/** Chromium as it ships, that talks to nobody but the servers of the test. */
export const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // a page that was loaded without TLS from another host than localhost: what browsers call an insecure
      // context
      "--host-resolver-rules=MAP insecure.test 127.0.0.1"
    ]
  })

/**
 * Firefox as it ships, by WebDriver BiDi: Playwright wants more of that than this release has, and otherwise
 * a Firefox of its own.
 */
export const launchFirefox = (): Promise<Firefox> =>
  launchBidi({ browser: "firefox", executablePath: FIREFOX })

/** The page modules, by their paths on a site. */
const modules: { readonly [path: string]: URL } = {
  "/nomyo.js": new URL("../../dist/browser/index.js", import.meta.url),
  "/protocol-2.js": new URL("../../dist/browser/protocol-2.js", import.meta.url),
  "/post-quantum.js": new URL("../../dist/browser/post-quantum.js", import.meta.url)
}

/**
 * A site that has the page modules at `/nomyo.js`, `/protocol-2.js` and `/post-quantum.js`, an empty page
 * everywhere else, and what `files` adds; under the policy that the README recommends, for one router.
 */
export const site =
  (router: () => string, files: { readonly [path: string]: string } = {}): Http.RequestListener =>
    (request, response) => {
      const path = request.url!.split("?")[0]!
      const csp = `default-src 'none'; script-src 'self'; connect-src ${router()}`
      const headers = { "content-security-policy": csp,
        "content-type": path.endsWith(".js") ? "text/javascript" : "text/html" }
      const send = (body: string | Buffer) => response.writeHead(200, headers).end(body)
      const module = modules[path]
      if (module !== undefined) void readFile(module).then(send)
      else send(
        files[path] ?? "<!doctype html><title>page</title><script type=\"module\" src=\"/page.js\"></script>"
      )
    }
