import type { ServerResponse } from "node:http"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { nomyo, type RunningRouter, startRouter as start } from "../support/cli.js"
import * as Servers from "../support/servers.js"

const completion = JSON.stringify({
  choices: [{ index: 0, message: { role: "assistant", content: "Hi" }, finish_reason: "stop" }]
})

const closers: Array<() => Promise<unknown>> = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

const startRouter = async (...args: Parameters<typeof start>): Promise<RunningRouter> => {
  const router = await start(...args)
  closers.push(() => router.stop("SIGINT"))
  return router
}

const scoped = async <A>(effect: Parameters<typeof Servers.scoped<A, never>>[0]): Promise<A> => {
  const { close, value } = await Servers.scoped(effect)
  closers.push(close)
  return value
}

/** A model server, and the responses that wait for an answer. */
const modelServer = async (answer: (response: ServerResponse) => void) =>
  scoped(Servers.httpServer((request, response) => {
    if (request.url?.endsWith("/models"))
      response.end(JSON.stringify({ data: [{ id: "llama3.2" }, { id: "qwen3" }] }))
    else answer(response)
  }))

const directory = () => Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))
const secretFile = (text: string) => {
  const path = Path.join(directory(), "keys")
  Fs.writeFileSync(path, text, { mode: 0o600 })
  return path
}

const small = { NOMYO_KEY_SIZE: "2048", NOMYO_MAX_RETRIES: "0" }

const chat = ({ url }: { readonly url: string }, apiKey = "", ...args: ReadonlyArray<string>) =>
  nomyo(["chat", "SENTINEL", "--base-url", url, "--allow-http", ...args], {
    env: { ...small, NOMYO_API_KEY: apiKey }
  })

/** A router that is to refuse its options. It has a free port unless the options name one. */
const listens = (args: ReadonlyArray<string>) =>
  nomyo(["router", ...(args.includes("--port") ? [] : ["--port", "0"]), ...args])

