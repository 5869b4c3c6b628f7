/**
 * Chat-completion requests: OpenAI's fields, and those that NOMYO adds.
 *
 * Plain interfaces, so that a program can add its model server's own fields to them:
 * `declare module "nomyo-js" { interface ChatCompletionRequest { guided_json?: object } }`.
 *
 * @since 0.3.0
 */

/**
 * The hardware that runs the model: `standard` is GPUs, `high` is CPUs and GPUs, `maximum` is CPUs only.
 *
 * @since 0.2.0
 * @category models
 */
export type SecurityTier = "standard" | "high" | "maximum"

/**
 * How long a thinking model thinks.
 *
 * @since 0.3.0
 * @category models
 */
export type ReasoningEffort = "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max"

/** Any text, without hiding the literals beside it from an editor's completion. */
type OrAnyText = string & {}

/**
 * Marks the end of a reusable prompt prefix. The part that carries the mark belongs to the prefix.
 *
 * @since 0.3.0
 * @category models
 */
export interface PromptCacheBreakpoint {
  /** The kind of mark. */
  readonly mode: "explicit"
  /** How long the prefix is kept, such as `30m`. */
  readonly ttl?: string | undefined
}

/**
 * An image of a message.
 *
 * @since 0.3.0
 * @category models
 */
export interface ImageUrl {
  /** An `https:` or a `data:` URL. */
  readonly url: string
  /** How closely to look. Default `auto`. */
  readonly detail?: "auto" | "low" | "high" | "original" | undefined
}

/**
 * A sound of a message.
 *
 * @since 0.3.0
 * @category models
 */
export interface InputAudio {
  /** The file, in base64. */
  readonly data: string
  /** Format of the file. */
  readonly format: "wav" | "mp3" | OrAnyText
}

/**
 * A file of a message: its content, or the id of an upload.
 *
 * @since 0.3.0
 * @category models
 */
export interface InputFile {
  /** A `data:` URL of the file. */
  readonly file_data?: string | undefined
  /** Id of a file that was uploaded to the model server, in place of `file_data`. */
  readonly file_id?: string | undefined
  /** Name of the file, for the model. */
  readonly filename?: string | undefined
}

/**
 * A part of a message's content. `type` says which of the other fields it has; a model server may know more
 * types than these.
 *
 * @since 0.2.0
 * @category models
 */
export interface ContentPart {
  /** Says which of the other fields is set. */
  readonly type: "text" | "image_url" | "input_audio" | "file" | "refusal" | "video_url" | OrAnyText
  /** Of a `text` part. */
  readonly text?: string | undefined
  /** Of an `image_url` part. */
  readonly image_url?: string | ImageUrl | undefined
  /** Of an `input_audio` part. */
  readonly input_audio?: InputAudio | undefined
  /** Of a `file` part. */
  readonly file?: InputFile | undefined
  /** Of a `refusal` part, in an assistant's message. */
  readonly refusal?: string | undefined
  /** Of a `video_url` part, which vLLM and others take. */
  readonly video_url?: string | ImageUrl | undefined
  /** Ends a reusable prompt prefix here. Default: no mark. */
  readonly prompt_cache_breakpoint?: PromptCacheBreakpoint | undefined
}

/**
 * A tool call of an assistant's message in the history of a conversation.
 *
 * @since 0.3.0
 * @category models
 */
export interface ToolCallParam {
  /** The call's id, as the model gave it. */
  readonly id?: string | undefined
  /** Says which of the other fields is set. Default `function`. */
  readonly type?: "function" | "custom" | OrAnyText | undefined
  /** Of a `function` call. `arguments` is JSON text; some servers take an object too. */
  readonly function?: { readonly name: string; readonly arguments?: string | object | undefined } | undefined
  /** Of a `custom` call. */
  readonly custom?: { readonly name: string; readonly input: string } | undefined
}

