import { assert, describe, it } from "@effect/vitest"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Crypto from "../../src/Crypto.js"
import { BackgroundClock } from "../../src/internal/fibers/backgroundClock.js"
import { SecurityError } from "../../src/NomyoError.js"
import * as NodeClock from "../../src/platform/node/NodeClock.js"
import { day, never, setup, fingerprint } from "../support/keyRing.js"

describe("rotation of the KeyRing", () => {
  it.scoped("says nothing of a rotation that is cut off by the end of its scope", () => {
    const { keys, layer, ring } = setup(day, { delay: "2 seconds" })
    const logged: Array<unknown> = []
    const logger = Logger.make(({ message }) => void logged.push(message))
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const self = yield* Scope.extend(ring, scope)
      const events = yield* self.events
      const lease = yield* Effect.fork(fingerprint(self))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(lease)
      yield* TestClock.adjust("1 day")
      // the new pair is half made
      yield* TestClock.adjust("1 second")
      assert.strictEqual(keys.generated, 2)
      assert.deepStrictEqual([...(yield* Queue.takeAll(events))].map(({ _tag }) => _tag), ["Generated"])
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([keys.generated, logged], [2, []])
    }).pipe(Effect.provide(layer), Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  })

  it.scoped("rotates at exactly 24 hours, and again 24 hours later", () => {
    const { layer, ring, store } = setup(day)
    return Effect.gen(function*() {
      const self = yield* ring
      yield* fingerprint(self)
      yield* TestClock.adjust(Duration.subtract(Duration.days(1), 1))
      assert.strictEqual(store.saves.length, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(store.saves.length, 2)
      yield* TestClock.adjust(Duration.days(1))
      assert.strictEqual(store.saves.length, 3)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("counts the age across restarts, and rotates what is overdue at once", () => {
    const { layer, ring, store } = setup(day)
    const run = (time: Duration.DurationInput) =>
      Effect.scoped(Effect.gen(function*() {
        yield* fingerprint(yield* ring)
        yield* TestClock.adjust(time)
      }))
    return Effect.gen(function*() {
      yield* run("20 hours")
      yield* run(Duration.subtract(Duration.hours(4), 1))
      assert.strictEqual(store.saves.length, 1)
      yield* run(1)
      assert.strictEqual(store.saves.length, 2)
      yield* TestClock.adjust("30 hours")
      yield* run(0)
      assert.strictEqual(store.saves.length, 3)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("keeps the old pair when a rotation fails, says so, and tries again a minute later", () => {
    const { keys, layer, ring, store } = setup(day)
    const warnings: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) =>
      void (logLevel._tag === "Warning" && warnings.push(String(message)))
    )
    return Effect.gen(function*() {
      const self = yield* ring
      const first = yield* fingerprint(self)
      keys.failing = true
      yield* TestClock.adjust("24 hours")
      assert.strictEqual(yield* fingerprint(self), first)
      assert.deepStrictEqual(warnings, ["The client's key pair was not rotated: no entropy"])
      keys.failing = false
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(store.saves.length, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(store.saves.length, 2)
      assert.notStrictEqual(yield* fingerprint(self), first)
    }).pipe(Effect.provide(layer), Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  })

  it.scoped("stays as it is when asked to rotate and cannot", () => {
    const { keys, layer, ring } = setup()
    return Effect.gen(function*() {
      const self = yield* ring
      const first = yield* fingerprint(self)
      keys.failing = true
      assert.strictEqual((yield* Effect.flip(self.rotate)).reason, "client-key")
      assert.strictEqual(yield* fingerprint(self), first)
      assert.deepStrictEqual(keys.destroyed, [])
    }).pipe(Effect.provide(layer))
  })

  it.scoped.each([["a defect", Effect.die("broken")], ["an interruption", Effect.interrupt]] as const)(
    "goes on rotating after %s, which should never happen",
    ([, broken]) => {
      const { keys, layer, ring, store } = setup(day)
      const warnings: Array<string> = []
      const logger = Logger.make(({ message }) => void warnings.push(String(message)))
      return Effect.gen(function*() {
        yield* fingerprint(yield* ring)
        keys.broken = broken
        yield* TestClock.adjust("24 hours")
        assert.deepStrictEqual(warnings, ["The client's key pair was not rotated: an unexpected failure"])
        keys.broken = undefined
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(store.saves.length, 2)
      }).pipe(Effect.provide(layer), Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
    }
  )

  it.scoped.each([
    ["keeps a pair that is dated half a minute ahead", 30_000, 1],
    ["rotates a pair at once that is dated more than a minute ahead", 61_000, 2]
  ] as const)("%s", ([, ahead, made]) => {
    const { layer, ring, store } = setup(day)
    const use = Effect.scoped(Effect.flatMap(ring, (self) =>
      Effect.zipRight(fingerprint(self), TestClock.adjust(0))))
    return Effect.gen(function*() {
      yield* TestClock.adjust("1 day")
      yield* use
      yield* TestClock.setTime(86_400_000 - ahead)
      yield* use
      assert.strictEqual(store.saves.length, made)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("counts the age of a pair it is given from then on", () => {
    const { layer, ring, store } = setup(day)
    return Effect.gen(function*() {
      const crypto = yield* Crypto.Crypto
      const self = yield* ring
      const old = yield* crypto.generateKeyPair(2048)
      yield* TestClock.adjust("30 days")
      yield* self.replace(Effect.succeed(old))
      yield* TestClock.adjust("23 hours")
      assert.strictEqual(yield* fingerprint(self), old.publicKey.fingerprint)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(store.saves.length, 1)
      assert.notStrictEqual(yield* fingerprint(self), old.publicKey.fingerprint)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("takes the pair that another process has rotated to, instead of making one more", () => {
    const { keys, layer, ring, store } = setup(day)
    return Effect.gen(function*() {
      const [one, two] = [yield* ring, yield* ring]
      const first = yield* fingerprint(one)
      assert.strictEqual(yield* fingerprint(two), first)
      yield* TestClock.adjust("23 hours")
      const rotated = yield* one.rotate
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* fingerprint(two), rotated.publicKey.fingerprint)
      // the second made one too, and let it go when it saw that it was late
      assert.deepStrictEqual(
        { generated: keys.generated, saves: store.saves.length },
        { generated: 3, saves: 2 }
      )
      assert.lengthOf(keys.destroyed, 3)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("destroys a pair that cannot be stored", () => {
    const { keys, layer, ring, store } = setup()
    return Effect.gen(function*() {
      const self = yield* ring
      const first = yield* fingerprint(self)
      const unwritable = new SecurityError({ reason: "client-key", message: "disk full" })
      store.failure = unwritable
      assert.strictEqual(yield* Effect.flip(self.rotate), unwritable)
      assert.deepStrictEqual(
        { generated: keys.generated, destroyed: keys.destroyed.length },
        { generated: 2, destroyed: 1 }
      )
      assert.strictEqual(yield* fingerprint(self), first)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("replaces nothing that it cannot read", () => {
    const { keys, layer, ring, store } = setup()
    return Effect.gen(function*() {
      const self = yield* ring
      const events = yield* self.events
      store.failure = new SecurityError({ reason: "key-password", message: "wrong" })
      assert.strictEqual((yield* Effect.flip(self.rotate)).reason, "key-password")
      assert.deepStrictEqual(
        { generated: keys.generated, saves: store.saves.length },
        { generated: 0, saves: 0 }
      )
      assert.deepInclude(yield* Queue.take(events), { _tag: "RotationFailed", fingerprint: undefined })
    }).pipe(Effect.provide(layer))
  })

  it.scoped("makes one pair, and then another, when it is asked to rotate before its first use", () => {
    const { keys, layer, ring, store } = setup(never, { delay: "1 second" })
    return Effect.gen(function*() {
      const self = yield* ring
      const events = yield* self.events
      const both = yield* Effect.fork(
        Effect.all([self.rotate, fingerprint(self)], { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("2 seconds")
      const [rotated] = yield* Fiber.join(both)
      assert.strictEqual(yield* fingerprint(self), rotated.publicKey.fingerprint)
      assert.deepStrictEqual([...(yield* Queue.takeAll(events))].map(({ _tag }) => _tag), ["Generated",
        "Rotated"])
      assert.deepStrictEqual(
        { generated: keys.generated, saves: store.saves.length, destroyed: keys.destroyed.length },
        { generated: 2, saves: 2, destroyed: 1 }
      )
    }).pipe(Effect.provide(layer))
  })

  it.scoped("never rotates with an interval of 0", () => {
    const { layer, ring, store } = setup(never)
    return Effect.gen(function*() {
      yield* fingerprint(yield* ring)
      yield* TestClock.adjust("365 days")
      assert.strictEqual(store.saves.length, 1)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("ages by a test clock on Node too", () => {
    const { layer, ring, store } = setup(day)
    return Effect.gen(function*() {
      yield* fingerprint(yield* ring)
      yield* TestClock.adjust(Duration.subtract(Duration.days(1), 1))
      assert.strictEqual(store.saves.length, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(store.saves.length, 2)
    }).pipe(Effect.provide(layer), Effect.provide(NodeClock.layerBackground))
  })

  it.scoped("ages by the clock it is given", () => {
    const { layer, ring, store } = setup(day)
    return Effect.gen(function*() {
      const clock = yield* Effect.clock
      const sleeps: Array<number> = []
      const watched: Clock.Clock = Object.assign(Object.create(clock), {
        sleep: (duration: Duration.Duration) => {
          sleeps.push(Duration.toMinutes(duration))
          return clock.sleep(duration)
        }
      })
      const self = yield* Effect.provideService(ring, BackgroundClock, () => watched)
      yield* fingerprint(self)
      yield* TestClock.adjust("24 hours")
      assert.deepStrictEqual(sleeps.slice(0, 144), Array.from({ length: 144 }, () => 10))
      assert.strictEqual(store.saves.length, 2)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("rotates once after the machine has slept, soon after it wakes", () => {
    const { keys, layer, ring } = setup(day)
    return Effect.gen(function*() {
      const clock = yield* Effect.clock
      let slept = 0
      const now = Effect.map(clock.currentTimeMillis, (awake) => awake + slept)
      const machine: Clock.Clock = Object.assign(Object.create(clock), { currentTimeMillis: now })
      const self = yield* Effect.provideService(ring, BackgroundClock, () => machine)
      const before = yield* fingerprint(self)
      yield* TestClock.adjust("1 hour")
      // timers have stood still for three days
      slept = Duration.toMillis("3 days")
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(keys.generated, 2)
      assert.notStrictEqual(yield* fingerprint(self), before)
      yield* TestClock.adjust("23 hours")
      assert.strictEqual(keys.generated, 2)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("looks after a pair that has been put in place, though whoever did so was interrupted", () => {
    const { keys, layer, ring } = setup(day)
    return Effect.gen(function*() {
      const crypto = yield* Crypto.Crypto
      const self = yield* ring
      // a pair that is being made, for nobody, and not to be stopped
      keys.broken = Effect.uninterruptible(Effect.delay(Effect.die("slow"), "10 seconds"))
      const lease = yield* Effect.fork(fingerprint(self))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(lease)
      keys.broken = undefined
      const replacing = yield* Effect.fork(self.replace(crypto.generateKeyPair(2048)))
      yield* TestClock.adjust("1 second")
      const interrupting = yield* Effect.fork(Fiber.interrupt(replacing))
      yield* TestClock.adjust("9 seconds")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.join(interrupting)))
      assert.strictEqual(keys.generated, 2)
      yield* TestClock.adjust("1 day")
      assert.strictEqual(keys.generated, 3)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("rotates one at a time, and leaves no pair behind", () => {
    const { keys, layer, ring, store } = setup(never, { delay: "1 second" })
    return Effect.gen(function*() {
      const self = yield* ring
      const rotations = yield* Effect.fork(
        Effect.all(Array.from({ length: 5 }, () => self.rotate), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("6 seconds")
      const pairs = yield* Fiber.join(rotations)
      assert.strictEqual(yield* fingerprint(self), pairs[4]!.publicKey.fingerprint)
      assert.deepStrictEqual(
        { saves: store.saves.length, destroyed: keys.destroyed.length },
        { saves: 6, destroyed: 5 }
      )
      const interrupted = yield* Effect.fork(self.rotate)
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interrupt(interrupted)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(
        { saves: store.saves.length, destroyed: keys.destroyed.length },
        { saves: 6, destroyed: 5 }
      )
      assert.strictEqual(yield* fingerprint(self), pairs[4]!.publicKey.fingerprint)
    }).pipe(Effect.provide(layer))
  })
})
