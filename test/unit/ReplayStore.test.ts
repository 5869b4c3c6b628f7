import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import * as ReplayStore from "../../src/router/ReplayStore.js"

const ttl = Duration.seconds(125)

describe("ReplayStore in memory", () => {
  it.effect("knows an id until its time is over, and counts that from when the id was new", () =>
    Effect.gen(function*() {
      const { add } = yield* ReplayStore.makeMemory()
      assert.isTrue(yield* add("one", ttl))
      yield* TestClock.adjust("60 seconds")
      assert.isTrue(yield* add("two", ttl))
      yield* TestClock.adjust("64999 millis")
      assert.isFalse(yield* add("one", ttl))
      yield* TestClock.adjust(1)
      assert.isTrue(yield* add("one", ttl))
      assert.isFalse(yield* add("two", ttl))
    }))

  it.effect("refuses a new id while it is full, and forgets none for it", () =>
    Effect.gen(function*() {
      const { add } = yield* ReplayStore.makeMemory({ capacity: 2 })
      yield* add("one", ttl)
      yield* add("two", ttl)
      assert.deepInclude(yield* Effect.flip(add("three", ttl)), { _tag: "ReplayStoreUnavailable",
        retryAfter: 5000 })
      assert.deepStrictEqual([yield* add("one", ttl), yield* add("two", ttl)], [false, false])
      yield* TestClock.adjust(ttl)
      assert.isTrue(yield* add("three", ttl))
    }))

  it.effect("is a layer, and remembers nothing from before it was made", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1000)
      const { add, remembersSince } = yield* Effect.provide(ReplayStore.ReplayStore,
        ReplayStore.layerMemory({ capacity: 0 }))
      assert.strictEqual(remembersSince, 1000)
      assert.strictEqual((yield* Effect.flip(add("one", ttl)))._tag, "ReplayStoreUnavailable")
      assert.strictEqual(ReplayStore.ReplayStore.key, "nomyo-js/router/ReplayStore")
    }))
})
