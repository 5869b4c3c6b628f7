/**
 * Runs the same chat on other JavaScript runtimes, with the package as users get it, through the development router. The runtimes come from
 * the npm registry into a cache outside of this project's dependencies. Run `npm run build` first.
 */
import { build } from "esbuild"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"

const run = promisify(execFile)
const here = import.meta.dirname
const root = Path.join(here, "../..")
const cache = Path.join(process.env.XDG_CACHE_HOME ?? Path.join(Os.homedir(), ".cache"), "nomyo-js-runtimes")
const TIMEOUT = 60_000

const { arch, platform } = process
// each project names the platforms in its own way
const nodePackage = `node-${platform === "win32" ? "win" : platform}-${arch}`
const bunPackage = `@oven/bun-${platform === "win32" ? "windows" : platform}-${arch === "arm64" ? "aarch64" : arch}`
const denoPackage = `@deno/${platform}-${arch}${platform === "linux" ? "-glibc" : ""}`
const runtimes = [
  { name: `Node ${process.versions.node.split(".")[0]}`, binary: process.execPath },
  { name: "Node 22", packages: [`${nodePackage}@22.23.3`], binary: `${nodePackage}/bin/node` },
  { name: "Node 24", packages: [`${nodePackage}@24.21.0`], binary: `${nodePackage}/bin/node` },
  { name: "Node 26", packages: [`${nodePackage}@26.10.0`], binary: `${nodePackage}/bin/node` },
  { name: "Bun", packages: [`${bunPackage}@1.4.5`], binary: `${bunPackage}/bin/bun` },
  // not `deno`, whose command is a script: ending that one leaves its child running
  { name: "Deno", packages: [`${denoPackage}@2.9.6`], binary: `${denoPackage}/deno`, args: ["run", "--allow-all"] },
  { name: "workerd", packages: ["miniflare@4.20260730.0"], miniflare: true }
]

const install = async (folder, packages, ...options) => {
  Fs.mkdirSync(folder, { recursive: true })
  if (!Fs.existsSync(Path.join(folder, "package.json"))) Fs.writeFileSync(Path.join(folder, "package.json"), "{\"type\":\"module\"}")
  // `npm run --silent` would have it fail without a word
  await run("npm", ["install", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error", ...options, ...packages], { cwd: folder })
}

/** A project with the packed package in it, and the chat. */
const fillProject = async (project) => {
  const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", project], { cwd: root })
  const effect = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8")).devDependencies.effect
  await install(project, [Path.join(project, JSON.parse(stdout)[0].filename), `effect@${effect}`])
  for (const file of ["chat.mjs", "runtime.mjs", "worker.mjs"]) {
    Fs.copyFileSync(Path.join(root, "test/packages/programs", file), Path.join(project, file))
  }
}

const startRouter = async () => {
  const child = spawn(process.execPath, [Path.join(root, "dist/cli/nomyo.cjs"), "router", "--port", "0"], {
    stdio: ["ignore", "pipe", "ignore"]
  })
  const lines = createInterface(child.stdout)
  const url = await new Promise((resolve, reject) => {
    lines.on("line", (line) => line.startsWith("listening on ") && resolve(line.slice("listening on ".length)))
    lines.on("close", () => reject(new Error("The router did not start")))
  })
  return { url, stop: () => child.kill() }
}

/**
 * The router's keys in front of a chat that is never answered. `/arrived` is answered once there is a request to cancel, `/closed` once its
 * connection is gone.
 */
const startSilent = async (routerUrl) => {
  const events = new Map(["/arrived", "/closed"].map((path) => {
    const event = {}
    event.promise = new Promise((resolve) => { event.resolve = resolve })
    return [path, event]
  }))
  const server = Http.createServer(async (request, response) => {
    if (request.method === "POST") {
      request.resume()
      response.on("close", events.get("/closed").resolve)
      return events.get("/arrived").resolve()
    }
    await events.get(request.url)?.promise
    if (events.has(request.url)) return response.end()
    const answer = await fetch(routerUrl + request.url)
    response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" })
    response.end(await answer.text())
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop: () => {
      server.closeAllConnections()
      server.close()
    }
  }
}

const runFile = async (binary, args, project, urls) => {
  const { stdout } = await run(binary, [...args, Path.join(project, "runtime.mjs"), ...urls], {
    cwd: project,
    env: { ...process.env, NO_COLOR: "1" },
    timeout: TIMEOUT,
    killSignal: "SIGKILL"
  })
  return /ok (.+)/.exec(stdout)[1]
}

const runWorkerd = async (folder, project, urls) => {
  const outfile = Path.join(project, "worker.bundled.mjs")
  await build({
    entryPoints: [Path.join(project, "worker.mjs")],
    outfile,
    bundle: true,
    format: "esm",
    conditions: ["workerd", "worker", "browser"],
    tsconfigRaw: "{}",
    logLevel: "error"
  })
  const { Miniflare } = await import(pathToFileURL(Path.join(folder, "node_modules/miniflare/dist/src/index.js")).href)
  const miniflare = new Miniflare({ modules: true, script: Fs.readFileSync(outfile, "utf8"), compatibilityDate: "2026-07-01" })
  try {
    const response = await miniflare.dispatchFetch(`http://localhost/?${new URLSearchParams(urls.map((url) => ["url", url]))}`, { signal: AbortSignal.timeout(TIMEOUT) })
    const said = await response.text()
    if (said !== "ok") throw new Error(said)
    const { stdout } = await run(process.execPath, [Path.join(folder, "node_modules/workerd/bin/workerd"), "--version"])
    return stdout.trim().split(" ").at(-1)
  } finally {
    await miniflare.dispose()
  }
}

const reason = (error) => {
  if (error.killed || error.name === "TimeoutError") return `no end within ${TIMEOUT / 1000} s`
  const lines = String(error.stderr || error.message).split("\n").map((line) => line.trim()).filter((line) => line !== "")
  // of a stack trace the line that names the error, of npm's the one that says what is wrong
  return lines.find((line) => /^(\w*error|error: uncaught .*): |^npm error (?!code )/i.test(line)) ?? lines.at(-1) ?? "no reason given"
}

if (!["dist/index.js", "dist/cli/nomyo.cjs"].every((file) => Fs.existsSync(Path.join(root, file)))) {
  process.stderr.write("There is no dist/ to test: npm run build first\n")
  process.exit(1)
}

const project = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-runtimes-"))
const results = []
let router
try {
  await fillProject(project)
  router = await startRouter()
  for (const { args = [], binary, miniflare, name, packages } of runtimes) {
    const folder = Path.join(cache, name.replace(" ", "-").toLowerCase())
    try {
      if (packages !== undefined) await install(folder, packages, "--force", "--prefer-offline")
    } catch (error) {
      results.push({ name, version: "", result: `untested: ${reason(error)}` })
      continue
    }
    const silent = await startSilent(router.url)
    const urls = [router.url, silent.url]
    try {
      const version = miniflare
        ? await runWorkerd(folder, project, urls)
        : await runFile(Path.resolve(folder, "node_modules", binary), args, project, urls)
      results.push({ name, version, result: "ok" })
    } catch (error) {
      results.push({ name, version: "", result: `failed: ${reason(error)}` })
      process.exitCode = 1
    } finally {
      silent.stop()
    }
  }
} finally {
  router?.stop()
  Fs.rmSync(project, { recursive: true, force: true })
}
for (const { name, result, version } of results) process.stdout.write(`${name.padEnd(10)} ${version.padEnd(16)} ${result}\n`)