describe("nomyo router", () => {
  it("says where it listens, its key and page, what answers, and a line that works", async () => {
    const upstream = await modelServer((response) => response.end(completion))
    const router = await startRouter(["--upstream", upstream.replace("http://", "")])
    expect(router.banner).toMatchObject({
      page: `${router.url}/`,
      "protocol 1.0": expect.stringMatching(/^[0-9a-f]{64}$/),
      "protocol 2": expect.stringMatching(/^[0-9a-f]{64}$/),
      "protocol 2, next": expect.stringMatching(/^[0-9a-f]{64}$/),
      key: expect.stringContaining("kept in /"),
      model: `${upstream}/v1 (2 models)`,
      try: `NOMYO_BASE_URL=${router.url} NOMYO_ALLOW_HTTP=true npx nomyo-js chat --model llama3.2 "Hello!"`
    })
    expect(await (await fetch(router.banner["page"]!)).text()).toContain("<title>")
    const [NOMYO_BASE_URL, NOMYO_ALLOW_HTTP] = router.banner["try"]!.split(" ").map((part) =>
      part.split("=")[1]
    )
    const tried = await nomyo(["chat", "--model", "llama3.2", "Hello!"], {
      env: { ...small, NOMYO_BASE_URL, NOMYO_ALLOW_HTTP }
    })
    expect(tried.stdout).toBe("Hi\n")
    expect(router.stderr()).not.toContain("warn")
  })

  it("warns of a model server that is not there or refuses its key, and starts", async () => {
    const nobody = await startRouter(["--upstream", "http://127.0.0.1:1"])
    expect(nobody.stderr()).toMatch(/warn .*ECONNREFUSED.*start it/)
    const misnamed = await startRouter(["--upstream", "http://nope.invalid"])
    expect(misnamed.stderr()).toMatch(/warn .*: its host has no address\. Check --upstream/)
    const upstream = await scoped(
      Servers.httpServer((_request, response) => response.writeHead(401).end("{}"))
    )
    const refused = await startRouter(["--upstream", upstream], {
      env: { NOMYO_UPSTREAM_API_KEY: "sk-wrong" }
    })
    expect(refused.stderr()).toMatch(/warn .*401.*NOMYO_UPSTREAM_API_KEY/)
    expect(refused.stderr()).not.toContain("sk-wrong")
  })

  it.each([
    [["--upstream", ""], 2, "--upstream needs a value"],
    [["--upstream", "http://u:SENTINEL@host"], 2, "user name or password"],
    [["--upstream", "ftp://host"], 2, "neither http"],
    [["--port", "70000"], 2, "0 to 65535"],
    [["--allow-origin", "*"], 2, "--allow-origin"],
    [["--allow-origin", "null"], 2, "--allow-origin"],
    [["--key-rotation-interval", "soon"], 2, "--key-rotation-interval"],
    [["--tls-cert", "x"], 2, "--tls-key"],
    [["--tls-cert", "/nowhere", "--tls-key", "/nowhere"], 2, "ENOENT"],
    [["--api-key-file", "/nowhere"], 2, "ENOENT"],
    [["--api-key-file", "/dev/zero"], 2, "regular file"],
    [["--host", "192.0.2.1"], 2, "another with --host"],
    [["--host", " "], 2, "--host must be an address"],
    [["--keys-ahead", "-1"], 2, "0 to 100"],
    [["--keys-ahead", "256"], 2, "0 to 100"],
    [["--api-key", "sk-SENTINEL"], 2, "--api-key"]
  ])("refuses to start, and says why: %j", async (args, code, why) => {
    const ended = await listens(args)
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: "" })
    expect(ended.stderr).toContain(why)
    expect(ended.stderr).not.toContain("SENTINEL")
  })

  it("takes one API key for the model server", async () => {
    const file = secretFile("sk-SENTINEL-1\nsk-SENTINEL-2\n")
    const ended = await listens(["--upstream", "http://127.0.0.1:1", "--upstream-api-key-file", file])
    expect(ended).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining(file) })
    expect(ended.stderr).toMatch(/holds 2 API keys\. Leave only one/)
    expect(ended.stderr).not.toContain("SENTINEL")
  })

  it("tells a client of protocol 1 which protocol there is", async () => {
    const router = await startRouter(["--protocol", "2"])
    const { code, stderr } = await chat(router)
    expect({ code, stderr }).toEqual({ code: 1,
      stderr: expect.stringMatching(/404: This router speaks only protocol 2\. Set NOMYO_PROTOCOL=2, .*\d$/m) })
    const env = { ...small, NOMYO_KEY_DIR: "memory" }
    const { stdout } = await nomyo(["doctor", "--base-url", router.url, "--allow-http"], { env })
    expect(stdout).toMatch(/router key .*\n.*→ set NOMYO_PROTOCOL=2, or pass --protocol 2/)
  })

  it("says so when the port is taken", async () => {
    const taken = new URL(await scoped(Servers.tcpServer(() => undefined))).port
    const { code, stderr } = await nomyo(["router", "--port", taken])
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining(`Port ${taken} is in use. Choose another with --port.`)
    })
  })

  it("warns loudly beyond loopback, unless it has an API key", async () => {
    const open = await startRouter(["--host", "0.0.0.0"])
    expect(open.stderr()).toMatch(/warn ANYONE .* can use this router: set NOMYO_ROUTER_API_KEY/)
    const local = open.url.replace("0.0.0.0", "127.0.0.1")
    expect((await fetch(`${local}/health`)).status).toBe(200)
    const closed = await startRouter(["--host", "0.0.0.0"], { env: { NOMYO_ROUTER_API_KEY: "sk-router-1" } })
    expect(closed.stderr()).not.toContain("ANYONE")
    const before = await startRouter(["--host", "0.0.0.0", "--upstream", "http://127.0.0.1:1"])
    expect(before.stderr()).toMatch(/warn ANYONE .*, and the model server and its API key behind it: set/)
  })

  it("takes API keys from a file, and names their labels in one line for each request", async () => {
    const file = secretFile("# who\nalice: sk-alice-1\n\n  bob   sk-bob-1\nsk-nobody-1\n")
    const router = await startRouter(["--api-key-file", file, "--log-format", "json"])
    const codes = [await chat(router, "sk-alice-1"), await chat(router, "sk-bob-1"),
      await chat(router, "sk-nobody-1"), await chat(router, "sk-other-1"),
      await chat(router, "sk-bob-1", "--protocol", "2"), await chat(router, "sk-other-1", "--protocol", "2")]
      .map(({ code }) => code)
    expect(codes).toEqual([0, 0, 0, 1, 0, 1])
    const lines = router.stderr().trim().split("\n").map((line) => JSON.parse(line))
    const posts = lines.filter(({ method }) => method === "POST")
    expect(posts.map(({ key, status }) => ({ key, status }))).toEqual([
      { key: "alice", status: 200 },
      { key: "bob", status: 200 },
      { key: "line-5", status: 200 },
      { key: undefined, status: 401 },
      { key: "bob", status: 200 },
      { key: undefined, status: 401 }
    ])
    for (const { payload_id } of posts) expect(payload_id).toMatch(/^[0-9a-f-]{36}$/)
    expect(posts[0]).toEqual({
      time: expect.stringMatching(/Z$/),
      level: "info",
      message: "request",
      method: "POST",
      path: "/v1/chat/secure_completion",
      status: 200,
      ms: expect.any(Number),
      payload_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      key: "alice"
    })
    expect(router.stderr()).not.toMatch(/SENTINEL|sk-|Qwen/)
  })

  it("takes its API keys from the environment; blank is unset", async () => {
    const seen: Array<string | undefined> = []
    const upstream = await scoped(Servers.httpServer((request, response) => {
      seen.push(request.headers.authorization)
      response.end(completion)
    }))
    const env = { NOMYO_ROUTER_API_KEY: " sk-router-1\n", NOMYO_UPSTREAM_API_KEY: "sk-upstream-1" }
    const router = await startRouter(["--upstream", upstream], { env })
    expect((await chat(router, "sk-router-1")).stdout).toBe("Hi\n")
    expect((await chat(router, "sk-other")).stderr).toContain("AuthenticationError")
    expect(new Set(seen)).toEqual(new Set(["Bearer sk-upstream-1"]))
    expect(router.stderr()).toMatch(
      /info request method=POST path=\/v1\/chat\/secure_completion status=200 ms=\d+ .*key=default/
    )
    const open = await startRouter([], { env: { NOMYO_ROUTER_API_KEY: " ", NOMYO_UPSTREAM_API_KEY: "" } })
    expect((await chat(open)).code).toBe(0)
  })

  it("has no time limit of its own for a model server: it does not ask through fetch", async () => {
    const upstream = await modelServer((response) => setTimeout(() => response.end(completion), 300))
    const broken = "data:text/javascript,globalThis.fetch = () => { throw new Error('fetch') }"
    const router = await startRouter(["--upstream", upstream], { node: ["--import", broken] })
    expect((await chat(router)).stdout).toBe("Hi\n")
  })

  it("logs why a model server failed, and gives the client a reason", async () => {
    const error = { message: "model 'llama3.2' not found, try pulling it first. SENTINEL",
      type: "not_found_error" }
    const upstream = await modelServer((response) => response.writeHead(404).end(JSON.stringify({ error })))
    const router = await startRouter(["--upstream", upstream])
    const { code, stderr } = await chat(router, "", "--model", "llama3.2")
    expect(code).toBe(1)
    expect(stderr).toMatch(/answered 404: .*pull the model.*--model/)
    expect(router.stderr()).toMatch(/warn The model server failed .*model_not_found/)
    expect(router.stderr()).toMatch(/upstream_message="model '…' not found, try pulling it first. …"/)
    expect(router.stderr()).not.toMatch(/SENTINEL|llama/)
  })
})

