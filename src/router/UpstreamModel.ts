/** An OpenAI-compatible server as the model of a router. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ChatCompletionRequest } from "../ChatCompletion.js"
import * as Bytes from "../internal/codecs/bytes.js"
import * as Json from "../internal/codecs/json.js"
import { fromStatus } from "../internal/errors.js"
import { retryAfter } from "../internal/retryAfter.js"
import type { HttpError, InvalidRequestError } from "../NomyoError.js"
import * as Chunks from "../openai/chunks.js"
import { foldStream, isEventStream } from "../openai/foldStream.js"
import { isList, isObject, parseLoosely } from "../openai/looseJson.js"
import { sourceTextOf } from "../openai/sourceText.js"
import { errorOf, meaningOf, reasonOf, type UpstreamFailure } from "../openai/upstreamReason.js"
import { cleaned } from "./logReason.js"
import type { Model, Models, Opened } from "./modelTypes.js"
import * as UpstreamUrl from "./upstreamUrl.js"

/** Which server, and the key to it. */
export interface Options {
  /** Its base URL. Adds a missing scheme or `/v1`, and removes the path of a call. */
  readonly url: string
  readonly apiKey?: Redacted.Redacted | undefined
}

/** A server behind a router. */
export interface Upstream {
  /** The base URL that is used, `…/v1`. */
  readonly url: string
  readonly model: Model
  readonly models: Models
  /**
   * Warnings for the operator before the first request, in sentences. Empty if the server answers as
   * expected.
   */
  readonly probe: Effect.Effect<{
    readonly warnings: ReadonlyArray<string>
    readonly ids: ReadonlyArray<string>
  }>
}

/** An answer of more bytes is not taken. Clients take 100 MiB unless they are set otherwise. */
const MAX_ANSWER_BYTES = 128 * 1024 * 1024
const MAX_ERROR_BYTES = 64 * 1024
/** The status has said what matters: a body that takes longer is done without. */
const ERROR_BODY_TIMEOUT = "2 seconds"
const PROBE_TIMEOUT = "5 seconds"

/** The system's code, which HTTP clients bury in a chain of causes. */
const codeOf = (error: unknown): string => {
  let cause = error
  for (let depth = 0; Predicate.isRecord(cause) && depth < 8; depth++) {
    const { code } = cause
    if (typeof code === "string" && /^[A-Z][A-Z0-9_]{2,40}$/.test(code)) return code
    cause = cause["cause"]
  }
  return ""
}

const TRUNCATED = "TRUNCATED"

/** A body up to a limit: what is beyond is cut. */
const bytesOf = (response: HttpClientResponse.HttpClientResponse, limit: number) =>
  Stream.runFoldWhile(
    response.stream,
    { parts: [] as ReadonlyArray<Uint8Array>, length: 0 },
    ({ length }) => length <= limit,
    ({ length, parts }, part) => ({ parts: [...parts, part], length: length + part.length })
  ).pipe(
    Effect.map(({ parts }) => Bytes.concat(parts).subarray(0, limit)),
    Effect.mapError((error): UpstreamFailure => ({ code: codeOf(error) || TRUNCATED }))
  )

/** The JSON of a body, or of an event stream that came in place of it; `undefined` if it holds none. */
const parse = (bytes: Uint8Array): unknown => {
  // a byte that is no UTF-8 is no reason to lose an answer
  const text = new TextDecoder().decode(bytes)
  return isEventStream(text) ? foldStream(text) : parseLoosely(text)
}

type Answer = { readonly [key: string]: unknown }

/** The JSON object that a server answered with. Fails with the known facts of its failure. */
const answerOf = Effect.fnUntraced(function*(
  response: HttpClientResponse.HttpClientResponse
): Effect.fn.Return<Answer, UpstreamFailure> {
  const { status } = response
  if (status !== 200) {
    const body = yield* bytesOf(response, MAX_ERROR_BYTES).pipe(
      Effect.timeout(ERROR_BODY_TIMEOUT),
      Effect.orElseSucceed(() => new Uint8Array(0))
    )
    return yield* Effect.fail({ status, error: errorOf(parse(body)) })
  }
  const answer = parse(yield* bytesOf(response, MAX_ANSWER_BYTES))
  if (!isObject(answer)) return yield* Effect.fail({ status, isUnreadable: true, error: errorOf(answer) })
  // an answer that an error broke off is an answer all the same
  const isFailure = !Predicate.isNullable(answer["error"]) && !isList(answer["choices"])
  return isFailure ? yield* Effect.fail({ status, error: errorOf(answer) }) : answer
})

