import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** One value for all who lease it. */
export interface Shared<A, E> {
  /**
   * Lends the value to `use`. It is made for the first who asks, whether they go on waiting or not. A failure is told to all who wait, and not
   * remembered. To be called within `Effect.uninterruptibleMask`: from the call on, it is leased.
   */
  readonly lease: <B, E2, R>(restore: Restore, use: (value: A) => Effect.Effect<B, E2, R>) => Effect.Effect<B, E | E2, R>
  /** From now on it lives only as long as somebody leases it. */
  readonly retire: Effect.Effect<void>
  /** Whether it is there, or being made. */
  readonly isAcquired: () => boolean
}

/**
 * A value that is made when it is first asked for, once for all who ask meanwhile, in a fiber and a scope of its own. That scope closes when the
 * value has been let go of and nobody leases it, or with `scope`. (`RcMap` has two look before either acquires, if they come in the same turn.)
 */
export const makeSharedResource = <A, E>(scope: Scope.Scope, acquire: Effect.Effect<A, E, Scope.Scope>): Shared<A, E> => {
  interface Held {
    readonly made: Deferred.Deferred<A, E>
    readonly scope: Scope.CloseableScope
    value?: Exit.Exit<A, E>
  }
  let held: Held | undefined
  let leases = 0
  let isLetGo = false

  const make = (mine: Held): Effect.Effect<void> =>
    Effect.flatMap(Effect.exit(Effect.interruptible(Scope.extend(acquire, mine.scope))), (exit) => {
      const leave = () => {
        if (held === mine) held = undefined
      }
      const isMade = Exit.isSuccess(exit)
      if (isMade) mine.value = exit
      else leave()
      Deferred.unsafeDone(mine.made, exit)
      return isMade ? Scope.addFinalizer(mine.scope, Effect.sync(leave)) : Scope.close(mine.scope, exit)
    })

  const start = Effect.flatMap(Scope.fork(scope, ExecutionStrategy.sequential), (own) => {
    if (held !== undefined) return Effect.as(Scope.close(own, Exit.void), held)
    const mine: Held = held = { made: Deferred.unsafeMake(FiberId.none), scope: own }
    return Effect.as(Effect.forkIn(make(mine), own), mine)
  })

  const endIfUnused = Effect.suspend(() => {
    if (!isLetGo || leases > 0 || held === undefined) return Effect.void
    const { scope: own } = held
    held = undefined
    return Scope.close(own, Exit.void)
  })
  const giveBack = <B, E2>(exit: Exit.Exit<B, E2>): Effect.Effect<B, E2> => {
    leases--
    return isLetGo ? Effect.zipRight(endIfUnused, exit) : exit
  }

  return {
    lease: (restore, use) => {
      leases++
      const value = held?.value ?? Effect.flatMap(held === undefined ? start : Effect.succeed(held), ({ made }) => restore(Deferred.await(made)))
      return Effect.matchCauseEffect(Effect.flatMap(value, (value) => restore(use(value))), {
        onFailure: (cause) => giveBack(Exit.failCause(cause)),
        onSuccess: (result) => giveBack(Exit.succeed(result))
      })
    },
    retire: Effect.suspend(() => {
      isLetGo = true
      return endIfUnused
    }),
    isAcquired: () => held !== undefined
  }
}