describe("nomyo router, when it is stopped", () => {
  /** A router whose model server has a request in flight. */
  const waiting = async (...args: ReadonlyArray<string>) => {
    let arrive!: (response: ServerResponse) => void
    const arrived = new Promise<ServerResponse>((resolve) => {
      arrive = resolve
    })
    const upstream = await modelServer((response) => arrive(response))
    const router = await startRouter(["--upstream", upstream, ...args])
    const answer = chat(router)
    return { router, answer, response: await arrived }
  }

  it("answers what is in flight after SIGTERM, takes nothing new, and ends with 0", async () => {
    const { answer, response, router } = await waiting()
    const stopped = router.stop("SIGTERM")
    while (await isListening(router.url)) await new Promise((resolve) => setTimeout(resolve, 20))
    response.end(completion)
    expect((await answer).stdout).toBe("Hi\n")
    const answered = performance.now()
    expect(await stopped).toBe(0)
    expect(performance.now() - answered).toBeLessThan(4000)
  })

  it("waits no longer than --drain", async () => {
    const { answer, router } = await waiting("--drain", "100 millis")
    expect(await router.stop("SIGTERM")).toBe(0)
    expect((await answer).stderr).toContain("APIConnectionError")
  })

  it("waits for nobody after Ctrl-C, nor after a second signal", async () => {
    const interrupted = await waiting("--drain", "1 hour")
    expect(await interrupted.router.stop("SIGINT")).toBe(0)
    const { router } = await waiting("--drain", "1 hour")
    const stopped = router.stop("SIGTERM")
    while (await isListening(router.url)) await new Promise((resolve) => setTimeout(resolve, 20))
    router.child.kill("SIGTERM")
    expect(await stopped).toBe(0)
  })
})

const isListening = (url: string): Promise<boolean> =>
  new Promise((resolve) => {
    const { hostname, port } = new URL(url)
    const socket = Net.connect(Number(port), hostname)
    socket.on("connect", () => {
      socket.destroy()
      resolve(true)
    }).on("error", () => resolve(false))
  })
