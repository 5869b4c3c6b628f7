/**
 * Chat-completion requests and answers: OpenAI's shapes, with the fields that NOMYO adds.
 *
 * Other fields pass through unchanged, both ways.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Bytes from "./internal/codecs/bytes.js"
import { isShared, viewOf } from "./internal/codecs/buffers.js"
import * as Json from "./internal/codecs/json.js"
import { yieldToEventLoop } from "./internal/fibers/yieldToEventLoop.js"
import { APIError, type HttpError, InvalidRequestError, SecurityError } from "./NomyoError.js"
import { answerError } from "./openai/answerError.js"
import type * as Answers from "./openai/chatAnswer.js"
import type * as Requests from "./openai/chatRequest.js"
import { checkPayload, takeApart } from "./openai/checkRequest.js"
import { isObject } from "./openai/looseJson.js"
import { readAnswer } from "./openai/normalizeAnswer.js"
import { withSourceText } from "./openai/sourceText.js"
import type { Plaintext } from "./Plaintext.js"

export type {
  AnswerMessage,
  Annotation,
  Choice,
  CustomToolCall,
  FunctionToolCall,
  Logprobs,
  Metadata,
  TokenLogprob,
  ToolCall,
  TopLogprob,
  Usage
} from "./openai/chatAnswer.js"

export type {
  ContentPart,
  CustomTool,
  FunctionDefinition,
  ImageUrl,
  InputAudio,
  InputFile,
  Message,
  Moderation,
  NamedToolChoice,
  PromptCacheBreakpoint,
  ResponseFormat,
  Tool,
  ToolCallParam,
  WebSearchOptions
} from "./openai/chatRequest.js"

/**
 * The hardware that runs the model: `standard` is GPUs, `high` is CPUs and GPUs, `maximum` is CPUs only.
 *
 * @since 0.2.0
 * @category schemas
 */
export const SecurityTier: Schema.Schema<SecurityTier> = Schema.Literal("standard", "high", "maximum")

/**
 * @since 0.2.0
 * @category models
 */
export type SecurityTier = Requests.SecurityTier

/**
 * A request. The schema makes the client's own checks: an object with a model and messages, and the fields
 * `api_key`, `base_url` and `security_tier` spelled correctly.
 *
 * @since 0.2.0
 * @category schemas
 */
export const ChatCompletionRequest: Schema.Schema<ChatCompletionRequest> = Schema.declare(
  (value): value is ChatCompletionRequest => typeof takeApart(value) !== "string",
  {
    identifier: "ChatCompletionRequest",
    message: ({ actual }) => String(takeApart(actual)),
    jsonSchema: {
      type: "object",
      required: ["model", "messages"],
      properties: {
        model: { type: "string", minLength: 1 },
        messages: { type: "array", minItems: 1, items: { type: "object" } },
        security_tier: { enum: ["standard", "high", "maximum"] }
      }
    }
  }
)

/**
 * @since 0.2.0
 * @category models
 */
export type ChatCompletionRequest = Requests.ChatCompletionRequest

/**
 * An answer: an OpenAI `chat.completion` with `_metadata`. The schema checks that choices and `_metadata` are
 * present.
 *
 * @since 0.2.0
 * @category schemas
 */
export const ChatCompletionResponse: Schema.Schema<ChatCompletionResponse> = Schema.declare(
  (value): value is ChatCompletionResponse =>
    isObject(value) && isObject(value["_metadata"]) && Array.isArray(value["choices"]) &&
    value["choices"].every((choice) => isObject(choice) && isObject(choice["message"])),
  {
    identifier: "ChatCompletionResponse",
    jsonSchema: {
      type: "object",
      required: ["choices", "_metadata"],
      properties: {
        choices: { type: "array", items: { type: "object", required: ["message"] } },
        _metadata: { type: "object" }
      }
    }
  }
)

/**
 * @since 0.2.0
 * @category models
 */
export type ChatCompletionResponse = Answers.ChatCompletionResponse

/**
 * The largest payload the service takes, as JSON: 10 MiB.
 *
 * @since 0.2.0
 * @category constants
 */