/**
 * One message of the conversation. You can add an answer's message unchanged.
 *
 * @since 0.2.0
 * @category models
 */
export interface Message {
  /** The speaker: one of these, or another role that the model knows. */
  readonly role: "developer" | "system" | "user" | "assistant" | "tool" | "function" | OrAnyText
  /** `null` in an assistant's message that calls tools. */
  readonly content?: string | ReadonlyArray<ContentPart> | null | undefined
  /** Tells apart the participants of one role. */
  readonly name?: string | null | undefined
  /** In an assistant's message: the tools it called. */
  readonly tool_calls?: ReadonlyArray<ToolCallParam> | null | undefined
  /** In a `tool` message: which call it answers. */
  readonly tool_call_id?: string | null | undefined
  /** In an assistant's message: why it did not answer. */
  readonly refusal?: string | null | undefined
  /** In an assistant's message: an earlier answer in sound. */
  readonly audio?: { readonly id: string } | null | undefined
  /** In an assistant's message of a thinking model: its reasoning. Most models do not want it back. */
  readonly reasoning_content?: string | null | undefined
  /** In an assistant's message: the sources it named. */
  readonly annotations?: ReadonlyArray<object> | null | undefined
  /** Deprecated by OpenAI: `tool_calls` has taken its place. */
  readonly function_call?: { readonly name: string; readonly arguments: string } | null | undefined
}

/**
 * A function that the model may call.
 *
 * @since 0.3.0
 * @category models
 */
export interface FunctionDefinition {
  /** Name by which the model calls the function. */
  readonly name: string
  /** Tells the model what the function does. */
  readonly description?: string | null | undefined
  /** JSON Schema of the arguments. */
  readonly parameters?: object | null | undefined
  /** Holds the model to the schema exactly. Default `false`. */
  readonly strict?: boolean | null | undefined
}

/**
 * A tool that takes free text.
 *
 * @since 0.3.0
 * @category models
 */
export interface CustomTool {
  /** Name by which the model calls the tool. */
  readonly name: string
  /** Tells the model what the tool does. */
  readonly description?: string | undefined
  /** Format of the text. Default: any text. */
  readonly format?:
    | { readonly type: "text" }
    | {
      readonly type: "grammar"
      readonly grammar: { readonly definition: string; readonly syntax: "lark" | "regex" }
    }
    | undefined
}

/**
 * A tool that the model may call.
 *
 * @since 0.2.0
 * @category models
 */
export interface Tool {
  /** Says which of the other fields is set. */
  readonly type: "function" | "custom" | OrAnyText
  /** Of a `function` tool. */
  readonly function?: FunctionDefinition | undefined
  /** Of a `custom` tool. */
  readonly custom?: CustomTool | undefined
}

/**
 * The tool that the model must call, or the tools that it may call.
 *
 * @since 0.3.0
 * @category models
 */
export interface NamedToolChoice {
  /** Says which of the other fields is set. */
  readonly type: "function" | "custom" | "allowed_tools" | OrAnyText
  /** The function that the model must call. */
  readonly function?: { readonly name: string } | undefined
  /** The custom tool that the model must call. */
  readonly custom?: { readonly name: string } | undefined
  /** The tools that the model may call (`auto`). With `required` it must call at least one of them. */
  readonly allowed_tools?: {
    readonly mode: "auto" | "required"
    readonly tools: ReadonlyArray<object>
  } | undefined
}

/**
 * Format of the answer.
 *
 * @since 0.3.0
 * @category models
 */
export interface ResponseFormat {
  /** Plain text, any JSON object, or JSON that follows a schema. */
  readonly type: "text" | "json_object" | "json_schema" | OrAnyText
  /** Of the type `json_schema`. */
  readonly json_schema?: {
    readonly name: string
    readonly description?: string | undefined
    /** JSON Schema of the answer. */
    readonly schema?: object | undefined
    readonly strict?: boolean | null | undefined
  } | undefined
  /** JSON Schema of the answer for llama.cpp, with the type `json_object`. */
  readonly schema?: object | undefined
}

