/** A chat, a rotation, an error, a `fetch` and a cancelled request on each JavaScript runtime. */
import { build } from "esbuild"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { describe, expect, it } from "vitest"
import * as Servers from "../support/servers.js"
import { silentRouter } from "../support/silent.js"
import * as Matrix from "./support.js"

const { arch, platform } = process

// each project names the platforms in its own way
const nodePackage = `node-${platform === "win32" ? "win" : platform}-${arch}`
const bunPackage = `@oven/bun-${platform === "win32" ? "windows" : platform}-${
  arch === "arm64" ? "aarch64" : arch
}`
const denoPackage = `@deno/${platform}-${arch}${platform === "linux" ? "-glibc" : ""}`
const workerdPlatform = platform === "win32" ? "windows" : platform
const workerdPackage = `@cloudflare/workerd-${workerdPlatform}-${arch === "x64" ? "64" : arch}`

interface Runtime {
  readonly name: string
  readonly isQuick?: boolean
  readonly binary: () => Promise<string>
  /** What comes before the file. */
  readonly args?: ReadonlyArray<string>
}

const fromRegistry = (name: string, spec: string, file: string,
  args: ReadonlyArray<string> = []): Runtime => ({
  name,
  binary: () => Matrix.tool(name.replace(" ", "-").toLowerCase(), spec, file),
  args
})

const nodeVersion = (version: string): Runtime =>
  fromRegistry(`Node ${version}`, `${nodePackage}@${version}`, `${nodePackage}/bin/node`)

const runtimes: ReadonlyArray<Runtime> = [
  { name: `Node ${process.versions.node}`, isQuick: true, binary: async () => process.execPath },
  nodeVersion("22.23.3"),
  nodeVersion("24.21.0"),
  nodeVersion("26.12.1"),
  fromRegistry("Bun 1.4.5", `${bunPackage}@1.4.5`, `${bunPackage}/bin/bun`),
  // not `deno`, whose command is a script: ending that one leaves its child running
  fromRegistry("Deno 2.9.6", `${denoPackage}@2.9.6`, `${denoPackage}/deno`, ["run", "--allow-all"])
]

const place = Matrix.usePlace()

/** Gives the router's URL and that of one that never answers. */
const withSilent = async <A>(use: (urls: readonly [string, string]) => Promise<A>): Promise<A> => {
  const silent = await Servers.scoped(silentRouter(place.router))
  return use([place.router, silent.value]).finally(silent.close)
}

const allPrograms = [
  { effect: "no effect", packages: [], program: "runtime.mjs" },
  { effect: Matrix.effect3, packages: [Matrix.effect3], program: "effect3.mjs" },
  { effect: Matrix.effect4, packages: [Matrix.effect4], program: "effect4.mjs" }
]

// with either Effect the package managers' tests run this Node
const programs = Matrix.isFull ? allPrograms : allPrograms.slice(0, 1)

describe.each(Matrix.cells(runtimes))("$name", ({ args = [], binary }) => {
  it.each(programs)("runs a program with $effect that gets answers", async ({ packages, program }) => {
    const cwd = Matrix.folder(await Matrix.installed(...packages), "runtime")
    const file = await binary()
    const output = await withSilent((urls) => Matrix.run(file, [...args, program, ...urls], { cwd }))
    expect(Matrix.lastLine(output)).toBe(Matrix.ANSWER)
  }, Matrix.TIMEOUT)
})

const WORKERD = "1.20261117.1"

/** workerd refuses private addresses unless a network of its own allows them. */
const WORKERD_CONFIG = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "network", network = (allow = ["private"]))
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
const worker :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "worker.bundled.mjs")],
  compatibilityDate = "2026-07-01",
  globalOutbound = "network"
);
`

/** Starts workerd, and gives its port once it listens; the process ends with the test. */
const serveWorker = async (binary: string, cwd: string) => {
  const config = Matrix.write(cwd, "worker.capnp", WORKERD_CONFIG)
  const stdio = ["ignore", "inherit", "inherit", "pipe"] as const
  const child = spawn(binary, ["serve", "--control-fd=3", config], { cwd, stdio: [...stdio] })
  const lines = createInterface(child.stdio[3] as NodeJS.ReadableStream)
  const port = await new Promise<number>((resolve, reject) => {
    lines.on("line", (line) => {
      const { event, port } = JSON.parse(line)
      if (event === "listen") resolve(port)
    })
    lines.on("close", () => reject(new Error("workerd did not start")))
  })
  return { port, stop: () => child.kill() }
}

const bundleWorker = (cwd: string) =>
  build({
    absWorkingDir: cwd,
    entryPoints: ["worker.mjs"],
    outfile: "worker.bundled.mjs",
    bundle: true,
    format: "esm",
    conditions: ["workerd", "worker", "browser"],
    tsconfigRaw: "{}",
    logLevel: "error"
  })

describe.each(Matrix.isFull ? [WORKERD] : [])("workerd %s", (version) => {
  it("runs a worker that gets answers", async () => {
    const cwd = Matrix.folder(await Matrix.installed(), "workerd")
    await bundleWorker(cwd)
    const binary = await Matrix.tool("workerd", `${workerdPackage}@${version}`,
      `${workerdPackage}/bin/workerd`)
    const { port, stop } = await serveWorker(binary, cwd)
    const ask = async ([router, silent]: readonly [string, string]) =>
      (await fetch(`http://127.0.0.1:${port}/?${new URLSearchParams({ router, silent })}`)).text()
    expect(await withSilent(ask).finally(stop)).toBe(Matrix.ANSWER)
  }, Matrix.TIMEOUT)
})