export const MAX_PAYLOAD_BYTES = 10 * 1024 * 1024

const invalid = (message: string) => new InvalidRequestError({ message })

const unreadable = () =>
  invalid("The request cannot be read: one of its getters or proxies throws. Pass plain objects")

/** `undefined` if JSON cannot carry it all, `null` if it cannot be read. */
const toJson = (value: unknown): Json.Json | undefined | null => {
  try {
    return Json.stringify(value)
  } catch (error) {
    return error instanceof TypeError || error instanceof RangeError ? undefined : null
  }
}

/** Reads what is the caller's, whose getters and proxies may throw. */
const reading = <A>(read: () => A): Effect.Effect<A, InvalidRequestError> =>
  Effect.try({ try: read, catch: unreadable })

const tooLarge = () =>
  invalid("The request is larger than 10 MiB as JSON. Shorten it; messages is usually the largest field")

/**
 * Encodes a payload as JSON. Later changes of the payload have no effect. Fails with an `InvalidRequestError`
 * that names the field if JSON cannot carry its value (a cycle, `BigInt`, a function, `NaN`, `Infinity`), or
 * if the JSON is larger than 10 MiB. The JSON becomes bytes only when it is sealed, piece by piece. Bytes are
 * used without a copy: you zero them.
 *
 * @since 0.2.0
 * @category encoding
 */
export const encodePayload = (
  payload: object | Uint8Array | ArrayBufferLike
): Effect.Effect<Plaintext, InvalidRequestError> =>
  Effect.suspend(() => {
    const bytes = viewOf(payload)
    if (bytes === undefined) return encodeJson(payload)
    if (bytes.length > MAX_PAYLOAD_BYTES) return Effect.fail(tooLarge())
    return Effect.succeed(isShared(bytes) ? copied(bytes) : bytes)
  })

/** Shared memory, a window at a time: WebCrypto does not take it as it is. */
const copied = (bytes: Uint8Array): Plaintext => ({
  length: bytes.length,
  chunks: function*(window) {
    const step = window.length - window.length % 3
    for (let at = 0; at < bytes.length || at === 0; at += step) {
      const chunk = bytes.subarray(at, at + step)
      window.set(chunk)
      yield window.subarray(0, chunk.length)
    }
  }
})

/** Length that is counted without yielding, in bytes: it takes a millisecond. */
const LONGEST_COUNT = 256 * 1024
/** Long strings of so many UTF-16 units, together, are written as JSON once, and not again to be sealed. */
const LONGEST_KEPT = 1024 * 1024

const encodeJson = (payload: object): Effect.Effect<Plaintext, InvalidRequestError> => {
  if (typeof payload !== "object" || payload === null) {
    return Effect.fail(invalid("The request must be an object such as { model, messages }"))
  }
  const json = toJson(payload)
  if (json === null) return Effect.fail(unreadable())
  return json === undefined ? failWithField(payload) : encodeChunks(json)
}

const failWithField = (payload: object): Effect.Effect<never, InvalidRequestError> =>
  Effect.flatMap(
    reading(() =>
      Object.entries(payload).find(([, value]) => toJson({ value }) === undefined)?.[0] ?? "the request"
    ),
    (field) =>
      Effect.fail(invalid(
        `${field} cannot be written as JSON. Remove cycles, BigInts, functions, symbols, Maps, Sets, NaN, ` +
          "Infinity, undefined in arrays, and very deep nesting"
      ))
  )

const encodeChunks = (json: Json.Json): Effect.Effect<Plaintext, InvalidRequestError> => {
  const longest = json.long.reduce((total, text) => total + text.length, 0)
  const kept: Array<string> | undefined = longest <= LONGEST_KEPT ? [] : undefined
  const lengths = Json.lengths(json, kept)
  const countFrom = (start: number): Effect.Effect<Plaintext, InvalidRequestError> => {
    let length = start
    while (length < start + LONGEST_COUNT) {
      const next = lengths.next()
      if (next.done === true) {
        return Effect.succeed({ length, chunks: (window) => Json.encode(kept ?? Json.chunks(json), window) })
      }
      length += next.value
      if (length > MAX_PAYLOAD_BYTES) return Effect.fail(tooLarge())
    }
    return Effect.flatMap(yieldToEventLoop, () => countFrom(length))
  }
  return countFrom(0)
}

