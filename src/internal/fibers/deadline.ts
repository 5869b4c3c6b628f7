import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import { BackgroundClock } from "../../KeyRing.js"
import { DisposedError } from "../../NomyoError.js"

/** Work that is under way, in a fiber of its own. */
export interface Call {
  /**
   * Puts a part of the work on the clock: the whole is over when the time of all these parts together is up. One that fails leaves the clock
   * running for what comes next, which is the end or another part. Not to be nested.
   */
  readonly withDeadline: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

interface Options<R, E2> {
  readonly context: Context.Context<R>
  /** How long its parts may be on the clock, together. Default: for ever. */
  readonly duration?: Duration.Duration | undefined
  readonly onTimeout?: (() => E2) | undefined
}

interface Running {
  /** Absent until it has given way for the first time, and when it has ended. */
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
  const clock = (yield* BackgroundClock)(yield* Effect.clock)
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
   * What observes a fiber is kept with it by V8 until a major collection, if it allocates fibers' lists among what lives long: it holds the call, and
   * nothing that the call was about.
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
    work: (call: Call) => Effect.Effect<A, E, R>,
    { context, duration = Duration.infinity, onTimeout }: Options<R, E2>
  ): Effect.Effect<A, E | E2 | DisposedError> =>
    Effect.withFiberRuntime((parent, { runtimeFlags }) =>
      Effect.uninterruptibleMask((restore): Effect.Effect<A, E | E2 | DisposedError> => {
        if (isDisposed) return Effect.fail(new DisposedError())
        const call: Running = { due: Number.POSITIVE_INFINITY, isLate: false }
        let left = Duration.toMillis(duration)
        const withDeadline: Call["withDeadline"] = (effect) =>
          Effect.suspend(() => {
            if (call.due === Number.POSITIVE_INFINITY) call.due = now() + left
            if (call.due < next) isEarlier.unsafeOpen()
            return Effect.map(effect, (value) => {
              left = call.due - now()
              call.due = Number.POSITIVE_INFINITY
              return value
            })
          })
        // with its services from the start: to provide them takes longer than to make the fiber
        const runtime = Runtime.make({
          context: Context.merge(parent.currentContext, context),
          fiberRefs: parent.getFiberRefs(),
          runtimeFlags: RuntimeFlags.disable(runtimeFlags, RuntimeFlags.Interruption)
        })
        // Interruptible, whatever its caller may be in, which only waits for it: disposal and deadline are to end it. What comes of it is the fiber's
        // value: of a failure Effect would log that nobody handles it.
        const fiber = Runtime.runFork(runtime, Effect.exit(Effect.interruptible(work({ withDeadline }))))
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
            return !Exit.isInterrupted(exit) ? exit : isDisposed ? Effect.fail(new DisposedError()) : call.isLate ? Effect.fail(onTimeout!()) : exit
          }
        })
      })
    )
})
