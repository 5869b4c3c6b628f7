import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import { makeFairSemaphore } from "../../src/internal/fibers/fairSemaphore.js"

describe("fair semaphore", () => {
  it.effect("grants permits in order, and no more than there are", () =>
    Effect.gen(function*() {
      const withPermit = makeFairSemaphore(2)
      const order: Array<number> = []
      const doors = yield* Effect.replicateEffect(Deferred.make<void>(), 6)
      const fibers = yield* Effect.forEach(doors, (door, i) =>
        Effect.fork(withPermit(Effect.zipRight(Effect.sync(() => order.push(i)), Deferred.await(door)))))
      const settle = Effect.repeatN(Effect.yieldNow(), 20)
      yield* settle
      assert.deepStrictEqual(order, [0, 1])
      // one that waits leaves, one that works leaves, one fails
      yield* Fiber.interrupt(fibers[2]!)
      yield* Fiber.interrupt(fibers[0]!)
      yield* settle
      assert.deepStrictEqual(order, [0, 1, 3])
      yield* Deferred.die(doors[3]!, "no")
      yield* settle
      assert.deepStrictEqual(order, [0, 1, 3, 4])
      for (const door of doors) yield* Deferred.succeed(door, undefined)
      yield* Fiber.awaitAll(fibers)
      assert.deepStrictEqual(order, [0, 1, 3, 4, 5])
    }))

  it.live("has all permits back, whenever their holders or waiters are interrupted", () =>
    Effect.promise(() =>
      FastCheck.assert(FastCheck.asyncProperty(
        FastCheck.array(
          FastCheck.record({ work: FastCheck.nat(4), patience: FastCheck.nat(8),
            fails: FastCheck.boolean() }),
          { maxLength: 12 }
        ),
        FastCheck.integer({ min: 1, max: 3 }),
        (callers, count) =>
          Effect.runPromise(Effect.gen(function*() {
            const withPermit = makeFairSemaphore(count)
            let [working, most] = [0, 0]
            const yields = (n: number) => Effect.repeatN(Effect.yieldNow(), n)
            yield* Effect.forEach(callers, ({ fails, patience, work }) =>
              Effect.gen(function*() {
                const fiber = yield* Effect.fork(withPermit(Effect.acquireUseRelease(
                  Effect.sync(() => (most = Math.max(most, ++working))),
                  () => Effect.zipRight(yields(work), fails ? Effect.fail("no") : Effect.void),
                  () => Effect.sync(() => working--)
                )))
                yield* yields(patience)
                yield* Fiber.interrupt(fiber)
              }), { concurrency: "unbounded" })
            assert.isAtMost(most, count)
            assert.strictEqual(working, 0)
            // as many as there were can be had at once, and no one more
            const all = yield* Deferred.make<void>()
            const again = yield* Effect.forEach(Array.from({ length: count + 1 }), () =>
              Effect.fork(withPermit(Effect.zipRight(Effect.sync(() => working++), Deferred.await(all)))))
            yield* yields(20)
            assert.strictEqual(working, count)
            yield* Deferred.succeed(all, undefined)
            yield* Fiber.awaitAll(again)
          }))
      ), { numRuns: 200 })
    ))
})
