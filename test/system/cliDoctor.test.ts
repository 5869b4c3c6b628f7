import * as Redacted from "effect/Redacted"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { checkNode } from "../../src/cli/doctor/machine.js"
import { nomyo } from "../support/cli.js"
import { makeScriptedModel } from "../support/scriptedModel.js"
import * as Servers from "../support/servers.js"
import { path as vector } from "../support/vectors.js"

const API_KEY = "sk-SENTINEL-0123456789"
const PASSWORD = "SENTINEL horse"
const { model } = makeScriptedModel()
let url: string
const closers: Array<() => Promise<unknown>> = []

/** The value of a server that lives as long as the tests. */
const started = async <A>(effect: Parameters<typeof Servers.scoped<A, unknown>>[0]): Promise<A> => {
  const { close, value } = await Servers.scoped(effect)
  closers.push(close)
  return value
}

beforeAll(async () => {
  url = await started(Servers.router({ apiKey: Redacted.make(API_KEY), model }))
})
afterAll(async () => {
  for (const close of closers) await close()
})

interface Finding {
  readonly name: string
  readonly status: string
  readonly what: string
  readonly todo?: string
}

/** Runs the doctor, and gives what it found, with its exit code. */
const examine = async (env: NodeJS.ProcessEnv = {}, ...args: ReadonlyArray<string>) => {
  const { code, stderr, stdout } = await nomyo(["doctor", "--json", ...args], {
    env: {
      NOMYO_BASE_URL: url,
      NOMYO_ALLOW_HTTP: "true",
      NOMYO_API_KEY: API_KEY,
      NOMYO_KEY_SIZE: "2048",
      NOMYO_KEY_DIR: "memory",
      NOMYO_MAX_RETRIES: "0",
      HTTP_PROXY: "",
      http_proxy: "",
      ...env
    }
  })
  expect({ stderr, leaks: /SENTINEL/.test(stdout) }).toEqual({ stderr: "", leaks: false })
  const { findings } = JSON.parse(stdout) as { readonly findings: ReadonlyArray<Finding> }
  return { code, findings, named: (name: string) => findings.filter((finding) => finding.name === name) }
}

const statuses = (findings: ReadonlyArray<Finding>) =>
  Object.fromEntries(findings.map(({ name, status }) => [name, status]))

const finding = (status: string, what: string, todo?: string): unknown =>
  expect.objectContaining({
    status,
    what: expect.stringContaining(what),
    ...(todo === undefined ? {} : { todo: expect.stringContaining(todo) })
  })

/** A key directory with the vectors' key. */
const keyDirectory = () => {
  const dir = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))
  const pem = Fs.readFileSync(vector("keys/client_4096.pem"))
  Fs.writeFileSync(Path.join(dir, "private_key.pem"), pem, { mode: 0o600 })
  Fs.copyFileSync(vector("keys/client_4096.pub.pem"), Path.join(dir, "public_key.pem"))
  return dir
}

