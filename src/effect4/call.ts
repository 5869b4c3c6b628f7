/** One call of the Promise client as an effect of Effect 4. */
import * as Effect from "effect4/Effect"
import {
  type CallOptions as PromiseCallOptions,
  type ChatCompletionRequest,
  type ChatCompletionResponse,
  isNomyoError,
  type NomyoError
} from "../promise/index.js"

/**
 * Options of one call. Interrupt the effect instead of passing a signal.
 *
 * @since 0.3.0
 * @category models
 */
export interface CallOptions extends Omit<PromiseCallOptions, "signal"> {}

/** Runs a call of the client. Interruption aborts its signal. */
export const call = <A>(run: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, NomyoError> =>
  // the next step sorts errors and defects apart
  // @effect-diagnostics-next-line unknownInEffectCatch:off
  Effect.tryPromise({ try: run, catch: (error) => error }).pipe(
    Effect.catch((error) => isNomyoError(error) ? Effect.fail(error) : Effect.die(error))
  )

/** Names what is read of a request that may be no request. */
const attributesOf = (request: ChatCompletionRequest): Record<string, unknown> => ({
  "gen_ai.operation.name": "chat",
  "gen_ai.provider.name": "nomyo",
  ...(typeof request?.model === "string" ? { "gen_ai.request.model": request.model } : {})
})

/** A call in a span of its own, which is not given the answer. */
export const traced = (
  request: ChatCompletionRequest,
  effect: Effect.Effect<ChatCompletionResponse, NomyoError>
): Effect.Effect<ChatCompletionResponse, NomyoError> =>
  Effect.suspend(() => {
    let answer: ChatCompletionResponse
    const called = Effect.map(effect, (response) => {
      answer = response
    })
    const span = { attributes: attributesOf(request), kind: "client", captureStackTrace: false } as const
    return Effect.map(Effect.withSpan(called, "NomyoClient.create", span), () => answer)
  })
