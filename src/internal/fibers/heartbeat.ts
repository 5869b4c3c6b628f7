import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/**
 * A stream of what `next` gives, with a `beat` whenever that takes longer than `interval`. Nothing is asked
 * of `next` before it is wanted. It goes on through the beats, and fails with `None` at its end.
 */
export const withHeartbeat = <A, E, R>(
  next: Effect.Effect<A, Option.Option<E>, R>,
  interval: Duration.DurationInput,
  beat: A
): Stream.Stream<A, E, R> => {
  let pending: Fiber.RuntimeFiber<A, Option.Option<E>> | undefined
  const take = Effect.gen(function*() {
    pending ??= yield* Effect.fork(next)
    const exit = yield* Effect.timeoutOption(Fiber.await(pending), interval)
    if (Option.isNone(exit)) return beat
    pending = undefined
    return yield* exit.value
  })
  return Stream.repeatEffectOption(take)
}
