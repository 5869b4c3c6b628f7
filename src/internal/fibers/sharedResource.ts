import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"
import type { Restore } from "./restore.js"

/** One value for all that lease it. */
export interface Shared<A, E> {
  /**
   * Leases the value to `use`. The first lease acquires it, and that goes on if the first caller is
   * interrupted. A failed acquisition fails every waiting lease, and the next lease acquires again. Call it
   * inside `Effect.uninterruptibleMask`: the lease begins with the call.
   */
  readonly lease: <B, E2, R>(
    restore: Restore,
    use: (value: A) => Effect.Effect<B, E2, R>
  ) => Effect.Effect<B, E | E2, R>
  /** From now on the value is released as soon as no one leases it. */
  readonly retire: Effect.Effect<void>
  /** Whether the value is there, or being acquired. */
  readonly isAcquired: () => boolean
}

/** A value, or its acquisition. */
interface Held<A, E> {
  readonly acquired: Deferred.Deferred<A, E>
  readonly scope: Scope.CloseableScope
  value?: Exit.Exit<A, E>
}

interface State<A, E> {
  readonly acquire: Effect.Effect<A, E, Scope.Scope>
  readonly scope: Scope.Scope
  held: Held<A, E> | undefined
  leases: number
  isRetired: boolean
}

/** Acquires the value in its own scope, and settles all that wait for it. */
const acquireInto = <A, E>(state: State<A, E>, held: Held<A, E>): Effect.Effect<void> => {
  const forget = () => {
    if (state.held === held) state.held = undefined
  }
  const acquired = Effect.interruptible(Scope.extend(state.acquire, held.scope))
  return Effect.flatMap(Effect.exit(acquired), (exit) => {
    if (Exit.isSuccess(exit)) {
      held.value = exit
      Deferred.unsafeDone(held.acquired, exit)
      return Scope.addFinalizer(held.scope, Effect.sync(forget))
    }
    forget()
    Deferred.unsafeDone(held.acquired, exit)
    return Scope.close(held.scope, exit)
  })
}

/** Starts the acquisition, unless another caller has already started it. */
const startAcquisition = <A, E>(state: State<A, E>): Effect.Effect<Held<A, E>> =>
  Effect.flatMap(Scope.fork(state.scope, ExecutionStrategy.sequential), (scope) => {
    if (state.held !== undefined) return Effect.as(Scope.close(scope, Exit.void), state.held)
    const held: Held<A, E> = { acquired: Deferred.unsafeMake(FiberId.none), scope }
    state.held = held
    return Effect.as(Effect.forkIn(acquireInto(state, held), scope), held)
  })

const awaitValue = <A, E>(state: State<A, E>, restore: Restore): Effect.Effect<A, E> => {
  if (state.held?.value !== undefined) return state.held.value
  return Effect.flatMap(startAcquisition(state), ({ acquired }) => restore(Deferred.await(acquired)))
}

/** Releases a value that is retired and that no one leases. */
const releaseUnused = <A, E>(state: State<A, E>): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!state.isRetired || state.leases > 0 || state.held === undefined) return Effect.void
    const { scope } = state.held
    state.held = undefined
    return Scope.close(scope, Exit.void)
  })

const endLease = <A, E>(state: State<A, E>): Effect.Effect<void> =>
  Effect.suspend(() => {
    state.leases--
    return releaseUnused(state)
  })

const retire = <A, E>(state: State<A, E>): Effect.Effect<void> =>
  Effect.suspend(() => {
    state.isRetired = true
    return releaseUnused(state)
  })

/**
 * A value that the first lease acquires, once for all leases, in a fiber and a scope of its own. The scope
 * closes with `scope`, or when the value is retired and no one leases it.
 *
 * Not Effect's `RcMap`, which acquired 20 values for 20 callers in one turn, nor `RcRef`, which acquired 2
 * when the first caller was interrupted.
 */
export const makeSharedResource = <A, E>(
  scope: Scope.Scope,
  acquire: Effect.Effect<A, E, Scope.Scope>
): Shared<A, E> => {
  const state: State<A, E> = { acquire, scope, held: undefined, leases: 0, isRetired: false }
  return {
    lease: (restore, use) => {
      state.leases++
      return Effect.ensuring(
        Effect.flatMap(awaitValue(state, restore), (value) => restore(use(value))),
        endLease(state)
      )
    },
    retire: retire(state),
    isAcquired: () => state.held !== undefined
  }
}
