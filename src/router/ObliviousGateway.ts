/**
 * The router's side of protocol 2: opens requests, refuses repeated and stale ones, and seals answers chunk
 * by chunk.
 *
 * @since 0.3.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ChatCompletion from "../ChatCompletion.js"
import * as Bytes from "../internal/codecs/bytes.js"
import { httpDate } from "../internal/codecs/httpDate.js"
import { fromStatus } from "../internal/errors.js"
import { gather } from "../internal/fibers/gather.js"
import { withHeartbeat } from "../internal/fibers/heartbeat.js"
import { joinSecrets, zeroing } from "../internal/zeroing.js"
import type { HttpError, SecurityError } from "../NomyoError.js"
import * as BinaryHttp from "../protocol2/BinaryHttp.js"
import * as KeyConfiguration from "../protocol2/KeyConfiguration.js"
import * as Message from "../protocol2/Message.js"
import * as ObliviousHttp from "../protocol2/ObliviousHttp.js"
import { Primitives } from "../protocol2/Primitives.js"
import { SecureMemory } from "../SecureMemory.js"
import * as GatewayKeys from "./GatewayKeys.js"
import { log } from "./logged.js"
import { payloadIdOf } from "./payloadId.js"
import { errorBody, retryAfterHeaders } from "./refuse.js"
import type * as ReplayStore from "./ReplayStore.js"

/**
 * The opened request.
 *
 * @since 0.3.0
 * @category models
 */
export interface Question {
  readonly head: BinaryHttp.RequestHead
  /** The JSON of the request. It is zeroed when the answer has been made. */
  readonly payload: Uint8Array<ArrayBuffer>
}

/**
 * A whole answer as JSON, or the events of a streamed one, each a whole server-sent event with its empty
 * line.
 *
 * @since 0.3.0
 * @category models
 */
export type Answer =
  | { readonly _tag: "Whole"; readonly json: Uint8Array<ArrayBuffer> }
  | { readonly _tag: "Streamed"; readonly events: Stream.Stream<string, HttpError> }

/**
 * @since 0.3.0
 * @category models
 */
export interface Options {
  readonly keys: GatewayKeys.Service
  readonly replayStore: ReplayStore.Service
  /**
   * Host names of the router, as `host` or `host:port`. It refuses requests for another host. Default: any
   * host.
   */
  readonly authorities?: ReadonlyArray<string> | undefined
  /**
   * Fails for a request that may not be answered: its API key, or its rate. It runs before the request is
   * whole.
   */
  readonly authorize: (authorization: string | undefined) => Effect.Effect<void, HttpError>
  readonly answer: (question: Question) => Effect.Effect<Answer, HttpError, SecureMemory | Scope.Scope>
  /** Pads answers. Default `true`. */
  readonly padding?: boolean | undefined
  /** Time to gather the events of a stream for, into one chunk. Default: each write is a chunk. */
  readonly flush?: Duration.Duration | undefined
}

/** The most bytes of a request's body (protocol 2, 5): 11 MiB. */
const MAX_BODY_LENGTH = 11 * 1024 * 1024
/**
 * How old a request's date may be, and how far ahead of the router's clock, in milliseconds (protocol 2, 7).
 */
const MAX_AGE = 120_000
const MAX_AHEAD = 5000
/** As long as a repeated request could pass for a fresh one. */
const REMEMBERED = Duration.millis(MAX_AGE + MAX_AHEAD)
/** Of SHA-256 of `enc`, in bytes. */
const ID_LENGTH = 16
/** A stream's chunks have plaintexts of a multiple of this, in bytes. */
const STREAM_STEP = 256
/** Without an event for this long, a comment is sent: proxies then keep the connection. */
const SILENCE = Duration.seconds(15)

const KEY_PROBLEM = "https://iana.org/assignments/http-problem-types#ohttp-key"

/** The one answer to every request that does not open: it tells nothing about what was wrong. */
const unopened = HttpServerResponse.unsafeJson({ type: KEY_PROBLEM,
  title: "The request could not be opened" }, {
  status: 400,
  contentType: "application/problem+json"
})

/** A refusal of a request that has opened; it goes back sealed. */
interface Refusal {
  readonly _tag: "Refusal"
  readonly status: number
  readonly headers: BinaryHttp.Headers
  readonly body: object
}

const refusal = (error: HttpError): Refusal => ({
  _tag: "Refusal",
  status: error.statusCode,
  headers: { "content-type": "application/json", ...retryAfterHeaders(error) },
  body: errorBody(error)
})

const refuse = (statusCode: number, message: string, retryAfter?: number): Refusal =>
  refusal(fromStatus({ statusCode, message, retryAfter }))

