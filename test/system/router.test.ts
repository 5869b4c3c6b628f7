import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Net from "node:net"
import { serve } from "../../src/cli/serve.js"
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

const text = (value: unknown) =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value))

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
    return { status: response.status, headers: response.headers,
      body: new Uint8Array(await response.arrayBuffer()) }
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
      const get = (path: string) =>
        Effect.promise(() => fetch(url + path).then(async (r) => [r.status, await r.text()] as const))
      assert.deepStrictEqual(yield* get("/pki/public_key"), [200,
        Fs.readFileSync(Vectors.path("keys/server_4096.pub.pem"), "utf8")])
      assert.deepStrictEqual(yield* get("/health"), [200, "{\"status\":\"ok\"}"])
      assert.deepStrictEqual(yield* get("/elsewhere"), [404, "{\"detail\":\"There is no such path\"}"])
    }))

  it.scopedLive("answers the requests that the Python client put on the wire", () =>
    Effect.gen(function*() {
      const seen: Array<object> = []
      const echo = yield* Model.makeEcho
      const url = yield* Servers.router({
        model: (request) => Effect.zipRight(Effect.sync(() => seen.push(request.payload)), echo(request))
      })
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
      const cases: ReadonlyArray<
        readonly [status: number, reason: RegExp, body: Uint8Array<ArrayBuffer>,
          headers: Record<string, string>]
      > = [
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
        [400, /payload must be the UTF-8 bytes of a request's JSON/, yield* seal("not JSON"), auth],
        [400, /^model must be a model id/, yield* seal({}), auth],
        [400, /^messages must be a non-empty array of { role, content }$/,
          yield* seal({ model: "m", messages: [] }), auth],
        [413, /larger/, new Uint8Array(15 * 1024 * 1024), auth]
      ]
      for (const [status, reason, sent, sentHeaders] of cases) {
        const answer = yield* post(url, sent, sentHeaders)
        assert.strictEqual(answer.status, status, String(reason))
        assert.match(detail(answer), reason)
      }
      for (const { body_base64 } of Vectors.badResponses) {
        assert.strictEqual(
          (yield* post(url, Uint8Array.from(Buffer.from(body_base64, "base64")), auth)).status,
          400
        )
      }
      assert.strictEqual((yield* openAnswer(client, yield* post(url, body, auth))).choices.length, 1)
    }).pipe(Effect.provide(Servers.platform)))

  it.scopedLive("answers a body in chunks that is too large, when it has come to its end", () =>
    Effect.gen(function*() {
      const url = yield* Servers.router()
      const { headers } = yield* good
      const post = () =>
        new Promise<number | undefined>((resolve, reject) => {
          const request = Http.request(`${url}/v1/chat/secure_completion`, { method: "POST", headers })
          request.on("response", (response) => resolve(response.resume().statusCode)).on("error", reject)
          for (let sent = 0; sent < 40; sent++) request.write(Buffer.alloc(1024 * 1024))
          request.end()
        })
      const statuses = yield* Effect.forEach([1, 2, 3], () => Effect.promise(post))
      assert.deepStrictEqual(statuses, [413, 413, 413])
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
          ++calls > 1
            ? echo(request)
            : Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never).pipe(
              Effect.onInterrupt(() => Deferred.succeed(stopped, undefined))
            )
      })
      const { body, client, headers } = yield* good
      const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("")
      const { hostname, port } = new URL(url)
      const socket = Net.connect(Number(port), hostname).on("error", () => undefined)
      socket.write(
        `POST /v1/chat/secure_completion HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n${head}\r\n`
      )
      socket.write(body)
      yield* Deferred.await(asked)
      socket.destroy()
      yield* Deferred.await(stopped)
      const half = Net.connect(Number(port), hostname).on("error", () => undefined)
      half.write(
        `POST /v1/chat/secure_completion HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n${head}\r\nonly this`
      )
      half.destroySoon()
      assert.strictEqual((yield* openAnswer(client, yield* post(url, body, headers))).choices.length, 1)
    }).pipe(Effect.provide(Servers.platform)))

  it.scopedLive("lists its models, for those that it lets in", () =>
    Effect.gen(function*() {
      const url = yield* Servers.router({ apiKey: Redacted.make("right") })
      const get = (headers: HeadersInit) =>
        Effect.promise(() =>
          fetch(`${url}/v1/models`, { headers }).then(async (r) => ({ status: r.status,
            body: await r.json() })
          )
        )
      assert.strictEqual((yield* get({})).status, 401)
      const { body, status } = yield* get({ Authorization: "bearer right" })
      assert.deepInclude({ status, ...body }, { status: 200, object: "list" })
      assert.deepInclude(body.data[0], { id: "Qwen/Qwen3-0.6B", object: "model" })
      const own = yield* Servers.router({ model: () => Effect.succeed({}) })
      assert.strictEqual((yield* Effect.promise(() => fetch(`${own}/v1/models`))).status, 404)
    }))

  it.scopedLive("opens what is sealed to its key or to the one before", () =>
    Effect.gen(function*() {
      const { client, router } = yield* keys
      const other = yield* NodeKeyStore.loadKeyPair(Vectors.path("keys/client_4096.pem"))
      const app = yield* Router.make({
        keys: { publicKey: () => other.publicKey, privateKeys: () => [other.privateKey, router.privateKey] }
      })
      const url = yield* serve(app, { host: "127.0.0.1", port: 0 })
      const { headers } = yield* good
      for (const { publicKey } of [other, router]) {
        const answer = yield* post(url, yield* Envelope.seal(publicKey, text(hello)), headers)
        assert.strictEqual((yield* openAnswer(client, answer)).choices.length, 1)
      }
      const foreign = yield* post(url, yield* Envelope.seal(client.publicKey, text(hello)), headers)
      assert.deepStrictEqual({ status: foreign.status, detail: detail(foreign) }, {
        status: 400,
        detail: "The envelope could not be opened. Fetch the router's key again"
      })
    }).pipe(Effect.provide(Servers.platform)))

  it.scopedLive("logs nothing of what it opened, not even when the model breaks", () => {
    const lines: Array<string> = []
    const logger = Logger.make((options) => void lines.push(Logger.stringLogger.log(options)))
    return Effect.gen(function*() {
      const url = yield* Servers.router({
        model: ({ payload }) => Effect.die(new Error(JSON.stringify(payload)))
      })
      const { headers, seal } = yield* good
      const answer = yield* post(url,
        yield* seal({ model: "m", messages: [{ role: "user", content: "SENTINEL" }] }), headers)
      assert.deepStrictEqual([answer.status, detail(answer)], [500, "The router failed"])
      assert.isAtLeast(lines.length, 1)
      assert.notInclude(lines.join("\n"), "SENTINEL")
    }).pipe(Effect.provide(Layer.merge(Servers.platform, Logger.replace(Logger.defaultLogger, logger))))
  })

  it.scopedLive("answers without a network, as a Transport for other people's tests", () =>
    Effect.gen(function*() {
      const { router } = yield* keys
      const client = NomyoClient.layer({ keySize: 2048 }).pipe(
        Layer.provide(Layer.merge(Router.layerTransport({ keyPair: router }), KeyStore.layerMemory)),
        Layer.provide(Servers.platform)
      )
      const answer = yield* Effect.flatMap(NomyoClient.NomyoClient, (client) =>
        client.create({ model: "m", messages: [{ role: "user", content: "Hello!" }] })).pipe(
        Effect.provide(client)
      )
      assert.strictEqual(answer.choices[0]?.message.content, "You said: Hello!")
    }).pipe(Effect.provide(Servers.platform)))
})
