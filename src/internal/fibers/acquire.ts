import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"

// Effect's own do the same for a release that is any effect. To put back the fiber's state for that to run in takes them twice as many steps
// or more, which is several times as long as all the rest of a small resource.

/** `Effect.acquireRelease` for a release that is plain code. */
export const acquire = <A, E, R>(
  make: Effect.Effect<A, E, R>,
  release: (resource: A) => void
): Effect.Effect<A, E, R | Scope.Scope> =>
  Effect.uninterruptible(Effect.withFiberRuntime<A, E, R | Scope.Scope>(({ currentContext }) =>
    Effect.flatMap(make, (resource) =>
      Effect.as(Scope.addFinalizer(Context.unsafeGet(currentContext, Scope.Scope), Effect.sync(() => release(resource))), resource))
  ))

/** `Effect.ensuring` for plain code, where nothing interrupts. */
export const ensuring = <A, E, R>(effect: Effect.Effect<A, E, R>, finalizer: () => void): Effect.Effect<A, E, R> =>
  Effect.matchCauseEffect(effect, {
    onFailure: (cause) => {
      finalizer()
      return Effect.failCause(cause)
    },
    onSuccess: (value) => {
      finalizer()
      return Effect.succeed(value)
    }
  })

/** `Effect.acquireUseRelease` where both ends are plain code. */
export const bracket = <A, B, E, R>(
  make: () => A,
  use: (resource: A) => Effect.Effect<B, E, R>,
  release: (resource: A) => void
): Effect.Effect<B, E, R> =>
  Effect.uninterruptibleMask((restore) => {
    const resource = make()
    return ensuring(restore(Effect.suspend(() => use(resource))), () => release(resource))
  })