const staleDate: Refusal = {
  _tag: "Refusal",
  status: 400,
  headers: { "content-type": "application/problem+json" },
  body: { type: ObliviousHttp.DATE_PROBLEM,
    detail: "The date of the request is outside of what this router accepts" }
}

/**
 * From when on requests may be dated, in milliseconds: what was dated before may have been answered by an
 * earlier process. Rounded up, since dates have whole seconds.
 */
const firstDate = ({ keys, replayStore: { remembersSince } }: Options): number =>
  keys.areNew ? Number.NEGATIVE_INFINITY : Math.ceil((remembersSince + MAX_AHEAD + 1) / 1000) * 1000

/**
 * Fails for a request that is too old, or too far ahead of this clock, or older than what the store
 * remembers.
 */
const checkDate = Effect.fnUntraced(function*({ headers }: BinaryHttp.RequestHead, options: Options) {
  const now = yield* Clock.currentTimeMillis
  const first = firstDate(options)
  if (now < first) return yield* Effect.fail(refuse(503, "The router is starting", first - now))
  const text = headers["date"] ?? ""
  const date = Date.parse(text)
  const isWithin = httpDate(date) === text && date >= Math.max(first, now - MAX_AGE) &&
    date <= now + MAX_AHEAD
  if (!isWithin) return yield* Effect.fail(staleDate)
})

/** Checks of a request's head (protocol 2, 7), in this order. */
const checkHead = Effect.fnUntraced(function*(head: BinaryHttp.RequestHead, options: Options) {
  yield* log({ payloadId: payloadIdOf(head.headers) })
  if (head.method !== "POST" || head.scheme !== "https" || head.path !== "/v1/chat/completions") {
    return yield* Effect.fail(refuse(404, "There is no such path"))
  }
  if (options.authorities !== undefined && !options.authorities.includes(head.authority.toLowerCase())) {
    return yield* Effect.fail(refuse(421, "This router does not answer for that host name. Check the URL"))
  }
  yield* Effect.mapError(options.authorize(head.headers["authorization"]), refusal)
  yield* checkDate(head, options)
})

/** Fails for a request that came before. */
const checkReplay = Effect.fnUntraced(function*(enc: Uint8Array<ArrayBuffer>, { replayStore }: Options) {
  const { sha256 } = yield* Primitives
  const digest = yield* Effect.orDie(sha256(enc))
  const isNew = yield* Effect.mapError(
    replayStore.add(Bytes.toHex(digest.subarray(0, ID_LENGTH)), REMEMBERED),
    ({ retryAfter }) => refuse(503, "The router's memory of requests is not available", retryAfter)
  )
  if (!isNew) return yield* Effect.fail(refuse(409, "This request was already answered. Send a new one"))
})

/** The body of a request as a pull: bytes, or `undefined` at the end. A body over 11 MiB fails with a 413. */
const pullBody = Effect.gen(function*() {
  const request = yield* HttpServerRequest.HttpServerRequest
  const pull = yield* Stream.toPull(request.stream)
  let length = 0
  return Effect.matchEffect(pull, {
    onFailure: Option.match({
      onNone: () => Effect.succeed(undefined),
      onSome: () => Effect.fail(unopened)
    }),
    onSuccess: (chunk) => {
      const parts = Array.from(chunk, Bytes.plain)
      const bytes = parts.length === 1 ? parts[0]! : Bytes.concat(parts)
      length += bytes.length
      return length > MAX_BODY_LENGTH
        ? Effect.fail(HttpServerResponse.empty({ status: 413 }))
        : Effect.succeed(bytes)
    }
  })
})

type Pull = Effect.Effect.Success<typeof pullBody>

/** Reads what stands before a request's chunks, and begins its exchange. */
const begin = Effect.fnUntraced(function*(pull: Pull, keys: GatewayKeys.Service) {
  let buffer: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  const fill = Effect.fnUntraced(function*(length: number) {
    while (buffer.length < length) {
      const bytes = yield* pull
      if (bytes === undefined) return yield* Effect.fail(unopened)
      buffer = Bytes.concat([buffer, bytes])
    }
  })
  yield* fill(1)
  const key = yield* Effect.mapError(keys.find(buffer[0]!), () => HttpServerResponse.empty({ status: 503 }))
  if (key === undefined) return yield* Effect.fail(unopened)
  // how long it is depends on the KEM of its key
  yield* fill(key.headerLength)
  const exchange = yield* Effect.mapError(key.takeUp(buffer.slice(0, key.headerLength)), () => unopened)
  return { exchange, rest: buffer.slice(key.headerLength) }
})

