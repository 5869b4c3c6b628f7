/**
 * The client for callers without Effect.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import { callRules, chatCompletionRules, readOptions } from "../internal/options.js"
import { NomyoClient } from "../NomyoClient.js"
import type { ChatCompletionResponse } from "../openai/chatAnswer.js"
import type { ChatCompletionRequest } from "../openai/chatRequest.js"
import { type BatchResult, createAll } from "./Batch.js"
import { ClientRuntime, readConfig } from "./ClientRuntime.js"
import type { BatchOptions, CallOptions, ClientConfig } from "./options.js"
import { PromiseClient } from "./PromiseClient.js"
import { type CompletionStream, stream } from "./stream.js"

/**
 * Options of `SecureChatCompletion`.
 *
 * @since 0.2.0
 * @category models
 */
export interface ChatCompletionConfig extends ClientConfig {
  /** URL of the router, with or without `/v1` at its end. Default `https://api.nomyo.ai`. */
  readonly baseUrl?: string | undefined
}

/**
 * An OpenAI-style chat client that encrypts requests to the NOMYO router. Calls reject with one of the ten
 * errors of `nomyo-js`, or, if you abort them, with the signal's reason.
 *
 * @example
 * import { SecureChatCompletion } from "nomyo-js"
 *
 * const client = new SecureChatCompletion({ apiKey: process.env.NOMYO_API_KEY })
 * const answer = await client.create({
 *   model: "Qwen/Qwen3-0.6B",
 *   messages: [{ role: "user", content: "Good morning!" }]
 * })
 * client.dispose()
 *
 * @since 0.2.0
 * @category classes
 */
export class SecureChatCompletion extends PromiseClient {
  readonly #runtime: ClientRuntime

  /**
   * Uses no disk or network. The first call reads the options and the keys. It rejects with an
   * `InvalidRequestError` if an option is invalid.
   */
  constructor(config: ChatCompletionConfig = {}) {
    const runtime = new ClientRuntime(readConfig(chatCompletionRules, config))
    super(runtime)
    this.#runtime = runtime
  }

  /**
   * Checks a request, encrypts it, sends it, and decrypts the answer. The answer is always whole: to read it
   * in chunks, call `stream`.
   */
  create(request: ChatCompletionRequest, options?: CallOptions): Promise<ChatCompletionResponse> {
    return this.#runtime.call(readOptions(callRules, options), (read) =>
      Effect.flatMap(NomyoClient, (client) => client.create(request, read)))
  }

  /** Another name for `create`. */
  acreate(request: ChatCompletionRequest, options?: CallOptions): Promise<ChatCompletionResponse> {
    return this.create(request, options)
  }

  /**
   * Yields the answer's chunks, for `for await`. Under protocol 2 they arrive while the model writes, and an
   * answer that is cut short throws a `SecurityError`. Under protocol 1.0 the client waits for the whole
   * answer, then splits it into chunks. `_metadata.is_streamed` of the first chunk is `true` if the router
   * streamed. The last chunk has only the usage. The client sends the request when you ask for the first
   * chunk. Leaving the loop closes the connection.
   *
   * @since 0.3.0
   */
  stream(request: ChatCompletionRequest, options?: CallOptions): CompletionStream {
    return stream(this.#runtime, request, options)
  }

  /**
   * Sends the requests, `concurrency` at a time, and yields the result of each, for `for await`. The batch
   * continues after a failed request.
   *
   * Backpressure: requests in flight plus results you have not taken yet are at most `concurrency`. Below
   * that it reads the next request. If the input throws, the batch throws the same error after the results of
   * the requests read so far. Leaving the loop cancels the requests in flight and closes the input. An
   * aborted `signal` does the same, and the loop throws its reason. `dispose()` does the same, and the loop
   * throws a `DisposedError`.
   */
  createAll(
    requests: Iterable<ChatCompletionRequest> | AsyncIterable<ChatCompletionRequest>,
    options?: BatchOptions
  ): AsyncGenerator<BatchResult, void, undefined> {
    return createAll(this.#runtime, requests, options)
  }
}
