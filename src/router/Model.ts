/**
 * What answers the requests that a router has opened.
 *
 * @since 0.2.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ChatCompletionRequest, SecurityTier } from "../ChatCompletion.js"
import type { HttpError, InvalidRequestError } from "../NomyoError.js"
import * as EchoModel from "./EchoModel.js"
import * as UpstreamModel from "./UpstreamModel.js"

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
 * Answers a request with a chat completion, as a JSON object. An error becomes its HTTP status; its message
 * is sent in the clear, so it must not repeat anything of the request.
 *
 * @since 0.2.0
 * @category models
 */
export interface Model {
  (request: Opened): Effect.Effect<object, HttpError>
  /**
   * Answers with server-sent events as the model makes them, each with its empty line. Default: the answer
   * comes whole. The scope's end, or that of the stream, ends the model's work.
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

/**
 * A deterministic model that says back what it reads. A word is a token.
 *
 * - It honours `n` (up to 128), `max_tokens`, `max_completion_tokens` and `stop`.
 * - `response_format` gets a JSON object, or an instance of the schema.
 * - It calls the tool of `tool_choice`, or those that the prompt names, or all with
 *   `parallel_tool_calls: true`, or else the first.
 * - It reasons if its name has "thinking" in it, or with a `reasoning_effort`.
 * - `logprobs` and `top_logprobs` depend on the `seed`.
 * - The model `status/503` fails with that status; `status/503/2` does so twice for a request, then answers.
 *
 * @since 0.2.0
 * @category constructors
 */
export const makeEcho: Effect.Effect<Model> = EchoModel.make

/**
 * Passes requests on to an OpenAI-compatible server, in the clear: run it where the router may see what it
 * sees. It sets no time limit and follows no redirect. A failure becomes a status and a reason of a closed
 * list; the server's own words go to the log, without those of the request. Fails with an
 * `InvalidRequestError` for a URL that cannot be one.
 *
 * @since 0.2.0
 * @category constructors
 */
export const makeUpstream = (
  options: UpstreamModel.Options
): Effect.Effect<Model, InvalidRequestError, HttpClient.HttpClient> =>
  Effect.map(UpstreamModel.make(options), ({ model }) => model)
