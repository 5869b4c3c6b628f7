/** Types of a router's models, in a separate module because each model and `Model` need them. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ChatCompletionRequest, SecurityTier } from "../ChatCompletion.js"
import type { HttpError } from "../NomyoError.js"

/**
 * A request, opened and checked.
 *
 * @since 0.2.0
 * @category models
 */
export interface Opened {
  readonly payloadId: string
  readonly securityTier: SecurityTier | undefined
  readonly payload: ChatCompletionRequest
}

/**
 * Answers a request with a chat completion, as a JSON object. An error becomes its HTTP status. The router
 * sends the error's message in the clear under protocol 1.0, so it must repeat nothing of the request.
 *
 * @since 0.2.0
 * @category models
 */
export interface Model {
  (request: Opened): Effect.Effect<object, HttpError>
  /**
   * Answers with server-sent events while the model writes, each with its empty line. Without this field, the
   * model sends whole answers. When the scope or the stream ends, the model stops.
   */
  readonly stream?: (
    request: Opened
  ) => Effect.Effect<Stream.Stream<string, HttpError>, HttpError, Scope.Scope>
}

/**
 * The ids of the models that a router offers, for its `GET /v1/models`.
 *
 * @since 0.3.0
 * @category models
 */
export type Models = Effect.Effect<ReadonlyArray<string>, HttpError>
