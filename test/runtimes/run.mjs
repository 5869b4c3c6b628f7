/**
 * Runs the same chat on other JavaScript runtimes, with the package as users get it, through the development router. The runtimes come from
 * the npm registry into a cache outside of this project's dependencies. Run `npm run build` first.
 */
import { build } from "esbuild"
import { execFile, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"

const run = promisify(execFile)
const here = import.meta.dirname
const root = Path.join(here, "../..")
const cache = Path.join(process.env.XDG_CACHE_HOME ?? Path.join(Os.homedir(), ".cache"), "nomyo-js-runtimes")
const platform = `${process.platform === "win32" ? "win" : process.platform}-${process.arch}`
const TIMEOUT = 60_000

const nodePackage = `node-${platform}`
const runtimes = [
  { name: "Node 22", packages: [`${nodePackage}@22.23.3`], binary: `${nodePackage}/bin/node` },
  { name: "Node 24", packages: [`${nodePackage}@24.21.0`], binary: `${nodePackage}/bin/node` },
  { name: "Node 26", packages: [`${nodePackage}@26.10.0`], binary: `${nodePackage}/bin/node` },
  { name: "Bun", packages: [`@oven/bun-${platform}@1.4.5`], binary: `@oven/bun-${platform}/bin/bun` },
  { name: "Deno", packages: ["deno@2.9.6"], binary: ".bin/deno", args: ["run", "--allow-all"] },
  { name: "workerd", packages: ["miniflare@4.20260730.0"], miniflare: true }
]

const install = async (folder, packages, ...options) => {
  Fs.mkdirSync(folder, { recursive: true })
  if (!Fs.existsSync(Path.join(folder, "package.json"))) Fs.writeFileSync(Path.join(folder, "package.json"), "{\"type\":\"module\"}")
  await run("npm", ["install", "--prefix", folder, "--no-audit", "--no-fund", ...options, ...packages], { cwd: folder })
}

/** A project with the packed package in it, and the chat. */
const makeProject = async () => {
  const project = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-runtimes-"))
  const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", project], { cwd: root })
  const effect = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8")).devDependencies.effect
  await install(project, [Path.join(project, JSON.parse(stdout)[0].filename), `effect@${effect}`])
  for (const file of ["chat.mjs", "main.mjs", "worker.mjs"]) Fs.copyFileSync(Path.join(here, file), Path.join(project, file))
  return project
}

const startRouter = async () => {
  const child = spawn(process.execPath, [Path.join(root, "dist/cli/nomyo.cjs"), "router", "--port", "0"], { stdio: ["ignore", "pipe", "ignore"] })
  const lines = createInterface(child.stdout)
  const url = await new Promise((resolve) => lines.on("line", (line) => {
    const listening = /^listening on (.+)$/.exec(line)
    if (listening !== null) resolve(listening[1])
  }))
  return { url, stop: () => child.kill() }
}

const runFile = async (binary, args, project, url) => {
  const { stdout } = await run(binary, [...args, Path.join(project, "main.mjs"), url], { cwd: project, timeout: TIMEOUT })
  return /ok (.+)/.exec(stdout)[1]
}

const runWorkerd = async (folder, project, url) => {
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
    const response = await miniflare.dispatchFetch(`http://localhost/?router=${encodeURIComponent(url)}`, { signal: AbortSignal.timeout(TIMEOUT) })
    const said = await response.text()
    if (said !== "ok") throw new Error(said)
    return JSON.parse(Fs.readFileSync(Path.join(folder, "node_modules/workerd/package.json"), "utf8")).version
  } finally {
    await miniflare.dispose()
  }
}

const reason = (error) => String(error.stderr || error.message).trim().split("\n").findLast((line) => /error/i.test(line)) ?? error.message

const project = await makeProject()
const router = await startRouter()
const results = [{ name: "Node 20", version: await runFile(process.execPath, [], project, router.url), result: "ok" }]
for (const { args = [], binary, miniflare, name, packages } of runtimes) {
  const folder = Path.join(cache, name.replace(" ", "-").toLowerCase())
  try {
    await install(folder, packages, "--force", "--prefer-offline")
  } catch (error) {
    results.push({ name, version: "", result: `untested: ${reason(error)}` })
    continue
  }
  try {
    const version = miniflare
      ? await runWorkerd(folder, project, router.url)
      : await runFile(Path.join(folder, "node_modules", binary), args, project, router.url)
    results.push({ name, version, result: "ok" })
  } catch (error) {
    results.push({ name, version: "", result: `failed: ${reason(error)}` })
    process.exitCode = 1
  }
}
router.stop()
Fs.rmSync(project, { recursive: true, force: true })
for (const { name, result, version } of results) process.stdout.write(`${name.padEnd(10)} ${version.padEnd(16)} ${result}\n`)
