/**
 * Many requests, some at a time, for callers without Effect.
 *
 * @since 0.2.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import type { ChatCompletionRequest, ChatCompletionResponse } from "../ChatCompletion.js"
import * as NomyoClient from "../NomyoClient.js"
import * as NomyoConfig from "../NomyoConfig.js"
import { InvalidRequestError } from "../NomyoError.js"
import type { CallOptions } from "./PromiseClient.js"

/**
 * What a batch may set for itself. `timeout` and `maxRetries` are set for each of its requests, and `signal` cancels it whole.
 *
 * @since 0.2.0
 * @category models
 */
export interface BatchOptions extends NomyoClient.BatchOptions, CallOptions {}

/**
 * What became of one request of a batch, as `Promise.allSettled` tells it: `status`, and `value` or `reason`. `index` is which request it
 * was, counted from 0.
 *
 * @since 0.2.0
 * @category models
 */
export type BatchResult = PromiseSettledResult<ChatCompletionResponse> & { readonly index: number }

/** What `for await` takes. */
type Requests = Iterable<ChatCompletionRequest> | AsyncIterable<ChatCompletionRequest>

/** Nothing if it is none. */
const iteratorOf = (
  requests: Partial<Iterable<ChatCompletionRequest> & AsyncIterable<ChatCompletionRequest>> | undefined
): Iterator<ChatCompletionRequest> | AsyncIterator<ChatCompletionRequest> | undefined =>
  requests?.[Symbol.asyncIterator]?.() ?? requests?.[Symbol.iterator]?.()

/**
 * The requests are children of one fiber, which ends with them: when the batch is done, is left, is aborted or its client is disposed.
 *
 * @internal
 */
export async function* createAll(
  run: (effect: Effect.Effect<void, unknown, NomyoClient.NomyoClient>) => Promise<void>,
  requests: Requests,
  options: BatchOptions | undefined
): AsyncGenerator<BatchResult, void, undefined> {
  /** While there may be more to read. */
  let input: ReturnType<typeof iteratorOf>
  let isReading = false
  /** What nobody has taken yet, the earliest first. */
  const answered = new Map<number, { readonly result: BatchResult; readonly take: () => void }>()
  let isOver = false
  let news = (): void => undefined
  let leave = (): void => undefined
  const left = new Promise<void>((resolve) => {
    leave = resolve
  })

  /** Ends when the result is taken. */
  const offer = (index: number, exit: Exit.Exit<ChatCompletionResponse, unknown>) =>
    Effect.async<void>((resume) => {
      const settled: PromiseSettledResult<ChatCompletionResponse> = Exit.match(exit, {
        onSuccess: (value) => ({ status: "fulfilled", value }),
        onFailure: (cause) => ({ status: "rejected", reason: Cause.squash(cause) })
      })
      answered.set(index, { result: { index, ...settled }, take: () => resume(Effect.void) })
      news()
    })

  const batch = Effect.gen(function*() {
    const client = yield* NomyoClient.NomyoClient
    const concurrency = yield* NomyoConfig.concurrency(options?.concurrency)
    const slots = yield* Effect.makeSemaphore(concurrency)
    const iterator = input = iteratorOf(requests)
    if (iterator === undefined) return yield* Effect.fail(new InvalidRequestError({ message: "requests is an iterable or an async iterable" }))
    const next = Effect.tryPromise({
      try: async () => {
        isReading = true
        const next = await iterator.next()
        isReading = false
        return next
      },
      catch: identity
    })
    const readAll = Effect.gen(function*() {
      for (let index = 0;; index++) {
        yield* slots.take(1)
        const { done, value } = yield* next
        if (done === true) return
        yield* Effect.exit(client.create(value, options)).pipe(
          Effect.flatMap((exit) => offer(index, exit)),
          Effect.ensuring(slots.release(1)),
          Effect.fork
        )
      }
    })
    const end = yield* Effect.exit(readAll)
    input = undefined
    // all but the one that the end was read with
    yield* slots.take(concurrency - 1)
    yield* end
  })

  const end = run(Effect.raceFirst(batch, Effect.promise(() => left))).finally(() => {
    isOver = true
    news()
  })
  // it is looked at when all else has been taken
  end.catch(() => undefined)
  try {
    let taken = 0
    for (;;) {
      if (isOver) return await end
      const first = options?.ordered === true ? answered.get(taken) : answered.values().next().value
      if (first === undefined) {
        await new Promise<void>((resolve) => {
          news = resolve
        })
      } else {
        answered.delete(first.result.index)
        first.take()
        taken++
        yield first.result
      }
    }
  } finally {
    leave()
    await end.catch(() => undefined)
    const closed = Promise.resolve(input?.return?.())
    // an input that is being read may take for ever
    if (isReading) closed.catch(() => undefined)
    else await closed
  }
}
