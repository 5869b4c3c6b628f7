/** `nomyo-js/fetch` under the tools that people have, over real sockets. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import OpenAI, { APIConnectionTimeoutError } from "openai"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { BASE_URL, type ChatClient, createFetch, type FetchOptions,
  openAiOptions } from "../../src/fetch/index.js"
import { type ChatCompletionConfig, SecureChatCompletion } from "../../src/index.js"
import * as Model from "../../src/router/Model.js"
import * as Hostile from "../support/hostile.js"
import { watchLateness } from "../support/lateness.js"
import * as Servers from "../support/servers.js"
import { hurry, tools } from "../support/tools.js"

let router: Hostile.Hostile
let close: () => Promise<void>
const clients: Array<SecureChatCompletion> = []

const connect = (config: ChatCompletionConfig = {}) => {
  const client = new SecureChatCompletion({ baseUrl: router.url, allowHttp: true, keyDir: false,
    keySize: 2048, ...config })
  clients.push(client)
  return client
}

let nomyo: SecureChatCompletion

beforeAll(async () => {
  vi.spyOn(console, "warn").mockImplementation(() => undefined)
  const scoped = await Servers.scoped(Effect.provide(Hostile.make, Servers.platform))
  router = scoped.value
  close = scoped.close
  nomyo = connect()
  await nomyo.ready()
})
afterAll(async () => {
  for (const client of clients) client.dispose()
  await close()
})
beforeEach(() => {
  router.script = {}
})
afterEach(() => void vi.unstubAllGlobals())

/** How often the router is posted to until a tool gives up, and what it throws then. */
const posts = async (tool: string, behaviour: Hostile.Behaviour, client: ChatClient = nomyo) => {
  let count = 0
  router.script = {
    completion: (ask) => {
      count++
      return behaviour(ask)
    }
  }
  hurry()
  const { ask, thrown } = tools[tool]!
  const error = await ask(client, "Hi").then(() => "answered", thrown)
  return { count, error }
}

const status = (code: number, headers = {}): Hostile.Behaviour =>
  Hostile.http(code, "{\"detail\":\"What the router says\"}", headers)
const names = Object.keys(tools)

describe("retries are the tool's own, and do not multiply", () => {
  /** What differs for the tools that would repeat a status: a code, and a status where nothing else helps. */
  const final = (tool: string, code: number) => {
    if (tool === "ai" && [408, 409].includes(code)) return { status: 400, code: `http_${code}` }
    if (tool === "langchain" && [408, 422, 451].includes(code)) return { status: code, code: "ECONNABORTED" }
    return { status: code }
  }
  const statuses = [400, 401, 403, 404, 408, 409, 413, 422, 451]

  it.each(names.flatMap((tool) => statuses.map((code) => [tool, code] as const)))("%s posts once for a %d",
    async (tool, code) => {
      expect(await posts(tool, status(code))).toMatchObject({ count: 1, error: final(tool, code) })
    })

  const own: { readonly [tool: string]: { readonly [what: string]: number } } = {
    openai: { 429: 3, "429 with a wait": 3, "429 with a long wait": 1, 500: 3, 503: 3, network: 3 },
    ai: { 429: 3, "429 with a wait": 3, "429 with a long wait": 3, 500: 3, 503: 3, network: 3 },
    // it does not repeat a 429 that names no wait, or a long one
    langchain: { 429: 1, "429 with a wait": 7, "429 with a long wait": 1, 500: 7, 503: 7, network: 7 }
  }
  const behaviours: { readonly [what: string]: Hostile.Behaviour } = {
    429: status(429),
    "429 with a wait": status(429, { "retry-after": "1" }),
    "429 with a long wait": status(429, { "retry-after": "1800" }),
    500: status(500),
    503: status(503),
    network: ({ socket }) => void socket.destroy()
  }

  it.each(
    names.flatMap((tool) => Object.entries(own[tool]!).map(([what, count]) => [tool, what, count] as const))
  )(
    "%s, %s: %d",
    async (tool, what, count) => {
      expect(await posts(tool, behaviours[what]!)).toMatchObject({ count })
    }
  )

  it("and are none of openai's once the client has repeated the request itself", async () => {
    const { count } = await posts("openai", status(500, { "retry-after-ms": "1" }), {
      create: (request, options) => nomyo.create(request, { ...options, maxRetries: 1 })
    })
    expect(count).toBe(2)
  })
})

