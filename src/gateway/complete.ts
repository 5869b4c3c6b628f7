/** `POST /chat/completions`: one call of the client, as a whole answer or as a stream. */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ChatCompletionRequest, ChatCompletionResponse, SecurityTier } from "../ChatCompletion.js"
import type * as NomyoClient from "../NomyoClient.js"
import type { NomyoError } from "../NomyoError.js"
import { type Answer, completionOf, DONE, EVENT_STREAM, eventOf, eventsOf } from "../openai/chunks.js"
import { answerFor, type ErrorAnswer, type Refusal } from "../openai/errors.js"
import { type Mapped, mapRequest } from "../openai/requests.js"
import { attempt, readBody } from "./readBody.js"
import { type Entry, markEnd } from "./requestLog.js"
import { causeAnswer, errorResponse, json, NO_STORE } from "./respond.js"

/** How completions are made. */
export interface Settings {
  readonly client: NomyoClient.Service
  readonly securityTier: SecurityTier | undefined
  readonly timeout: Duration.Duration
  readonly maxRetries: number
  readonly keepAlive: Duration.Duration
}

/** What a request says beside its body. */
export interface Given {
  readonly apiKey: string | undefined
  readonly deployment: string | undefined
}

/**
 * How long a stream waits for the status that it deserves. Later failures can only be told within it: tools
 * and the proxies in between give up on a connection that says nothing.
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

type Result = Exit.Exit<ChatCompletionResponse, NomyoError>
type Call = Fiber.Fiber<ChatCompletionResponse, NomyoError>

const errorOf = (cause: Cause.Cause<NomyoError>, entry: Entry): ErrorAnswer => {
  const answer = causeAnswer(cause)
  entry.status = answer.status
  entry.payloadId = answer.headers["x-request-id"]
  return answer
}

/** An error as the tool that asked is to get it. */
const respondWith = (answer: ErrorAnswer) =>
  Effect.map(HttpServerRequest.HttpServerRequest, ({ headers }) =>
    errorResponse(answerFor(headers["user-agent"], answer)))

/** The client's answer as a stream takes it. Notes its payload id for the log. */
const answerOf = (response: ChatCompletionResponse, entry: Entry): Answer => {
  entry.payloadId = response._metadata.payload_id
  return { ...response }
}

const idOf = ({ _metadata }: ChatCompletionResponse) => ({ "x-request-id": _metadata.payload_id })

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

/** The events of a call that has ended: its answer, or its error. */
const resultEvents = (result: Result, { includeUsage }: Mapped, entry: Entry): Stream.Stream<string> =>
  Exit.match(result, {
    onFailure: (cause) => Stream.make(eventOf(errorOf(cause, entry).body), DONE),
    onSuccess: (response) =>
      Stream.fromIteratorSucceed(eventsOf(answerOf(response, entry), { includeUsage }), CHUNK_SIZE)
  })

/**
 * A stream. It has the true status of a call that ends soon; otherwise it is a 200 with comments until the
 * answer or its error is there. The end of the request's scope cancels the call.
 */
const respondStreamed = Effect.fnUntraced(function*(
  start: Effect.Effect<ChatCompletionResponse, NomyoError>,
  mapped: Mapped,
  { keepAlive }: Settings,
  entry: Entry
) {
  const call = yield* Effect.forkScoped(start)
  const ended = Fiber.await(call)
  const early = yield* Effect.interruptible(Effect.timeoutOption(ended, STATUS_WAIT))
  if (Option.isNone(early)) {
    const events = Effect.map(ended, (result) => resultEvents(result, mapped, entry))
    return eventStream(Stream.concat(commentsUntil(call, keepAlive), Stream.unwrap(events)), entry)
  }
  const result = early.value
  if (Exit.isFailure(result)) return yield* respondWith(errorOf(result.cause, entry))
  const events = resultEvents(result, mapped, entry)
  return eventStream(events, entry, idOf(result.value))
})

const respondWhole = (start: Effect.Effect<ChatCompletionResponse, NomyoError>, entry: Entry) =>
  Effect.matchCauseEffect(start, {
    onFailure: (cause) =>
      // an interrupted call has no tool to answer any more
      Cause.isInterruptedOnly(cause)
        ? Effect.failCause(cause as Cause.Cause<never>)
        : respondWith(errorOf(cause, entry)),
    onSuccess: (response) => {
      const answer = completionOf(answerOf(response, entry))
      return Effect.succeed(HttpServerResponse.setHeaders(json(answer), idOf(response)))
    }
  })

/**
 * Repeats a call that the rate limit refused. Several tools share the limit through a gateway, so none of
 * them can know when to repeat.
 */
const afterRateLimit = (
  create: Effect.Effect<ChatCompletionResponse, NomyoError>,
  retries: number
): Effect.Effect<ChatCompletionResponse, NomyoError> =>
  Effect.catchTag(create, "RateLimitError", (error) => {
    const { retryAfter = SHORTEST_WAIT } = error
    return retries === 0 || retryAfter > LONGEST_WAIT
      ? Effect.fail(error)
      : Effect.delay(afterRateLimit(create, retries - 1), Math.max(retryAfter, SHORTEST_WAIT))
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
  const { client, maxRetries, securityTier, timeout } = settings
  const text = yield* readBody
  const mapped = yield* attempt(() => mapRequest(text, { ...given, securityTier }))
  const request = mapped.request as unknown as ChatCompletionRequest
  const create = client.create(request, { timeout, maxRetries })
  // a server runs its apps uninterruptibly, and a tool that leaves is to cancel its call
  const start = Effect.interruptible(afterRateLimit(create, RATE_LIMIT_RETRIES))
  return yield* mapped.stream ? respondStreamed(start, mapped, settings, entry) : respondWhole(start, entry)
})
