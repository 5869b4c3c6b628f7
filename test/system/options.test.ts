import { describe, expect, it, vi } from "vitest"
import { AuthenticationError, type ChatCompletionConfig, SecureChatCompletion,
  SecureCompletionClient } from "../../src/index.js"
import { API_KEY, error, hello, setup } from "../support/promise.js"
import * as Servers from "../support/servers.js"

const { make, makeBare, makeLower, router, seen } = setup()

/** Text of every console method. */
const listen = () => {
  const lines: Array<{ readonly method: string; readonly line: string }> = []
  for (const method of ["log", "info", "warn", "debug", "error"] as const) {
    vi.spyOn(console, method).mockImplementation((...args) =>
      void lines.push({ method, line: args.join(" ") })
    )
  }
  return lines
}

describe("a wrong option", () => {
  it.each([
    ["baseURL", { baseURL: "https://x.test" }, "baseUrl"],
    ["timout", { timout: 1 }, "timeout"]
  ])("%s is refused with the name that was meant", async (_, config, meant) => {
    for (const call of [make(config as ChatCompletionConfig).create(hello()),
      makeLower(config as never).ready()]) {
      const meantHere = meant === "baseUrl" ? /baseUrl|routerUrl/ : new RegExp(meant)
      expect(await error(call)).toMatchObject({ name: "InvalidRequestError",
        message: expect.stringMatching(meantHere) })
    }
  })

  it("of a call is refused, and nothing is sent", async () => {
    const client = make()
    const before = seen.length
    const refused = [
      client.create(hello(), { timout: 1 } as never),
      client.create(hello(), { signal: "abort" as never }),
      client.create(hello(), { maxRetries: "1" as never }),
      makeLower().sendSecureRequest(hello(), "id", undefined, undefined, { retries: 1 } as never),
      makeLower().generateKeys({ keysize: 2048 } as never),
      client.createAll([hello()], { parallel: 2 } as never).next()
    ]
    for (const call of refused) expect(await error(call)).toMatchObject({ name: "InvalidRequestError" })
    expect(seen).toHaveLength(before)
  })

  it.each([
    [{ baseUrl: "http://127.0.0.1:1", allowHttp: false }, "SecurityError", /allowHttp/],
    [{ baseUrl: "https://user:secret@127.0.0.1" }, "SecurityError", /apiKey/],
    [{ baseUrl: "not a url" }, "InvalidRequestError", /baseUrl/],
    [{ apiKey: "key\r\nX-Evil: 1" }, "SecurityError", /API key/],
    [{ apiKey: "key\u0000" }, "SecurityError", /API key/],
    [{ apiKey: "schlüssel" }, "SecurityError", /API key/],
    [{ baseUrl: "https://127.0.0.1/?" }, "InvalidRequestError", /baseUrl/],
    [{ baseUrl: "https://127.0.0.1/#" }, "InvalidRequestError", /baseUrl/],
    [{ allowHttp: "false" as never }, "InvalidRequestError", /allowHttp must be true or false/],
    [{ apiKey: 7 as never }, "InvalidRequestError", /apiKey/],
    [{ routerKeyFingerprints: [7 as never] }, "InvalidRequestError", /routerKeyFingerprints/],
    [{ keyDir: "unused", keyRotationPassword: 7 as never }, "InvalidRequestError", /8 characters/],
    [{ timeout: 0 }, "InvalidRequestError", /timeout/],
    [{ timeout: Number.NaN }, "InvalidRequestError", /timeout/],
    [{ maxRetries: -1 }, "InvalidRequestError", /maxRetries/],
    [{ keyRotationInterval: -1 }, "InvalidRequestError", /keyRotationInterval/],
    [{ keySize: 1024 as 2048 }, "InvalidRequestError", /keySize/],
    [{ keyPersistence: "indexeddb" as const }, "SecurityError", /IndexedDB.*keyDir/],
    [{ keyDir: "unused", keyRotationPassword: "short" }, "SecurityError", /8 characters/],
    [{ routerKeyFingerprints: ["abc"] }, "InvalidRequestError", /routerKeyFingerprints/]
  ])("refuses %j", async (config, name, message) => {
    const failure = await error(make(config).create(hello()))
    expect(failure).toMatchObject({ name, message: expect.stringMatching(message) })
    expect(JSON.stringify(failure)).not.toMatch(/Evil|secret|schl/)
  })
})