/** A failure, and the wait that the server asks for. */
type Failure = UpstreamFailure & { readonly retryAfter?: number | undefined }

/** Sends a request, and reads the answer by `use`. */
const exchangeWith = Effect.fnUntraced(function*<A>(
  client: HttpClient.HttpClient,
  request: HttpClientRequest.HttpClientRequest,
  use: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, UpstreamFailure>
): Effect.fn.Return<A, Failure, Scope.Scope> {
  const response = yield* client.execute(request).pipe(
    // no HTTP client of a router follows redirects: one could lead a decrypted prompt to another host
    Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
    Effect.mapError((error): Failure => ({ code: codeOf(error) }))
  )
  const now = yield* Clock.currentTimeMillis
  return yield* Effect.mapError(use(response), (failure) => ({
    ...failure,
    retryAfter: retryAfter((name) => response.headers[name], now)
  }))
})

const exchange = (client: HttpClient.HttpClient, request: HttpClientRequest.HttpClientRequest) =>
  Effect.scoped(exchangeWith(client, request, answerOf))

/**
 * Cuts bytes into events, each with its empty line. What follows the last one is dropped: it is no event.
 */
const makeCutter = () => {
  const decoder = new TextDecoder()
  let left = ""
  return (parts: Iterable<Uint8Array>): ReadonlyArray<string> => {
    for (const part of parts) left += decoder.decode(part, { stream: true })
    const events = left.replaceAll("\r\n", "\n").split("\n\n")
    left = events.pop() ?? ""
    return events.map((event) => `${event}\n\n`)
  }
}

/** Whether an event ends an answer: a choice of it has, or no more events follow. */
const isEnding = (event: string): boolean => /^data: ?\[DONE\]|"finish_reason" ?: ?"/m.test(event)

/**
 * The events of a body, cut within one pull: a layer of streams for each step takes longer than the step.
 *
 * It fails where events stop before the answer has ended. The body does not always tell: a server may end it
 * early, and a connection that is lost before its body is read looks like an empty one.
 */
const cutEvents = (
  body: HttpClientResponse.HttpClientResponse["stream"]
): Stream.Stream<string, UpstreamFailure> => {
  const cut = makeCutter()
  let hasEnded = false
  const failureOf = (failure: Option.Option<unknown>): Option.Option<UpstreamFailure> => {
    if (Option.isNone(failure) && hasEnded) return Option.none()
    return Option.some({ code: codeOf(Option.getOrUndefined(failure)) || TRUNCATED })
  }
  const eventsOf = (parts: Iterable<Uint8Array>) => {
    const events = cut(parts)
    hasEnded ||= events.some(isEnding)
    return Chunk.unsafeFromArray(events)
  }
  return Stream.unwrapScoped(Effect.map(Stream.toPull(body), (pull) =>
    Stream.repeatEffectChunkOption(Effect.mapBoth(pull, { onFailure: failureOf, onSuccess: eventsOf }))))
}

/** The events of a server's answer. One that does not stream answers whole. */
const eventsOf = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<Stream.Stream<string, UpstreamFailure>, UpstreamFailure> => {
  const contentType = response.headers["content-type"] ?? ""
  if (response.status !== 200 || !contentType.startsWith("text/event-stream")) {
    return Effect.map(answerOf(response), (answer) =>
      Stream.fromIterable(Chunks.eventsOf(answer as unknown as Chunks.Answer, { includeUsage: true })))
  }
  return Effect.succeed(cutEvents(response.stream))
}

/** The error for a client: a status and a reason of the closed list. */
const clientError = (failure: Failure): HttpError => {
  const reason = reasonOf(failure)
  const { message, status: statusCode } = meaningOf(reason)
  return fromStatus({ statusCode, message, retryAfter: failure.retryAfter, errorDetails: { reason } })
}

/**
 * The log entry: the status or the network's code, the server's code, and its message without the
 * request's.
 */
const logOf = (failure: Failure, request: unknown): { readonly [name: string]: unknown } => {
  const { code, error, isUnreadable, status } = failure
  const told = Object.entries(error ?? {}).flatMap(([name, text]) =>
    text === "" ? [] : [[`upstream_${name}`, cleaned(text, request)]])
  return {
    reason: reasonOf(failure),
    ...(status === undefined ? { network: code || "unknown" } : { upstream_status: status }),
    ...(isUnreadable === true ? { body: "not JSON" } : {}),
    ...Object.fromEntries(told)
  }
}