describe("nomyo doctor", () => {
  it("passes where all is well, and fails by its exit code alone where something is not", async () => {
    const { code, findings } = await examine()
    expect({ code, ...statuses(findings) }).toEqual({
      code: 0,
      node: "PASS",
      router: "PASS",
      tls: "WARN",
      clock: "PASS",
      "router key": "WARN",
      "key directory": "PASS",
      "api key": "PASS",
      memory: expect.stringMatching(/PASS|WARN/),
      "proxy variables": "PASS",
      port: expect.stringMatching(/PASS|WARN/)
    })
    const withoutTodo = findings.filter(({ status, todo }) => (todo === undefined) !== (status === "PASS"))
    expect(withoutTodo).toEqual([])
  })

  it("prints lines that people read, and nothing secret", async () => {
    const env = { NOMYO_BASE_URL: url, NOMYO_ALLOW_HTTP: "true", NOMYO_API_KEY: API_KEY }
    const keys = { NOMYO_KEY_SIZE: "2048", NOMYO_KEY_DIR: "memory" }
    const { code, stdout } = await nomyo(["doctor", "--chat"], { env: { ...env, ...keys } })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^PASS {2}node +Node \d/)
    expect(stdout).toMatch(/^WARN {2}router key .* is not pinned\n +→ compare/m)
    expect(stdout).toMatch(/\n\d+ passed, \d+ warned, 0 failed\n$/)
    expect(stdout).not.toMatch(/SENTINEL|Answer with OK/)
  })

  it("knows which Node is too old", () => {
    expect(checkNode("20.18.3")).toEqual(finding("FAIL", "too old", "20.19"))
    for (const version of ["20.19.0", "22.0.0", "26.1.0-nightly"]) {
      expect(checkNode(version)).toEqual(finding("PASS", version))
    }
  })

  it("fails for options that cannot be right", async () => {
    const { code, named } = await examine({ NOMYO_TIMEOUT: "SENTINEL" })
    expect(named("options")).toEqual([finding("FAIL", "NOMYO_TIMEOUT")])
    expect(code).toBe(1)
    const plain = await examine({ NOMYO_ALLOW_HTTP: "" })
    expect(plain.named("options")).toEqual([finding("FAIL", "--allow-http")])
  })
})

describe("nomyo doctor and the router", () => {
  it("fails for a port where nobody listens, and for what is not HTTP", async () => {
    const { code, findings, named } = await examine({ NOMYO_BASE_URL: "http://127.0.0.1:1" })
    expect({ code, router: named("router") }).toEqual({
      code: 1,
      router: [finding("FAIL", "nothing listens there (ECONNREFUSED)", "NOMYO_BASE_URL")]
    })
    expect(statuses(findings)).not.toHaveProperty("router key")
    const other = await started(Servers.tcpServer((socket) => socket.end("SSH-2.0-SENTINEL\r\n")))
    const { named: namedOther } = await examine({ NOMYO_BASE_URL: other })
    expect(namedOther("router")).toEqual([finding("FAIL", "does not speak HTTP")])
  })

  it("fails for a certificate that is not trusted, and passes for one that is", async () => {
    const tls = await Servers.certificate()
    const secure = await started(Servers.router({ tls, model }))
    const { code, findings, named } = await examine({ NOMYO_BASE_URL: secure })
    expect({ code, tls: named("tls") }).toEqual({
      code: 1,
      tls: [finding("FAIL", "DEPTH_ZERO_SELF_SIGNED_CERT", "NODE_EXTRA_CA_CERTS")]
    })
    expect(statuses(findings)).not.toHaveProperty("router key")
    const ca = Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-")), "ca.pem")
    Fs.writeFileSync(ca, tls.cert)
    const trusted = await examine({ NOMYO_BASE_URL: secure, NODE_EXTRA_CA_CERTS: ca })
    expect(trusted.named("tls")).toEqual([finding("PASS", "trusted certificate until 20")])
    const misnamed = secure.replace("127.0.0.1", "127.0.0.2")
    const wrong = await examine({ NOMYO_BASE_URL: misnamed, NODE_EXTRA_CA_CERTS: ca })
    expect(wrong.named("router").concat(wrong.named("tls"))).toContainEqual(finding("FAIL", ""))
  })

  it.each([[13, "WARN", "ends on 20"], [15, "PASS", "trusted certificate until 20"]])(
    "warns of a certificate that ends within two weeks: %s days, %s",
    async (days, status, what) => {
      const tls = await Servers.certificateFor(days)
      const ca = Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-")), "ca.pem")
      Fs.writeFileSync(ca, tls.cert)
      const NOMYO_BASE_URL = await started(Servers.router({ tls, model }))
      const { named } = await examine({ NOMYO_BASE_URL, NODE_EXTRA_CA_CERTS: ca })
      expect(named("tls")).toEqual([finding(status, what)])
    }
  )

  it.each(["1", "2"])("shows the key of protocol %s, and whether it is pinned", async (NOMYO_PROTOCOL) => {
    const name = `NOMYO_ROUTER_KEY_${NOMYO_PROTOCOL === "1" ? "" : "CONFIG_"}FINGERPRINTS`
    const [unpinned] = (await examine({ NOMYO_PROTOCOL })).named("router key")
    expect(unpinned).toEqual(finding("WARN", "is not pinned", name))
    const fingerprint = /[0-9a-f]{64}/.exec(unpinned!.what)![0]
    const right = await examine({ NOMYO_PROTOCOL, [name]: fingerprint })
    expect(right.named("router key")).toEqual([finding("PASS", `${fingerprint}, is pinned`)])
    const wrong = await examine({ NOMYO_PROTOCOL, [name]: "0".repeat(64) })
    expect({ code: wrong.code, key: wrong.named("router key") }).toEqual({
      code: 1,
      key: [finding("FAIL", `is none of ${name}`, "ask the operator")]
    })
  })

  const CLOCKS = [[-3600, "behind"], [3600, "ahead of"]] as const

  it.each(CLOCKS)("fails for a clock that is off: %s s", async (seconds, said) => {
    const late = await started(Servers.httpServer((_, response) =>
      response.setHeader("date", new Date(Date.now() - seconds * 1000).toUTCString()).writeHead(404).end()))
    const { code, named } = await examine({ NOMYO_BASE_URL: late })
    expect(named("clock")).toEqual([finding("FAIL", said, "set the clock")])
    expect(code).toBe(1)
    expect(named("router key")).toEqual([finding("FAIL", "404", "NOMYO_BASE_URL")])
  })

  it("fails for an API key that is refused, and shows one that is accepted", async () => {
    const asked = await examine({}, "--chat")
    expect(asked.named("api key")).toEqual([finding("PASS", "answered an encrypted question")])
    for (const flags of [[], ["--chat"]]) {
      const { code, named } = await examine({ NOMYO_API_KEY: "sk-SENTINEL-wrong" }, ...flags)
      expect({ code, key: named("api key") }).toEqual({
        code: 1,
        key: [finding("FAIL", "does not accept NOMYO_API_KEY", "set NOMYO_API_KEY")]
      })
    }
    const open = await started(Servers.router({ model }))
    const unset = await examine({ NOMYO_BASE_URL: open, NOMYO_API_KEY: "" })
    expect(unset.named("api key")).toEqual([finding("WARN", "NOMYO_API_KEY is not set")])
  })
})

