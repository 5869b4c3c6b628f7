/**
 * A whole answer as the chunks of a stream, and their text as server-sent events. Nothing here needs Effect.
 *
 * The shapes are those of OpenAI's `chat.completion.chunk`; what `openai` folds from the chunks equals the
 * answer.
 */

/** An object with at least the named fields. */
interface Open {
  readonly [name: string]: unknown
}

/** The fields of a message that a stream needs. */
interface Message extends Open {
  readonly role?: string | null | undefined
  readonly content?: string | null | undefined
  readonly reasoning_content?: string | null | undefined
  readonly refusal?: string | null | undefined
  readonly tool_calls?: ReadonlyArray<Open> | null | undefined
}

/** The fields of a choice that a stream needs. */
interface Choice {
  readonly index?: number | undefined
  readonly message: object
  readonly finish_reason?: string | null | undefined
}

/** The fields of an answer that a stream needs. */
export interface Answer extends Open {
  readonly choices: ReadonlyArray<Choice>
}

/** One choice of a chunk: what is new in it. */
interface ChunkChoice extends Open {
  readonly index: number
  readonly delta: Open
  /** Set in the choice's last chunk. */
  readonly finish_reason: string | null
}

/** One chunk of a stream. */
export interface Chunk extends Open {
  readonly id: string
  readonly object: "chat.completion.chunk"
  /** Unix seconds. */
  readonly created: number
  readonly model: string
  /** Empty in the chunk with the usage. */
  readonly choices: ReadonlyArray<ChunkChoice>
}

/** Fields of `stream_options`. */
export interface StreamOptions {
  readonly includeUsage: boolean
}

/** Fields that every chunk repeats. */
const headOf = ({ _metadata, created, id, model, service_tier, system_fingerprint }: Open) => {
  const metadata = (_metadata ?? {}) as { readonly payload_id?: string; readonly processed_at?: number }
  return {
    id: typeof id === "string" ? id : `chatcmpl-${metadata.payload_id ?? ""}`,
    created: typeof created === "number" ? created : metadata.processed_at ?? 0,
    model: typeof model === "string" ? model : "",
    ...(service_tier === undefined ? {} : { service_tier }),
    ...(system_fingerprint === undefined ? {} : { system_fingerprint })
  }
}

/** The whole answer, with the fields that tools rely on and some servers leave out. */
export const completionOf = (answer: Answer): Answer & { readonly object: "chat.completion" } => ({
  ...answer,
  ...headOf(answer),
  object: "chat.completion"
})

/** In UTF-16 units. At most 3 bytes of UTF-8 each, so that a piece of any text is of 1 to 3 kB. */
const PIECE_LENGTH = 1024

const isHighSurrogate = (unit: number) => (unit & 0xfc00) === 0xd800

/** A text in pieces, none of which ends within a surrogate pair. */
const piecesOf = function*(text: unknown): Generator<string, void> {
  if (typeof text !== "string") return
  for (let at = 0; at < text.length;) {
    const end = Math.min(at + PIECE_LENGTH, text.length)
    const next = end < text.length && isHighSurrogate(text.charCodeAt(end - 1)) ? end - 1 : end
    yield text.slice(at, next)
    at = next
  }
}

/** A tool call without its arguments, then these in pieces. */
const toolCallDeltas = function*(call: Open, index: number): Generator<Open, void> {
  const { custom, function: called, ...rest } = call as { readonly function?: Open; readonly custom?: Open }
  yield {
    ...rest,
    index,
    ...(called === undefined ? {} : { function: { ...called, arguments: "" } }),
    ...(custom === undefined ? {} : { custom: { ...custom, input: "" } })
  }
  for (const piece of piecesOf(called?.["arguments"])) yield { index, function: { arguments: piece } }
  for (const piece of piecesOf(custom?.["input"])) yield { index, custom: { input: piece } }
}

/** Contents of the chunks of one message, the role first. */
const messageDeltas = function*(message: Message): Generator<Open, void> {
  const { content, reasoning_content, refusal, role, tool_calls, ...rest } = message
  yield { role: role ?? "assistant", ...(typeof content === "string" ? { content: "" } : {}), ...rest }
  // in one piece: `openai` keeps the last piece of a field it does not know, and not their sum
  if (typeof reasoning_content === "string") yield { reasoning_content }
  for (const piece of piecesOf(content)) yield { content: piece }
  for (const piece of piecesOf(refusal)) yield { refusal: piece }
  for (const [index, call] of (tool_calls ?? []).entries()) {
    for (const delta of toolCallDeltas(call, index)) yield { tool_calls: [delta] }
  }
}

/** `openai` and LangChain fail on a stream in which a choice has none. */
const finishReasonOf = (finishReason: string | null | undefined, { tool_calls }: Message): string =>
  finishReason ?? ((tool_calls ?? []).length > 0 ? "tool_calls" : "stop")

const choiceChunks = function*(choice: Choice, position: number): Generator<ChunkChoice, void> {
  const { finish_reason, index = position, message, ...rest } = choice
  let others: Open = rest
  for (const delta of messageDeltas(message as Message)) {
    yield { index, delta, finish_reason: null, ...others }
    others = {}
  }
  yield { index, delta: {}, finish_reason: finishReasonOf(finish_reason, message as Message) }
}

/**
 * The chunks of an answer: for each choice its role, its reasoning, its text and its tool calls in pieces of
 * 1 to 3 kB, and the reason why it ended; at the end, if asked for, a chunk without choices that has the
 * usage. What else the answer holds is in the first chunk.
 */
export const chunksOf = function*(answer: Answer, { includeUsage }: StreamOptions): Generator<Chunk, void> {
  const { choices, object: _, usage = null, ...others } = answer
  const head = { ...headOf(answer), object: "chat.completion.chunk" } as const
  let first: Open = others
  for (const [position, choice] of choices.entries()) {
    for (const chunk of choiceChunks(choice, position)) {
      yield { ...first, ...head, choices: [chunk] }
      first = {}
    }
  }
  // a stream without any chunk is an error to `openai`
  if (choices.length === 0) yield { ...first, ...head, choices: [] }
  if (includeUsage) yield { ...head, choices: [], usage }
}

/** Whether a chunk has the usage and no choices: a stream has it only where it was asked for. */
export const isUsageChunk = (chunk: object): boolean =>
  "usage" in chunk && (chunk as { readonly choices?: ReadonlyArray<unknown> }).choices?.length === 0

/** The media type of a stream. */
export const EVENT_STREAM = "text/event-stream; charset=utf-8"

/** One chunk as a server-sent event. */
export const eventOf = (chunk: object): string => `data: ${JSON.stringify(chunk)}\n\n`

/** The event that ends a stream. */
export const DONE = "data: [DONE]\n\n"

/** The stream of an answer, event by event. */
export const eventsOf = function*(answer: Answer, options: StreamOptions): Generator<string, void> {
  for (const chunk of chunksOf(answer, options)) yield eventOf(chunk)
  yield DONE
}
