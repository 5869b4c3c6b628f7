import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { fromStatus } from "../../src/internal/errors.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import { makeRateLimit } from "../../src/router/rateLimit.js"
import { say } from "../support/batches.js"
import * as Mocks from "../support/mocks.js"

describe("createAll of NomyoClient", () => {
  const requests = Stream.map(Stream.range(1, 12), (n) => say(String(n)))
  const answer = Effect.succeed(Mocks.completion("Hi."))

  it.effect("meets no 429 under a throttle, and does without one", () =>
    Effect.gen(function*() {
      const rights = (throttle: boolean) => {
        const limit = makeRateLimit()
        const router = Mocks.scripted(() => Effect.zipRight(limit("key"), answer))
        return Effect.gen(function*() {
          const batch = yield* Effect.fork(Stream.runCollect(NomyoClient.createAll(requests)))
          yield* TestClock.adjust("1 minute")
          return [...yield* Fiber.join(batch)].filter(({ result }) => Either.isRight(result)).length
        }).pipe(Effect.provide(Mocks.client(router.layer, { throttle, maxRetries: 0 })))
      }
      assert.deepStrictEqual(
        { throttled: yield* rights(true), unthrottled: yield* rights(false) },
        { throttled: 12, unthrottled: 4 }
      )
    }))

  it.effect("cancels what is in flight when it is interrupted, or enough was taken", () => {
    let out = 0
    const router = Mocks.scripted((n) =>
      n === 1
        ? answer
        : Effect.acquireUseRelease(Effect.sync(() => out++), () => Effect.never, () =>
          Effect.sync(() => out--))
    )
    return Effect.gen(function*() {
      const batch = yield* Effect.fork(Stream.runCollect(NomyoClient.createAll(requests, { concurrency: 5 })))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(out, 5)
      yield* Fiber.interrupt(batch)
      assert.strictEqual(out, 0)
      router.state.sent.length = 0
      const taken = yield* requests.pipe(NomyoClient.createAll({ concurrency: 5 }), Stream.take(1),
        Stream.runCollect)
      assert.deepStrictEqual({ taken: taken.length, inFlight: out }, { taken: 1, inFlight: 0 })
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("can be run again, from 0", () =>
    Effect.gen(function*() {
      const batch = NomyoClient.createAll(requests, { concurrency: 2 })
      for (const _ of ["once", "again"]) {
        const indices = [...yield* Stream.runCollect(batch)].map(({ index }) => index)
        assert.sameMembers(indices, Array.from({ length: 12 }, (_, i) => i))
      }
    }).pipe(Effect.provide(Mocks.client(Mocks.scripted(() => answer).layer))))

  it.effect("works with any NomyoClient", () =>
    Effect.gen(function*() {
      const create: NomyoClient.Service["create"] = ({ model }) =>
        Effect.fail(fromStatus({ statusCode: 403, message: model }))
      const [outcome] = yield* Stream.runCollect(NomyoClient.createAll(requests)).pipe(
        Effect.provideService(NomyoClient.NomyoClient, { create } as NomyoClient.Service)
      )
      assert.deepInclude(outcome, { index: 0 })
      assert.deepInclude(Either.getOrThrow(Either.flip(outcome!.result)), { _tag: "ForbiddenError",
        message: "m" })
    }))
})
