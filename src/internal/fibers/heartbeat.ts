import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/**
 * Returns what `next` returns, or a `beat` whenever that takes longer than `interval`. It asks `next` for
 * nothing before you run it, and waits for the same result through the beats.
 */
export const withHeartbeat = <A, E, R>(
  next: Effect.Effect<A, E, R>,
  interval: Duration.DurationInput,
  beat: A
): Effect.Effect<A, E, R> => {
  let awaited = next
  return Effect.suspend(() =>
    Effect.raceWith(awaited, Effect.sleep(interval), {
      onSelfDone: (exit, timer) => {
        awaited = next
        return Effect.zipRight(Fiber.interrupt(timer), exit)
      },
      onOtherDone: (_, pending) => {
        awaited = Fiber.join(pending)
        return Effect.succeed(beat)
      }
    })
  )
}