describe("what the client logs", () => {
  it("is one warning of one line by console.warn, for plain HTTP", async () => {
    const lines = listen()
    const client = make()
    await client.create(hello())
    await client.create(hello())
    expect(lines).toEqual([{ method: "warn", line: expect.stringMatching(/^nomyo-js: .*plain HTTP/) }])
    expect(lines[0]!.line).not.toMatch(/fiber|timestamp|level=|\n/)
  })

  it("is more with debug, never on standard output, and nothing of prompts or keys", async () => {
    const lines = listen()
    const messages = [{ role: "user", content: "SENTINEL" }]
    await error(make({ debug: true }).create(hello({ model: "status/503", messages })))
    expect(lines.length).toBeGreaterThan(1)
    expect(new Set(lines.map(({ method }) => method))).toEqual(new Set(["warn"]))
    expect(JSON.stringify(lines)).not.toMatch(/SENTINEL|sk-test/)
  })

  it("goes to the logger instead, by its level", async () => {
    const lines = listen()
    const logged: Array<{ readonly method: string; readonly line: string }> = []
    const logger = {
      warn: (line: string) => void logged.push({ method: "warn", line }),
      debug: (line: string) => void logged.push({ method: "debug", line })
    }
    await error(make({ debug: true, logger }).create(hello({ model: "status/503" })))
    expect(lines).toEqual([])
    expect(logged).toContainEqual({ method: "warn", line: expect.stringContaining("plain HTTP") })
    expect(logged).toContainEqual({ method: "debug",
      line: expect.stringContaining("ServiceUnavailableError") })
    logged.length = 0
    await make({ logger }).create(hello())
    expect(logged).toEqual([{ method: "warn", line: expect.stringContaining("plain HTTP") }])
  })

  it("does not fail the request when the logger throws", async () => {
    const logger = { warn: () => { throw new Error("the disk is full") } }
    expect((await make({ debug: true, logger }).create(hello())).choices).toHaveLength(1)
  })
})

describe("the environment", () => {
  it("has what the options leave out", async () => {
    vi.stubEnv("NOMYO_BASE_URL", router.url)
    vi.stubEnv("NOMYO_ALLOW_HTTP", "true")
    vi.stubEnv("NOMYO_API_KEY", API_KEY)
    vi.stubEnv("NOMYO_KEY_SIZE", "2048")
    const client = makeBare({ keyDir: false })
    expect((await client.create(hello())).choices).toHaveLength(1)
    expect((await client.ready()).modulusLength).toBe(2048)
    const lower = new SecureCompletionClient({ keyDir: false })
    expect(await lower.fetchServerPublicKey()).toContain("PUBLIC KEY")
    lower.dispose()
  })

  it("comes after the options", async () => {
    vi.stubEnv("NOMYO_BASE_URL", "http://127.0.0.1:1")
    vi.stubEnv("NOMYO_API_KEY", "not-this-one")
    vi.stubEnv("NOMYO_MAX_RETRIES", "9")
    expect((await make().create(hello())).choices).toHaveLength(1)
    expect((await makeLower().sendSecureRequest(hello(), "id")).choices).toHaveLength(1)
    expect(await error(make({ apiKey: undefined }).create(hello()))).toBeInstanceOf(AuthenticationError)
  })

  it("is refused by the variable's name, without its value", async () => {
    vi.stubEnv("NOMYO_TIMEOUT", "SENTINEL")
    const failure = await error(new SecureChatCompletion({ keyDir: false }).create(hello()))
    expect(failure).toMatchObject({ name: "InvalidRequestError",
      message: expect.stringContaining("NOMYO_TIMEOUT") })
    expect(String(failure)).not.toContain("SENTINEL")
  })
})

