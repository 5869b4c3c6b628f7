/**
 * The keys and the certificate of `nomyo router`. The tests wait for keys that are made, and for routers that
 * start: at the same time.
 */
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, describe, it } from "vitest"
import { SecureChatCompletion } from "../../src/promise/index.js"
import { nomyo, type RunningRouter, startRouter as start } from "../support/cli.js"
import * as Servers from "../support/servers.js"

const closers: Array<() => Promise<unknown>> = []
afterAll(() => Promise.all(closers.map((close) => close())))

const startRouter = async (...args: Parameters<typeof start>): Promise<RunningRouter> => {
  const router = await start(...args)
  closers.push(() => router.stop("SIGINT"))
  return router
}

const directory = () => Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))

const small = { NOMYO_KEY_SIZE: "2048", NOMYO_MAX_RETRIES: "0" }

describe.concurrent("nomyo router", () => {
  it("keeps its key in a directory, and serves the one before after a rotation", async ({ expect }) => {
    const dir = Path.join(directory(), "router")
    const fingerprint = async (...args: ReadonlyArray<string>) => {
      const router = await start(["--key-dir", dir, ...args])
      await router.stop()
      return router.banner["protocol 1.0"]
    }
    const first = await fingerprint()
    expect(await fingerprint()).toBe(first)
    expect(Fs.statSync(Path.join(dir, "private_key.pem")).mode & 0o777).toBe(0o600)
    expect((await nomyo(["keys", "rotate", "--dir", dir])).code).toBe(0)
    const second = await fingerprint()
    expect(second).not.toBe(first)
    const router = await startRouter(["--key-dir", dir])
    expect(router.banner).toMatchObject({ "protocol 1.0": second, key: `kept in ${dir}` })
    const pinned = await nomyo(["chat", "x", "--base-url", router.url, "--allow-http"], {
      env: { ...small, NOMYO_ROUTER_KEY_FINGERPRINTS: second }
    })
    expect(pinned.code).toBe(0)
  })

  it("opens requests to the key before after a restart, too", async ({ expect }) => {
    const dir = Path.join(directory(), "router")
    const first = await start(["--key-dir", dir])
    let target = new URL(first.url)
    const front = await Servers.scoped(Servers.tcpServer((socket) => {
      const far = Net.connect(Number(target.port), target.hostname).on("error", () => socket.destroy())
      socket.pipe(far).pipe(socket)
    }))
    closers.push(front.close)
    const client = new SecureChatCompletion({ baseUrl: front.value, allowHttp: true, keySize: 2048,
      keyDir: false, maxRetries: 0 })
    const ask = async () =>
      (await client.create({ model: "m", messages: [{ role: "user", content: "Hello!" }] })).choices[0]
    expect(await ask()).toMatchObject({ message: { content: "You said: Hello!" } })
    await first.stop("SIGINT")
    expect((await nomyo(["keys", "rotate", "--dir", dir])).code).toBe(0)
    const second = await startRouter(["--key-dir", dir])
    target = new URL(second.url)
    expect(second.banner["protocol 1.0"]).not.toBe(first.banner["protocol 1.0"])
    expect(await ask()).toMatchObject({ message: { content: "You said: Hello!" } })
    // it did not ask for the new one
    expect(second.stderr()).not.toContain("/pki/public_key")
    client.dispose()
  })

  it("keeps its keys of protocol 2 in that directory, and answers for its own names alone", async ({ expect }) => {
    const dir = directory()
    const pinOf = (router: RunningRouter) => router.banner["protocol 2"]!
    const first = await start(["--key-dir", dir, "--protocol", "2", "--keys-ahead", "1"])
    const pin = pinOf(first)
    expect(pin).toMatch(/^[0-9a-f]{64}$/)
    expect(first.banner).not.toHaveProperty("protocol 1.0")
    await first.stop("SIGINT")
    const router = await startRouter(["--key-dir", dir, "--protocol", "2", "--keys-ahead", "1"])
    expect(pinOf(router)).toBe(pin)
    const ask = (url: string, pins = pin) =>
      nomyo(["chat", "Hello!", "--base-url", url, "--allow-http", "--protocol", "2"], {
        env: { ...small, NOMYO_MAX_RETRIES: "2", NOMYO_ROUTER_KEY_CONFIG_FINGERPRINTS: pins }
      })
    // the memory of requests is lost with the process: it answers after five seconds
    expect(await ask(router.url)).toMatchObject({ code: 0, stdout: "You said: Hello!\n" })
    expect((await ask(router.url, "0".repeat(64))).stderr).toContain("SecurityError")
    const named = await startRouter(["--authority", "Router.Example", "--protocol", "2", "--post-quantum"])
    // it refuses the name after it has opened the request
    const hybrid = { ...small, NOMYO_POST_QUANTUM: "require",
      NOMYO_ROUTER_KEY_CONFIG_FINGERPRINTS: named.banner["post-quantum"] }
    const asked = await nomyo(["chat", "Hello!", "--base-url", named.url, "--allow-http"], { env: hybrid })
    expect(asked.stderr).toContain("does not answer for that host name")
    expect((await ask(named.url, pinOf(named))).stderr).toContain("does not answer for that host name")
  })

  it("serves TLS", async ({ expect }) => {
    const { cert, key } = await Servers.certificate()
    const dir = directory()
    Fs.writeFileSync(Path.join(dir, "cert.pem"), cert)
    Fs.writeFileSync(Path.join(dir, "key.pem"), key)
    const files = ["--tls-cert", Path.join(dir, "cert.pem"), "--tls-key", Path.join(dir, "key.pem")]
    const { banner, url } = await startRouter(files)
    expect(url).toMatch(/^https:/)
    expect(banner["try"]).not.toContain("ALLOW_HTTP")
    const env = { ...small, NODE_EXTRA_CA_CERTS: Path.join(dir, "cert.pem") }
    expect(await nomyo(["chat", "Hello!", "--base-url", url], { env })).toMatchObject({ code: 0,
      stdout: "You said: Hello!\n" })
    const swapped = await nomyo(["router", "--port", "0", "--tls-cert", Path.join(dir, "key.pem"), "--tls-key",
      Path.join(dir, "cert.pem")])
    expect(swapped.stderr).toContain("must be PEM, and the key must belong to the certificate")
  })
})
