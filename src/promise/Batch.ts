/**
 * Many requests, some at a time, for callers without Effect.
 *
 * @since 0.2.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Batch from "../Batch.js"
import { batchRules, readOptions } from "../internal/options.js"
import * as NomyoClient from "../NomyoClient.js"
import { InvalidRequestError, type NomyoError } from "../NomyoError.js"
import type { ChatCompletionResponse } from "../openai/chatAnswer.js"
import type { ChatCompletionRequest } from "../openai/chatRequest.js"
import { type CallSite, captureCallSite, withCallSite } from "./callSite.js"
import type { ClientRuntime } from "./ClientRuntime.js"
import { openUntilLeft } from "./openUntilLeft.js"
import type { BatchOptions } from "./options.js"

/**
 * The result of one request of a batch, as `Promise.allSettled` has it: `status`, and `value` or `reason`.
 * `index` is the position of the request in the input, counted from 0.
 *
 * @since 0.2.0
 * @category models
 */
export type BatchResult = PromiseSettledResult<ChatCompletionResponse> & { readonly index: number }

/** Inputs that `for await` accepts. */
type Requests = Iterable<ChatCompletionRequest> | AsyncIterable<ChatCompletionRequest>

type Take = Batch.Take<ChatCompletionResponse, NomyoError, unknown>

const iteratorOf = (
  requests: Partial<Iterable<ChatCompletionRequest> & AsyncIterable<ChatCompletionRequest>> | undefined
): Iterator<ChatCompletionRequest> | AsyncIterator<ChatCompletionRequest> => {
  const iterator = requests?.[Symbol.asyncIterator]?.() ?? requests?.[Symbol.iterator]?.()
  if (iterator !== undefined) return iterator
  throw new InvalidRequestError({ message: "requests must be an array, a generator or another iterable" })
}

/** Reads requests one by one as `for await` does, and closes the input unless it has ended by itself. */
class Input {
  #iterator: ReturnType<typeof iteratorOf> | undefined
  #isReading = false
  readonly #requests: Requests

  constructor(requests: Requests) {
    this.#requests = requests
  }

  async #read(): Promise<IteratorResult<ChatCompletionRequest, unknown>> {
    this.#isReading = true
    try {
      this.#iterator ??= iteratorOf(this.#requests)
      const result = await this.#iterator.next()
      if (result.done === true) this.#iterator = undefined
      return result
    } catch (error) {
      this.#iterator = undefined
      throw error
    } finally {
      this.#isReading = false
    }
  }

  readonly next: Effect.Effect<ChatCompletionRequest, Option.Option<unknown>> = Effect.tryPromise({
    try: () => this.#read(),
    catch: Option.some
  }).pipe(
    Effect.flatMap((result) =>
      result.done === true ? Effect.fail(Option.none()) : Effect.succeed(result.value))
  )

  async close(): Promise<void> {
    const closed = Promise.resolve(this.#iterator?.return?.())
    // an input that is being read may never answer
    if (this.#isReading) closed.catch(() => undefined)
    else await closed
  }
}

/** Starts a batch. The end of its scope cancels its requests. */
const start = (input: Input, options: NomyoClient.BatchOptions) =>
  Effect.flatMap(NomyoClient.NomyoClient, (client) =>
    Batch.make(input.next, (request) => client.create(request, options), options))

const resultOf = ({ exit, index }: Effect.Effect.Success<Take>, site: CallSite): BatchResult =>
  Exit.match(exit, {
    onSuccess: (value) => ({ index, status: "fulfilled", value }),
    onFailure: (cause) => ({ index, status: "rejected", reason: withCallSite(Cause.squash(cause), site) })
  })

/** Takes results until the batch is over: by the end of its input, or by its client's end or an abort. */
async function* results(take: Take, site: CallSite): AsyncGenerator<BatchResult, void, undefined> {
  for (;;) {
    const exit = await Effect.runPromiseExit(take)
    if (Exit.isSuccess(exit)) {
      yield resultOf(exit.value, site)
      continue
    }
    // none: the scope was closed, by the end of the client or an abort
    const failure = Option.flatten(Cause.failureOption(exit.cause))
    if (Option.isSome(failure)) throw failure.value
    return
  }
}

/** @internal */
export async function* createAll(
  runtime: ClientRuntime,
  requests: Requests,
  options: BatchOptions | undefined
): AsyncGenerator<BatchResult, void, undefined> {
  const site = captureCallSite(createAll)
  const input = new Input(requests)
  const { leave, opened } = openUntilLeft(runtime, readOptions(batchRules, options), (read) =>
    start(input, read))
  try {
    yield* results(await opened, site)
    await leave()
  } finally {
    await leave().catch(() => undefined)
    await input.close()
  }
}
