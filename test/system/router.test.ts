import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as ChatCompletion from "../../src/ChatCompletion.js"
import type { KeyPair } from "../../src/Crypto.js"
import * as Envelope from "../../src/Envelope.js"
import * as KeyStore from "../../src/KeyStore.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import * as Model from "../../src/router/Model.js"
import * as Router from "../../src/router/Router.js"
import * as Servers from "../support/servers.js"
import * as Vectors from "../support/vectors.js"

const keys = Effect.all({
  client: NodeKeyStore.loadKeyPair(Vectors.path("keys/client_2048.pem")),
  router: NodeKeyStore.loadKeyPair(Vectors.path("keys/server_4096.pem"))
})

const text = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value))

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Uint8Array
}

/** A request by hand, to send what the client never would. */
const post = (
  url: string,
  body: Uint8Array<ArrayBuffer>,
  headers: { readonly [name: string]: string }
): Effect.Effect<Answer> =>
  Effect.promise(async () => {
    const response = await fetch(`${url}/v1/chat/secure_completion`, { method: "POST", body, headers })
    return { status: response.status, headers: response.headers, body: new Uint8Array(await response.arrayBuffer()) }
  })

const detail = ({ body }: Answer): string => JSON.parse(new TextDecoder().decode(body)).detail

const hello = { model: "m", messages: [{ role: "user", content: "Hello!" }] }

const good = Effect.gen(function*() {
  const { client, router } = yield* keys
  return {
    client,
    body: yield* Envelope.seal(router.publicKey, text(hello)),
    seal: (payload: unknown) => Envelope.seal(router.publicKey, text(payload)),
    headers: { "X-Payload-ID": "id", "X-Public-Key": encodeURIComponent(client.publicKey.pem) }
  }
})

const openAnswer = (client: KeyPair, { body }: Answer) =>
  Envelope.open(client.privateKey, body, (opened) =>
    ChatCompletion.decodeResponse(opened.plaintext, { ...opened, payloadId: "id" }))

