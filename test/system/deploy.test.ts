/**
 * The units and the container file: they start what they name, and no secret is in them or in their
 * arguments.
 */
import { execFile, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { nomyo, type RunningRouter, startRouter } from "../support/cli.js"
import * as Pages from "../support/pages.js"
import { certificate } from "../support/servers.js"

const run = promisify(execFile)
const BIN = Path.join(Pages.root, "dist/cli/nomyo.cjs")

const units = ["deploy/nomyo-proxy.service", "deploy/nomyo-router.service"]
const containerFile = "deploy/Containerfile"

/** The values of a unit's setting. A line may go on after a backslash. */
const settings = (unit: string, name: string): ReadonlyArray<string> =>
  [...Pages.read(unit).replaceAll("\\\n", " ").matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].map((
    [, value]
  ) => value!)

/** The arguments that each file starts the command with. */
const commands: { readonly [file: string]: ReadonlyArray<string> } = {
  ...Object.fromEntries(units.map((unit) => [unit, settings(unit, "ExecStart")[0]!.split(/\s+/).slice(1)])),
  [containerFile]: JSON.parse(/^CMD (.*)$/m.exec(Pages.read(containerFile))![1]!)
}

const SECRETS = { "api-key": "sk-deployed-1\n", "api-keys": "alice sk-deployed-1\n",
  "proxy-token": "proxy-token-1\n" }

let folder: string
let router: RunningRouter

beforeAll(async () => {
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))
  const { cert, key } = await certificate()
  const files = {
    ...SECRETS,
    "nomyo-api-key": SECRETS["api-key"],
    "nomyo-proxy-token": SECRETS["proxy-token"],
    "tls-cert": cert,
    "tls-key": key
  }
  for (const [name, text] of Object.entries(files))
    Fs.writeFileSync(Path.join(folder, name), text, { mode: 0o600 })
  router = await startRouter([], { env: { NOMYO_ROUTER_API_KEY: "sk-deployed-1" } })
})
afterAll(() => router.stop("SIGINT"))

/** The arguments with the folder in place of what systemd or a container runtime mounts. */
const mounted = (args: ReadonlyArray<string>): ReadonlyArray<string> =>
  args.map((arg) => arg.replace(/\$\{(CREDENTIALS|STATE)_DIRECTORY\}|^\/run\/secrets/, folder))
    .flatMap((arg, i, all) => arg === "--port" || all[i - 1] === "--port" ? [] : [arg])

/** Starts what a file starts, on a free port. Gives its first line. */
const start = async (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}) => {
  const child = spawn(process.execPath, [BIN, ...mounted(args), "--port", "0"], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "ignore"]
  })
  for await (const line of createInterface(child.stdout))
    return { line, pid: child.pid!, stop: () => child.kill("SIGINT") }
  throw new Error(`${args.join(" ")} ended`)
}

describe.each(Object.keys(commands))("%s", (file) => {
  const [command = "", ...args] = commands[file]!

  it("uses options that there are", async () => {
    const { stdout } = await nomyo([command, "--help"])
    const flags = args.filter((arg) => arg.startsWith("--"))
    expect(flags.length).toBeGreaterThan(1)
    expect(flags.filter((flag) => !new RegExp(`^ *${flag}(?: |$)`, "m").test(stdout))).toEqual([])
  })

  it("has no secret in it, nor in its arguments or its environment", () => {
    const text = Pages.read(file).split("\n").filter((line) => !line.startsWith("#")).join("\n")
    expect(text).not.toMatch(/(API_KEY|TOKEN|PASSWORD|SECRET)\s*=|sk-/i)
    const secrets = args.filter((_, i) => /^--(.*-key-file|token-file|tls-key)$/.test(args[i - 1] ?? ""))
    expect(secrets.length).toBeGreaterThan(0)
    for (const path of secrets) expect(path).toMatch(/^(\$\{CREDENTIALS_DIRECTORY\}|\/run\/secrets)\/[\w-]+$/)
  })
})

describe.each(units)("%s", (unit) => {
  it("loads each credential that it uses", () => {
    const loaded = settings(unit, "LoadCredential").map((value) => value.split(":")[0])
    const used = [...settings(unit, "ExecStart")[0]!.matchAll(/\$\{CREDENTIALS_DIRECTORY\}\/([\w-]+)/g)].map((
      [, name]
    ) => name)
    expect(loaded.toSorted()).toEqual(used.toSorted())
  })

  it("is what systemd understands", async () => {
    const path = Path.join(folder, Path.basename(unit))
    Fs.writeFileSync(path,
      Pages.read(unit).replace("/usr/bin/nomyo", process.execPath).replace(/^Documentation=.*$/m, ""))
    const verified = await run("systemd-analyze", ["verify", "--man=no", path]).catch((
      error: { readonly code?: unknown }
    ) => error)
    // a machine without systemd has nothing to start units with either
    expect(verified).toSatisfy((result) =>
      result.code === "ENOENT" || (result.code === undefined && result.stderr === "")
    )
  })
})

describe("what they start", () => {
  it.each([units[0]!, containerFile])("%s serves tools, and sends the key of the file", async (file) => {
    const proxy = await start([...commands[file]!, "--base-url", router.url, "--allow-http"], {
      NOMYO_KEY_SIZE: "2048"
    })
    try {
      const response = await fetch(`${proxy.line}/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: "Bearer proxy-token-1" },
        body: JSON.stringify({ model: "m", messages: [{ role: "user", content: "Hello!" }] })
      })
      expect(await response.json()).toMatchObject({ choices: [{ message: { content: "You said: Hello!" } }] })
      const argv = Fs.readFileSync(`/proc/${proxy.pid}/cmdline`, "utf8")
      expect(argv).not.toMatch(/sk-deployed|proxy-token-1/)
    } finally {
      proxy.stop()
    }
  })

  it("the router's unit serves TLS, and wants a key of the file", async () => {
    const started = await start(commands[units[1]!]!)
    try {
      const url = started.line.replace(/^listening on /, "").replace("0.0.0.0", "127.0.0.1")
      const env = { NODE_EXTRA_CA_CERTS: Path.join(folder, "tls-cert"), NOMYO_MAX_RETRIES: "0",
        NOMYO_KEY_SIZE: "2048" }
      const chat = (key: string) =>
        nomyo(["chat", "Hello!", "--base-url", url], { env: { ...env, NOMYO_API_KEY: key } })
      expect((await chat("sk-other")).stderr).toContain("AuthenticationError")
      // there is no model server here, which is another error
      expect((await chat("sk-deployed-1")).stderr).toContain("--upstream")
    } finally {
      started.stop()
    }
  })

  it("the container file installs this version", () => {
    const { version } = JSON.parse(Pages.read("package.json")) as { readonly version: string }
    expect(Pages.read(containerFile)).toContain(`ARG NOMYO_VERSION=${version}\n`)
  })
})
