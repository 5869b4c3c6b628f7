/**
 * Chat-completion requests and answers: the OpenAI shapes, with what NOMYO adds to them.
 *
 * Fields that are not named here pass through untouched, both ways.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Bytes from "./internal/codecs/bytes.js"
import * as Json from "./internal/codecs/json.js"
import { yieldToEventLoop } from "./internal/fibers/yieldToEventLoop.js"
import { APIError, InvalidRequestError, SecurityError } from "./NomyoError.js"
import type { Plaintext } from "./Plaintext.js"

const Rest = Schema.Record({ key: Schema.String, value: Schema.Unknown })

/** An object of at least these fields. `null` counts as absent, as the OpenAI API has it. */
const open = <Fields extends Schema.Struct.Fields>(fields: Fields) => Schema.Struct(fields, Rest)
const maybe = <A>(schema: Schema.Schema<A>) => Schema.optional(Schema.NullOr(schema))

const NonEmptyString = Schema.String.pipe(Schema.minLength(1))
const Count = Schema.Number.pipe(Schema.int(), Schema.greaterThanOrEqualTo(1))

/**
 * How isolated the hardware is that runs the model: `standard` on GPUs, `high` on CPUs and GPUs, `maximum` on CPUs only.
 *
 * @since 0.2.0
 * @category schemas
 */
export const SecurityTier = Schema.Literal("standard", "high", "maximum")

/**
 * @since 0.2.0
 * @category models
 */
export type SecurityTier = typeof SecurityTier.Type

/**
 * A piece of a message: text, an image by URL (`data:` URLs too), or any other type that the model takes.
 *
 * @since 0.2.0
 * @category schemas
 */
export const ContentPart = Schema.Union(
  open({ type: Schema.Literal("text"), text: Schema.String }),
  open({
    type: Schema.Literal("image_url"),
    image_url: open({ url: NonEmptyString, detail: maybe(Schema.String) })
  }),
  open({ type: NonEmptyString.pipe(Schema.filter((type) => type !== "text" && type !== "image_url")) })
)

/**
 * @since 0.2.0
 * @category models
 */
export type ContentPart = typeof ContentPart.Type

/**
 * A model's wish to have a function called.
 *
 * @since 0.2.0
 * @category schemas
 */
export const ToolCall = open({
  id: Schema.String,
  type: Schema.String,
  /** `arguments` is JSON text, written by the model: it may be invalid. */
  function: open({ name: Schema.String, arguments: Schema.String })
})

/**
 * @since 0.2.0
 * @category models
 */
export type ToolCall = typeof ToolCall.Type

/**
 * One message of the conversation. `role` is `system`, `user`, `assistant`, `tool` or what else the model knows.
 *
 * @since 0.2.0
 * @category schemas
 */
export const Message = open({
  role: NonEmptyString,
  content: maybe(Schema.Union(Schema.String, Schema.Array(ContentPart))),
  name: maybe(Schema.String),
  /** What an assistant's message asked for. */
  tool_calls: maybe(Schema.Array(ToolCall)),
  /** Which call a `tool` message answers. */
  tool_call_id: maybe(Schema.String)
})

/**
 * @since 0.2.0
 * @category models
 */
export type Message = typeof Message.Type

/**
 * A function that the model may ask to have called.
 *
 * @since 0.2.0
 * @category schemas
 */
export const Tool = open({
  type: Schema.String,
  function: Schema.optional(open({
    name: NonEmptyString,
    description: maybe(Schema.String),
    /** JSON Schema of the arguments. */
    parameters: maybe(Rest),
    strict: maybe(Schema.Boolean)
  }))
})

/**
 * @since 0.2.0
 * @category models
 */
export type Tool = typeof Tool.Type

/**
 * A request. All but `api_key`, `base_url` and `security_tier` is sent to the model, encrypted.
 *
 * @since 0.2.0
 * @category schemas
 */
