// Tests code that uses the client: no network, disk or real keys, and a clock that the test controls.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { KeyStore, NomyoClient, NomyoError, SecureMemory, TestCrypto } from "nomyo-js/effect"
import { type Model, Router } from "nomyo-js/router"

/** The code under test. */
const summarise = (text: string) =>
  Effect.gen(function*() {
    const client = yield* NomyoClient.NomyoClient
    const answer = yield* client.create({ model: "m",
      messages: [{ role: "user", content: `Summarise: ${text}` }] })
    return answer.choices[0]?.message.content ?? ""
  })

/** The client over mock layers: a router in this process with a model that the test brings. */
const clientWith = (model?: Model.Model) =>
  NomyoClient.layer().pipe(
    Layer.provide([Router.layerTransport({ model }), KeyStore.layerMemory]),
    Layer.provide([TestCrypto.layer, SecureMemory.layer])
  )

describe("summarise", () => {
  it.effect("asks the model for a summary", () =>
    Effect.gen(function*() {
      const summary = yield* summarise("a long story")
      assert.strictEqual(summary, "You said: Summarise: a long story")
    }).pipe(Effect.provide(clientWith())))

  it.effect("waits for a busy router, without real time", () => {
    let calls = 0
    const busyTwice: Model.Model = () =>
      ++calls <= 2
        ? Effect.fail(new NomyoError.RateLimitError({ message: "slow down", retryAfter: 30_000 }))
        : Effect.succeed({ choices: [{ index: 0, message: { role: "assistant", content: "short" } }] })
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(summarise("a long story"))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), "short")
      assert.strictEqual(calls, 3)
    }).pipe(Effect.provide(clientWith(busyTwice)))
  })

  it.effect("fails with what the router says", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(summarise("a long story"))
      assert.strictEqual(error._tag, "AuthenticationError")
    }).pipe(
      Effect.provide(clientWith(() => Effect.fail(new NomyoError.AuthenticationError({ message: "no" }))))
    ))
})