const warn = (failure: Failure, request: unknown): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logWarning("The model server failed"), logOf(failure, request))

const idsOf = (answer: Answer): ReadonlyArray<string> => {
  const data = answer["data"] ?? answer["models"]
  const entries: ReadonlyArray<unknown> = Array.isArray(data) ? data : []
  return entries.flatMap((entry) => {
    const id = Predicate.isRecord(entry) ? entry["id"] : undefined
    return typeof id === "string" && id !== "" ? [id] : []
  })
}

/** Advice for the router's operator. */
const adviceOn = (failure: Failure): string => {
  if (/^(ENOTFOUND|EAI_AGAIN)$/.test(failure.code ?? "")) return "its host has no address. Check --upstream"
  const reason = reasonOf(failure)
  return reason === "upstream_unreachable" ? "start it, or check --upstream" : meaningOf(reason).message
}

const warningsOf = (url: string, failure: Failure | undefined): ReadonlyArray<string> => [
  ...(UpstreamUrl.isReadable(url)
    ? [`${url} has no TLS and is on another machine: prompts and answers can be read on the way there`]
    : []),
  ...(failure === undefined
    ? []
    : [`${url}/models did not answer as expected (${failure.status ?? failure.code ?? "unknown"}): ` +
      adviceOn(failure)])
]

/** Answers come whole: a server that is asked for `stream_options` alone refuses the request. */
const unstreamed = ({ stream: _, stream_options: __, ...payload }: ChatCompletionRequest): object => payload

/** The models of a server's list, or its failure, within the time that a start may take. */
const probeOf = (url: string, list: Effect.Effect<Answer, Failure>): Upstream["probe"] =>
  list.pipe(
    Effect.timeoutFail({ duration: PROBE_TIMEOUT, onTimeout: (): Failure => ({ code: "ETIMEDOUT" }) }),
    Effect.match({
      onFailure: (failure) => ({ warnings: warningsOf(url, failure), ids: [] }),
      onSuccess: (answer) => ({ warnings: warningsOf(url, undefined), ids: idsOf(answer) })
    })
  )

/**
 * A request with the fields of a payload, in the payload's own words: a number may have more digits than are
 * read.
 */
const withBody = (
  post: HttpClientRequest.HttpClientRequest,
  fields: object,
  payload: ChatCompletionRequest
): HttpClientRequest.HttpClientRequest => {
  const { parts } = Json.assemble(fields, sourceTextOf(payload) ?? new Map())
  return HttpClientRequest.bodyText(post, parts.join(""), "application/json")
}

/** Asks a server for completions, whole and as streams. */
const modelOf = (client: HttpClient.HttpClient, post: HttpClientRequest.HttpClientRequest): Model => {
  const failed = (request: unknown) => (failure: Failure) =>
    Effect.zipRight(warn(failure, request), Effect.fail(clientError(failure)))
  const answer = ({ payload }: Opened) =>
    Effect.catchAll(exchange(client, withBody(post, unstreamed(payload), payload)), failed(payload))
  const stream = ({ payload }: Opened) =>
    exchangeWith(client, withBody(post, payload, payload), eventsOf).pipe(
      Effect.catchAll(failed(payload)),
      Effect.map(Stream.catchAll(failed(payload)))
    )
  return Object.assign(answer, { stream })
}

/** A server behind a router. Fails with an `InvalidRequestError` for a URL that cannot be one. */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Upstream, InvalidRequestError, HttpClient.HttpClient> {
  const client = (yield* HttpClient.HttpClient).pipe(HttpClient.withTracerPropagation(false))
  const url = yield* UpstreamUrl.parse(options.url)
  const prepare = (request: HttpClientRequest.HttpClientRequest) =>
    HttpClientRequest.setHeader(
      options.apiKey === undefined ? request : HttpClientRequest.bearerToken(request, options.apiKey),
      "accept-encoding",
      "identity"
    )
  const list = exchange(client, prepare(HttpClientRequest.get(`${url}/models`)))
  const models = list.pipe(
    Effect.tapError((failure) => warn(failure, {})),
    Effect.mapBoth({ onFailure: clientError, onSuccess: idsOf })
  )
  const model = modelOf(client, prepare(HttpClientRequest.post(`${url}/chat/completions`)))
  return { url, probe: probeOf(url, list), models, model }
})