describe("a SecurityError is one call and a 400 with its reason", () => {
  const answered = { choices: [{ index: 0, message: { role: "assistant", content: "Hi" } }],
    _metadata: { payload_id: "another" } }
  const scripts: { readonly [reason: string]: Hostile.Behaviour } = {
    redirect: Hostile.http(302, "", { location: "https://evil.example/" }),
    envelope: Hostile.http(200, "{}"),
    replay: Hostile.sealed(() => JSON.stringify(answered))
  }

  /** Counts the calls, whatever they come to. */
  const counted = (client: SecureChatCompletion) => {
    let calls = 0
    const create: ChatClient["create"] = (request, options) => {
      calls++
      return client.create(request, options)
    }
    return { client: { create }, calls: () => calls }
  }

  const check = async (tool: string, client: SecureChatCompletion, reason: string) => {
    const { calls, client: counting } = counted(client)
    hurry()
    const error = await tools[tool]!.ask(counting, "Hi").then(() => "answered", tools[tool]!.thrown)
    expect({ calls: calls(), error }).toEqual({ calls: 1, error: { status: 400, code: reason } })
  }

  it.each(names.flatMap((tool) => Object.keys(scripts).map((reason) => [tool, reason] as const)))("%s, %s",
    async (tool, reason) => {
      router.script = { completion: scripts[reason] }
      await check(tool, nomyo, reason)
    })

  it.each(names)("%s, router-key-pin",
    (tool) => check(tool, connect({ routerKeyFingerprints: ["0".repeat(64)] }), "router-key-pin"))

  it.each(names)("%s, certificate", async (tool) => {
    const tls = await Servers.certificate()
    const { close, value } = await Servers.scoped(Servers.router({ tls }))
    try {
      await check(tool, connect({ baseUrl: value, allowHttp: false }), "certificate")
    } finally {
      await close()
    }
  })
})

describe("a client that was disposed", () => {
  it.each(names)("is a 400 for %s, at once", async (tool) => {
    const disposed = connect()
    disposed.dispose()
    const before = router.requests()
    const error = await tools[tool]!.ask(disposed, "Hi").then(() => "answered", tools[tool]!.thrown)
    expect({ error, requests: router.requests() - before }).toEqual({
      error: { status: 400, code: "disposed" },
      requests: 0
    })
  })
})

