/**
 * The chunks of a streamed answer: OpenAI's `chat.completion.chunk`, made from a whole answer, and their text
 * as server-sent events.
 *
 * Fields that are not named here pass through untouched.
 *
 * @since 0.3.0
 */
import * as Schema from "effect/Schema"
import type { ChatCompletionResponse } from "./ChatCompletion.js"
import * as Chunks from "./openai/chunks.js"

const Rest = Schema.Record({ key: Schema.String, value: Schema.Unknown })

/** An object of at least these fields. `null` counts as absent, as the OpenAI API has it. */
const open = <Fields extends Schema.Struct.Fields>(fields: Fields) => Schema.Struct(fields, Rest)
const maybe = <A>(schema: Schema.Schema<A>) => Schema.optional(Schema.NullOr(schema))

/**
 * A part of a tool call. The first part with an `index` has the id and the name. Join the `arguments` of all
 * parts with that `index`.
 *
 * @since 0.3.0
 * @category schemas
 */
export const ToolCallDelta = open({
  /** Position of the tool call in its message, counted from 0. */
  index: Schema.Number,
  id: maybe(Schema.String),
  type: maybe(Schema.String),
  function: maybe(open({ name: maybe(Schema.String), arguments: maybe(Schema.String) }))
})

/**
 * A part of a tool call, as a chunk brings it.
 *
 * @since 0.3.0
 * @category models
 */
export type ToolCallDelta = typeof ToolCallDelta.Type

/**
 * The part of a message in one chunk. Join the texts of all chunks.
 *
 * @since 0.3.0
 * @category schemas
 */
export const Delta = open({
  /** In the first chunk of a choice. */
  role: maybe(Schema.String),
  content: maybe(Schema.String),
  /** The reasoning of a thinking model. */
  reasoning_content: maybe(Schema.String),
  refusal: maybe(Schema.String),
  tool_calls: maybe(Schema.Array(ToolCallDelta))
})

/**
 * The part of a message in one chunk.
 *
 * @since 0.3.0
 * @category models
 */
export type Delta = typeof Delta.Type

/**
 * One chunk of a stream.
 *
 * @since 0.3.0
 * @category schemas
 */
export const ChatCompletionChunk = open({
  id: maybe(Schema.String),
  object: maybe(Schema.String),
  /** Unix seconds. */
  created: maybe(Schema.Number),
  model: maybe(Schema.String),
  /** Empty in the chunk with the usage. */
  choices: Schema.Array(open({
    index: Schema.Number,
    delta: Delta,
    /** Set in the last chunk of a choice: `stop`, `length`, `tool_calls`, or another reason of the model. */
    finish_reason: maybe(Schema.String)
  })),
  /** The number of tokens, in the last chunk, if requested. */
  usage: maybe(open({
    prompt_tokens: maybe(Schema.Number),
    completion_tokens: maybe(Schema.Number),
    total_tokens: maybe(Schema.Number)
  }))
})

/**
 * One chunk of a stream.
 *
 * @since 0.3.0
 * @category models
 */
export type ChatCompletionChunk = typeof ChatCompletionChunk.Type

/**
 * Options of `fromResponse`.
 *
 * @since 0.3.0
 * @category models
 */
export interface Options {
  /**
   * Adds a last chunk with the usage and no choices, like `stream_options.include_usage`. Default `false`.
   */
  readonly includeUsage?: boolean | undefined
}

/**
 * Splits a whole answer into chunks, one choice after the other: role, reasoning, text, refusal, tool calls,
 * finish reason. Reasoning is one chunk. Other texts are in chunks of 1 to 3 kB, split between characters.
 *
 * @since 0.3.0
 * @category constructors
 */
export const fromResponse = (
  answer: ChatCompletionResponse,
  options: Options = {}
): Iterable<ChatCompletionChunk> =>
  Chunks.chunksOf({ ...answer }, { includeUsage: options.includeUsage === true }) as Iterable<
    ChatCompletionChunk
  >

/**
 * A chunk as the text of a server-sent event.
 *
 * @since 0.3.0
 * @category encoding
 */
export const encodeEvent = (chunk: ChatCompletionChunk): string => Chunks.eventOf(chunk)

/**
 * The text of the event that ends a stream: `data: [DONE]`.
 *
 * @since 0.3.0
 * @category constants
 */
export const DONE: string = Chunks.DONE