export const ChatCompletionRequest = open({
  /** A model id, such as `Qwen/Qwen3-0.6B`. */
  model: NonEmptyString,
  /** One or more. */
  messages: Schema.Array(Message).pipe(Schema.minItems(1)),
  temperature: maybe(Schema.Finite),
  top_p: maybe(Schema.Finite),
  max_tokens: maybe(Count),
  stop: maybe(Schema.Union(Schema.String, Schema.Array(Schema.String))),
  /** How many answers to make. Default 1. */
  n: maybe(Count),
  tools: maybe(Schema.Array(Tool)),
  /** `auto`, `none`, `required`, or the function to call. */
  tool_choice: maybe(Schema.Union(Schema.String, Rest)),
  user: maybe(Schema.String),
  frequency_penalty: maybe(Schema.Finite),
  presence_penalty: maybe(Schema.Finite),
  /** Token ids to their bias, -100 to 100. */
  logit_bias: maybe(Schema.Record({ key: Schema.String, value: Schema.Finite })),
  /** Accepted and without effect: the service does not stream, the answer always comes whole. */
  stream: maybe(Schema.Boolean),
  /** Where to run this request. Not part of the encrypted payload: the router reads it from a header. */
  security_tier: maybe(SecurityTier),
  /** The API key for this request, in place of the client's. */
  api_key: maybe(Schema.String),
  /** The router for this request, in place of the client's. */
  base_url: maybe(Schema.String)
})

/**
 * @since 0.2.0
 * @category models
 */
export type ChatCompletionRequest = typeof ChatCompletionRequest.Type

/**
 * One answer. A thinking model's reasoning is in `message.reasoning_content`.
 *
 * @since 0.2.0
 * @category schemas
 */
export const Choice = open({
  index: Schema.Number,
  message: open({
    role: Schema.String,
    /** `null` when the model asks for tools instead of answering. */
    content: maybe(Schema.String),
    reasoning_content: maybe(Schema.String),
    tool_calls: maybe(Schema.Array(ToolCall))
  }),
  /** `stop`, `length`, `tool_calls` or what else the model says. */
  finish_reason: maybe(Schema.String)
})

/**
 * @since 0.2.0
 * @category models
 */
export type Choice = typeof Choice.Type

/**
 * What the client knows of an answer, beside what the router put there.
 *
 * @since 0.2.0
 * @category schemas
 */
export const Metadata = open({
  /** The `X-Payload-ID` the request went out with. */
  payload_id: Schema.String,
  /** When the router answered, in Unix seconds; absent if it did not say. */
  processed_at: Schema.optional(Schema.Number),
  is_encrypted: Schema.Literal(true),
  encryption_algorithm: Schema.String
})

/**
 * @since 0.2.0
 * @category models
 */
export type Metadata = typeof Metadata.Type

const Answer = open({
  choices: Schema.Array(Choice),
  id: maybe(Schema.String),
  object: maybe(Schema.String),
  /** Unix seconds. */
  created: maybe(Schema.Number),
  model: maybe(Schema.String),
  usage: maybe(open({
    prompt_tokens: maybe(Schema.Number),
    completion_tokens: maybe(Schema.Number),
    total_tokens: maybe(Schema.Number)
  }))
})

/**
 * An answer: an OpenAI `chat.completion` with `_metadata`.
 *
 * @since 0.2.0
 * @category schemas
 */
export const ChatCompletionResponse = open({ ...Answer.fields, _metadata: Metadata })

/**
 * @since 0.2.0
 * @category models
 */
export type ChatCompletionResponse = typeof ChatCompletionResponse.Type

/**
 * The largest payload the service takes, as JSON: 10 MiB.
 *
 * @since 0.2.0
 * @category constants
 */
export const MAX_PAYLOAD_BYTES = 10 * 1024 * 1024

const invalid = (message: string) => new InvalidRequestError({ message })

