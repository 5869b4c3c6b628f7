/**
 * What an answer holds: OpenAI's `ChatCompletion`, with a thinking model's reasoning and the client's
 * `_metadata`.
 *
 * The types are OpenAI's, so that an answer can go to code that was written for its package. What a model
 * server leaves out of its answer is filled in where the meaning is plain (doc/reliability.md, "Answers of
 * real servers"); `logprobs` and `refusal` may be absent in place of `null`. What it says beyond OpenAI's
 * fields is kept.
 *
 * @since 0.3.0
 */

/**
 * A model's wish to have a function called.
 *
 * @since 0.3.0
 * @category models
 */
export interface FunctionToolCall {
  readonly id: string
  readonly type: "function"
  /** `arguments` is JSON text, written by the model: it may be invalid. */
  readonly function: { readonly name: string; readonly arguments: string }
  readonly custom?: undefined
}

/**
 * A model's wish to have a custom tool called.
 *
 * @since 0.3.0
 * @category models
 */
export interface CustomToolCall {
  readonly id: string
  readonly type: "custom"
  readonly custom: { readonly name: string; readonly input: string }
  readonly function?: undefined
}

/**
 * A model's wish to have a tool called: `type` says of which kind.
 *
 * @since 0.2.0
 * @category models
 */
export type ToolCall = FunctionToolCall | CustomToolCall

/**
 * How likely a token was.
 *
 * @since 0.3.0
 * @category models
 */
export interface TopLogprob {
  readonly token: string
  /** The natural logarithm of its probability. */
  readonly logprob: number
  /** Its UTF-8. */
  readonly bytes: Array<number> | null
}

/**
 * A token of the answer, how likely it was, and what was likely in its place.
 *
 * @since 0.3.0
 * @category models
 */
export interface TokenLogprob extends TopLogprob {
  readonly top_logprobs: Array<TopLogprob>
}

/**
 * The log probabilities of a choice's tokens.
 *
 * @since 0.3.0
 * @category models
 */
export interface Logprobs {
  readonly content: Array<TokenLogprob> | null
  readonly refusal: Array<TokenLogprob> | null
}

/**
 * A source that the answer names.
 *
 * @since 0.3.0
 * @category models
 */
export interface Annotation {
  readonly type: "url_citation"
  readonly url_citation: {
    readonly start_index: number
    readonly end_index: number
    readonly title: string
    readonly url: string
  }
}

/**
 * What the model says.
 *
 * @since 0.3.0
 * @category models
 */
export interface AnswerMessage {
  readonly role: "assistant"
  /** `null` when the model calls tools instead of answering. */
  readonly content: string | null
  /** Why the model did not answer; `null`, or absent, if it did. */
  readonly refusal: string | null
  /** A thinking model's reasoning. */
  readonly reasoning_content?: string | null
  readonly tool_calls?: Array<ToolCall>
  readonly annotations?: Array<Annotation>
  readonly audio?: {
    readonly id: string
    /** In base64. */
    readonly data: string
    /** Unix seconds. */
    readonly expires_at: number
    readonly transcript: string
  } | null
  /** Deprecated by OpenAI: `tool_calls` has taken its place. */
  readonly function_call?: { readonly name: string; readonly arguments: string } | null
}

/**
 * One of the answers. There are as many as the request's `n`.
 *
 * @since 0.2.0
 * @category models
 */
export interface Choice {
  /** Which one it is, counted from 0. */
  readonly index: number
  readonly message: AnswerMessage
  /**
   * Why the model stopped: it was done, the limit of tokens was reached, it calls tools, or content was
   * left out.
   */
  readonly finish_reason: "stop" | "length" | "tool_calls" | "content_filter" | "function_call"
  /** `null`, or absent, unless the request asked for them. */
  readonly logprobs: Logprobs | null
  /** The parts of the content, if the model server gave it in parts; `message.content` has their text. */
  readonly content_parts?: Array<unknown>
}

/**
 * How many tokens a request took.
 *
 * @since 0.3.0
 * @category models
 */
export interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  readonly completion_tokens_details?: {
    readonly accepted_prediction_tokens?: number
    readonly audio_tokens?: number
    readonly reasoning_tokens?: number
    readonly rejected_prediction_tokens?: number
    readonly text_tokens?: number
  }
  readonly prompt_tokens_details?: {
    readonly audio_tokens?: number
    readonly cache_write_tokens?: number
    readonly cached_tokens?: number
    readonly image_tokens?: number
    readonly text_tokens?: number
  }
}

/**
 * What the client knows of an answer, beside what the router put there.
 *
 * @since 0.2.0
 * @category models
 */
export interface Metadata {
  /** The `X-Payload-ID` the request went out with. */
  readonly payload_id: string
  /** When the router answered, in Unix seconds; absent if it did not say. */
  readonly processed_at?: number
  readonly is_encrypted: true
  readonly encryption_algorithm: string
  /** What else the router says, such as `security_tier`. */
  readonly [field: string]: unknown
}

/**
 * An answer: an OpenAI `chat.completion` with `_metadata`. For a model server's own fields, declare them:
 * `declare module "nomyo-js" { interface ChatCompletionResponse { timings?: object } }`.
 *
 * @since 0.2.0
 * @category models
 */
export interface ChatCompletionResponse {
  readonly id: string
  readonly object: "chat.completion"
  /** Unix seconds. */
  readonly created: number
  /** The model that answered. */
  readonly model: string
  readonly choices: Array<Choice>
  readonly usage?: Usage
  /** Which configuration of the model server answered. */
  readonly system_fingerprint?: string
  readonly service_tier?: "auto" | "default" | "flex" | "scale" | "priority" | "fast" | null
  readonly _metadata: Metadata
}
