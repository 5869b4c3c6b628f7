import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"

/**
 * `Effect.acquireRelease` for a release that is plain code. What that does besides, putting back the fiber's state for the release to run in,
 * takes several times as long as all the rest of a small resource.
 */
export const acquire = <A, E, R>(
  make: Effect.Effect<A, E, R>,
  release: (resource: A) => void
): Effect.Effect<A, E, R | Scope.Scope> =>
  Effect.uninterruptible(Effect.flatMap(Effect.scope, (scope) =>
    Effect.tap(make, (resource) => Scope.addFinalizer(scope, Effect.sync(() => release(resource))))))