/** `messages[0].role is missing`: where the trouble is, and never the value that is there. */
const describe = (error: ParseResult.ParseError, depth = Number.POSITIVE_INFINITY): string => {
  // of a union's members the one that got furthest into the value is the one that was meant
  const { _tag, path } = ParseResult.ArrayFormatter.formatErrorSync(error)
    .reduce((furthest, issue) => issue.path.length > furthest.path.length ? issue : furthest)
  const field = path.slice(0, depth).map((key, i) => typeof key === "number" ? `[${key}]` : i === 0 ? String(key) : `.${String(key)}`).join("")
  return `${field === "" ? "The request" : field} is ${_tag === "Missing" && path.length <= depth ? "missing" : "not valid"}`
}

const validateRequest = Schema.validateEither(ChatCompletionRequest)

const toJson = (value: unknown): Json.Json | undefined => {
  try {
    return Json.stringify(value)
  } catch {
    return undefined
  }
}

/** Reads what is the caller's, whose getters and proxies may throw. */
const reading = <A>(read: () => Either.Either<A, InvalidRequestError>): Effect.Effect<A, InvalidRequestError> =>
  Effect.suspend(() => {
    try {
      return read()
    } catch {
      return Effect.fail(invalid("The request cannot be read: a getter or a proxy of it throws"))
    }
  })

const tooLarge = () => invalid("The request is larger than 10 MiB as JSON; messages is usually the largest field")

/**
 * The JSON of a payload, as it is now. Fails with an `InvalidRequestError` that names the field if JSON cannot carry it (cycles, `BigInt`,
 * functions, numbers that are not finite) or if it is larger than 10 MiB. It becomes bytes only as it is sealed, piece by piece. A payload
 * that is bytes already is taken as it is, for its owner to zero.
 *
 * @since 0.2.0
 * @category encoding
 */
export const encodePayload = (payload: object | Uint8Array): Effect.Effect<Plaintext, InvalidRequestError> =>
  Effect.suspend(() => {
    // `instanceof` would not know another realm's, and make an object of them
    if (!ArrayBuffer.isView(payload)) return encodeJson(payload)
    const bytes = new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength)
    return bytes.length > MAX_PAYLOAD_BYTES ? Effect.fail(tooLarge()) : Effect.succeed(bytes)
  })

/** What is counted without giving way, in bytes: it takes a millisecond. */
const LONGEST_COUNT = 256 * 1024
/** Long strings of so many UTF-16 units, together, are written as JSON once, and not again to be sealed. */
const LONGEST_KEPT = 1024 * 1024

const encodeJson = (payload: object): Effect.Effect<Plaintext, InvalidRequestError> => {
  if (typeof payload !== "object" || payload === null) return Effect.fail(invalid("The request is not an object"))
  const json = toJson(payload)
  if (json === undefined) {
    return Effect.flatMap(
      reading(() => Either.right(Object.entries(payload).find(([, value]) => toJson({ value }) === undefined)?.[0] ?? "the request")),
      (field) =>
        Effect.fail(invalid(
          `${field} cannot be written as JSON: it has a cycle, a BigInt, a function, a symbol, a Map or Set, a number that is not finite, ` +
            "undefined in a list, or is nested too deeply"
        ))
    )
  }
  const kept: Array<string> | undefined = json.long.reduce((total, text) => total + text.length, 0) <= LONGEST_KEPT ? [] : undefined
  const lengths = Json.lengths(json, kept)
  const countFrom = (start: number): Effect.Effect<Plaintext, InvalidRequestError> => {
    let length = start
    while (length < start + LONGEST_COUNT) {
      const next = lengths.next()
      if (next.done === true) return Effect.succeed({ length, chunks: (window) => Json.encode(kept ?? Json.chunks(json), window) })
      length += next.value
      if (length > MAX_PAYLOAD_BYTES) return Effect.fail(tooLarge())
    }
    return Effect.flatMap(yieldToEventLoop, () => countFrom(length))
  }
  return countFrom(0)
}

