import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { httpDate } from "../../src/internal/codecs/httpDate.js"
import { fromStatus } from "../../src/internal/errors.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import { type NomyoError, SecurityError } from "../../src/NomyoError.js"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as NodeTransport from "../../src/platform/node/NodeTransport.js"
import * as BinaryHttp from "../../src/protocol2/BinaryHttp.js"
import * as Hpke from "../../src/protocol2/Hpke.js"
import * as ObliviousHttp from "../../src/protocol2/ObliviousHttp.js"
import { type Aead, Primitives } from "../../src/protocol2/Primitives.js"
import { readAll } from "../../src/protocol2/SealedExchange.js"
import * as WebPrimitives from "../../src/protocol2/WebPrimitives.js"
import * as GatewayKeys from "../../src/router/GatewayKeys.js"
import * as ObliviousGateway from "../../src/router/ObliviousGateway.js"
import * as ReplayStore from "../../src/router/ReplayStore.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import { hello } from "../support/calls.js"
import { isZero } from "../support/cryptos.js"
import { clientOf, router } from "../support/protocol2Router.js"
import * as Servers from "../support/servers.js"

const text = (value: string) => Uint8Array.from(Buffer.from(value))
const broken = Effect.fail(new SecurityError({ reason: "envelope", message: "broken" }))

/** Primitives that keep what they open. */
const spied = (layer: Layer.Layer<Primitives>, opened: Array<Uint8Array>) =>
  Layer.map(layer, (context) => {
    const primitives = Context.get(context, Primitives)
    return Context.make(Primitives, {
      ...primitives,
      aesGcm: (key) =>
        Effect.map(primitives.aesGcm(key), (aead) => ({
          ...aead,
          open: (...sealed) =>
            Effect.tap(aead.open(...sealed), (bytes) => Effect.sync(() => opened.push(bytes)))
        }))
    })
  })

const assertGone = (opened: ReadonlyArray<Uint8Array>, secret: string) => {
  assert.isNotEmpty(opened)
  assert.deepStrictEqual(opened.map((bytes) => Buffer.from(bytes).includes(secret)), opened.map(() => false))
}

describe("the secrets of an exchange of protocol 2", () => {
  for (const [end, last] of [["is made", Effect.succeed(text("last"))], ["fails", broken]] as const) {
    it.effect(`are zeroed, with the one they are made of, when the last ${end}`, () =>
      Effect.gen(function*() {
        const [prk, first] = [text("prk"), text("first")]
        const derived = Hpke.derive(Effect.succeed(prk), [() => Effect.succeed(first), () => last])
        yield* Effect.exit(Effect.scoped(derived))
        assert.isTrue(isZero(prk) && isZero(first))
      }).pipe(Effect.provide(SecureMemory.layer)))
  }
})

describe("the content of an answer of protocol 2", () => {
  for (const [end, last] of [["ends", Effect.succeed(undefined)], ["breaks", broken],
    ["is interrupted", Effect.never]] as const) {
    it.effect(`is zeroed when it ${end}`, () =>
      Effect.gen(function*() {
        const [first, second] = [text("first"), text("second")]
        const pulls: Array<Effect.Effect<ReadonlyArray<typeof first> | undefined, SecurityError>> = [
          Effect.succeed([first]),
          Effect.succeed([second]),
          last
        ]
        const pull = Effect.suspend(() => pulls.shift()!)
        const reading = yield* Effect.fork(Effect.scoped(readAll({ status: 200, headers: {}, pull })))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(reading)
        assert.deepStrictEqual([pulls.length, isZero(first), isZero(second)], [0, true, true])
      }).pipe(Effect.provide(SecureMemory.layer)))
  }
})

const platforms = [
  ["node:crypto", NodePrimitives.layer],
  ["WebCrypto", WebPrimitives.layer]
] as const

const HEAD = { method: "POST", scheme: "https", authority: "r", path: "/v1/chat/completions" }
const head = Effect.sync(() =>
  BinaryHttp.encodeRequestHead({ ...HEAD, headers: { date: httpDate(Date.now()) } }))
const content = BinaryHttp.encodeContent(text("SENTINEL"))

/** A request to a gateway, made of what `chunks` seals, and the gateway's answer. */
const ask = Effect.fnUntraced(function*(
  chunks: (request: ObliviousHttp.Sealer) => Effect.Effect<ReadonlyArray<Uint8Array>, SecurityError>,
  rest: Stream.Stream<Uint8Array> = Stream.empty,
  statusCode?: number
) {
  const privateKey = new Uint8Array(32).fill(9)
  const { publicKey } = yield* Effect.flatMap(Primitives, ({ importKeyPair }) => importKeyPair(privateKey))
  const client = yield* ObliviousHttp.client({ keyId: 1, kem: Hpke.x25519, aeadId: Hpke.AES_256_GCM,
    publicKey })
  const stored = [{ keyId: 1, kemId: 0x0020 as const, startsAt: 0, privateKey }]
  const app = yield* ObliviousGateway.make({
    keys: yield* GatewayKeys.make({
      storage: { ...GatewayKeys.inMemory, load: Effect.succeed(stored) },
      keysAhead: 0,
      life: "100000 days"
    }),
    replayStore: { ...yield* ReplayStore.makeMemory(), remembersSince: Number.NEGATIVE_INFINITY },
    authorize: () =>
      statusCode === undefined ? Effect.void : Effect.fail(fromStatus({ statusCode, message: "no" })),
    answer: () => Effect.succeed({ _tag: "Whole", json: text("{}") })
  })
  const body = Stream.concat(Stream.make(client.header, ...yield* chunks(client.request)), rest)
  const headers = { "content-type": ObliviousHttp.requestType }
  const request = HttpServerRequest.fromWeb(new Request("http://r", { method: "POST", headers }))
  const streamed = Object.create(request, { stream: { value: body } }) as typeof request
  return yield* Effect.provideService(app, HttpServerRequest.HttpServerRequest, streamed)
})

