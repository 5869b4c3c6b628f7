/** Texts that are gathered for a time: none is lost, none waits for longer, and nothing is read too early. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { gather } from "../../src/internal/fibers/gather.js"
import { withHeartbeat } from "../../src/internal/fibers/heartbeat.js"

/** The length of a full batch. */
const FULL = 6

type End = Option.Option<string>
type Texts = ReadonlyArray<readonly [millis: number, text: string]>

/** Texts that each come so many milliseconds after they are asked for, and then an end. */
const sourceOf = (texts: Texts, end: End = Option.none()) => {
  const state = { asked: 0 }
  const next = Effect.suspend((): Effect.Effect<string, End> => {
    const text = texts[state.asked++]
    return text === undefined ? Effect.fail(end) : Effect.delay(Effect.succeed(text[1]), text[0])
  })
  return { state, next }
}

/** What was gathered and when, in milliseconds, and the error at the end. */
const gathered = (texts: Texts, end?: End, beat?: string) =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    const take = yield* gather(sourceOf(texts, end).next, 50, FULL)
    const stream = Stream.repeatEffectOption(beat === undefined ? take : withHeartbeat(take, 100, beat))
    const note = (text: string) =>
      Effect.map(Clock.currentTimeMillis, (now) => void seen.push(`${now} ${text}`))
    const running = yield* Effect.fork(Effect.either(Stream.runForEach(stream, note)))
    yield* TestClock.adjust("1 hour")
    const result = yield* Fiber.join(running)
    return [...seen, ...result._tag === "Left" ? [result.left] : []]
  })

describe("gather", () => {
  it.scoped("gives what came within the time of the first text, which waits for no longer", () =>
    Effect.gen(function*() {
      const texts = [[5, "a"], [20, "b"], [29, "c"], [11, "d"], [60, "e"]] as const
      assert.deepStrictEqual(yield* gathered(texts), ["55 abc", "115 d", "125 e"])
    }))

  it.scoped("does not wait where it is full, or where nothing more will come", () =>
    Effect.gen(function*() {
      const texts = [[5, "abc"], [5, "def"], [5, "0123456789"], [5, "g"]] as const
      assert.deepStrictEqual(yield* gathered(texts), ["10 abcdef", "15 0123456789", "20 g"])
    }))

  it.scoped("fails after what came before the failure", () =>
    Effect.gen(function*() {
      const texts = [[5, "a"], [5, "b"]] as const
      assert.deepStrictEqual(yield* gathered(texts, Option.some("lost")), ["10 ab", "lost"])
      assert.deepStrictEqual(yield* gathered([[1, "a"], [60, "b"], [60, "c"]], Option.some("lost")),
        [`${3_600_000 + 51} a`, `${3_600_000 + 111} b`, `${3_600_000 + 121} c`, "lost"])
    }))

  it.scoped("goes on through heartbeats", () =>
    Effect.gen(function*() {
      const texts = [[5, "a"], [250, "b"], [10, "c"], [60, "d"], [340, "e"]] as const
      assert.deepStrictEqual(yield* gathered(texts, Option.none(), "beat"), ["55 a", "155 beat", "255 beat",
        "305 bc", "375 d", "475 beat", "575 beat", "665 e"])
    }))

  it.scoped("reads one text ahead of a reader that is busy, and none before it is asked", () =>
    Effect.gen(function*() {
      const { next, state } = sourceOf(Array.from({ length: 10 }, (_, i) => [20, String(i)] as const))
      const take = yield* gather(next, 50, FULL)
      assert.strictEqual(state.asked, 0)
      const first = yield* Effect.fork(take)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* Fiber.join(first), "012")
      assert.strictEqual(state.asked, 4)
      const second = yield* Effect.fork(take)
      yield* TestClock.adjust(50)
      assert.strictEqual(yield* Fiber.join(second), "345")
    }))

  it.effect("stops reading when its scope closes", () =>
    Effect.gen(function*() {
      let state = "not asked"
      const next = Effect.suspend(() => {
        if (state === "not asked") return Effect.sync(() => state = "asked")
        return Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (state = "stopped")))
      })
      const left = yield* Effect.fork(Effect.scoped(Effect.flatten(gather(next, 50, FULL))))
      yield* TestClock.adjust(50)
      assert.strictEqual(yield* Fiber.join(left), "asked")
      assert.strictEqual(state, "stopped")
    }))
})
