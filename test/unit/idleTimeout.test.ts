/** The longest silence within a streamed answer, over a protocol that is a script. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as KeyRing from "../../src/KeyRing.js"
import * as KeyStore from "../../src/KeyStore.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import * as NomyoConfig from "../../src/NomyoConfig.js"
import * as Protocol from "../../src/Protocol.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as TestCrypto from "../../src/TestCrypto.js"
import { hello, timed } from "../support/calls.js"

const services = Layer.provideMerge(
  KeyStore.layerMemory,
  Layer.merge(TestCrypto.layer, SecureMemory.layer)
)

/** A protocol whose answers have signs of life so many seconds apart. */
const protocolOf = (silences: ReadonlyArray<number>) => {
  const left = [...silences]
  const pull = Effect.suspend(() => {
    const silence = left.shift()
    return silence === undefined
      ? Effect.succeed(undefined)
      : Effect.delay(Effect.succeed([]), `${silence} seconds`)
  })
  const router: Protocol.Router = { create: () => Effect.never, stream: () => Effect.succeed({ pull }) }
  return { streams: true, router, routerAt: () => Effect.succeed(router) }
}

/** The exit of a stream, and when it came. */
const streamed = (
  silences: ReadonlyArray<number>,
  options: NomyoConfig.Options,
  callOptions?: NomyoClient.RequestOptions
) =>
  Effect.gen(function*() {
    const config = yield* NomyoConfig.make(options)
    const client = yield* Effect.provide(NomyoClient.make(config), KeyRing.layer(config)).pipe(
      Effect.provideService(Protocol.Protocol, protocolOf(silences))
    )
    return yield* timed(Stream.runDrain(NomyoClient.stream(hello, callOptions)).pipe(
      Effect.provideService(NomyoClient.NomyoClient, client)
    ))
  }).pipe(Effect.scoped, Effect.provide(services))

describe("idleTimeout", () => {
  it.effect.each([
    ["60 seconds by default", {}, undefined, 60_000, "1m"],
    ["the client's", { idleTimeout: "20 seconds" }, undefined, 20_000, "20s"],
    ["the call's before the client's", { idleTimeout: "20 seconds" }, { idleTimeout: 500 }, 500, "500ms"]
  ] as const)("is %s", ([, options, callOptions, millis, shown]) =>
    Effect.gen(function*() {
      const { at, exit } = yield* streamed([0, 1000], { ...options, timeout: "1 hour" }, callOptions)
      const error = yield* Effect.flip(exit)
      assert.deepInclude(error, { _tag: "APIConnectionError", reason: "timeout" })
      assert.strictEqual(error.message,
        `The router was silent for ${shown} within an answer. Try again, or raise idleTimeout`)
      assert.strictEqual(at, millis)
    }))

  it.effect("begins again at each sign of life, however long the answer takes", () =>
    Effect.gen(function*() {
      const silences = Array.from({ length: 50 }, () => 15)
      const { at, exit } = yield* streamed(silences, { idleTimeout: "16 seconds", timeout: "1 second" })
      assert.strictEqual(exit._tag, "Success")
      assert.strictEqual(at, 750_000)
    }))

  it.effect.each<unknown>([0, -1, "soon"])("of %s for a call is refused by its name", (idleTimeout) =>
    Effect.gen(function*() {
      const { exit } = yield* streamed([0], {}, { idleTimeout } as NomyoClient.RequestOptions)
      const error = yield* Effect.flip(exit)
      assert.strictEqual(error._tag, "InvalidRequestError")
      assert.match(error.message, /^idleTimeout must be a time of more than 0/)
    }))
})