describe("fetch", () => {
  it("carries every request, with no redirects", async () => {
    const calls: Array<{ readonly url: string; readonly method: string; readonly redirect: string }> = []
    const client = make({
      fetch: (url, init) => {
        calls.push({ url, method: init.method, redirect: init.redirect })
        return fetch(url, init)
      }
    })
    expect((await client.create(hello())).choices).toHaveLength(1)
    expect(calls).toEqual([
      { url: `${router.url}/pki/public_key`, method: "GET", redirect: "manual" },
      { url: `${router.url}/v1/chat/secure_completion`, method: "POST", redirect: "manual" }
    ])
  })

  it.each([
    ["obeys", (url: string, init: object) => fetch(url, init)],
    ["follows them all the same", (url: string, init: object) => fetch(url, { ...init, redirect: "follow" })]
  ])("is refused a redirect, where it %s", async (_, fetch) => {
    const server = await Servers.scoped(Servers.httpServer((request, response) => {
      if (request.url === "/elsewhere") response.end("stolen")
      else response.writeHead(307, { Location: "/elsewhere" }).end()
    }))
    const failure = await error(make({ baseUrl: server.value, fetch }).create(hello()))
    expect(failure).toMatchObject({ name: "SecurityError", reason: "redirect" })
    await server.close()
  })

  it("has its answers bounded", async () => {
    const endless = async () =>
      new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) }))
    const failure = await error(make({ fetch: endless, maxResponseBytes: 1000 }).create(hello()))
    expect(failure).toMatchObject({ name: "SecurityError", reason: "response-too-large" })
  })

  it.each([
    ["rejects", () => Promise.reject(new Error("SENTINEL"))],
    ["throws", () => { throw new Error("SENTINEL") }],
    ["gives nothing", async () => undefined as never]
  ])("that %s is a failure of the network, with nothing of the cause", async (_, fetch) => {
    const failure = await error(make({ fetch }).create(hello()))
    expect(failure).toMatchObject({ name: "APIConnectionError", reason: "network" })
    expect(JSON.stringify(failure) + String((failure as Error).cause)).not.toContain("SENTINEL")
  })

  it("is cancelled with the call", async () => {
    const signals: Array<AbortSignal> = []
    const client = make({
      timeout: 200,
      fetch: (_, { signal }) => {
        signals.push(signal)
        return new Promise(() => undefined)
      }
    })
    expect(await error(client.create(hello()))).toMatchObject({ reason: "timeout" })
    expect(signals.map(({ aborted }) => aborted)).toEqual([true])
  })
})

describe("signal", () => {
  it("is shared by many calls without a warning of a leak, and left without listeners", async () => {
    const warnings: Array<Error> = []
    const onWarning = (warning: Error) => void warnings.push(warning)
    process.on("warning", onWarning)
    const { signal } = new AbortController()
    const add = vi.spyOn(signal, "addEventListener")
    const remove = vi.spyOn(signal, "removeEventListener")
    const client = make()
    await Promise.all(Array.from({ length: 20 }, () => client.create(hello(), { signal })))
    await new Promise((resolve) => setImmediate(resolve))
    process.off("warning", onWarning)
    expect(warnings).toEqual([])
    expect(add).toHaveBeenCalledTimes(1)
    expect(remove).toHaveBeenCalledTimes(1)
  })

  it("cancels every call that shares it, and a later one at once", async () => {
    const controller = new AbortController()
    const client = make()
    await client.ready()
    const calls = Array.from({ length: 12 },
      () => error(client.create(hello({ model: "slow" }), { signal: controller.signal })))
    await vi.waitUntil(() => seen.filter(({ payload }) => payload.model === "slow").length >= 12, {
      timeout: 20_000
    })
    const reason = new Error("enough")
    controller.abort(reason)
    expect(new Set(await Promise.all(calls))).toEqual(new Set([reason]))
    expect(await error(client.create(hello(), { signal: controller.signal }))).toBe(reason)
  })

  it("without a reason rejects with an AbortError", async () => {
    // as polyfills and old runtimes have it
    const target = Object.assign(new EventTarget(), { aborted: false })
    const client = make()
    await client.ready()
    const call = error(client.create(hello({ model: "slow" }), { signal: target as AbortSignal }))
    target.aborted = true
    target.dispatchEvent(new Event("abort"))
    expect(await call).toMatchObject({ name: "AbortError" })
    expect(await error(client.create(hello(), { signal: target as AbortSignal }))).toMatchObject({
      name: "AbortError"
    })
  })
})
