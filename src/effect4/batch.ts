/** Many requests of a stream of Effect 4. */
import * as Effect from "effect4/Effect"
import * as Result from "effect4/Result"
import * as Stream from "effect4/Stream"
import {
  type BatchOptions as PromiseBatchOptions,
  type BatchResult,
  type ChatCompletionRequest,
  type ChatCompletionResponse,
  isNomyoError,
  type NomyoError,
  type SecureChatCompletion
} from "../promise/index.js"

/**
 * Options of one batch. `timeout` and `maxRetries` apply to each of its requests.
 *
 * @since 0.3.0
 * @category models
 */
export interface BatchOptions extends Omit<PromiseBatchOptions, "signal"> {}

/**
 * The result of one request of a batch. `index` is its position in the input, counted from 0.
 *
 * @since 0.3.0
 * @category models
 */
export interface Outcome {
  readonly index: number
  readonly result: Result.Result<ChatCompletionResponse, NomyoError>
}

/** Carries the input's own failure through the Promise client, whose errors it may be one of. */
class InputFailure<E> {
  readonly error: E
  constructor(error: E) {
    this.error = error
  }
}

const outcomeOf = (settled: BatchResult): Effect.Effect<Outcome> => {
  const { index } = settled
  if (settled.status === "fulfilled") return Effect.succeed({ index, result: Result.succeed(settled.value) })
  const { reason } = settled
  return isNomyoError(reason)
    ? Effect.succeed({ index, result: Result.fail(reason) })
    : Effect.die(reason)
}

/** A failure of the input, an error of the client, or a defect. */
const failureOf = <E>(error: unknown): Effect.Effect<never, E | NomyoError> => {
  if (error instanceof InputFailure) return Effect.fail(error.error as E)
  return isNomyoError(error) ? Effect.fail(error) : Effect.die(error)
}

/** Aborts when the scope closes: a batch that waits for an answer cannot be closed in another way. */
const scopedSignal = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => new AbortController()),
    (controller) => Effect.sync(() => controller.abort())
  ),
  ({ signal }) => signal
)

export const batch = <E, R>(
  client: SecureChatCompletion,
  requests: Stream.Stream<ChatCompletionRequest, E, R>,
  options: BatchOptions | undefined
): Stream.Stream<Outcome, E | NomyoError, R> =>
  Stream.unwrap(Effect.gen(function*() {
    const signal = yield* scopedSignal
    const marked = Stream.mapError(requests, (error) => new InputFailure(error))
    const input = yield* Stream.toAsyncIterableEffect(marked)
    return Stream.fromAsyncIterable(client.createAll(input, { ...options, signal }), (error) => error).pipe(
      Stream.mapEffect(outcomeOf),
      Stream.catch((error) => Stream.fromEffect(failureOf<E>(error)))
    )
  }))
