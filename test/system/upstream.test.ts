import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Http from "node:http"
import { text as textOf } from "node:stream/consumers"
import { NomyoClient } from "../../src/NomyoClient.js"
import * as Node from "../../src/platform/node/index.js"
import * as UpstreamModel from "../../src/router/UpstreamModel.js"
import * as Servers from "../support/servers.js"

const API_KEY = "sk-upstream-0123456789"
const PROMPT = "My SENTINEL prompt"

/** How a scripted model server answers, and what it saw. */
interface Script {
  readonly status?: number
  readonly headers?: Http.OutgoingHttpHeaders
  readonly body?: string
  /** Takes the place of an answer. */
  readonly act?: (request: Http.IncomingMessage, response: Http.ServerResponse) => void
}

interface Seen {
  readonly url: string | undefined
  readonly authorization: string | undefined
  readonly body: { readonly [key: string]: unknown }
}

const completion = JSON.stringify({
  choices: [{ index: 0, message: { role: "assistant", content: "Hi" }, finish_reason: "stop" }]
})

const httpClients = [["fetch", FetchHttpClient.layer], ["node:http", NodeHttpClient.layer]] as const

/** A client, a router, and a scripted model server behind it. `path` is added to the server's address. */
const start = Effect.fnUntraced(function*(
  script: Script,
  { httpClient = NodeHttpClient.layer, path = "", protocol }: {
    readonly httpClient?: Layer.Layer<HttpClient.HttpClient>
    readonly path?: string
    readonly protocol?: 1 | 2
  } = {}
) {
  const seen: Array<Seen> = []
  const log: Array<{ readonly [name: string]: unknown }> = []
  const address = yield* Servers.httpServer((request, response) => {
    const answer = async () => {
      const body = await textOf(request)
      const { headers: { authorization }, url } = request
      seen.push({ url, authorization, body: body === "" ? {} : JSON.parse(body) })
      if (script.act !== undefined) return script.act(request, response)
      response.writeHead(script.status ?? 200, { "content-type": "application/json", ...script.headers })
      response.end(script.body ?? completion)
    }
    void answer()
  })
  const upstream = yield* Effect.provide(
    UpstreamModel.make({ url: `${address}${path}`, apiKey: Redacted.make(API_KEY) }),
    httpClient
  )
  const logger = Logger.make(({ annotations }) =>
    void log.push(Object.fromEntries(HashMap.toEntries(annotations)))
  )
  const router = yield* Effect.provide(
    Servers.router({ model: upstream.model, models: upstream.models }),
    Logger.replace(Logger.defaultLogger, logger)
  )
  const client = Node.layer({ baseUrl: router, allowHttp: true, keyDir: false, keySize: 2048, protocol })
  const create = (payload: object = {}, maxRetries = 2) =>
    Effect.flatMap(NomyoClient, (client) =>
      client.create({ model: "llama3.2", messages: [{ role: "user", content: PROMPT }], ...payload }, {
        maxRetries
      })).pipe(
      Effect.provide(client),
      Effect.provide(Logger.remove(Logger.defaultLogger))
    )
  return { seen, log, upstream, router, create }
})

describe.each(httpClients)("a model server over %s", (_, httpClient) => {
  it.scopedLive("gets the request, its key, and nothing that would make it stream", () =>
    Effect.gen(function*() {
      const { create, seen } = yield* start({}, { httpClient })
      const answer = yield* create({ seed: 1, stream: true, stream_options: { include_usage: true } })
      assert.strictEqual(answer.choices[0]?.message.content, "Hi")
      assert.deepStrictEqual(seen, [{
        url: "/v1/chat/completions",
        authorization: `Bearer ${API_KEY}`,
        body: { model: "llama3.2", messages: [{ role: "user", content: PROMPT }], seed: 1 }
      }])
    }))

  it.scopedLive("is not followed elsewhere", () =>
    Effect.gen(function*() {
      const elsewhere = yield* start({})
      for (const status of [301, 302, 307, 308]) {
        const target = yield* Servers.httpServer((_request, response) => {
          elsewhere.seen.push({ url: "elsewhere", authorization: undefined, body: {} })
          response.end(completion)
        })
        const { create, seen } = yield* start({ status, headers: { location: `${target}/v1` } }, {
          httpClient
        })
        const error = yield* Effect.flip(create())
        assert.deepInclude(error, { statusCode: 424, attempts: 1 })
        assert.deepStrictEqual({ asked: seen.length, elsewhere: elsewhere.seen.length }, { asked: 1,
          elsewhere: 0 })
      }
    }))
})

const openai = (message: string, code: string | null = null, type = "invalid_request_error") =>
  JSON.stringify({ error: { message, type, code, param: null } })

