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
  /** Runs `next` through the beats. */
  let running: Fiber.Fiber<A, E> | undefined
  return Effect.suspend(() =>
    Effect.raceWith(running === undefined ? next : Fiber.join(running), Effect.sleep(interval), {
      onSelfDone: (exit, timer) => {
        running = undefined
        return Effect.zipRight(Fiber.interrupt(timer), exit)
      },
      onOtherDone: (_, pending) => {
        const hasBeaten = running !== undefined
        running ??= pending
        // a beat leaves no fiber behind but that of `next`
        return hasBeaten ? Effect.as(Fiber.interrupt(pending), beat) : Effect.succeed(beat)
      }
    })
  )
}