/**
 * Options of the model's web search.
 *
 * @since 0.3.0
 * @category models
 */
export interface WebSearchOptions {
  /** How much of the search results the model reads. Default `medium`. */
  readonly search_context_size?: "low" | "medium" | "high" | undefined
  /** Where the user is, roughly. Default: unknown. */
  readonly user_location?: {
    readonly type: "approximate"
    readonly approximate: {
      readonly city?: string | undefined
      /** Two letters, as in ISO 3166-1. */
      readonly country?: string | undefined
      readonly region?: string | undefined
      /** An IANA name, such as `Europe/Berlin`. */
      readonly timezone?: string | undefined
    }
  } | null | undefined
}

/**
 * Checks of the prompt and of the answer by a moderation model.
 *
 * @since 0.3.0
 * @category models
 */
export interface Moderation {
  /** The moderation model. */
  readonly model: string
  /** Whether a harmful prompt or answer is scored (`score`, the default) or blocked (`block`). */
  readonly policy?: {
    readonly input?: { readonly mode: "score" | "block" } | null | undefined
    readonly output?: { readonly mode: "score" | "block" } | null | undefined
  } | null | undefined
}

/**
 * A request. All fields go to the model server, encrypted, except `api_key`, `base_url`, `security_tier`,
 * `stream` and `stream_options`. `null` counts as absent.
 *
 * Undeclared fields go to the model server too. For a field of your model server, use `extra_body`, or
 * declare the field:
 * `declare module "nomyo-js" { interface ChatCompletionRequest { guided_json?: object } }`.
 *
 * @since 0.2.0
 * @category models
 */
export interface ChatCompletionRequest {
  /** A model id, such as `Qwen/Qwen3-0.6B`. */
  readonly model: string
  /** The conversation: one message or more. */
  readonly messages: ReadonlyArray<Message>
  /**
   * The router for this request, in place of the client's. The option `trustedBaseUrls` lists the routers
   * that may get the client's API key.
   */
  readonly base_url?: string | null | undefined
  /** The API key for this request, in place of the client's. */
  readonly api_key?: string | null | undefined
  /**
   * The hardware that runs this request. It travels in a header, unencrypted under protocol 1.0. Default: the
   * router's choice.
   */
  readonly security_tier?: SecurityTier | null | undefined
  /**
   * More fields for the model server, sent at the top level of the payload. They replace fields of the same
   * name.
   */
  readonly extra_body?: object | null | undefined

  /**
   * How random the answer is, from 0 to 2: 0 takes the likeliest token each time. Default: the model
   * server's, often 1.
   */
  readonly temperature?: number | null | undefined
  /** Samples only from the likeliest tokens with this total probability, 0 to 1. Default 1. */
  readonly top_p?: number | null | undefined
  /**
   * Maximum number of tokens in an answer. Default: the model server's limit. OpenAI's newer models take
   * `max_completion_tokens` instead.
   */
  readonly max_tokens?: number | null | undefined
  /**
   * Maximum number of tokens in an answer, including its reasoning. Default: the model server's limit.
   */
  readonly max_completion_tokens?: number | null | undefined
  /** Number of answers. Default 1. */
  readonly n?: number | null | undefined
  /** Ends the answer before any of these texts. Default: no texts. */
  readonly stop?: string | ReadonlyArray<string> | null | undefined
  /**
   * Whole number that makes answers repeatable, as far as the model server can: the same request with the
   * same seed returns the same answer. Default: random.
   */
  readonly seed?: number | null | undefined
  /** Makes repetition of frequent tokens less likely, -2 to 2. Default 0. */
  readonly frequency_penalty?: number | null | undefined
  /** Makes repetition of any token less likely, -2 to 2. Default 0. */
  readonly presence_penalty?: number | null | undefined
  /** How much likelier a token becomes, by its id, -100 to 100. Default: no token is changed. */
  readonly logit_bias?: { readonly [token: string]: number } | null | undefined
  /** Returns the log probabilities of the answer's tokens. Default `false`. */
  readonly logprobs?: boolean | null | undefined
  /** Number of alternatives for each token, 0 to 20, with `logprobs`. Default 0. */
  readonly top_logprobs?: number | null | undefined