/** Failures that are not tried again: the server is asked once. */
const final: ReadonlyArray<readonly [what: string, script: Script, status: number, reason: string]> = [
  ["Ollama has no such model", { status: 404,
    body: openai("model \"llama3.2\" not found, try pulling it first") }, 404, "model_not_found"],
  ["vLLM has no such model", { status: 404,
    body: "{\"object\":\"error\",\"message\":\"The model `x` does not exist.\",\"code\":404}" }, 404,
  "model_not_found"],
  ["Mistral has no such model", { status: 400,
    body: "{\"message\":\"Invalid model: x\",\"type\":\"invalid_model\"}" }, 404, "model_not_found"],
  ["no such path", { status: 404, body: "404 page not found" }, 404, "upstream_not_found"],
  ["a wrong key", { status: 401, body: openai(`Incorrect API key provided: ${API_KEY}`, "invalid_api_key") },
    424, "upstream_unauthorized"],
  ["a forbidden key", { status: 403, body: "{\"detail\":\"Forbidden\"}" }, 424, "upstream_unauthorized"],
  ["no money", { status: 429, body: openai("You exceeded your current quota", "insufficient_quota") }, 402,
    "upstream_quota_exceeded"],
  ["too long", { status: 400,
    body: openai("maximum context length is 8192 tokens", "context_length_exceeded") }, 400,
  "context_length_exceeded"],
  ["too long for llama.cpp", { status: 400,
    body: openai("the request exceeds the available context size", null, "exceed_context_size_error") }, 400,
  "context_length_exceeded"],
  ["no tools", { status: 400, body: "{\"error\":\"gemma does not support tools\"}" }, 400,
    "unsupported_by_model"],
  ["a bad parameter, by FastAPI", { status: 422,
    body: `{"detail":[{"loc":["body"],"msg":"bad","input":"${PROMPT}"}]}` }, 400, "invalid_request"],
  ["a list, as Gemini has it", { status: 400,
    body: "[{\"error\":{\"code\":400,\"message\":\"bad\",\"status\":\"INVALID_ARGUMENT\"}}]" }, 400,
  "invalid_request"],
  ["NaN", { status: 500, body: openai("json: unsupported value: NaN", null, "api_error") }, 424,
    "upstream_invalid_output"],
  ["a web page", { headers: { "content-type": "text/html" }, body: "<html>Welcome</html>" }, 424,
    "upstream_unexpected_answer"],
  ["a list instead of an answer", { body: "[]" }, 424, "upstream_unexpected_answer"],
  ["an error in a 200", { body: "{\"error\":{\"message\":\"No auth credentials found\",\"code\":401}}" }, 424,
    "upstream_unauthorized"],
  ["a body too large", { status: 413, body: "" }, 413, "request_too_large"],
  ["a teapot", { status: 418, body: "{}" }, 424, "upstream_refused"]
]

/** Failures that may pass. */
const passing: ReadonlyArray<readonly [what: string, script: Script, status: number, reason: string]> = [
  ["busy", { status: 429, body: openai("slow down") }, 429, "rate_limited"],
  ["out of memory", { status: 500, body: openai("CUDA out of memory") }, 503, "upstream_out_of_memory"],
  ["loading", { status: 503, body: openai("Loading model") }, 503, "model_loading"],
  ["overloaded", { status: 529, body: "{}" }, 503, "upstream_overloaded"],
  ["its own time limit", { status: 504, body: "<html>" }, 504, "upstream_timeout"],
  ["a failure", { status: 500, body: openai(`failed at ${PROMPT}`) }, 502, "upstream_failed"],
  ["a lost connection", { act: ({ socket }) => socket.destroy() }, 502, "upstream_connection_lost"],
  [
    "half an answer",
    {
      act: ({ socket }, response) => {
        response.writeHead(200, { "content-length": "1000" }).write("{\"choices\":")
        setTimeout(() => socket.destroy(), 50)
      }
    },
    502,
    "upstream_connection_lost"
  ]
]

