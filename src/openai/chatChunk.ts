/** The chunks of a streamed answer as plain types: those of the Promise API name nothing of Effect. */

/**
 * A part of a tool call. The first part with an `index` has the id and the name. Join the `arguments` of all
 * parts with that `index`.
 */
interface ToolCallDelta {
  readonly [field: string]: unknown
  /** Position of the tool call in its message, counted from 0. */
  readonly index: number
  readonly id?: string | null | undefined
  readonly type?: string | null | undefined
  readonly function?: {
    readonly [field: string]: unknown
    readonly name?: string | null | undefined
    readonly arguments?: string | null | undefined
  } | null | undefined
}

/** The part of a message in one chunk. Join the texts of all chunks. */
interface Delta {
  readonly [field: string]: unknown
  /** In the first chunk of a choice. */
  readonly role?: string | null | undefined
  readonly content?: string | null | undefined
  /** The reasoning of a thinking model. */
  readonly reasoning_content?: string | null | undefined
  readonly refusal?: string | null | undefined
  readonly tool_calls?: ReadonlyArray<ToolCallDelta> | null | undefined
}

/** One chunk of a stream. */
export interface ChatCompletionChunk {
  readonly [field: string]: unknown
  readonly id?: string | null | undefined
  readonly object?: string | null | undefined
  /** Unix seconds. */
  readonly created?: number | null | undefined
  readonly model?: string | null | undefined
  /** Empty in the chunk with the usage. */
  readonly choices: ReadonlyArray<{
    readonly [field: string]: unknown
    readonly index: number
    readonly delta: Delta
    /** Set in the last chunk of a choice: `stop`, `length`, `tool_calls`, or another reason of the model. */
    readonly finish_reason?: string | null | undefined
  }>
  /** The number of tokens, in the last chunk, if the model server counts them. */
  readonly usage?: {
    readonly [field: string]: unknown
    readonly prompt_tokens?: number | null | undefined
    readonly completion_tokens?: number | null | undefined
    readonly total_tokens?: number | null | undefined
  } | null | undefined
}
