/**
 * The client for callers without Effect.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import type { ChatCompletionRequest, ChatCompletionResponse } from "../ChatCompletion.js"
import { NomyoClient } from "../NomyoClient.js"
import { type BatchOptions, type BatchResult, createAll } from "./Batch.js"
import { type CallOptions, type ClientConfig, PromiseClient } from "./PromiseClient.js"

/**
 * Options of `SecureChatCompletion`.
 *
 * @since 0.2.0
 * @category models
 */
export interface ChatCompletionConfig extends ClientConfig {
  /** The router. Default `https://api.nomyo.ai`. */
  readonly baseUrl?: string | undefined
}

/**
 * A chat client with the calls of OpenAI's, encrypted end to end. Rejects with the errors of `NomyoError`.
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
  constructor(config: ChatCompletionConfig = {}) {
    super(config, config.baseUrl)
  }

  /** Checks a request, encrypts it, sends it, and decrypts the answer, which comes whole: `stream` has no effect. */
  create(request: ChatCompletionRequest, options?: CallOptions): Promise<ChatCompletionResponse> {
    return this.run(Effect.flatMap(NomyoClient, (client) => client.create(request, options)), options?.signal)
  }

  /** Another name for `create`. */
  acreate(request: ChatCompletionRequest, options?: CallOptions): Promise<ChatCompletionResponse> {
    return this.create(request, options)
  }

  /**
   * Makes the requests, `concurrency` at a time, and gives what became of each: one that fails does not end the batch. For `for await`.
   *
   * No faster than the results are taken: the input is read when fewer than `concurrency` requests are out or waiting to be taken. When it
   * throws, the batch does, after the results of what was read. Leaving the loop cancels what is out and closes the input; so do `signal`,
   * whose reason is thrown, and the end of the client, which is a `DisposedError`.
   */
  createAll(
    requests: Iterable<ChatCompletionRequest> | AsyncIterable<ChatCompletionRequest>,
    options?: BatchOptions
  ): AsyncGenerator<BatchResult, void, undefined> {
    return createAll((effect) => this.run(effect, options?.signal), requests, options)
  }
}