  /** Format of the answer: text, JSON, or JSON of a schema. Default: text. */
  readonly response_format?: ResponseFormat | null | undefined
  /** How long a thinking model thinks. Default: the model server's choice. */
  readonly reasoning_effort?: ReasoningEffort | null | undefined
  /** How wordy the answer is. Default `medium`. */
  readonly verbosity?: "low" | "medium" | "high" | null | undefined
  /** Media of the answer. Default: text. */
  readonly modalities?: ReadonlyArray<"text" | "audio"> | null | undefined
  /** How a spoken answer sounds, with the modality `audio`. */
  readonly audio?: {
    readonly format: "wav" | "aac" | "mp3" | "flac" | "opus" | "pcm16"
    readonly voice: string | { readonly id: string }
  } | null | undefined
  /** Text that the answer will mostly repeat, such as a file to edit. It makes the answer faster. */
  readonly prediction?: {
    readonly type: "content"
    readonly content: string | ReadonlyArray<ContentPart>
  } | null | undefined

  /** Tools that the model may call. Default: no tools. */
  readonly tools?: ReadonlyArray<Tool> | null | undefined
  /** Whether the model calls tools: `auto`, `none`, `required`, or a named tool. Default `auto`. */
  readonly tool_choice?: "auto" | "none" | "required" | OrAnyText | NamedToolChoice | null | undefined
  /** Whether the model may call several tools at once. Default `true`. */
  readonly parallel_tool_calls?: boolean | null | undefined
  /** Lets the model search the web. Default: no search. */
  readonly web_search_options?: WebSearchOptions | null | undefined
  /** Deprecated by OpenAI: `tools` has taken its place. */
  readonly functions?: ReadonlyArray<FunctionDefinition> | null | undefined
  /** Deprecated by OpenAI: `tool_choice` has taken its place. */
  readonly function_call?: "none" | "auto" | { readonly name: string } | null | undefined

  /** Up to 16 texts that the model server stores with the answer. */
  readonly metadata?: { readonly [name: string]: string } | null | undefined
  /** Keeps the answer at the model server. Default `false`. */
  readonly store?: boolean | null | undefined
  /** Speed and price class of the request. Default `auto`. */
  readonly service_tier?: "auto" | "default" | "flex" | "scale" | "priority" | "fast" | null | undefined
  /** The end user, by a name that does not identify the person. */
  readonly user?: string | null | undefined
  /** The end user, hashed, for the model server's abuse checks. */
  readonly safety_identifier?: string | null | undefined
  /** Moderation model that checks the prompt and the answer. Default: no check. */
  readonly moderation?: Moderation | null | undefined
  /** Key that requests with the same beginning share, so that the model server finds their cache. */
  readonly prompt_cache_key?: string | null | undefined
  /** How long the beginning of a prompt is kept. */
  readonly prompt_cache_retention?: "in_memory" | "24h" | null | undefined
  /** How the model server caches the prompt. Default: the server's choice. */
  readonly prompt_cache_options?: {
    readonly mode?: "implicit" | "explicit" | undefined
    readonly ttl?: string | undefined
  } | null | undefined

  /** Accepted but not sent: `create` returns whole answers. To read chunks, call `stream`. */
  readonly stream?: boolean | null | undefined
  /** Accepted but not sent. */
  readonly stream_options?: {
    readonly include_usage?: boolean | undefined
    readonly include_obfuscation?: boolean | undefined
  } | null | undefined
}