describe("what leaves", () => {
  const body = JSON.stringify({ model: "a/model", messages: [{ role: "user", content: "Hi" }], stream: true })
  const headers = { authorization: "Bearer sk-openai", traceparent: "00-1-2-01", b3: "0",
    "x-stainless-lang": "js" }

  /** The headers of the request that the router gets. */
  const sent = async (options?: FetchOptions) => {
    let received: object = {}
    router.script = {
      completion: (ask) => {
        received = ask.headers
        return Hostile.honest(ask)
      }
    }
    const response = await createFetch(nomyo, options)(`${BASE_URL}/chat/completions`, { method: "POST", body,
      headers })
    expect(await response.text()).toContain("[DONE]")
    return received
  }

  it("are no headers of the tool's: no key, no trace", async () => {
    const received = await sent()
    expect(Object.keys(headers).filter((name) => name in received)).toEqual([])
  })

  it("is the tool's key if that was asked for", async () => {
    expect(await sent({ apiKey: "header" })).toMatchObject({ authorization: "Bearer sk-openai" })
  })

  /** A router before a model server, and the bodies that the server gets. */
  const behindRouter = async () => {
    const bodies: Array<string> = []
    const completion = {
      choices: [{ index: 0, message: { role: "assistant", content: "Hi" }, finish_reason: "stop" }]
    }
    const { close, value } = await Servers.scoped(Effect.gen(function*() {
      const url = yield* Servers.httpServer(async (request, response) => {
        bodies.push(Buffer.concat(await request.toArray()).toString())
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(completion))
      })
      const model = yield* Effect.provide(Model.makeUpstream({ url }), FetchHttpClient.layer)
      return yield* Servers.router({ model })
    }))
    return { bodies, close, client: connect({ baseUrl: value }) }
  }

  it("reaches a server behind the router in the words of the caller, with every digit", async () => {
    const { bodies, client, close } = await behindRouter()
    const sent =
      `{"model":"m","messages":[{"role":"user","content":"Hi"}],"seed":12345678901234567890,"top_p":1.0}`
    for (const body of [sent, sent.replace("{", `{"stream":true,`)]) {
      const response = await createFetch(client)(`${BASE_URL}/chat/completions`, { method: "POST", body })
      expect(response.status).toBe(200)
    }
    const withKey = createFetch(client, { apiKey: "header" })
    await withKey(`${BASE_URL}/chat/completions`, { method: "POST", body: sent,
      headers: { authorization: "Bearer sk-own" } })
    await close()
    expect(bodies).toEqual([sent, sent, sent])
  })

  it.each(names)("%s: nothing of the stream or the direction reaches a server behind the router",
    async (tool) => {
      const { bodies, client, close } = await behindRouter()
      const create: ChatClient["create"] = (request, options) =>
        client.create({ ...request, security_tier: "high" }, options)
      try {
        expect(await tools[tool]!.ask({ create }, "Hi")).toBe("Hi")
        expect(await tools[tool]!.stream({ create }, "Hi")).toBe("Hi")
      } finally {
        await close()
      }
      const hidden = ["stream", "stream_options", "base_url", "api_key", "security_tier"]
      expect(bodies).toHaveLength(2)
      expect(bodies.flatMap((body) => hidden.filter((name) => name in (JSON.parse(body) as object)))).toEqual(
        []
      )
    })
})

describe("an abort closes the router's socket within 100 ms, and keeps the caller's reason", () => {
  const reason = new Error("The caller's own reason")
  const body = JSON.stringify({ model: "a/model", messages: [{ role: "user", content: "Hi" }] })

  /** The connection that a completion is asked over, once it is. */
  const asked = (behaviour: Hostile.Behaviour) =>
    new Promise<{ readonly closed: Promise<number> }>((resolve) => {
      router.script = {
        completion: async (ask) => {
          await behaviour(ask)
          resolve({
            closed: new Promise((resolve) => ask.socket.once("close", () => resolve(performance.now())))
          })
        }
      }
    })

  it.each([
    ["before the router's headers", () => undefined],
    ["during the router's headers", Hostile.raw("HTTP/1.1 200 OK\r\ncontent-le")],
    ["after the router's headers", Hostile.raw("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")]
  ] as ReadonlyArray<[string, Hostile.Behaviour]>)("%s", async (_, behaviour) => {
    const controller = new AbortController()
    const connection = asked(behaviour)
    const rejected = createFetch(nomyo)(`${BASE_URL}/chat/completions`, { method: "POST", body,
      signal: controller.signal })
      .catch((error: unknown) => error)
    const { closed } = await connection
    const lateness = watchLateness()
    const start = performance.now()
    controller.abort(reason)
    expect(await rejected).toBe(reason)
    const passed = await closed - start
    // a busy machine is late with each step
    expect(passed).toBeLessThan(100 + 4 * lateness())
  })

  it("before the call, and no connection is made", async () => {
    const before = router.requests()
    await expect(
      createFetch(nomyo)(`${BASE_URL}/chat/completions`, { method: "POST", body,
        signal: AbortSignal.abort(reason) })
    ).rejects.toBe(reason)
    expect(router.requests()).toBe(before)
  })
})

describe("a timeout", () => {
  it("of the client is openai's APIConnectionTimeoutError", async () => {
    router.script = { completion: () => undefined }
    const openai = new OpenAI({ ...openAiOptions(nomyo, { timeout: 300 }), maxRetries: 0 })
    const error: unknown = await openai.chat.completions.create({ model: "a/model",
      messages: [{ role: "user", content: "Hi" }] })
      .catch((error: unknown) => error)
    expect(error).toBeInstanceOf(APIConnectionTimeoutError)
  })
})