describe("nomyo doctor and this machine", () => {
  const directory = async (dir: string, env: NodeJS.ProcessEnv = {}) =>
    (await examine({ NOMYO_KEY_DIR: dir, ...env })).named("key directory")

  it("passes for a directory that is in order, or that is still to be made", async () => {
    const dir = keyDirectory()
    expect(await directory(dir)).toEqual([finding("PASS", "holds a key pair, made ")])
    expect(await directory(Path.join(dir, "new"))).toEqual([finding("PASS", "does not exist")])
    expect(Fs.existsSync(Path.join(dir, "new"))).toBe(false)
  })

  it("fails for modes, links and owners that the client refuses", async () => {
    const open = keyDirectory()
    Fs.chmodSync(Path.join(open, "private_key.pem"), 0o644)
    Fs.chmodSync(open, 0o777)
    const found = await directory(open)
    expect(found).toContainEqual(finding("FAIL", "Other users can write", "chmod go-w"))
    expect(found).toContainEqual(finding("FAIL", "Other users can read", "chmod 600"))
    const linked = keyDirectory()
    Fs.renameSync(Path.join(linked, "private_key.pem"), Path.join(linked, "elsewhere"))
    Fs.symlinkSync("elsewhere", Path.join(linked, "private_key.pem"))
    expect(await directory(linked)).toContainEqual(finding("FAIL", "symbolic link"))
    const mounted = await directory(linked, { NOMYO_KEY_DIR_READ_ONLY: "true" })
    expect(mounted).toEqual([finding("PASS", "holds a key pair")])
  })

  it.runIf(process.getuid?.() === 0)("fails for another user's directory", async () => {
    const foreign = keyDirectory()
    Fs.chownSync(foreign, 12345, 12345)
    const found = await directory(foreign)
    expect(found).toContainEqual(finding("FAIL", "belongs to another user (12345)", "chown"))
  })

  it("fails for a password that is missing or wrong", async () => {
    const dir = keyDirectory()
    Fs.copyFileSync(vector("keys/client_4096.encrypted-pkcs8.pem"), Path.join(dir, "private_key.pem"))
    expect(await directory(dir)).toContainEqual(finding("FAIL", "password"))
    const wrong = await directory(dir, { NOMYO_KEY_ROTATION_PASSWORD: PASSWORD })
    expect(wrong).toContainEqual(finding("FAIL", "password"))
  })

  it("warns of a public key that does not fit, of dates, and of what was left behind", async () => {
    const dir = keyDirectory()
    Fs.copyFileSync(vector("keys/server_4096.pub.pem"), Path.join(dir, "public_key.pem"))
    Fs.writeFileSync(Path.join(dir, "private_key.pem.0123456789abcdef.tmp"), "")
    const ahead = new Date(Date.now() + 86_400_000)
    Fs.utimesSync(Path.join(dir, "private_key.pem"), ahead, ahead)
    const found = await directory(dir)
    for (const what of ["does not belong", "left behind", "dated ahead"]) {
      expect(found).toContainEqual(finding("WARN", what))
    }
    const old = keyDirectory()
    Fs.utimesSync(Path.join(old, "private_key.pem"), 0, 1)
    expect(await directory(old)).toEqual([finding("WARN", "due for rotation", "nomyo keys rotate")])
  })

  it("warns of a lock, and whether its holder lives", async () => {
    const dir = keyDirectory()
    const lock = Path.join(dir, "key.lock")
    const boot = Fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
    const place = `${boot}/${Fs.readlinkSync("/proc/self/ns/pid")}`
    const holder = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"])
    await once(holder, "spawn")
    const start = Fs.readFileSync(`/proc/${holder.pid}/stat`, "utf8").replace(/^.*\)\s/s, "").split(" ")[19]
    Fs.writeFileSync(lock, `0123 ${holder.pid} ${start} ${place}`)
    expect(await directory(dir)).toContainEqual(finding("WARN", "A process that is running holds the lock"))
    holder.kill()
    await once(holder, "exit")
    expect(await directory(dir)).toContainEqual(finding("WARN", "was killed has left the lock"))
    Fs.writeFileSync(lock, "0123 1 1 elsewhere/-")
    expect(await directory(dir)).toContainEqual(finding("WARN", "machine or container holds the lock"))
  })

  it("warns of proxy variables, without their values", async () => {
    const variables = { HTTP_PROXY: "http://user:SENTINEL@proxy.test", NO_PROXY: "", no_proxy: "" }
    const { code, named } = await examine(variables)
    expect({ code, proxy: named("proxy variables") }).toEqual({
      code: 0,
      proxy: [finding("WARN", "HTTP_PROXY is set", "NO_PROXY=127.0.0.1,localhost")]
    })
    const exempt = await examine({ HTTP_PROXY: "http://proxy.test", NO_PROXY: "127.0.0.1,localhost" })
    expect(exempt.named("proxy variables")).toEqual([finding("PASS", "")])
  })

  it("fails for a port that was asked for and is taken", async () => {
    const taken = new URL(await started(Servers.tcpServer(() => undefined))).port
    const { code, named } = await examine({}, "--port", taken)
    expect({ code, ports: named("port") }).toMatchObject({
      code: 1,
      ports: [
        finding("FAIL", `Port ${taken} is in use`, "--port"),
        { what: expect.stringContaining("12436") }
      ]
    })
  })

  it("warns of secrets in memory that is not protected", async () => {
    expect((await examine({ NOMYO_SECURE_MEMORY: "false" })).named("memory")).toEqual([
      finding("WARN", "NOMYO_SECURE_MEMORY=false", "unset it")
    ])
  })
})
