/** Signs of life of a stream whose model is silent: how they are made, and how a client takes them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Supervisor from "effect/Supervisor"
import * as TestClock from "effect/TestClock"
import { withHeartbeat } from "../../src/internal/fibers/heartbeat.js"
import { chunksOf } from "../../src/protocol2/events.js"

describe("withHeartbeat", () => {
  it.effect("beats while it waits, goes on with what it waits for, and ends with it", () =>
    Effect.gen(function*() {
      let asked = 0
      const next = Effect.suspend(() => {
        asked++
        if (asked === 3) return Effect.fail(Option.none())
        return Effect.delay(Effect.succeed(`event ${asked}`), asked === 1 ? "40 seconds" : "1 second")
      })
      const beats = yield* Effect.fork(
        Stream.runCollect(Stream.repeatEffectOption(withHeartbeat(next, "15 seconds", "beat")))
      )
      yield* TestClock.adjust("41 seconds")
      assert.deepStrictEqual([...yield* Fiber.join(beats)], ["beat", "beat", "event 1", "event 2"])
      assert.strictEqual(asked, 3)
    }))

  it.effect("asks for nothing that is not wanted, and stops what it waits for when it is left", () =>
    Effect.gen(function*() {
      let state = "not asked"
      const next = Effect.suspend((): Effect.Effect<string, Option.Option<never>> => {
        state = "asked"
        return Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (state = "stopped")))
      })
      const stream = Stream.repeatEffectOption(withHeartbeat(next, "15 seconds", "beat"))
      assert.strictEqual(state, "not asked")
      const left = yield* Effect.fork(Stream.runHead(stream))
      yield* TestClock.adjust("15 seconds")
      assert.deepStrictEqual(yield* Fiber.join(left), Option.some("beat"))
      assert.strictEqual(state, "stopped")
    }))

  it.effect("leaves no fiber behind for a beat, and loses nothing that comes at the moment of one", () =>
    Effect.gen(function*() {
      const next = Effect.delay(Effect.fail(Option.some("late")), "75 seconds")
      const alive: Array<number> = []
      const supervisor = yield* Supervisor.track
      const running = yield* Stream.repeatEffectOption(withHeartbeat(next, "15 seconds", "beat")).pipe(
        Stream.runForEach(() => Effect.map(supervisor.value, (fibers) => void alive.push(fibers.length))),
        Effect.supervised(supervisor),
        Effect.flip,
        Effect.fork
      )
      yield* TestClock.adjust("61 seconds")
      assert.lengthOf(alive, 4)
      assert.strictEqual(alive[3], alive[0])
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(yield* Fiber.join(running), "late")
      assert.lengthOf(yield* supervisor.value, 0)
    }))
})

const answerOf = (texts: ReadonlyArray<string>) => {
  const parts = [...texts]
  const pull = Effect.sync(() => {
    const part = parts.shift()
    return part === undefined ? undefined : [Uint8Array.from(Buffer.from(part))]
  })
  return { status: 200, headers: {}, pull }
}

describe("the chunks of a streamed answer", () => {
  it.effect("are none for a comment, which still counts as an arrival", () =>
    Effect.gen(function*() {
      const chunks = chunksOf(answerOf([":   \n\n", "data: {\"choices\":[]}\n\n"]), { payload_id: "p" })
      const seen = [yield* chunks.pull, yield* chunks.pull, yield* chunks.pull]
      assert.deepStrictEqual(seen, [[], [{ choices: [], _metadata: { payload_id: "p" } }], undefined])
    }))

  it.effect("come before an error that arrives with them", () =>
    Effect.gen(function*() {
      const text = "data: {\"choices\":[]}\n\ndata: {\"error\":{\"code\":503}}\n\ndata: {\"choices\":[]}\n\n"
      const { pull } = chunksOf(answerOf([text]), {})
      assert.deepStrictEqual(yield* pull, [{ choices: [], _metadata: {} }])
      const errors = [yield* Effect.flip(pull), yield* Effect.flip(pull)]
      assert.deepStrictEqual(errors.map(({ _tag }) => _tag), ["ServiceUnavailableError",
        "ServiceUnavailableError"])
    }))
})
