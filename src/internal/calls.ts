import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Scope from "effect/Scope"
import { RotationClock } from "../KeyRing.js"
import { DisposedError } from "../NomyoError.js"

/** Work that is under way, in a fiber of its own. */
export interface Call {
  /**
   * Puts a part of the work on the clock: the whole is over when the time of all these parts together is up. One that fails leaves the clock
   * running for what comes next, which is the end or another part.
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
  /** Absent until it has begun. */
  fiber?: Fiber.RuntimeFiber<unknown, unknown>
  /** When its time is up, in milliseconds; never, while it is not on the clock. */
  due: number
  isLate: boolean
}

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
    return Number.isFinite(next) ? Effect.raceFirst(clock.sleep(Duration.millis(Math.ceil(next - time))), isEarlier.await) : isEarlier.await
  })
  yield* Effect.forkScoped(Effect.forever(watch))

  return <A, E, R, E2 = never>(
    work: (call: Call) => Effect.Effect<A, E, R | Scope.Scope>,
    { context, duration = Duration.infinity, onTimeout }: Options<R, E2>
  ): Effect.Effect<A, E | E2 | DisposedError> =>
    Effect.withFiberRuntime((parent, { runtimeFlags }) =>
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
          // with its services from the start: to provide them takes longer than to make the fiber
          const runtime = Runtime.make({
            context: Context.merge(parent.currentContext, Context.add(context, Scope.Scope, scope)),
            fiberRefs: parent.getFiberRefs(),
            runtimeFlags: RuntimeFlags.disable(runtimeFlags, RuntimeFlags.Interruption)
          })
          let before: FiberRefs.FiberRefs | undefined
          const begun = Effect.withFiberRuntime<A, E, R | Scope.Scope>((fiber) => {
            call.fiber = fiber
            running.add(call)
            before = fiber.getFiberRefs()
            return restore(work({ onTheClock }))
          })
          const fiber = Runtime.runFork(runtime, Effect.flatMap(Effect.exit(begun), (exit) => Effect.as(Scope.close(scope, exit), exit)))
          fiber.addObserver(() => running.delete(call))
          const ended = Effect.async<Exit.Exit<A, E>>((resume) => fiber.addObserver((exit) => resume(Effect.succeed(Exit.flatten(exit)))))
          return Effect.flatMap(Effect.onInterrupt(restore(ended), () => Fiber.interrupt(fiber)), (exit) => {
            const isCutShort = Exit.isInterrupted(exit)
            const outcome: Effect.Effect<A, E | E2 | DisposedError> = isCutShort && isDisposed
              ? new DisposedError()
              : isCutShort && call.isLate
              ? Effect.fail(onTimeout!())
              : exit
            const after = fiber.getFiberRefs()
            return after === before
              ? outcome
              : Effect.zipRight(Effect.inheritFiberRefs(FiberRefs.delete(after, FiberRef.currentContext)), outcome)
          })
        })
      )
    )
})