const checkRequest = (request: unknown, depth?: number): Either.Either<ChatCompletionRequest, InvalidRequestError> =>
  Either.mapBoth(validateRequest(request), {
    onLeft: (error) => invalid(describe(error, depth)),
    onRight: () => request as ChatCompletionRequest
  })

/**
 * Reads and checks a payload, as a router does. Fails with an `InvalidRequestError` that names the top-level field and nothing within:
 * a router's errors travel in the clear, and names can be secrets too.
 *
 * @since 0.2.0
 * @category decoding
 */
export const decodePayload = (plaintext: Uint8Array): Effect.Effect<ChatCompletionRequest, InvalidRequestError> =>
  Effect.suspend(() =>
    Either.flatMap(
      Either.try({
        try: (): unknown => JSON.parse(Bytes.toText(plaintext)),
        catch: () => invalid("The payload is not JSON")
      }),
      (payload) => checkRequest(payload, 1)
    )
  )

/**
 * A request taken apart: what is encrypted, and what directs it.
 *
 * @since 0.2.0
 * @category models
 */
export interface Encoded {
  readonly model: string
  /** The payload's JSON. */
  readonly payload: Plaintext
  readonly apiKey: string | undefined
  readonly baseUrl: string | undefined
  readonly securityTier: SecurityTier | undefined
}

/**
 * Checks a request and encodes it. Fails with an `InvalidRequestError` that names the field.
 *
 * @since 0.2.0
 * @category encoding
 */
export const encodeRequest = (request: ChatCompletionRequest): Effect.Effect<Encoded, InvalidRequestError> =>
  Effect.flatMap(
    reading(() => Either.map(checkRequest(request), ({ api_key, base_url, security_tier, ...payload }) => ({ api_key, base_url, security_tier, payload }))),
    ({ api_key, base_url, payload, security_tier }) =>
      Effect.map(encodeJson(payload), (encoded) => ({
        model: payload.model,
        payload: encoded,
        apiKey: api_key ?? undefined,
        baseUrl: base_url ?? undefined,
        securityTier: security_tier ?? undefined
      }))
  )

const isAnswer = Schema.is(Answer)

/**
 * Reads an opened answer and adds `_metadata`. Fails with an `APIError` if it is no chat completion, and with reason `replay` if its own
 * `_metadata.payload_id` is a text other than `payloadId`. A router that does not repeat the id can have an earlier answer played back.
 *
 * @since 0.2.0
 * @category decoding
 */
export const decodeResponse = (
  plaintext: Uint8Array,
  { algorithm, payloadId, processedAt }: {
    readonly payloadId: string
    readonly processedAt: number | undefined
    readonly algorithm: string
  }
): Effect.Effect<ChatCompletionResponse, APIError | SecurityError> =>
  Effect.suspend(() =>
    Either.flatMap(
      Either.try({ try: (): unknown => JSON.parse(Bytes.toText(plaintext)), catch: noChatCompletion }),
      (answer): Either.Either<ChatCompletionResponse, APIError | SecurityError> => {
        if (!isAnswer(answer)) return Either.left(noChatCompletion())
        const metadata = Predicate.isRecord(answer["_metadata"]) ? answer["_metadata"] : {}
        if (typeof metadata["payload_id"] === "string" && metadata["payload_id"] !== payloadId) {
          return Either.left(new SecurityError({ reason: "replay", message: "The answer belongs to another request" }))
        }
        if (processedAt !== undefined) metadata["processed_at"] = processedAt
        // into what has been parsed here: what is added to a copy by spread goes V8's slow path
        return Either.right(Object.assign(answer, {
          _metadata: Object.assign(metadata, { payload_id: payloadId, is_encrypted: true as const, encryption_algorithm: algorithm })
        }))
      }
    )
  )

const noChatCompletion = () =>
  new APIError<"APIError">({ statusCode: 200, message: "The router's answer was opened, but is no chat completion" })
