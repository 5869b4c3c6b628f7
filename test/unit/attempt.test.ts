import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Duration from "effect/Duration"
import * as TestClock from "effect/TestClock"
import * as Crypto from "../../src/Crypto.js"
import * as KeyStore from "../../src/KeyStore.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import { fromStatus } from "../../src/internal/errors.js"
import { APIConnectionError } from "../../src/NomyoError.js"
import * as RouterKey from "../../src/RouterKey.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as TestCrypto from "../../src/TestCrypto.js"
import * as Transport from "../../src/Transport.js"
import { hello, create, ok, status, timed } from "../support/calls.js"
import * as Mocks from "../support/mocks.js"

describe("attempt", () => {
  it.effect("bounds every attempt by the timeout, the router's key included", () => {
    const silent = Mocks.scripted(() => Effect.never)
    const mute = Layer.succeed(Transport.Transport, { open: () => Effect.never, send: () => Effect.never })
    return Effect.gen(function*() {
      const one = yield* timed(Effect.flip(create(hello, { timeout: "5 seconds", maxRetries: 0 }))).pipe(
        Effect.provide(Mocks.client(silent.layer))
      )
      assert.deepInclude(Exit.getOrElse(one.exit, () => undefined), { _tag: "APIConnectionError",
        reason: "timeout",
        message: "The router did not answer within 5s. Raise timeout for long answers" })
      assert.strictEqual(one.at, 5000)
      const two = yield* timed(Effect.flip(create(hello))).pipe(
        Effect.provide(Mocks.client(mute, { timeout: 2000, maxRetries: 0 }))
      )
      assert.deepInclude(Exit.getOrElse(two.exit, () => undefined), { reason: "timeout", attempts: 1 })
      assert.strictEqual(two.at - 3_600_000, 2000)
    })
  })

  it.effect("gives the request what the router's key has left of the timeout", () => {
    const slowKey = Mocks.scripted(() => Effect.never)
    const delayed = Layer.map(slowKey.layer, (context) => {
      const transport = Context.get(context, Transport.Transport)
      return Context.make(Transport.Transport, { open: () => Effect.never,
        send: (request) => Effect.delay(transport.send(request), "3 seconds") })
    })
    return Effect.gen(function*() {
      const { at, exit } = yield* timed(Effect.flip(create(hello, { timeout: "5 seconds", maxRetries: 0 })))
      assert.deepInclude(Exit.getOrElse(exit, () => undefined), { reason: "timeout" })
      assert.strictEqual(at, 5000)
    }).pipe(Effect.provide(Mocks.client(delayed)))
  })

  it.effect("does not count the client's key generation, and fetches the router's key meanwhile", () => {
    const router = Mocks.scripted(() => ok)
    const slowCrypto = Layer.map(TestCrypto.layer, (context) => {
      const crypto = Context.get(context, Crypto.Crypto)
      return Context.make(Crypto.Crypto, {
        ...crypto,
        generateKeyPair: (bits) =>
          Effect.zipRight(
            Effect.sleep("30 seconds"),
            Effect.tap(crypto.generateKeyPair(bits), () => assert.strictEqual(router.state.keyFetches, 1))
          )
      })
    })
    const client = NomyoClient.layer({ timeout: "1 second" }).pipe(
      Layer.provide(Layer.merge(router.layer, KeyStore.layerMemory)),
      Layer.provide(Layer.merge(slowCrypto, SecureMemory.layer))
    )
    return Effect.gen(function*() {
      const { at, exit } = yield* timed(create(hello))
      assert.isTrue(Exit.isSuccess(exit))
      assert.strictEqual(at, 30_000)
    }).pipe(Effect.provide(client))
  })

  it.effect("seals again, once, for a router that has changed its key and answers 400", () => {
    const router = Mocks.scripted((n) => n === 2 ? status(400) : ok)
    return Effect.gen(function*() {
      yield* create(hello)
      yield* TestClock.adjust("1 minute")
      router.state.routerKey = "router key 2"
      yield* create(hello)
      assert.strictEqual(router.state.keyFetches, 2)
      const keys = router.state.sent.map(({ body }) => {
        const { encrypted_aes_key } = JSON.parse(new TextDecoder().decode(body)) as {
          encrypted_aes_key: string
        }
        return Buffer.from(encrypted_aes_key, "base64").toString()
      })
      assert.deepStrictEqual(keys, ["router key 1", "router key 1", "router key 2"])
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("reports a 400 as it is when the router's key is still the same, or was fresh", () => {
    const router = Mocks.scripted(() => status(400))
    return Effect.gen(function*() {
      const fresh = yield* Effect.flip(create(hello))
      assert.deepStrictEqual(
        { _tag: fresh._tag, keyFetches: router.state.keyFetches, sent: router.state.sent.length },
        { _tag: "InvalidRequestError", keyFetches: 1, sent: 1 }
      )
      yield* TestClock.adjust("1 minute")
      const same = yield* Effect.flip(create(hello))
      assert.deepStrictEqual(
        { _tag: same._tag, keyFetches: router.state.keyFetches, sent: router.state.sent.length },
        { _tag: "InvalidRequestError", keyFetches: 2, sent: 2 }
      )
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("looks for another key after a 400 although it fetched this one, if it waited for the rate limit since", () => {
    const router = Mocks.scripted((n) => n === 65 ? status(400) : Effect.delay(ok, "5 seconds"))
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(
        Effect.forEach(Array.from({ length: 65 }), () => create(hello), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("2 seconds")
      router.state.routerKey = "another"
      yield* TestClock.adjust("8 seconds")
      assert.lengthOf(yield* Fiber.join(fiber), 65)
      assert.deepStrictEqual(
        { keyFetches: router.state.keyFetches, sent: router.state.sent.length },
        { keyFetches: 2, sent: 66 }
      )
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("reports a 400 as it is when the router's key cannot be had, and a new key that is not pinned as unsafe", () => {
    const router = Mocks.scripted((n) => n === 1 ? ok : status(400))
    const pin = Effect.flatMap(
      Effect.provide(
        RouterKey.make({ baseUrl: "https://router.test", routerKeyFingerprints: [],
          routerKeyTtl: Duration.hours(1), timeout: Duration.minutes(1) }),
        Layer.provideMerge(router.layer, TestCrypto.layer)
      ),
      (self) => self.get
    )
    return Effect.gen(function*() {
      const { key } = yield* Effect.scoped(pin)
      yield* Effect.gen(function*() {
        yield* create(hello)
        yield* TestClock.adjust("1 minute")
        router.state.keyFailure = fromStatus({ statusCode: 500, message: "down" })
        assert.deepInclude(yield* Effect.flip(create(hello)), { _tag: "InvalidRequestError", attempts: 1 })
        router.state.keyFailure = undefined
        router.state.routerKey = "another"
        assert.deepInclude(yield* Effect.flip(create(hello)), { _tag: "SecurityError",
          reason: "router-key-pin", attempts: 1 })
      }).pipe(Effect.provide(Mocks.client(router.layer, { routerKeyFingerprints: [key.fingerprint] })))
    })
  })

  it.effect("tries again when the connection is lost while it looks for another key", () => {
    const router = Mocks.scripted((n) => {
      if (n !== 2) return ok
      router.state.keyFailure = new APIConnectionError({ reason: "network", message: "gone" })
      return status(400)
    })
    return Effect.gen(function*() {
      yield* create(hello)
      yield* TestClock.adjust("1 minute")
      const fiber = yield* Effect.fork(create(hello))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).model, "m")
      assert.deepStrictEqual(
        { keyFetches: router.state.keyFetches, sent: router.state.sent.length },
        { keyFetches: 2, sent: 3 }
      )
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })
})
