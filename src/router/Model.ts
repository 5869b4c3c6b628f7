/**
 * Models, which answer the requests that a router has opened.
 *
 * @since 0.2.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import type { InvalidRequestError } from "../NomyoError.js"
import * as EchoModel from "./EchoModel.js"
import type { Model } from "./modelTypes.js"
import * as UpstreamModel from "./UpstreamModel.js"

export type {
  /**
   * @since 0.2.0
   */
  Model,
  /**
   * @since 0.3.0
   */
  Models,
  /**
   * @since 0.2.0
   */
  Opened
} from "./modelTypes.js"

/**
 * A deterministic model that repeats the prompt. A word is a token.
 *
 * - It honours `n` (up to 128), `max_tokens`, `max_completion_tokens` and `stop`.
 * - `response_format` gets a JSON object, or an instance of the schema.
 * - It calls the tool of `tool_choice`, or the tools that the prompt names. Without either it calls the first
 *   tool, or all tools with `parallel_tool_calls: true`.
 * - It reasons if its name contains "thinking", or if the request has a `reasoning_effort`.
 * - `logprobs` and `top_logprobs` depend on the `seed`.
 * - The model `status/503` answers with HTTP status 503; `status/503/2` does so twice for a request, then
 *   answers normally.
 *
 * @since 0.2.0
 * @category constructors
 */
export const makeEcho: Effect.Effect<Model> = EchoModel.make

/**
 * Sends requests to an OpenAI-compatible server, unencrypted. Run that server where nobody can read the
 * traffic. It sets no time limit and follows no redirect. A failure becomes a status and a `reason`; the log
 * gets the server's message, without words of the request. Fails with an `InvalidRequestError` for an invalid
 * URL.
 *
 * @since 0.2.0
 * @category constructors
 */
export const makeUpstream = (
  options: UpstreamModel.Options
): Effect.Effect<Model, InvalidRequestError, HttpClient.HttpClient> =>
  Effect.map(UpstreamModel.make(options), ({ model }) => model)