/** A request in one chunk, which is its last. */
const whole = (request: ObliviousHttp.Sealer) =>
  Effect.flatMap(head, (head) =>
    Effect.map(request.final(Buffer.concat([head, content, BinaryHttp.encodeEnd()]) as never), (it) => [it]))

/** A request's head and content, and no end. */
const begun = (request: ObliviousHttp.Sealer) =>
  Effect.flatMap(head, (head) => Effect.forEach([head, content], request.chunk))

const noise = Effect.succeed(new Uint8Array(17).fill(0x11))

describe.each(platforms)("a gateway of protocol 2 on %s", (_, primitives) => {
  const layer = (opened: Array<Uint8Array>) => Layer.merge(spied(primitives, opened), SecureMemory.layer)
  const cases = [
    ["answered", 200, ask(whole)],
    ["cut within its head", 200, ask((request) =>
      Effect.flatMap(head, (head) =>
        Effect.zipWith(
          Effect.forEach([head.subarray(0, -1), Buffer.concat([head.subarray(-1), content]) as never],
            request.chunk),
          request.final(BinaryHttp.encodeEnd()),
          (chunks, last) => [...chunks, last]
        )))],
    ["refused", 200, ask(whole, Stream.empty, 401)],
    ["cut short", 400, ask(begun)],
    ["broken", 400, ask((request) => Effect.zipWith(begun(request), noise, (good, bad) => [...good, bad]))],
    ["broken within one write", 400, ask((request) =>
      Effect.zipWith(begun(request), noise, (good, bad) => [Buffer.concat([...good, bad])]))],
    ["malformed", 400, ask((request) =>
      Effect.flatMap(head, (head) =>
        Effect.forEach([head, Buffer.concat([content, Buffer.from([0, 9])]) as never], request.chunk)))]
  ] as const
  for (const [end, status, effect] of cases) {
    it.live(`keeps nothing of a request that is ${end}`, () => {
      const opened: Array<Uint8Array> = []
      return Effect.gen(function*() {
        const response = yield* Effect.scoped(effect)
        assert.strictEqual(response.status, status)
        assertGone(opened, "SENTINEL")
      }).pipe(Effect.provide(layer(opened)))
    })
  }

  it.live("keeps nothing of a request that is interrupted", () => {
    const opened: Array<Uint8Array> = []
    return Effect.gen(function*() {
      const asking = yield* Effect.fork(Effect.scoped(ask(begun, Stream.never)))
      while (opened.length < 2) yield* Effect.sleep(1)
      yield* Effect.sleep(1)
      yield* Fiber.interrupt(asking)
      assertGone(opened, "SENTINEL")
    }).pipe(Effect.provide(layer(opened)))
  })
})

/** Primitives that take a while to open, as WebCrypto may, and keep what they have opened. */
const slow = (opened: Array<Uint8Array>) =>
  Layer.map(WebPrimitives.layer, (context) => {
    const primitives = Context.get(context, Primitives)
    const open = async (sealed: ReturnType<Aead["open"]>) => {
      const bytes = await Effect.runPromise(sealed)
      opened.push(bytes)
      await new Promise((resolve) => setTimeout(resolve, 20))
      return bytes
    }
    return Context.make(Primitives, {
      ...primitives,
      aesGcm: (key) =>
        Effect.map(primitives.aesGcm(key), (aead) => ({
          ...aead,
          open: (...sealed) => Effect.promise(() => open(aead.open(...sealed)))
        }))
    })
  })

for (const [part, chunks, count] of [["a chunk", begun, 2], ["the last chunk", whole, 1]] as const) {
  it.live(`a gateway keeps nothing of ${part} that is being opened when the request is interrupted`, () => {
    const opened: Array<Uint8Array> = []
    return Effect.gen(function*() {
      const asking = yield* Effect.fork(Effect.scoped(ask(chunks)))
      while (opened.length < count) yield* Effect.sleep(1)
      yield* Fiber.interrupt(asking)
      yield* Effect.sleep(30)
      assertGone(opened, "SENTINEL")
    }).pipe(Effect.provide(Layer.merge(slow(opened), SecureMemory.layer)))
  })
}

describe.each(platforms)("a client of protocol 2 on %s", (_, primitives) => {
  const calls: { readonly [name: string]: Effect.Effect<unknown, NomyoError, NomyoClient.NomyoClient> } = {
    "a whole": Effect.flatMap(NomyoClient.NomyoClient, (client) => client.create(hello)),
    "a streamed": Stream.runDrain(NomyoClient.stream(hello)),
    "an abandoned": Stream.runHead(NomyoClient.stream(hello))
  }
  for (const [name, call] of Object.entries(calls)) {
    it.live(`keeps nothing of ${name} answer`, () => {
      const opened: Array<Uint8Array> = []
      return Effect.gen(function*() {
        const { url } = yield* router()
        const client = Layer.provide(clientOf(url), [spied(primitives, opened), NodeTransport.layer])
        yield* Effect.provide(call, client)
        assertGone(opened, "choices")
      }).pipe(Effect.scoped, Effect.provide(Layer.merge(Servers.platform, NodePrimitives.layer)))
    })
  }
})