type Failure = HttpServerResponse.HttpServerResponse | Refusal

type Begun = Effect.Effect.Success<ReturnType<typeof begin>>

/**
 * Reads a request to its end: its head, which is checked as soon as it is there, and its content, which goes
 * to `content` piece by piece.
 */
const read = Effect.fnUntraced(function*(
  { exchange, rest }: Begun,
  pull: Pull,
  options: Options,
  content: Array<Uint8Array<ArrayBuffer>>
): Effect.fn.Return<Question, Failure, SecureMemory | Scope.Scope> {
  const reader = Message.reader(exchange.request, new BinaryHttp.Decoder<BinaryHttp.RequestHead>("request"))
  let head: BinaryHttp.RequestHead | undefined
  const take = Effect.fnUntraced(function*(parts: ReadonlyArray<BinaryHttp.Part<BinaryHttp.RequestHead>>) {
    // first the content, which is zeroed if the head is refused
    for (const part of parts) if (part._tag === "Content") content.push(part.content)
    for (const part of parts) if (part._tag === "Head") yield* checkHead(head = part.head, options)
  })
  const open = <A>(effect: Effect.Effect<A, SecurityError>) => Effect.mapError(effect, () => unopened)
  for (let bytes: Uint8Array<ArrayBuffer> | undefined = rest; bytes !== undefined; bytes = yield* pull) {
    yield* take(yield* open(reader.push(bytes)))
  }
  yield* take(yield* open(reader.end))
  return { head: head!, payload: yield* joinSecrets(content) }
})

/** Reads a request, and checks what can be checked only when it is whole. */
const receive = Effect.fnUntraced(function*(begun: Begun, pull: Pull, options: Options) {
  const question = yield* zeroing((content) => read(begun, pull, options, content))
  if (question.payload.length > ChatCompletion.MAX_PAYLOAD_BYTES)
    return yield* Effect.fail(refuse(413, "The request is larger than 10 MiB"))
  yield* checkDate(question.head, options)
  yield* checkReplay(begun.exchange.enc, options)
  return question
})

const outerHeaders = {
  "cache-control": "no-store",
  incremental: "?1",
  "x-accel-buffering": "no"
}

const outer = { contentType: ObliviousHttp.responseType, headers: outerHeaders }

const responseHead = (now: number, status: number, headers: BinaryHttp.Headers) =>
  BinaryHttp.encodeResponseHead({ status, headers: { date: httpDate(now), ...headers } })

type Exchange = ObliviousHttp.GatewayExchange

/** A whole answer, sealed. */
const sealWhole = Effect.fnUntraced(function*(
  exchange: Exchange,
  status: number,
  headers: BinaryHttp.Headers,
  body: Uint8Array<ArrayBuffer>,
  isPadded: boolean
) {
  const now = yield* Clock.currentTimeMillis
  const { nonce, sealer } = yield* exchange.response
  const framed = yield* Message.seal(sealer, responseHead(now, status, headers), [body], body.length,
    isPadded)
  return HttpServerResponse.uint8Array(Bytes.concat([nonce, ...framed]), outer)
})

/**
 * Events and a comment that brings the plaintext to a multiple of 256 bytes. A comment has three bytes or
 * more.
 */
const padEvents = (events: Uint8Array<ArrayBuffer>, isPadded: boolean): Uint8Array<ArrayBuffer> => {
  if (!isPadded) return BinaryHttp.encodeContent(events)
  for (let total = Math.ceil((events.length + 1) / STREAM_STEP) * STREAM_STEP;; total += STREAM_STEP) {
    const length = [1, 2, 4].map((width) => total - width).find((length) =>
      BinaryHttp.varint(length).length === total - length
    )
    const missing = (length ?? -1) - events.length
    if (missing === 0) return BinaryHttp.encodeContent(events)
    if (missing >= 3) {
      return BinaryHttp.encodeContent(
        Bytes.concat([events, Bytes.fromText(`:${" ".repeat(missing - 3)}\n\n`)])
      )
    }
  }
}

/**
 * Closes the connection of a request, after what has been written. `node:http` would otherwise end an answer
 * that broke off in the same way as a whole one; where the source is a web `Request`, its body fails by
 * itself.
 */
const closeConnection = ({ source }: HttpServerRequest.HttpServerRequest) =>
  Effect.sync(() => {
    const { socket } = source as { readonly socket?: { readonly destroySoon: () => void } }
    socket?.destroySoon()
  })

/**
 * A streamed answer: its head at once, then each write of the model, then the end. Without its end the
 * connection is closed.
 */
