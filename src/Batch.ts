/**
 * The engine of `createAll` in both APIs: many requests, a limited number at a time.
 *
 * It is independent of clients, streams and iterators: one effect supplies requests, a function answers them,
 * and another effect yields outcomes.
 *
 * @since 0.3.0
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type * as OptionTypes from "./internal/optionTypes.js"
import * as NomyoConfig from "./NomyoConfig.js"
import type { InvalidRequestError } from "./NomyoError.js"

/**
 * The exit of one request of a batch.
 *
 * @since 0.3.0
 * @category models
 */
export interface Settled<A, E> {
  /** The position of the request in the input, counted from 0. */
  readonly index: number
  readonly exit: Exit.Exit<A, E>
}

/**
 * Yields the next outcome, each time it runs. After the last outcome it fails with `None`, or with the
 * failure of the input.
 *
 * @since 0.3.0
 * @category models
 */
export type Take<A, E, InputError> = Effect.Effect<Settled<A, E>, Option.Option<InputError>>

/** Reads and answers requests until the input ends. Returns that end after the last outcome is read. */
const readAll = Effect.fnUntraced(function*<Request, InputError, R>(
  next: Effect.Effect<Request, Option.Option<InputError>, R>,
  answer: (request: Request, index: number) => Effect.Effect<unknown, never, R>,
  slots: Effect.Semaphore,
  concurrency: number
): Effect.fn.Return<Effect.Effect<never, Option.Option<InputError>>, never, R> {
  for (let index = 0;; index++) {
    yield* slots.take(1)
    const request = yield* Effect.exit(next)
    if (request._tag === "Failure") {
      // this fiber holds one slot already: all others are free when every outcome is taken
      yield* slots.take(concurrency - 1)
      return Effect.failCause(request.cause)
    }
    yield* answer(request.value, index)
  }
})

/**
 * Starts a batch. Closing the scope interrupts the requests in flight.
 *
 * Backpressure: requests in flight plus outcomes you have not taken yet are at most `concurrency`. While
 * there are fewer, it reads the next request. A failed request is an outcome too. Fails with an
 * `InvalidRequestError` if `concurrency` is not a whole number, 1 or more.
 *
 * @param next each run returns the next request; fails with `None` at the end of the input
 * @param create answers one request
 * @since 0.3.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*<Request, A, E, InputError, R>(
  next: Effect.Effect<Request, Option.Option<InputError>, R>,
  create: (request: Request) => Effect.Effect<A, E, R>,
  options: OptionTypes.BatchOptions | null | undefined
): Effect.fn.Return<Take<A, E, InputError>, InvalidRequestError, R | Scope.Scope> {
  const concurrency = yield* NomyoConfig.concurrency(options?.concurrency)
  const slots = yield* Effect.makeSemaphore(concurrency)
  // never full, since the slots bound it: it drops nothing
  const makeQueue = Queue.sliding<Take<A, E, InputError>>(concurrency + 1)
  const outcomes = yield* Effect.acquireRelease(makeQueue, Queue.shutdown)

  const offer = (outcome: Take<A, E, InputError>) => Queue.offer(outcomes, outcome)
  const settle = (request: Request, index: number) =>
    Effect.map(Effect.exit(create(request)), (exit): Settled<A, E> => ({ index, exit }))
  /** Takes its place in the order at once, or when it is answered. */
  const answer = (request: Request, index: number): Effect.Effect<unknown, never, R> =>
    options?.ordered === true
      ? Effect.flatMap(Effect.fork(settle(request, index)), (fiber) => offer(Fiber.join(fiber)))
      : Effect.fork(Effect.flatMap(settle(request, index), (settled) => offer(Effect.succeed(settled))))

  yield* Effect.forkScoped(Effect.flatMap(readAll(next, answer, slots, concurrency), offer))
  return Effect.zipLeft(Effect.flatten(Queue.take(outcomes)), slots.release(1))
})
