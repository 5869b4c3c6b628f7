import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as TestClock from "effect/TestClock"
import * as Crypto from "../../src/Crypto.js"
import * as NomyoConfig from "../../src/NomyoConfig.js"
import { APIConnectionError } from "../../src/NomyoError.js"
import * as RouterKey from "../../src/RouterKey.js"
import * as TestCrypto from "../../src/TestCrypto.js"
import * as Transport from "../../src/Transport.js"
import * as Mocks from "../support/mocks.js"

const config = { baseUrl: "https://router.test", routerKeyFingerprints: [] as Array<string>,
  routerKeyTtl: Duration.hours(1), timeout: Duration.minutes(1) }

const setup = () => {
  const router = Mocks.scripted(() => Effect.never)
  return { router: router.state, layer: Layer.provideMerge(router.layer, TestCrypto.layer) }
}

const pem = new TextEncoder().encode("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")

const fingerprint = (self: RouterKey.Service) => Effect.map(self.get, ({ key }) => key.fingerprint)

describe("RouterKey", () => {
  it.effect("asks the router that is configured, and takes no more than a key is long", () => {
    const requests: Array<Transport.Request> = []
    const noting = Layer.succeed(Transport.Transport, {
      open: () => Effect.never,
      send: (request) => Effect.as(Effect.sync(() => requests.push(request)), pem)
    })
    return Effect.gen(function*() {
      const layer = RouterKey.layer(yield* NomyoConfig.make({ baseUrl: config.baseUrl }))
      assert.match(yield* Effect.provide(Effect.flatMap(RouterKey.RouterKey, fingerprint), layer),
        /^[0-9a-f]{64}$/)
      assert.deepStrictEqual(requests, [{ method: "GET", url: "https://router.test/pki/public_key",
        headers: {}, maxResponseBytes: 65_536 }])
    }).pipe(Effect.provide(Layer.merge(noting, TestCrypto.layer)))
  })

  it("has a name of its own among the services", () => {
    assert.strictEqual(RouterKey.RouterKey.key, "nomyo-js/RouterKey")
  })

  it.scoped("fetches once for concurrent callers, and caches the key for an hour", () => {
    const { layer, router } = setup()
    return Effect.gen(function*() {
      const self = yield* RouterKey.make(config)
      const first = yield* Effect.all(Array.from({ length: 10 }, () => fingerprint(self)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(first).size, 1)
      yield* TestClock.adjust("47 minutes")
      yield* self.get
      assert.strictEqual(router.keyFetches, 1)
      yield* TestClock.adjust("2 hours")
      router.routerKey = "another"
      assert.notStrictEqual(yield* fingerprint(self), first[0])
      assert.strictEqual(router.keyFetches, 2)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("fetches once for callers whose fibers start synchronously", () => {
    const { layer, router } = setup()
    return Effect.gen(function*() {
      const self = yield* RouterKey.make(config)
      const runtime = yield* Effect.runtime<never>()
      const keys = Array.from({ length: 10 },
        (_, i) => Runtime.runFork(runtime)(i % 2 === 0 ? self.get : self.refetch))
      assert.strictEqual(new Set(yield* Fiber.join(Fiber.all(keys))).size, 1)
      assert.strictEqual(router.keyFetches, 1)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("shares a request while an abandoned one has not ended yet", () => {
    let requests = 0
    const transport = Layer.succeed(Transport.Transport, {
      open: () => Effect.never,
      send: () =>
        Effect.suspend(() => ++requests === 1
          ? Effect.onInterrupt(Effect.never, () => Effect.sleep("5 seconds"))
          : Effect.as(Effect.sleep("20 seconds"), pem))
    })
    return Effect.gen(function*() {
      const self = yield* RouterKey.make(config)
      const first = yield* Effect.fork(self.get)
      yield* TestClock.adjust("1 second")
      yield* Effect.fork(Fiber.interrupt(first))
      yield* TestClock.adjust("1 second")
      const second = yield* Effect.fork(self.get)
      yield* TestClock.adjust("10 seconds")
      const third = yield* Effect.fork(self.get)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(second), yield* Fiber.join(third))
      assert.strictEqual(requests, 2)
    }).pipe(Effect.provide(Layer.provideMerge(transport, TestCrypto.layer)))
  })

  it.scoped("refreshes a key in use before it expires, without delaying a caller", () => {
    const { layer, router } = setup()
    return Effect.gen(function*() {
      const self = yield* RouterKey.make(config)
      const first = yield* fingerprint(self)
      router.routerKey = "another"
      yield* TestClock.adjust("50 minutes")
      assert.strictEqual(yield* fingerprint(self), first)
      yield* TestClock.adjust(0)
      assert.strictEqual(router.keyFetches, 2)
      assert.notStrictEqual(yield* fingerprint(self), first)
      router.keyFailure = new APIConnectionError({ reason: "network", message: "gone" })
      yield* TestClock.adjust("50 minutes")
      yield* self.get
      yield* TestClock.adjust(0)
      assert.strictEqual(router.keyFetches, 3)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("refreshes at 80 % of its lifetime, and blocks callers once it has expired", () => {
    const { layer, router } = setup()
    return Effect.gen(function*() {
      const self = yield* RouterKey.make(config)
      const first = yield* fingerprint(self)
      router.routerKey = "another"
      yield* TestClock.adjust(Duration.subtract(Duration.minutes(48), 1))
      yield* self.get
      yield* TestClock.adjust(0)
      assert.strictEqual(router.keyFetches, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* fingerprint(self), first)
      yield* TestClock.adjust(0)
      assert.strictEqual(router.keyFetches, 2)
      router.routerKey = "a third"
      const second = yield* fingerprint(self)
      yield* TestClock.adjust("1 hour")
      assert.notStrictEqual(yield* fingerprint(self), second)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("remembers no failure", () => {
    const { layer, router } = setup()
    return Effect.gen(function*() {
      const self = yield* RouterKey.make(config)
      router.keyFailure = new APIConnectionError({ reason: "network", message: "gone" })
      const failures = yield* Effect.all(Array.from({ length: 3 }, () => Effect.flip(self.get)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(failures.map(({ _tag }) => _tag), ["APIConnectionError", "APIConnectionError",
        "APIConnectionError"])
      assert.strictEqual(router.keyFetches, 1)
      router.keyFailure = undefined
      yield* self.get
      assert.strictEqual(router.keyFetches, 2)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("keeps the fetch when one caller is interrupted, and stops it when none is left", () => {
    let fetches = 0
    let stopped = 0
    const slow = Layer.succeed(Transport.Transport, {
      open: () => Effect.never,
      send: () =>
        Effect.suspend(() => {
          fetches++
          return Effect.as(Effect.sleep("5 seconds"), pem)
        }).pipe(Effect.onInterrupt(() => Effect.sync(() => void stopped++)))
    })
    return Effect.gen(function*() {
      const self = yield* RouterKey.make(config)
      const first = yield* Effect.fork(self.get)
      const second = yield* Effect.fork(self.get)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("4 seconds")
      yield* Fiber.join(second)
      assert.deepStrictEqual({ fetches, stopped }, { fetches: 1, stopped: 0 })
      const third = yield* Effect.fork(self.refetch)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(third)
      assert.deepStrictEqual({ fetches, stopped }, { fetches: 2, stopped: 1 })
    }).pipe(Effect.provide(Layer.merge(slow, TestCrypto.layer)))
  })

  it.scoped("ends a fetch that hangs, for waiting callers and for later ones", () => {
    let fetches = 0
    const hanging = Layer.succeed(Transport.Transport, {
      open: () => Effect.never,
      send: () => Effect.suspend(() => ++fetches === 2 ? Effect.never : Effect.succeed(pem))
    })
    return Effect.gen(function*() {
      const self = yield* RouterKey.make(config)
      yield* self.get
      yield* TestClock.adjust("50 minutes")
      yield* self.get
      const waiting = yield* Effect.fork(Effect.flip(self.refetch))
      yield* TestClock.adjust("30 minutes")
      assert.deepInclude(yield* Fiber.join(waiting), {
        _tag: "APIConnectionError",
        reason: "timeout",
        message:
          "The router did not send its public key within 1m. Check baseUrl and the network, or raise timeout"
      })
      yield* self.get
      assert.strictEqual(fetches, 3)
    }).pipe(Effect.provide(Layer.merge(hanging, TestCrypto.layer)))
  })

  it.scoped("caches no key for longer when the clock is set back", () => {
    const { layer, router } = setup()
    return Effect.gen(function*() {
      yield* TestClock.setTime(1_000_000)
      const self = yield* RouterKey.make(config)
      yield* self.get
      yield* TestClock.setTime(0)
      yield* self.get
      assert.strictEqual(router.keyFetches, 2)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("caches no key that is too long to be used", () => {
    const { layer } = setup()
    let modulusLength = 8193
    const choosy = Layer.map(layer, (context) => {
      const crypto = Context.get(context, Crypto.Crypto)
      return Context.add(context, Crypto.Crypto, {
        ...crypto,
        importPublicKey: (pem) =>
          Effect.map(crypto.importPublicKey(pem), (key) => ({ ...key, modulusLength }))
      })
    })
    return Effect.gen(function*() {
      const self = yield* RouterKey.make(config)
      assert.deepInclude(yield* Effect.flip(self.get), {
        _tag: "SecurityError",
        reason: "router-key",
        message: "The router's public key is longer than 8192 bits. Check baseUrl"
      })
      modulusLength = 8192
      assert.match(yield* fingerprint(self), /^[0-9a-f]{64}$/)
    }).pipe(Effect.provide(choosy))
  })

  it.scoped("accepts a pinned key, and no other", () => {
    const { layer, router } = setup()
    return Effect.gen(function*() {
      const pin = yield* Effect.scoped(Effect.flatMap(RouterKey.make(config), fingerprint))
      const transport = yield* Transport.Transport
      const pinned: Array<boolean | undefined> = []
      const self = yield* RouterKey.make({ ...config, routerKeyFingerprints: ["0".repeat(64), pin] }).pipe(
        Effect.provideService(Transport.Transport, { ...transport, send: (request) => {
          pinned.push(request.isKeyPinned)
          return transport.send(request)
        } })
      )
      assert.strictEqual(yield* fingerprint(self), pin)
      assert.deepStrictEqual(pinned, [true])
      router.routerKey = "another"
      const error = yield* Effect.flip(self.refetch)
      assert.deepInclude(error, { _tag: "SecurityError", reason: "router-key-pin" })
      // whoever pins has to compare it with the key that the router's owner tells
      const { key } = yield* Effect.scoped(Effect.flatMap(RouterKey.make(config), ({ get }) => get))
      assert.include(error.message,
        `has the fingerprint ${key.fingerprint}, which is not in routerKeyFingerprints`)
      assert.strictEqual(yield* fingerprint(self), pin)
    }).pipe(Effect.provide(layer))
  })
})