/**
 * Reads and checks a payload, as a router does. The result is frozen, and keeps its text for the model
 * server. Fails with an `InvalidRequestError` that names only the top-level field: a router's errors travel
 * in the clear, and names of inner fields can be secrets.
 *
 * @since 0.2.0
 * @category decoding
 */
export const decodePayload = (
  plaintext: Uint8Array
): Effect.Effect<ChatCompletionRequest, InvalidRequestError> =>
  Effect.try({
    try: (): unknown => {
      const text = Bytes.toText(plaintext)
      const payload: unknown = JSON.parse(text)
      return isObject(payload) ? withSourceText(payload, text) : payload
    },
    catch: () => invalid("The payload must be the UTF-8 bytes of a request's JSON")
  }).pipe(Effect.filterOrElse(
    (payload): payload is ChatCompletionRequest => checkPayload(payload) === undefined,
    (payload) => Effect.fail(invalid(String(checkPayload(payload))))
  ))

/**
 * A request in two parts: the encrypted payload, and the fields that direct it.
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
 * Checks a request and encodes it. `stream` asks for the answer in chunks. Fails with an
 * `InvalidRequestError` that names the field.
 *
 * @since 0.2.0
 * @category encoding
 */
export const encodeRequest = (
  request: ChatCompletionRequest,
  { stream = false }: { readonly stream?: boolean } = {}
): Effect.Effect<Encoded, InvalidRequestError> =>
  Effect.flatMap(reading(() => takeApart(request)), (parts) => {
    if (typeof parts === "string") return Effect.fail(invalid(parts))
    const { api_key, base_url, payload, security_tier, source } = parts
    const asked = stream ? { ...payload, stream, stream_options: { include_usage: true } } : payload
    const json = source === undefined ? encodeJson(asked) : encodeChunks(Json.assemble(asked, source))
    return Effect.map(json, (encoded) => ({
      model: payload["model"] as string,
      payload: encoded,
      apiKey: api_key,
      baseUrl: base_url,
      securityTier: security_tier
    }))
  })

const REPLAYED = "The answer belongs to another request: someone may repeat an old one. Report the payloadId"

const noChatCompletion = (missing: string) =>
  new APIError<"APIError">({
    statusCode: 200,
    message:
      `The router's answer is not a chat completion: ${missing} is missing. ` +
      "Report the payloadId to its operator"
  })

/**
 * Reads a decrypted answer, converts it to OpenAI's shape, and adds `_metadata`. Fails with an `APIError`
 * that names the field if it has no choices, with the error that stands for its status if it is an error of
 * the model server, and with a `SecurityError` of reason `replay` if its own `_metadata.payload_id` is a text
 * other than `payloadId`. A router that does not repeat the id can have an earlier answer played back.
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
): Effect.Effect<ChatCompletionResponse, HttpError | SecurityError> =>
  Effect.suspend((): Effect.Effect<ChatCompletionResponse, HttpError | SecurityError> => {
    const text = textOf(plaintext)
    const read = text === undefined ? { missing: "UTF-8 text" } : readAnswer(text, { payloadId, processedAt })
    if ("missing" in read) return Effect.fail(noChatCompletion(read.missing))
    const given = read.metadata
    if (typeof given["payload_id"] === "string" && given["payload_id"] !== payloadId) {
      return Effect.fail(new SecurityError({ reason: "replay", message: REPLAYED }))
    }
    if ("error" in read) return Effect.fail(answerError(read.error))
    if (processedAt !== undefined) given["processed_at"] = processedAt
    // into what has been parsed here: what is added to a copy by spread goes V8's slow path
    return Effect.succeed(Object.assign(read.answer, {
      _metadata: Object.assign(given, {
        payload_id: payloadId,
        is_encrypted: true as const,
        encryption_algorithm: algorithm
      })
    }))
  })

const textOf = (plaintext: Uint8Array): string | undefined => {
  try {
    return Bytes.toText(plaintext)
  } catch {
    return undefined
  }
}
