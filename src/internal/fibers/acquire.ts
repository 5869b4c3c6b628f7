import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"

/**
 * `Effect.acquireRelease` for a release that is plain code. Plain code reads no fiber refs. To keep and set
 * them for it took longer than all the rest.
 */
export const acquire = <A, E, R>(
  make: Effect.Effect<A, E, R>,
  release: (resource: A) => void
): Effect.Effect<A, E, R | Scope.Scope> =>
  Effect.uninterruptible(Effect.flatMap(Effect.scope, (scope) =>
    Effect.tap(make, (resource) => Scope.addFinalizer(scope, Effect.sync(() => release(resource))))))

/** `Effect.acquireUseRelease` for an acquisition and a release that are plain code. */
export const bracket = <A, B, E, R>(
  make: () => A,
  use: (resource: A) => Effect.Effect<B, E, R>,
  release: (resource: A) => void
): Effect.Effect<B, E, R> =>
  Effect.acquireUseRelease(Effect.sync(make), use, (resource) => Effect.sync(() => release(resource)))