describe("the development router", () => {
  it.scopedLive("publishes its key and its health", () =>
    Effect.gen(function*() {
      const url = yield* Servers.router()
      const get = (path: string) => Effect.promise(() => fetch(url + path).then(async (r) => [r.status, await r.text()] as const))
      assert.deepStrictEqual(yield* get("/pki/public_key"), [200, Fs.readFileSync(Vectors.path("keys/server_4096.pub.pem"), "utf8")])
      assert.deepStrictEqual(yield* get("/health"), [200, "{\"status\":\"ok\"}"])
      assert.deepStrictEqual(yield* get("/elsewhere"), [404, "{\"detail\":\"There is no such path\"}"])
    }))

  it.scopedLive("answers the requests that the Python client put on the wire", () =>
    Effect.gen(function*() {
      const seen: Array<object> = []
      const echo = yield* Model.makeEcho
      const url = yield* Servers.router({ model: (request) => Effect.zipRight(Effect.sync(() => seen.push(request.payload)), echo(request)) })
      const { client, headers } = yield* good
      for (const { body, name, payload } of Vectors.requests) {
        const answer = yield* post(url, text(body), headers)
        assert.strictEqual(answer.status, 200, name)
        assert.deepStrictEqual(seen.at(-1), payload)
        const response = yield* openAnswer(client, answer)
        assert.isAtLeast(response.choices.length, 1)
        assert.isNumber(response._metadata.processed_at)
      }
    }).pipe(Effect.provide(Servers.platform)))

  it.scopedLive("refuses malformed input with its status and a reason, and goes on", () =>
    Effect.gen(function*() {
      const url = yield* Servers.router({ apiKey: Redacted.make("right") })
      const { body, client, headers, seal } = yield* good
      const auth = { ...headers, Authorization: "Bearer right" }
      const flipped = Uint8Array.from(body)
      flipped[100]! ^= 1
      const pem = (name: string) => encodeURIComponent(Fs.readFileSync(Vectors.path(`keys/${name}`), "utf8"))
      const cases: ReadonlyArray<readonly [status: number, reason: RegExp, body: Uint8Array<ArrayBuffer>, headers: Record<string, string>]> = [
        [401, /API key/, body, headers],
        [401, /API key/, body, { ...headers, Authorization: "Bearer wrong" }],
        [401, /API key/, body, { ...headers, Authorization: "right" }],
        [400, /X-Payload-ID/, body, { ...auth, "X-Payload-ID": "" }],
        [400, /X-Payload-ID/, body, { ...auth, "X-Payload-ID": "x".repeat(129) }],
        [400, /X-Public-Key/, body, { ...auth, "X-Public-Key": "" }],
        [400, /X-Public-Key/, body, { ...auth, "X-Public-Key": "%" }],
        [400, /X-Public-Key/, body, { ...auth, "X-Public-Key": pem("rejected_1024.pub.pem") }],
        [400, /X-Public-Key/, body, { ...auth, "X-Public-Key": pem("rejected_ec_p256.pub.pem") }],
        [400, /X-Security-Tier/, body, { ...auth, "X-Security-Tier": "ultra" }],
        [400, /envelope/, text(""), auth],
        [400, /envelope/, text("{}"), auth],
        [400, /envelope/, text("<html>"), auth],
        [400, /envelope/, flipped, auth],
        [400, /payload is not JSON/, yield* seal("not JSON"), auth],
        [400, /^model is missing/, yield* seal({}), auth],
        [400, /messages is not valid$/, yield* seal({ model: "m", messages: [] }), auth],
        [400, /logit_bias is not valid$/, yield* seal({ ...hello, logit_bias: { SENTINEL: "x" } }), auth],
        [413, /larger/, new Uint8Array(15 * 1024 * 1024), auth]
      ]
      for (const [status, reason, sent, sentHeaders] of cases) {
        const answer = yield* post(url, sent, sentHeaders)
        assert.strictEqual(answer.status, status, String(reason))
        assert.match(detail(answer), reason)
      }
      for (const { body_base64 } of Vectors.badResponses) {
        assert.strictEqual((yield* post(url, Uint8Array.from(Buffer.from(body_base64, "base64")), auth)).status, 400)
      }
      assert.strictEqual((yield* openAnswer(client, yield* post(url, body, auth))).choices.length, 1)
    }).pipe(Effect.provide(Servers.platform)))

  it.scopedLive("takes the largest payload", () =>
    Effect.gen(function*() {
      const url = yield* Servers.router()
      const { client, headers, seal } = yield* good
      const payload = { ...hello, padding: "x".repeat(ChatCompletion.MAX_PAYLOAD_BYTES - 100) }
      const answer = yield* post(url, yield* seal(payload), headers)
      assert.strictEqual((yield* openAnswer(client, answer)).choices.length, 1)
    }).pipe(Effect.provide(Servers.platform)))

  it.scopedLive("survives clients that vanish, and stops working for them", () =>
    Effect.gen(function*() {
      const asked = yield* Deferred.make<void>()
      const stopped = yield* Deferred.make<void>()
      const echo = yield* Model.makeEcho
      let calls = 0
      const url = yield* Servers.router({
        model: (request) =>
          ++calls > 1 ? echo(request) : Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never).pipe(
            Effect.onInterrupt(() => Deferred.succeed(stopped, undefined))
          )
      })
      const { body, client, headers } = yield* good
      const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("")
      const { hostname, port } = new URL(url)
      const socket = Net.connect(Number(port), hostname).on("error", () => undefined)
      socket.write(`POST /v1/chat/secure_completion HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n${head}\r\n`)
      socket.write(body)
      yield* Deferred.await(asked)
      socket.destroy()
      yield* Deferred.await(stopped)
      const half = Net.connect(Number(port), hostname).on("error", () => undefined)
      half.write(`POST /v1/chat/secure_completion HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n${head}\r\nonly this`)
      half.destroySoon()
      assert.strictEqual((yield* openAnswer(client, yield* post(url, body, headers))).choices.length, 1)
    }).pipe(Effect.provide(Servers.platform)))

  it.scopedLive("lets pages of any origin in", () =>
    Effect.gen(function*() {
      const url = yield* Servers.router()
      const preflight = yield* Effect.promise(() =>
        fetch(`${url}/v1/chat/secure_completion`, {
          method: "OPTIONS",
          headers: {
            Origin: "https://page.test",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-payload-id,x-public-key,x-security-tier"
          }
        })
      )
      assert.strictEqual(preflight.status, 204)
      assert.strictEqual(preflight.headers.get("access-control-allow-origin"), "*")
      for (const header of ["x-payload-id", "x-public-key", "authorization", "x-security-tier"]) {
        assert.include(preflight.headers.get("access-control-allow-headers"), header)
      }
      const refused = yield* post(url, text("{}"), { Origin: "https://page.test" })
      assert.deepStrictEqual(
        [refused.status, refused.headers.get("access-control-allow-origin"), refused.headers.get("access-control-expose-headers")],
        [400, "*", "Retry-After"]
      )
    }))

  it.scopedLive("logs nothing of what it opened, not even when the model breaks", () => {
    const lines: Array<string> = []
    const logger = Logger.make((options) => void lines.push(Logger.stringLogger.log(options)))
    return Effect.gen(function*() {
      const url = yield* Servers.router({ model: ({ payload }) => Effect.die(new Error(JSON.stringify(payload))) })
      const { headers, seal } = yield* good
      const answer = yield* post(url, yield* seal({ model: "m", messages: [{ role: "user", content: "SENTINEL" }] }), headers)
      assert.deepStrictEqual([answer.status, detail(answer)], [500, "The router failed"])
      assert.isAtLeast(lines.length, 1)
      assert.notInclude(lines.join("\n"), "SENTINEL")
    }).pipe(Effect.provide(Layer.merge(Servers.platform, Logger.replace(Logger.defaultLogger, logger))))
  })

  it.scopedLive("asks an upstream server, in the clear, and repeats nothing of its errors", () =>
    Effect.gen(function*() {
      const seen: Array<{ readonly url: string | undefined; readonly key: string | undefined; readonly body: { readonly [key: string]: unknown } }> = []
      const upstream = yield* Servers.httpServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
          const body = JSON.parse(Buffer.concat(chunks).toString())
          seen.push({ url: request.url, key: request.headers.authorization, body })
          const status = Number(body.model) || 200
          response.writeHead(status, { "content-type": "application/json", ...(status === 429 ? { "retry-after": "3" } : {}) })
          response.end(status === 200 ? JSON.stringify({ choices: [] }) : JSON.stringify({ error: { message: body.messages[0].content } }))
        })
      })
      const models = yield* Effect.all([
        Model.makeUpstream({ url: upstream, apiKey: Redacted.make("upstream-key") }),
        Model.makeUpstream({ url: `${upstream}/v1/` }),
        Model.makeUpstream({ url: "http://127.0.0.1:1" })
      ])
      const { client, headers, seal } = yield* good
      const ask = (model: Model.Model, payload: object) =>
        Effect.gen(function*() {
          const url = yield* Servers.router({ model })
          return yield* post(url, yield* seal({ ...hello, ...payload }), headers)
        })
      assert.deepStrictEqual((yield* openAnswer(client, yield* ask(models[0], { seed: 1, stream: true }))).choices, [])
      assert.deepStrictEqual(seen, [{ url: "/v1/chat/completions", key: "Bearer upstream-key", body: { ...hello, seed: 1 } }])
      yield* ask(models[1], {})
      assert.deepInclude(seen[1], { url: "/v1/chat/completions", key: undefined })
      const statuses = [["400", 400], ["401", 502], ["404", 404], ["429", 429], ["500", 503]] as const
      for (const [model, status] of statuses) {
        const answer = yield* ask(models[0], { model, messages: [{ role: "user", content: "SENTINEL" }] })
        assert.strictEqual(answer.status, status)
        assert.notInclude(detail(answer), "SENTINEL")
        assert.strictEqual(answer.headers.get("retry-after"), status === 429 ? "3" : null)
      }
      assert.strictEqual((yield* ask(models[2], {})).status, 503)
    }).pipe(Effect.provide(Layer.merge(Servers.platform, FetchHttpClient.layer))))

  it.scopedLive("answers without a network, as a Transport for other people's tests", () =>
    Effect.gen(function*() {
      const { router } = yield* keys
      const client = NomyoClient.layer({ keySize: 2048 }).pipe(
        Layer.provide(Layer.merge(Router.layerTransport({ keyPair: router }), KeyStore.layerMemory)),
        Layer.provide(Servers.platform)
      )
      const answer = yield* Effect.flatMap(NomyoClient.NomyoClient, (client) =>
        client.create({ model: "m", messages: [{ role: "user", content: "Hello!" }] })).pipe(Effect.provide(client))
      assert.strictEqual(answer.choices[0]?.message.content, "You said: Hello!")
    }).pipe(Effect.provide(Servers.platform)))
})

