import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as NomyoClient from "../../src/NomyoClient.js"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as NodeTransport from "../../src/platform/node/NodeTransport.js"
import * as KeyConfiguration from "../../src/protocol2/KeyConfiguration.js"
import * as WebPrimitives from "../../src/protocol2/WebPrimitives.js"
import * as Transport from "../../src/Transport.js"
import { hello } from "../support/calls.js"
import { clientOf, router } from "../support/protocol2Router.js"
import * as Servers from "../support/servers.js"

const platform = Layer.merge(Servers.platform, NodePrimitives.layer)

const create = Effect.flatMap(NomyoClient.NomyoClient, (client) => client.create(hello))

const clients = [
  ["node:http and node:crypto", Layer.merge(NodeTransport.layer, NodePrimitives.layer)],
  ["fetch and WebCrypto", Layer.merge(Transport.layer, WebPrimitives.layer)]
] as const

describe.each(clients)("a client of protocol 2 on %s", (_, services) => {
  layer(Layer.provideMerge(services, platform), { excludeTestServices: true })((it) => {
    it.scoped("gets an answer, with its API key, tier and id inside", () =>
      Effect.gen(function*() {
        const { pin, url } = yield* router({ apiKey: Redacted.make("SENTINEL-KEY") })
        const wire = yield* Servers.wiretap(url)
        const answer = yield* Effect.flatMap(NomyoClient.NomyoClient, (client) =>
          client.create({ ...hello, security_tier: "high" })).pipe(
          Effect.provide(clientOf(wire.url, { apiKey: "SENTINEL-KEY", routerKeyConfigFingerprints: [pin] }))
        )
        assert.strictEqual(answer.choices[0]?.message.content, "You said: Hello!")
        assert.deepInclude(answer._metadata, { is_encrypted: true, security_tier: "high" })
        const bytes = wire.bytes().toString("latin1")
        for (const inside of ["SENTINEL", "Hello", "high", answer._metadata.payload_id]) {
          assert.notInclude(bytes, inside)
        }
        assert.notMatch(bytes, /authorization|x-payload-id|x-security-tier|pki/i)
      }))

    it.scoped("gets chunks as the model speaks, in order, with the usage at the end", () =>
      Effect.gen(function*() {
        const { url } = yield* router()
        const chunks = Array.from(
          yield* Effect.provide(Stream.runCollect(NomyoClient.stream(hello)), clientOf(url))
        )
        const words = chunks.flatMap(({ choices }) => choices[0]?.delta.content || [])
        assert.deepStrictEqual(words, ["You", " said:", " Hello!"])
        assert.deepInclude(chunks[0]?.["_metadata"], { is_encrypted: true })
        assert.strictEqual(chunks.at(-1)?.usage?.completion_tokens, 3)
      }))

    it.scoped("believes the router's errors, and says that it does", () =>
      Effect.gen(function*() {
        const { url } = yield* router({ apiKey: Redacted.make("right") })
        const refused = yield* Effect.flip(Effect.provide(create, clientOf(url, { apiKey: "wrong" })))
        assert.deepInclude(refused, { _tag: "AuthenticationError", authenticated: true, attempts: 1 })
        const busy = yield* Effect.flatMap(NomyoClient.NomyoClient, (client) =>
          client.create({ ...hello, model: "status/503" })).pipe(
          Effect.flip,
          Effect.provide(clientOf(url, { apiKey: "right" }))
        )
        assert.deepInclude(busy, { _tag: "ServiceUnavailableError", authenticated: true })
      }))

    it.scoped("sends nothing to a router whose keys are not pinned, or that has none", () =>
      Effect.gen(function*() {
        const { url } = yield* router()
        const pin = "0".repeat(64)
        const other = yield* Effect.flip(
          Effect.provide(create, clientOf(url, { routerKeyConfigFingerprints: [pin] }))
        )
        assert.deepInclude(other, { _tag: "SecurityError", reason: "router-key-pin" })
        assert.match(other.message, /has the fingerprint [0-9a-f]{64}.*, which is not in routerKeyConfigFing/)
        const methods: Array<string | undefined> = []
        const publicKey = new Uint8Array(32).fill(9)
        const configuration = KeyConfiguration.encode({ keyId: 1, kemId: 0x0020, publicKey })
        const changed = (at: number, value: number) =>
          KeyConfiguration.encodeList([configuration.map((byte, i) => i === at ? value : byte)])
        const keys = "application/ohttp-keys"
        const answers = [
          [200, "text/html", Buffer.from("Hello!")],
          [404, keys, new Uint8Array(0)],
          [200, keys, new Uint8Array(0)],
          [200, keys, changed(40, 3).subarray(1)],
          // another AEAD, and another KEM
          [200, keys, changed(40, 3)],
          [200, keys, changed(2, 0x10)]
        ] as const
        for (const [status, type, body] of answers) {
          const without = yield* Servers.httpServer((request, response) => {
            methods.push(request.method)
            response.writeHead(status, { "content-type": type }).end(body)
          })
          const none = yield* Effect.flip(Effect.provide(create, clientOf(without)))
          assert.deepInclude(none, { _tag: "SecurityError", reason: "router-key" })
        }
        assert.deepStrictEqual(methods, answers.map(() => "GET"))
      }))

    it.scoped("closes the model's stream when it leaves early", () =>
      Effect.gen(function*() {
        let ended = (): void => undefined
        const isEnded = new Promise<void>((resolve) => ended = resolve)
        const chunk = JSON.stringify({ choices: [{ index: 0, delta: { content: "on and on" } }] })
        const events = Stream.repeatValue(`data: ${chunk}\n\n`).pipe(
          Stream.schedule(Schedule.spaced("5 millis")),
          Stream.ensuring(Effect.sync(() => ended()))
        )
        const model = Object.assign(() => Effect.succeed({}), { stream: () => Effect.succeed(events) })
        const { url } = yield* router({ model })
        yield* Effect.provide(Stream.runHead(NomyoClient.stream(hello)), clientOf(url))
        yield* Effect.promise(() => isEnded)
      }))
  })
})
