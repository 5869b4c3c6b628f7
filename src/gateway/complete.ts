/** `POST /chat/completions`: one call of the client, as a whole answer or as a stream. */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ChatCompletionRequest, ChatCompletionResponse, SecurityTier } from "../ChatCompletion.js"
import type { ChatCompletionChunk } from "../ChatCompletionChunk.js"
import { withHeartbeat } from "../internal/fibers/heartbeat.js"
import type * as NomyoClient from "../NomyoClient.js"
import type { NomyoError } from "../NomyoError.js"
import { type Answer, completionOf, DONE, EVENT_STREAM, eventOf, isUsageChunk } from "../openai/chunks.js"
import { answerFor, type ErrorAnswer, type Refusal } from "../openai/errors.js"
import { type Mapped, mapRequest } from "../openai/requests.js"
import { attempt, readBody } from "./readBody.js"
import { type Entry, markEnd } from "./requestLog.js"
import { causeAnswer, errorResponse, json, NO_STORE, type Reword } from "./respond.js"

/** How completions are made. */
export interface Settings {
  readonly client: NomyoClient.Service
  readonly securityTier: SecurityTier | undefined
  readonly timeout: Duration.Duration
  /** `undefined` is the client's. */
  readonly idleTimeout: Duration.Duration | undefined
  readonly maxRetries: number
  readonly keepAlive: Duration.Duration
  readonly reword: Reword
}

/** Options of a request beside its body. */
export interface Given {
  readonly apiKey: string | undefined
  readonly deployment: string | undefined
}

/**
 * How long a stream waits for the status that it deserves. Later failures can only be told within it: tools
 * and the proxies in between give up on a silent connection.
 */
const STATUS_WAIT = "5 seconds"

/** A comment of an event stream, which every reader skips. */
const COMMENT = ": waiting for the answer\n\n"

/** How often a call that the rate limit refused is repeated. */
const RATE_LIMIT_RETRIES = 3

/** In milliseconds: the service counts by the second. */
const SHORTEST_WAIT = 1000

/** A tool may decide about longer waits. In milliseconds. */
const LONGEST_WAIT = 10_000

/** Events that are written at once. */
const CHUNK_SIZE = 16

type Chunks = ReadonlyArray<ChatCompletionChunk>

/** A stream whose first chunks are there. */
interface Begun extends NomyoClient.OpenStream {
  /** `undefined` for a stream that has none. */
  readonly first: Chunks | undefined
}

type Result = Exit.Exit<Begun, NomyoError>
type Call = Fiber.Fiber<Begun, NomyoError>

const errorOf = (cause: Cause.Cause<NomyoError>, { reword }: Settings, entry: Entry): ErrorAnswer => {
  const answer = reword(causeAnswer(cause))
  entry.status = answer.status
  entry.payloadId = answer.headers["x-request-id"]
  return answer
}

/** An error as the tool that asked is to get it. */
const respondWith = (answer: ErrorAnswer) =>
  Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }) =>
    errorResponse(answerFor(headers["user-agent"], answer)))

/** The client's answer as a tool takes it. Notes its payload id for the log. */
const answerOf = (response: ChatCompletionResponse, entry: Entry): Answer => {
  entry.payloadId = response._metadata.payload_id
  return { ...response }
}

const idOf = ({ _metadata }: ChatCompletionResponse) => ({ "x-request-id": _metadata.payload_id })

/** The payload id that the first chunk of a stream brings, as a header. Notes it for the log. */
const streamId = ({ first }: Begun, entry: Entry): { readonly [name: string]: string } => {
  const metadata = first?.[0]?.["_metadata"]
  const id = Predicate.hasProperty(metadata, "payload_id") ? metadata.payload_id : undefined
  if (typeof id !== "string") return {}
  entry.payloadId = id
  return { "x-request-id": id }
}

/** Opens a stream, and waits for its first chunks. */
const begin = <R>(open: Effect.Effect<NomyoClient.OpenStream, NomyoError, R>) =>
  Effect.flatMap(open, ({ pull }) => {
    const isSomething = (chunks: Chunks | undefined) => chunks === undefined || chunks.length > 0
    return Effect.map(Effect.repeat(pull, { until: isSomething }), (first): Begun => ({ first, pull }))
  })

/** The log takes a stream that does not reach its end for one whose tool has left. */
const eventStream = (
  texts: Stream.Stream<string>,
  entry: Entry,
  headers: { readonly [name: string]: string } = {}
) =>
  HttpServerResponse.stream(Stream.concat(Stream.encodeText(texts), Stream.execute(markEnd(entry))), {
    contentType: EVENT_STREAM,
    // nginx would otherwise keep the comments to itself
    headers: { ...NO_STORE, ...headers, "x-accel-buffering": "no" }
  })

/** Comments, one at once and then at an interval, until the call has ended. */
const commentsUntil = (call: Call, keepAlive: Duration.Duration): Stream.Stream<string> =>
  Stream.concat(
    Stream.make(COMMENT),
    Stream.repeatEffectOption(Effect.flatMap(
      Effect.timeoutOption(Fiber.await(call), keepAlive),
      Option.match({
        onNone: () => Effect.succeed(COMMENT),
        onSome: () => Effect.fail(Option.none())
      })
    ))
  )