const sealStream = Effect.fnUntraced(function*(
  exchange: Exchange,
  events: Stream.Stream<string, HttpError>,
  isPadded: boolean,
  flush: Duration.Duration
) {
  const now = yield* Clock.currentTimeMillis
  const request = yield* HttpServerRequest.HttpServerRequest
  const { nonce, sealer } = yield* exchange.response
  const head = yield* sealer.chunk(responseHead(now, 200, { "content-type": "text/event-stream" }))
  const sealWrite = (text: string) => {
    const plaintext = padEvents(Bytes.fromText(text === "" ? ":\n\n" : text), isPadded)
    const pieces = Array.from({ length: Math.ceil(plaintext.length / ObliviousHttp.CHUNK_LENGTH) }, (_, i) =>
      plaintext.subarray(i * ObliviousHttp.CHUNK_LENGTH, (i + 1) * ObliviousHttp.CHUNK_LENGTH))
    return Effect.orDie(Effect.map(Effect.forEach(pieces, sealer.chunk), Bytes.concat))
  }
  const event = Effect.map(yield* Stream.toPull(events), Chunk.join(""))
  const write = Duration.isZero(flush) ? event : yield* gather(event, flush, ObliviousHttp.CHUNK_LENGTH)
  const body = Stream.make(nonce, head).pipe(
    Stream.concat(Stream.repeatEffectOption(Effect.flatMap(withHeartbeat(write, SILENCE, ""), sealWrite))),
    Stream.concat(Stream.fromEffect(sealer.final(BinaryHttp.encodeEnd()))),
    Stream.tapErrorCause(() => closeConnection(request))
  )
  return HttpServerResponse.stream(body, outer)
})

/** Asks for the answer. Log lines on the way name the request. */
const answerTo = (question: Question, options: Options) =>
  Effect.annotateLogs(options.answer(question), "payload_id", payloadIdOf(question.head.headers) ?? "")

/** Takes up the exchange, answers, and seals whatever comes of it. */
const exchangeMessages = Effect.fnUntraced(function*(options: Options) {
  const { flush = Duration.zero, padding: isPadded = true } = options
  const pull = yield* pullBody
  const begun = yield* begin(pull, options.keys)
  const { exchange } = begun
  return yield* receive(begun, pull, options).pipe(
    Effect.flatMap((question) => Effect.mapError(answerTo(question, options), refusal)),
    Effect.flatMap((answer) =>
      answer._tag === "Whole"
        ? sealWhole(exchange, 200, { "content-type": "application/json" }, answer.json, isPadded)
        : sealStream(exchange, answer.events, isPadded, flush)
    ),
    Effect.catchTag("Refusal", ({ body, headers, status }) =>
      // the rest of a refused request is read and dropped: a client that is still writing would miss the
      // answer
      Effect.zipRight(Effect.zipRight(log({ status }), drain(pull)),
        sealWhole(exchange, status, headers, Bytes.fromText(JSON.stringify(body)), isPadded)))
  )
})

const drain = <A, E>(pull: Effect.Effect<A | undefined, E>): Effect.Effect<void, E> =>
  Effect.repeat(pull, { until: (bytes) => bytes === undefined })

/**
 * Answers requests of protocol 2. Whatever is wrong with one before it has opened, the answer is the same
 * 400.
 *
 * @since 0.3.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<HttpApp.Default<never, Scope.Scope>, never, Primitives | SecureMemory> {
  // these services and nothing else of the context: its scope would keep every request until the router ends
  const context = Context.pick(Primitives, SecureMemory)(yield* Effect.context<Primitives | SecureMemory>())
  return Effect.gen(function*() {
    const { headers } = yield* HttpServerRequest.HttpServerRequest
    if (headers["content-type"] !== ObliviousHttp.requestType)
      return HttpServerResponse.empty({ status: 415 })
    return yield* Effect.catchAll(exchangeMessages(options),
      (failure) =>
        HttpServerResponse.isServerResponse(failure) ? Effect.succeed(failure) : Effect.succeed(unopened))
  }).pipe(Effect.provide(context))
})

/**
 * Serves the keys that clients seal to.
 *
 * @since 0.3.0
 * @category constructors
 */
export const serveKeys = ({ list }: GatewayKeys.Service): HttpApp.Default =>
  Effect.match(list, {
    onFailure: () => HttpServerResponse.empty({ status: 503 }),
    onSuccess: (bytes) =>
      HttpServerResponse.uint8Array(bytes, {
        contentType: KeyConfiguration.mediaType,
        headers: { "cache-control": `max-age=${GatewayKeys.MAX_AGE}` }
      })
  })