describe("a model server that fails", () => {
  interface Expected {
    readonly script: Script
    readonly status: number
    readonly reason: string
    readonly maxRetries: number
  }
  const checkOver = (protocol: 1 | 2, { maxRetries, reason, script, status }: Expected) =>
    Effect.gen(function*() {
      const { create, log, seen } = yield* start(script, { protocol })
      const error = yield* Effect.flip(create({}, maxRetries))
      assert.deepInclude(error, { statusCode: status, attempts: 1 })
      assert.deepInclude((error as { readonly errorDetails?: unknown }).errorDetails, { reason })
      assert.lengthOf(seen, 1)
      assert.match(error.message, /^The router answered \d+: The .*[:,] /)
      const [entry] = log
      assert.deepInclude(entry, { reason })
      if (protocol === 2) assert.deepInclude(entry, { payload_id: error.payloadId })
      assert.match(JSON.stringify(entry), /"(upstream_status|network)":/)
      for (const text of [JSON.stringify(error), error.message, JSON.stringify(log)]) {
        assert.notMatch(text, /SENTINEL|sk-upstream|llama/)
      }
    })
  const check = (expected: Expected) =>
    Effect.scoped(Effect.zipRight(checkOver(1, expected), checkOver(2, expected)))

  for (const [what, script, status, reason] of final) {
    it.scopedLive(`is asked once, and named: ${what}`, () => check({ script, status, reason, maxRetries: 2 }))
  }
  for (const [what, script, status, reason] of passing) {
    it.scopedLive(`is named: ${what}`, () => check({ script, status, reason, maxRetries: 0 }))
  }

  it.scopedLive("is not there", () =>
    Effect.gen(function*() {
      const { model } = yield* UpstreamModel.make({ url: "http://127.0.0.1:1" })
      const error = yield* Effect.flip(model({
        payloadId: "id",
        securityTier: undefined,
        payload: { model: "m", messages: [{ role: "user", content: "x" }] }
      }))
      assert.deepInclude(error, { statusCode: 503, errorDetails: { reason: "upstream_unreachable" } })
      assert.include(error.message, "its operator starts that, or checks --upstream")
    }).pipe(Effect.provide(Layer.merge(NodeHttpClient.layer, Logger.remove(Logger.defaultLogger)))))

  it.scopedLive("is tried again where that can help", () =>
    Effect.gen(function*() {
      let isFirst = true
      const { create, seen } = yield* start({
        act: (_request, response) => {
          response.writeHead(isFirst ? 503 : 200).end(isFirst ? "{}" : completion)
          isFirst = false
        }
      })
      assert.strictEqual((yield* create()).choices.length, 1)
      assert.lengthOf(seen, 2)
    }))

  const waits: ReadonlyArray<readonly [name: string, value: () => string]> = [
    ["retry-after", () => "90"],
    ["retry-after", () => "89.5"],
    ["retry-after-ms", () => "90000"],
    ["retry-after", () => new Date(Date.now() + 90_000).toUTCString()],
    ["retry-after", () => {
      const [day, date, month, year, time] = new Date(Date.now() + 90_000).toUTCString().split(" ")
      return `${day!.slice(0, 3)} ${month} ${date} ${time} ${year}`
    }]
  ]
  for (const status of [429, 503]) {
    for (const [name, value] of waits) {
      it.scopedLive(`asks for a wait with a ${status}: ${name}: ${value().replace(/\d\d:\d\d:\d\d/, "…")}`, () =>
        Effect.gen(function*() {
          const { create } = yield* start({ status, headers: { [name]: value() }, body: "{}" })
          const error = yield* Effect.flip(create({}, 0))
          assert.deepInclude(error, { statusCode: status })
          assert.closeTo((error as { readonly retryAfter: number }).retryAfter, 90_000, 5000)
        }))
    }
  }
})

describe("an answer of a model server", () => {
  it.scopedLive("is not lost to the bare NaN and Infinity of Python's JSON", () =>
    Effect.gen(function*() {
      const message = { role: "assistant", content: "NaN and \\\"Infinity\\\" stay" }
      const body = `{"choices":[{"index":0,"message":${JSON.stringify(message)},"finish_reason":"stop",` +
        "\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-Infinity},{\"token\":\"b\",\"logprob\":NaN}]}}]}"
      const { create } = yield* start({ body })
      const [choice] = (yield* create()).choices
      assert.strictEqual(choice?.message.content, message.content)
      const content = ["a", "b"].map((token) => ({ token, logprob: null }))
      assert.deepStrictEqual(choice?.logprobs as unknown, { content })
    }))
})

describe("an event stream that a model server sends unasked", () => {
  it.scopedLive("is folded into an answer", () =>
    Effect.gen(function*() {
      const events = ["Hel", "lo"].map((content) =>
        `data: ${JSON.stringify({ choices: [{ index: 0, delta: { role: "assistant", content } }] })}\n\n`)
      const { create } = yield* start({ body: `${events.join("")}data: [DONE]\n\n` })
      assert.strictEqual((yield* create()).choices[0]?.message.content, "Hello")
    }))
})

describe("the start of a router in front of a model server", () => {
  const probe = (script: Script, path = "") =>
    Effect.flatMap(start(script, { path }), ({ upstream }) => upstream.probe)

  it.scopedLive("finds the models", () =>
    Effect.gen(function*() {
      const body = JSON.stringify({ object: "list", data: [{ id: "llama3.2" }, { id: "qwen3" }] })
      assert.deepStrictEqual(yield* probe({ body }), { ids: ["llama3.2", "qwen3"], warnings: [] })
      const { router } = yield* start({ body })
      const listed = yield* Effect.promise(() =>
        fetch(`${router}/v1/models`).then((response) => response.json())
      )
      assert.deepStrictEqual(listed.data.map(({ id }: { readonly id: string }) => id), ["llama3.2", "qwen3"])
    }))

  it.scopedLive("warns, and says what to do", () =>
    Effect.gen(function*() {
      const unauthorized = yield* probe({ status: 401, body: "{}" })
      assert.match(unauthorized.warnings.join("\n"), /401.*NOMYO_UPSTREAM_API_KEY/)
      const page = yield* probe({ body: "<html>" })
      assert.match(page.warnings.join("\n"), /--upstream/)
      const missing = yield* probe({ status: 404, body: "{}" }, "/llm")
      assert.match(missing.warnings.join("\n"), /\/llm\/v1\/models.*404.*--upstream/)
    }))
})
