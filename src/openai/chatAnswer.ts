/**
 * Answers: OpenAI's `ChatCompletion`, with a thinking model's reasoning and the client's `_metadata`.
 *
 * The types are OpenAI's, so you can pass an answer to code for the package `openai`. The client fills in
 * fields that a model server leaves out, where the meaning is clear (doc/reliability.md, "Answers of
 * real servers"); `logprobs` and `refusal` may be absent in place of `null`. Other fields
 * are kept.
 *
 * @since 0.3.0
 */

/**
 * A model's request to call a function.
 *
 * @since 0.3.0
 * @category models
 */
export interface FunctionToolCall {
  /** The call's id: the `tool_call_id` of the `tool` message that answers it. */
  readonly id: string
  /** Says that `function` is set. */
  readonly type: "function"
  /** `arguments` is JSON text, written by the model: it may be invalid. */
  readonly function: { readonly name: string; readonly arguments: string }
  /** Absent in a function call. */
  readonly custom?: undefined
}

/**
 * A model's request to call a custom tool.
 *
 * @since 0.3.0
 * @category models
 */
export interface CustomToolCall {
  /** The call's id: the `tool_call_id` of the `tool` message that answers it. */
  readonly id: string
  /** Says that `custom` is set. */
  readonly type: "custom"
  /** The tool, and the text that the model wrote for it. */
  readonly custom: { readonly name: string; readonly input: string }
  /** Absent in a custom tool call. */
  readonly function?: undefined
}

/**
 * A model's request to call a tool; `type` is its kind.
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
  /** The token's text. */
  readonly token: string
  /** The natural logarithm of its probability. */
  readonly logprob: number
  /** The token's text as UTF-8 bytes, or `null` if the server gives none. */
  readonly bytes: Array<number> | null
}

/**
 * A token of the answer, its probability, and likely alternatives.
 *
 * @since 0.3.0
 * @category models
 */
export interface TokenLogprob extends TopLogprob {
  /** The most likely tokens at this place: as many as `top_logprobs` of the request. */
  readonly top_logprobs: Array<TopLogprob>
}

/**
 * The log probabilities of a choice's tokens.
 *
 * @since 0.3.0
 * @category models
 */
export interface Logprobs {
  /** The tokens of the answer's text. */
  readonly content: Array<TokenLogprob> | null
  /** The tokens of a refusal. */
  readonly refusal: Array<TokenLogprob> | null
}

/**
 * A source that the answer names.
 *
 * @since 0.3.0
 * @category models
 */
export interface Annotation {
  /** The kind of source. */
  readonly type: "url_citation"
  /** A page, and the characters of the answer's text that cite it, as the server counts them. */
  readonly url_citation: {
    readonly start_index: number
    readonly end_index: number
    readonly title: string
    readonly url: string
  }
}

/**
 * The model's message.
 *
 * @since 0.3.0
 * @category models
 */
export interface AnswerMessage {
  /** The speaker. */
  readonly role: "assistant"
  /** `null` when the model calls tools instead of answering. */
  readonly content: string | null
  /** Why the model refused to answer; `null` if it answered. Some servers leave it out. */
  readonly refusal: string | null
  /** A thinking model's reasoning. */
  readonly reasoning_content?: string | null
  /** The tools that the model calls. Absent without calls. */
  readonly tool_calls?: Array<ToolCall>
  /** The sources that the answer names. */
  readonly annotations?: Array<Annotation>
  /** The answer in sound, if the request asked for it. */
  readonly audio?: {
    readonly id: string
    /** In base64. */
    readonly data: string
    /** Until when the id can be used in a later message, in Unix seconds. */
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
  /** Position of the choice, counted from 0. */
  readonly index: number
  /** The model's message. */
  readonly message: AnswerMessage
  /**
   * Why the model stopped: it finished (`stop`), reached the limit of tokens (`length`), calls tools, or a
   * content filter removed text.
   */
  readonly finish_reason: "stop" | "length" | "tool_calls" | "content_filter" | "function_call"
  /** The log probabilities, if the request asked for them; otherwise `null` or absent. */
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
  /** Tokens of the prompt. */
  readonly prompt_tokens: number
  /** Tokens of all answers, their reasoning included. */
  readonly completion_tokens: number
  /** Sum of both. */
  readonly total_tokens: number
  /** The kinds of tokens in the answers. */
  readonly completion_tokens_details?: {
    readonly accepted_prediction_tokens?: number
    readonly audio_tokens?: number
    readonly reasoning_tokens?: number
    readonly rejected_prediction_tokens?: number
    readonly text_tokens?: number
  }
  /** The kinds of tokens in the prompt. */
  readonly prompt_tokens_details?: {
    readonly audio_tokens?: number
    readonly cache_write_tokens?: number
    readonly cached_tokens?: number
    readonly image_tokens?: number
    readonly text_tokens?: number
  }
}

/**
 * The client's and the router's data about an answer.
 *
 * @since 0.2.0
 * @category models
 */
export interface Metadata {
  /** The `X-Payload-ID` of the request. */
  readonly payload_id: string
  /** When the router answered, in Unix seconds; absent if the router sent no time. */
  readonly processed_at?: number
  /** Always `true`: the router sent the answer encrypted. */
  readonly is_encrypted: true
  /** The algorithms that encrypted the answer. */
  readonly encryption_algorithm: string
  /** Other data of the router, such as `security_tier`. */
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
  /** The answer's id. */
  readonly id: string
  /** The kind of answer. */
  readonly object: "chat.completion"
  /** When the answer was made, in Unix seconds. */
  readonly created: number
  /** The model that answered. */
  readonly model: string
  /** The answers, one for each of the request's `n`. */
  readonly choices: Array<Choice>
  /** The number of tokens; absent if the model server does not count them. */
  readonly usage?: Usage
  /** Which configuration of the model server answered. */
  readonly system_fingerprint?: string
  /** How soon the request was served, if the model server has tiers. */
  readonly service_tier?: "auto" | "default" | "flex" | "scale" | "priority" | "fast" | null
  /** The client's and the router's data about the exchange. */
  readonly _metadata: Metadata
}
