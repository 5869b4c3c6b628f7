import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { KeyPair } from "../../Crypto.js"
import type { SecurityError } from "../../NomyoError.js"
import { makeSharedResource, type Shared } from "../fibers/sharedResource.js"

/**
 * The time in which one pair is in use. Its pair is destroyed when the epoch is over and the last lease has
 * ended.
 */
type Epoch = Shared<KeyPair, SecurityError>

interface EpochDependencies {
  /** Destroys every pair when it closes. */
  readonly scope: Scope.Scope
  /** Loads or generates the pair of the first epoch, and of the next one after `reset`. */
  readonly acquireFirst: Effect.Effect<KeyPair, SecurityError>
  readonly destroy: (pair: KeyPair) => Effect.Effect<void>
}

interface State {
  readonly dependencies: EpochDependencies
  /** Open while there is a pair in use. */
  readonly inUse: Effect.Latch
  current: Epoch
}

/** The epochs of a key ring, one after the other. */
export interface Epochs {
  /** Leases the current pair to `use`. The first lease acquires it. */
  readonly lease: <A, E, R>(
    use: (pair: KeyPair) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SecurityError, R>
  /** Acquires a pair, then begins its epoch and runs `onBegun`. A failure keeps the current epoch. */
  readonly replaceWith: (
    acquire: Effect.Effect<KeyPair, SecurityError>,
    onBegun: (pair: KeyPair) => Effect.Effect<void>
  ) => Effect.Effect<KeyPair, SecurityError>
  /** Ends the current epoch: the next lease acquires a first pair again. */
  readonly reset: Effect.Effect<void>
  /** Waits until a pair is in use. */
  readonly awaitUse: Effect.Effect<void>
  /** Whether the current pair is there, or being acquired. */
  readonly isAcquired: () => boolean
}

const makeEpoch = (
  { destroy, scope }: EpochDependencies,
  acquire: Effect.Effect<KeyPair, SecurityError>
): Epoch =>
  makeSharedResource(scope, Effect.tap(acquire, (pair) => Effect.addFinalizer(() => destroy(pair))))

const makeFirstEpoch = (dependencies: EpochDependencies, inUse: Effect.Latch): Epoch =>
  makeEpoch(dependencies, Effect.zipLeft(dependencies.acquireFirst, inUse.open))

/** Begins an epoch. The pair of the previous one lives on until its last lease ends. */
const begin = (state: State, next: Epoch): Effect.Effect<void> =>
  Effect.uninterruptible(Effect.suspend(() => {
    const previous = state.current
    state.current = next
    return previous.retire
  }))

const replaceWith = (
  state: State,
  acquire: Effect.Effect<KeyPair, SecurityError>,
  onBegun: (pair: KeyPair) => Effect.Effect<void>
): Effect.Effect<KeyPair, SecurityError> =>
  Effect.suspend(() => {
    const next = makeEpoch(state.dependencies, acquire)
    // both or neither: a pair in use without an open latch would never be rotated
    const takeOver = Effect.uninterruptible(Effect.zipRight(state.inUse.open, begin(state, next)))
    const useOnce = (pair: KeyPair) => takeOver.pipe(Effect.zipRight(onBegun(pair)), Effect.as(pair))
    const retireUnused = Effect.suspend(() => state.current === next ? Effect.void : next.retire)
    const leased = Effect.uninterruptibleMask((restore) => next.lease(restore, useOnce))
    return Effect.ensuring(leased, retireUnused)
  })

const reset = (state: State): Effect.Effect<void> =>
  Effect.zipRight(
    state.inUse.close,
    Effect.suspend(() => begin(state, makeFirstEpoch(state.dependencies, state.inUse)))
  )

/** Epochs whose first one begins without a pair: the first lease acquires it. */
export const makeEpochs = Effect.fnUntraced(function*(
  dependencies: EpochDependencies
): Effect.fn.Return<Epochs> {
  const inUse = yield* Effect.makeLatch()
  const state: State = { dependencies, inUse, current: makeFirstEpoch(dependencies, inUse) }
  return {
    lease: (use) => Effect.uninterruptibleMask((restore) => state.current.lease(restore, use)),
    replaceWith: (acquire, onBegun) => replaceWith(state, acquire, onBegun),
    reset: reset(state),
    awaitUse: inUse.await,
    isAcquired: () => state.current.isAcquired()
  }
})
