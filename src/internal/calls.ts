import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Scope from "effect/Scope"
import { RotationClock } from "../KeyRing.js"
import { DisposedError } from "../NomyoError.js"

/** Work that is under way, in a fiber of its own. */
export interface Call {
  /**
   * Puts a part of the work on the clock: the whole is over when the time of all these parts together is up. One that fails leaves the clock
   * running for what comes next, which is the end or another part. Not to be nested.
   */
  readonly onTheClock: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

interface Options<R, E2> {
  readonly context: Context.Context<R>
  /** How long its parts may be on the clock, together. Default: for ever. */
  readonly duration?: Duration.Duration | undefined
  readonly onTimeout?: (() => E2) | undefined
}

interface Running {
  /** While it runs. */
  fiber?: Fiber.RuntimeFiber<unknown, unknown> | undefined
  /** When its time is up, in milliseconds; never, while it is not on the clock. */
  due: number
  isLate: boolean
  /** Ends the wait for it. */
  resume?: ((ended: Effect.Effect<void>) => void) | undefined
}

/** What a timer of JavaScript can wait, in milliseconds: one that is to wait for longer does not at all. */
const LONGEST_SLEEP = 2 ** 31 - 1

/**
 * Runs calls until the scope closes, which interrupts what is under way and does not wait for it: who closes the scope may be part of it.
 *
 * One timer keeps the time for all, and one fiber serves for disposal and deadline: a race against either takes two more for each call.
 */
export const make = Effect.gen(function*() {
  const clock = (yield* RotationClock)(yield* Effect.clock)
  const now = () => Number(clock.unsafeCurrentTimeNanos()) / 1e6
  const running = new Set<Running>()
  let isDisposed = false
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isDisposed = true
      for (const { fiber } of running) fiber?.unsafeInterruptAsFork(FiberId.none)
    }))

  const isEarlier = yield* Effect.makeLatch()
  let next = Number.POSITIVE_INFINITY
  const watch = Effect.suspend(() => {
    isEarlier.unsafeClose()
    next = Number.POSITIVE_INFINITY
    const time = now()
    for (const call of running) {
      if (call.due > time) next = Math.min(next, call.due)
      else if (!call.isLate) {
        call.isLate = true
        call.fiber?.unsafeInterruptAsFork(FiberId.none)
      }
    }
    return Number.isFinite(next)
      ? Effect.raceFirst(clock.sleep(Duration.millis(Math.min(Math.ceil(next - time), LONGEST_SLEEP))), isEarlier.await)
      : isEarlier.await
  })
  yield* Effect.forkScoped(Effect.forever(watch))

  /**
   * V8 may keep a call until a major collection: a set that grows leaves the table behind that it had, with what was in it, and lists of fibers may
   * be allocated among what lives long. So it holds nothing of what it was about when it is over.
   */
  const watchOver = (call: Running, fiber: Fiber.RuntimeFiber<unknown, unknown>) => {
    call.fiber = fiber
    running.add(call)
    fiber.addObserver(() => {
      running.delete(call)
      call.fiber = undefined
      call.resume?.(Effect.void)
      call.resume = undefined
    })
    // by what it did itself
    if (isDisposed) fiber.unsafeInterruptAsFork(FiberId.none)
  }

  return <A, E, R, E2 = never>(
    work: (call: Call) => Effect.Effect<A, E, R | Scope.Scope>,
    { context, duration = Duration.infinity, onTimeout }: Options<R, E2>
  ): Effect.Effect<A, E | E2 | DisposedError> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.make(), (scope): Effect.Effect<A, E | E2 | DisposedError> => {
        if (isDisposed) return new DisposedError()
        const call: Running = { due: Number.POSITIVE_INFINITY, isLate: false }
        let left = Duration.toMillis(duration)
        const onTheClock: Call["onTheClock"] = (effect) =>
          Effect.suspend(() => {
            if (call.due === Number.POSITIVE_INFINITY) call.due = now() + left
            if (call.due < next) isEarlier.unsafeOpen()
            return Effect.map(effect, (value) => {
              left = call.due - now()
              call.due = Number.POSITIVE_INFINITY
              return value
            })
          })
        const services = Context.add(context, Scope.Scope, scope)
        const fiber = Effect.fork(Effect.zipRight(
          // for good, and not for an effect: to put back what was there takes longer than to make the fiber
          FiberRef.update(FiberRef.currentContext, (own) => Context.merge(own, services)),
          // whatever its caller may be in, which only waits for it: disposal and deadline are to end it
          Effect.flatMap(Effect.exit(Effect.interruptible(work({ onTheClock }))), (exit) => Effect.as(Scope.close(scope, exit), exit))
        ) as Effect.Effect<Exit.Exit<A, E>>)
        return Effect.flatMap(fiber, (fiber) => {
          watchOver(call, fiber)
          const ended = Effect.async<void>((resume) => {
            if (running.has(call)) call.resume = resume
            else resume(Effect.void)
          })
          return Effect.matchCauseEffect(restore(ended), {
            // it was the caller who was interrupted
            onFailure: (cause) => Effect.zipRight(Fiber.interrupt(fiber), Effect.failCause(cause)),
            onSuccess: (): Effect.Effect<A, E | E2 | DisposedError> => {
              const exit = Exit.flatten(fiber.unsafePoll()!)
              return !Exit.isInterrupted(exit) ? exit : isDisposed ? new DisposedError() : call.isLate ? Effect.fail(onTimeout!()) : exit
            }
          })
        })
      })
    )
})
