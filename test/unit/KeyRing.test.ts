import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Crypto from "../../src/Crypto.js"
import { BackgroundClock } from "../../src/internal/fibers/backgroundClock.js"
import * as KeyRing from "../../src/KeyRing.js"
import * as NomyoConfig from "../../src/NomyoConfig.js"
import { SecurityError } from "../../src/NomyoError.js"
import * as TestCrypto from "../../src/TestCrypto.js"
import { day, never, setup, fingerprint } from "../support/keyRing.js"
import * as Lent from "../support/lent.js"

describe("KeyRing", () => {
  it.scoped("does nothing until the first lease, then makes one pair for concurrent callers", () => {
    const { keys, layer, ring, store } = setup(never, { delay: "2 seconds" })
    return Effect.gen(function*() {
      const self = yield* ring
      yield* TestClock.adjust("3 days")
      assert.deepStrictEqual({ generated: keys.generated, loads: store.loads }, { generated: 0, loads: 0 })
      const leases = yield* Effect.fork(
        Effect.all(Array.from({ length: 20 }, () => fingerprint(self)), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(new Set(yield* Fiber.join(leases)).size, 1)
      assert.deepStrictEqual(
        { generated: keys.generated, loads: store.loads, saves: store.saves.length },
        { generated: 1, loads: 1, saves: 1 }
      )
    }).pipe(Effect.provide(layer))
  })

  it.scoped("makes one pair for callers whose fibers start synchronously", () => {
    const { keys, layer, ring, store } = setup(never, { delay: "2 seconds" })
    return Effect.gen(function*() {
      const self = yield* ring
      const runtime = yield* Effect.runtime<never>()
      const leases = Array.from({ length: 20 }, () => Runtime.runFork(runtime)(fingerprint(self)))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(new Set(yield* Fiber.join(Fiber.all(leases))).size, 1)
      assert.deepStrictEqual({ generated: keys.generated, loads: store.loads }, { generated: 1, loads: 1 })
    }).pipe(Effect.provide(layer))
  })

  it.scoped("loads what was stored and makes nothing", () => {
    const { keys, layer, ring, store } = setup()
    return Effect.gen(function*() {
      const first = yield* Effect.scoped(Effect.flatMap(ring, fingerprint))
      const self = yield* ring
      const events = yield* self.events
      assert.strictEqual(yield* fingerprint(self), first)
      assert.deepStrictEqual(yield* Queue.take(events), { _tag: "Loaded", fingerprint: first })
      assert.deepStrictEqual(
        { generated: keys.generated, loads: store.loads, saves: store.saves.length },
        { generated: 1, loads: 2, saves: 1 }
      )
    }).pipe(Effect.provide(layer))
  })

  it.scoped("takes the first pair that another process has stored meanwhile, and reports it", () => {
    const { keys, layer, ring } = setup(never, { delay: "1 second" })
    return Effect.gen(function*() {
      const [one, two] = [yield* ring, yield* ring]
      const events = [yield* one.events, yield* two.events]
      const leases = yield* Effect.fork(
        Effect.all([fingerprint(one), fingerprint(two)], { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 second")
      const [first, second] = yield* Fiber.join(leases)
      assert.strictEqual(second, first)
      const told = yield* Effect.forEach(events, Queue.take)
      assert.deepStrictEqual(told.map(({ _tag }) => _tag).toSorted(), ["Generated", "Loaded"])
      assert.deepStrictEqual(
        { generated: keys.generated, destroyed: keys.destroyed.length },
        { generated: 2, destroyed: 1 }
      )
    }).pipe(Effect.provide(layer))
  })

  it.scoped("is a layer that makes keys as long as it is configured, under a name of its own", () => {
    const { layer } = setup()
    return Effect.gen(function*() {
      const configured = KeyRing.layer(
        yield* NomyoConfig.make({ baseUrl: "https://router.test", keySize: 2048 })
      )
      const publicKey = yield* Effect.provide(
        Effect.flatMap(KeyRing.KeyRing, ({ lease }) => lease((pair) => Effect.succeed(pair.publicKey))),
        configured
      )
      assert.strictEqual(publicKey.modulusLength, 2048)
      assert.deepStrictEqual([KeyRing.KeyRing.key, BackgroundClock.key], ["nomyo-js/KeyRing",
        "nomyo-js/BackgroundClock"])
    }).pipe(Effect.provide(layer))
  })

  it.scoped("fails for all waiting callers, and tries again for the next", () => {
    const { layer, ring, store } = setup()
    return Effect.gen(function*() {
      const self = yield* ring
      store.gate = yield* Deferred.make<void>()
      store.failure = new SecurityError({ reason: "key-password", message: "wrong" })
      const waiting = yield* Effect.fork(
        Effect.all(Array.from({ length: 3 }, () => Effect.flip(fingerprint(self))), {
          concurrency: "unbounded"
        })
      )
      yield* Effect.yieldNow()
      yield* Deferred.succeed(store.gate, undefined)
      assert.deepStrictEqual((yield* Fiber.join(waiting)).map(({ reason }) => reason), ["key-password",
        "key-password", "key-password"])
      assert.strictEqual(store.loads, 1)
      store.failure = undefined
      yield* fingerprint(self)
      assert.strictEqual(store.loads, 2)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("goes on making the pair when the first caller is interrupted", () => {
    const { keys, layer, ring } = setup(never, { delay: "2 seconds" })
    return Effect.gen(function*() {
      const self = yield* ring
      const impatient = yield* Effect.fork(fingerprint(self))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(impatient)
      const patient = yield* Effect.fork(fingerprint(self))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(patient)
      assert.strictEqual(keys.generated, 1)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("keeps a replaced pair for as long as it is leased, and destroys it then", () => {
    const { keys, layer, ring } = setup()
    return Effect.gen(function*() {
      const self = yield* ring
      const crypto = yield* Lent.crypto
      const [one, two] = [yield* Scope.make(), yield* Scope.make()]
      const old = yield* Scope.extend(Lent.lease(self), one)
      yield* Scope.extend(Lent.lease(self), two)
      const next = yield* self.rotate
      assert.notStrictEqual(next.publicKey.fingerprint, old.publicKey.fingerprint)
      assert.strictEqual(yield* fingerprint(self), next.publicKey.fingerprint)
      const sealed = yield* crypto.seal(old.publicKey, new Uint8Array([1, 2, 3]))
      yield* Scope.close(one, Exit.void)
      assert.deepStrictEqual(keys.destroyed, [])
      assert.deepStrictEqual([...(yield* crypto.open(old.privateKey, sealed))], [1, 2, 3])
      yield* Scope.close(two, Exit.void)
      assert.deepStrictEqual(keys.destroyed, [old.privateKey])
      assert.isTrue(Exit.isFailure(yield* Effect.exit(crypto.open(old.privateKey, sealed))))
    }).pipe(Effect.provide(layer))
  })

  it.scoped("destroys every pair when its scope closes", () => {
    const { keys, layer, ring } = setup()
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const self = yield* Scope.extend(ring, scope)
      yield* fingerprint(self)
      const current = yield* self.rotate
      assert.strictEqual(keys.destroyed.length, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(keys.destroyed.length, 2)
      assert.strictEqual(keys.destroyed[1], current.privateKey)
      assert.isTrue(Exit.isInterrupted(yield* Effect.exit(fingerprint(self))))
    }).pipe(Effect.provide(layer))
  })

  it.scoped("abandons a pair that is being made when its scope closes, and stores nothing", () => {
    const { keys, layer, ring, store } = setup(never, { delay: "2 seconds" })
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const self = yield* Scope.extend(ring, scope)
      const lease = yield* Effect.fork(fingerprint(self))
      yield* TestClock.adjust("1 second")
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("1 hour")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(lease)))
      assert.deepStrictEqual(
        { generated: keys.generated, saves: store.saves.length },
        { generated: 1, saves: 0 }
      )
    }).pipe(Effect.provide(layer))
  })

  it.scoped("publishes an event for every change of its keys", () => {
    const { keys, layer, ring } = setup(day)
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const self = yield* Scope.extend(ring, scope)
      const events = yield* self.events
      const first = yield* fingerprint(self)
      const second = (yield* self.rotate).publicKey.fingerprint
      keys.failing = true
      yield* Effect.flip(self.rotate)
      const third = yield* self.replace(
        Effect.flatMap(Crypto.Crypto, (crypto) => crypto.importKeyPair(new Uint8Array([7]), 0)).pipe(
          Effect.provide(TestCrypto.layer)
        )
      )
      const seen = [...(yield* Queue.takeAll(events))].map((event) => [event._tag, event.fingerprint])
      assert.deepStrictEqual(seen, [
        ["Generated", first],
        ["Rotated", second],
        ["RotationFailed", second],
        ["Loaded", third.publicKey.fingerprint]
      ])
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(yield* Queue.isShutdown(events))
    }).pipe(Effect.provide(layer))
  })

  it.scoped("makes no pair after it has forgotten one, until the next lease", () => {
    const { keys, layer, ring, store } = setup(day)
    return Effect.gen(function*() {
      const self = yield* ring
      yield* fingerprint(self)
      yield* TestClock.adjust("1 hour")
      yield* self.forget
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(
        { generated: keys.generated, isEmpty: Option.isNone(store.saved) },
        { generated: 1, isEmpty: true }
      )
    }).pipe(Effect.provide(layer))
  })

  it.scoped("forgets a pair that is being made", () => {
    const { keys, layer, ring, store } = setup(day, { delay: "2 seconds" })
    return Effect.gen(function*() {
      const self = yield* ring
      const lease = yield* Effect.fork(fingerprint(self))
      yield* TestClock.adjust("1 second")
      const forget = yield* Effect.fork(self.forget)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(forget)
      yield* Fiber.join(lease)
      // nor is it made again to be rotated
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(keys.generated, 1)
      assert.isTrue(Option.isNone(store.saved))
      assert.strictEqual(keys.destroyed.length, 1)
      // the next is as good as the first
      const next = yield* Effect.fork(fingerprint(self))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(next)
      yield* TestClock.adjust("25 hours")
      assert.strictEqual(keys.generated, 3)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("is not stopped by a subscriber that shuts its queue down", () => {
    const { layer, ring } = setup()
    return Effect.gen(function*() {
      const self = yield* ring
      yield* Queue.shutdown(yield* self.events)
      assert.match(yield* fingerprint(self), /^[0-9a-f]+$/)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("forgets its pair, the stored one too, and makes another for the next", () => {
    const { keys, layer, ring, store } = setup()
    return Effect.gen(function*() {
      const self = yield* ring
      const scope = yield* Scope.make()
      const out = yield* Scope.extend(Lent.lease(self), scope)
      yield* self.forget
      assert.isTrue(Option.isNone(store.saved))
      assert.deepStrictEqual(
        { generated: keys.generated, destroyed: keys.destroyed.length },
        { generated: 1, destroyed: 0 }
      )
      assert.notStrictEqual(yield* fingerprint(self), out.publicKey.fingerprint)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(keys.destroyed, [out.privateKey])
      assert.strictEqual(store.saves.length, 2)
    }).pipe(Effect.provide(layer))
  })

  it("keeps alive exactly what is current or leased, in whatever order things happen", () => {
    type Step = { readonly do: "lease" | "rotate" | "failToMake" | "failToStore" | "replace" } | {
      readonly do: "release"
      readonly which: number
    }
    const step: FastCheck.Arbitrary<Step> = FastCheck.oneof(
      FastCheck.constantFrom<Step>({ do: "lease" }, { do: "lease" }, { do: "rotate" }, { do: "failToMake" }, {
        do: "failToStore"
      }, { do: "replace" }),
      FastCheck.record({ do: FastCheck.constant("release" as const), which: FastCheck.nat(20) })
    )
    return FastCheck.assert(
      FastCheck.asyncProperty(FastCheck.array(step, { maxLength: 40 }), (steps) => {
        const { keys, layer, ring, store } = setup()
        return Effect.gen(function*() {
          const crypto = yield* Crypto.Crypto
          let orphans = 0
          const scope = yield* Scope.make()
          const self = yield* Scope.extend(ring, scope)
          const leases: Array<{ readonly pair: Crypto.KeyPair; readonly scope: Scope.CloseableScope }> = []
          const made: Array<Crypto.KeyPair> = []
          let current: Crypto.KeyPair | undefined
          const become = (pair: Crypto.KeyPair) => {
            if (!made.includes(pair)) made.push(pair)
            current = pair
          }
          const check = (alive: (pair: Crypto.KeyPair) => boolean) => {
            for (const pair of made)
              assert.strictEqual(!keys.destroyed.includes(pair.privateKey), alive(pair))
            assert.strictEqual(keys.destroyed.length, orphans + made.filter((pair) => !alive(pair)).length)
          }
          for (const next of steps) {
            if (next.do === "lease") {
              const lease = yield* Scope.make()
              const pair = yield* Scope.extend(Lent.lease(self), lease)
              if (current !== undefined) assert.strictEqual(pair, current)
              become(pair)
              leases.push({ pair, scope: lease })
            } else if (next.do === "release") {
              const [lease] = leases.splice(next.which, 1)
              if (lease !== undefined) yield* Scope.close(lease.scope, Exit.void)
            } else if (next.do === "rotate") {
              // without a current pair it makes a first one, and replaces it at once
              if (current === undefined) orphans++
              become(yield* self.rotate)
            } else if (next.do === "replace") {
              become(yield* self.replace(crypto.generateKeyPair(2048)))
            } else if (next.do === "failToMake") {
              // there must be a pair to keep: without one it is the first that cannot be made
              keys.failing = true
              yield* Effect.flip(self.rotate)
              keys.failing = false
            } else {
              // what has been made by then is destroyed; without a current pair nothing is, since nothing can
              // be loaded
              if (current !== undefined) orphans++
              store.failure = new SecurityError({ reason: "client-key", message: "disk full" })
              yield* Effect.flip(self.rotate)
              store.failure = undefined
            }
            check((pair) => pair === current || leases.some((lease) => lease.pair === pair))
          }
          yield* Scope.close(scope, Exit.void)
          check(() => false)
          for (const lease of leases) yield* Scope.close(lease.scope, Exit.void)
          check(() => false)
        }).pipe(Effect.provide(layer), Effect.runPromise)
      }),
      { numRuns: 200 }
    )
  })
})