describe("the echo model", () => {
  const ask = (payload: object, payloadId = "id") =>
    Effect.flatMap(Model.makeEcho, (model) =>
      model({ payloadId, securityTier: undefined, payload: { ...hello, ...payload } as never })) as Effect.Effect<
      { readonly choices: ReadonlyArray<{ readonly finish_reason: string; readonly message: { readonly [key: string]: unknown } }>; readonly usage: object },
      unknown
    >

  it.effect("honours n, max_tokens and stop", () =>
    Effect.gen(function*() {
      const messages = [{ role: "user", content: "one two three STOP four" }]
      const limited = yield* ask({ messages, n: 3, max_tokens: 4 })
      assert.deepStrictEqual(limited.choices.map(({ finish_reason, message }) => [finish_reason, message["content"]]), [
        ["length", "You said: one two"],
        ["length", "You said: one two"],
        ["length", "You said: one two"]
      ])
      assert.deepStrictEqual(limited.usage, { prompt_tokens: 5, completion_tokens: 12, total_tokens: 17 })
      const stopped = yield* ask({ messages, stop: ["nothing", " STOP"] })
      assert.deepInclude(stopped.choices[0], { finish_reason: "stop" })
      assert.strictEqual(stopped.choices[0]?.message["content"], "You said: one two three")
    }))

  it.effect("calls the tool that is chosen, and none when told so", () =>
    Effect.gen(function*() {
      const parameters = { type: "object", properties: { text: { type: "string" }, count: { type: "integer" }, deep: { type: "object" } } }
      const tools = ["first", "second"].map((name) => ({ type: "function", function: { name, parameters } }))
      const call = (answer: Effect.Effect.Success<ReturnType<typeof ask>>) =>
        (answer.choices[0]?.message["tool_calls"] as ReadonlyArray<ChatCompletion.ToolCall> | undefined)?.[0]?.function
      assert.strictEqual(call(yield* ask({ tools }))?.name, "first")
      const second = call(yield* ask({ tools, tool_choice: { type: "function", function: { name: "second" } } }))
      assert.deepStrictEqual([second?.name, JSON.parse(second!.arguments)], ["second", { text: "Hello!", count: 1, deep: {} }])
      assert.isUndefined(call(yield* ask({ tools, tool_choice: "none" })))
    }))

  it.effect("says the same every time", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* ask({}), yield* ask({}))
    }))
})
