import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** `withPermits(1)`, which gives way to other fibers even where nobody has to wait. This does not. */
export const withPermit = (semaphore: Effect.Semaphore) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    semaphore.withPermitsIfAvailable(1)(effect),
    Option.match({ onNone: () => semaphore.withPermits(1)(effect), onSome: Effect.succeed })
  )