/** Chunks as events, some at once. `undefined` is the end of the stream. */
const textsOf = (chunks: Chunks | undefined, { includeUsage }: Mapped): Stream.Stream<string> =>
  chunks === undefined
    ? Stream.make(DONE)
    : Stream.fromIterable(chunks).pipe(
      Stream.rechunk(CHUNK_SIZE),
      Stream.filter((chunk) => includeUsage || !isUsageChunk(chunk)),
      Stream.map(eventOf)
    )

/** The events of a stream that has begun, with comments where the model is silent. It ends with its error. */
const eventsFrom = ({ first, pull }: Begun, mapped: Mapped, settings: Settings, entry: Entry) => {
  let isOver = false
  const next = Effect.suspend(() => {
    if (isOver) return Effect.fail(Option.none())
    return Effect.matchCause(pull, {
      onFailure: (cause) => {
        isOver = true
        return Stream.make(eventOf(errorOf(cause, settings, entry).body), DONE)
      },
      onSuccess: (chunks) => {
        isOver = chunks === undefined
        return textsOf(chunks, mapped)
      }
    })
  })
  const rest = Stream.flatten(
    Stream.repeatEffectOption(withHeartbeat(next, settings.keepAlive, Stream.make(COMMENT)))
  )
  return first === undefined ? textsOf(first, mapped) : Stream.concat(textsOf(first, mapped), rest)
}

/** The events of a call that has ended: its stream, or its error. */
const resultEvents = (result: Result, mapped: Mapped, settings: Settings,
  entry: Entry): Stream.Stream<string> =>
  Exit.match(result, {
    onFailure: (cause) => Stream.make(eventOf(errorOf(cause, settings, entry).body), DONE),
    onSuccess: (begun) => {
      streamId(begun, entry)
      return eventsFrom(begun, mapped, settings, entry)
    }
  })

/**
 * A stream. It has the true status of a call that ends or begins to stream soon; otherwise it is a 200 with
 * comments until the first chunk or an error is there. The end of the request's scope cancels the call.
 */
const respondStreamed = Effect.fnUntraced(function*(
  start: Effect.Effect<Begun, NomyoError, Scope.Scope>,
  mapped: Mapped,
  settings: Settings,
  entry: Entry
) {
  const call = yield* Effect.forkScoped(start)
  const ended = Fiber.await(call)
  const early = yield* Effect.interruptible(Effect.timeoutOption(ended, STATUS_WAIT))
  if (Option.isNone(early)) {
    const events = Effect.map(ended, (result) => resultEvents(result, mapped, settings, entry))
    return eventStream(Stream.concat(commentsUntil(call, settings.keepAlive), Stream.unwrap(events)), entry)
  }
  const result = early.value
  if (Exit.isFailure(result)) return yield* respondWith(errorOf(result.cause, settings, entry))
  return eventStream(eventsFrom(result.value, mapped, settings, entry), entry, streamId(result.value, entry))
})

const respondWhole = (
  start: Effect.Effect<ChatCompletionResponse, NomyoError>,
  settings: Settings,
  entry: Entry
) =>
  Effect.matchCauseEffect(start, {
    onFailure: (cause) =>
      // an interrupted call has no tool to answer any more
      Cause.isInterruptedOnly(cause)
        ? Effect.failCause(cause as Cause.Cause<never>)
        : respondWith(errorOf(cause, settings, entry)),
    onSuccess: (response) => {
      const answer = completionOf(answerOf(response, entry))
      return Effect.succeed(HttpServerResponse.setHeaders(json(answer), idOf(response)))
    }
  })

/**
 * Repeats a call that the rate limit refused. Several tools share the limit through a gateway, so none of
 * them can know when to repeat.
 */
const afterRateLimit = <A, R>(
  call: Effect.Effect<A, NomyoError, R>,
  retries = RATE_LIMIT_RETRIES
): Effect.Effect<A, NomyoError, R> =>
  Effect.catchTag(call, "RateLimitError", (error) => {
    const { retryAfter = SHORTEST_WAIT } = error
    return retries === 0 || retryAfter > LONGEST_WAIT
      ? Effect.fail(error)
      : Effect.delay(afterRateLimit(call, retries - 1), Math.max(retryAfter, SHORTEST_WAIT))
  })

/** Answers `POST /chat/completions`. Fails with a `Refusal` for a body that is not a request. */
export const complete = Effect.fnUntraced(function*(
  settings: Settings,
  given: Given,
  entry: Entry
): Effect.fn.Return<
  HttpServerResponse.HttpServerResponse,
  Refusal,
  HttpServerRequest.HttpServerRequest | Scope.Scope
> {
  const { client, idleTimeout, maxRetries, securityTier, timeout } = settings
  const text = yield* readBody
  const mapped = yield* attempt(() => mapRequest(text, { ...given, securityTier }))
  const request = mapped.request as unknown as ChatCompletionRequest
  const options = { timeout, idleTimeout, maxRetries }
  // a server runs its apps uninterruptibly, and a tool that leaves is to cancel its call
  if (mapped.stream) {
    const start = Effect.interruptible(afterRateLimit(begin(client.openStream(request, options))))
    return yield* respondStreamed(start, mapped, settings, entry)
  }
  const start = Effect.interruptible(afterRateLimit(client.create(request, options)))
  return yield* respondWhole(start, settings, entry)
})
