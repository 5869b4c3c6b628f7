/**
 * `nomyo-js/fetch`: a `fetch` that encrypts, for libraries that speak OpenAI's chat completions, such as
 * `openai`, the AI SDK and LangChain. It needs only web standards and a client.
 *
 * @since 0.3.0
 */
import { hasMethod, positive, type Read, readByRules, rule, strings,
  wholeNumber } from "../internal/optionRules.js"
import { type Answer, completionOf, DONE, EVENT_STREAM, eventOf, eventsOf,
  isUsageChunk } from "../openai/chunks.js"
import { answerFor, answerOf, type ErrorAnswer, type Failure, isFailure, Refusal } from "../openai/errors.js"
import * as Models from "../openai/models.js"
import { type Mapped, mapRequest } from "../openai/requests.js"
import { routeOf } from "../openai/routes.js"
import { readText } from "./body.js"

/**
 * The base URL for your library. The name never resolves (RFC 2606), so a library without the encrypting
 * `fetch` cannot send anything in the clear.
 *
 * @since 0.3.0
 * @category constants
 */
export const BASE_URL = "https://nomyo.invalid/v1"

/**
 * Options that `createFetch` passes to the client with each call.
 *
 * @since 0.3.0
 * @category models
 */
export interface CallOptions {
  /** Cancels the call, which then rejects with the signal's reason. */
  readonly signal: AbortSignal | undefined
  /** Time limit of one attempt, in milliseconds. */
  readonly timeout: number
  /** The longest silence within a streamed answer, in milliseconds. Default: the client's own. */
  readonly idleTimeout: number | undefined
  /** Maximum number of retries by the client. */
  readonly maxRetries: number
}

/**
 * A client for `createFetch`: a `SecureChatCompletion`, or an object with its `create` and, for streamed
 * answers, its `stream`.
 *
 * @since 0.3.0
 * @category models
 */
export interface ChatClient {
  /** Returns the whole answer, or rejects with an error of `nomyo-js`. */
  create(request: ChatRequest, options: CallOptions): Promise<object>
  /**
   * Yields the answer's chunks as they arrive. Without this method, `createFetch` splits the whole answer
   * into chunks.
   */
  stream?(request: ChatRequest, options: CallOptions): AsyncIterable<object>
}

/**
 * A request as the tool wrote it, without `stream` and `stream_options`. The client checks it.
 *
 * @since 0.3.0
 * @category models
 */
export interface ChatRequest {
  /** The model id. */
  readonly model: string
  /** The conversation. */
  readonly messages: ReadonlyArray<{ readonly role: string; readonly [name: string]: unknown }>
  /** The other fields, as the tool wrote them. */
  readonly [name: string]: unknown
}

/**
 * Options of `createFetch`.
 *
 * @since 0.3.0
 * @category models
 */
export interface FetchOptions {
  /**
   * The API key for the router: `client` sends the client's. `header` sends the one in your library's
   * `Authorization: Bearer` (or Azure's `api-key`) header. Default `client`, because that header may hold a
   * key for OpenAI.
   */
  readonly apiKey?: "client" | "header" | undefined
  /** The ids that `GET /models` answers with. Default: the ids in the service's documentation. */
  readonly models?: ReadonlyArray<string> | undefined
  /**
   * Origins to accept beside that of `BASE_URL`, such as `https://api.openai.com` for a library with a fixed
   * base URL. A URL of any other origin gets a 404, and nothing is sent. Default: no others.
   */
  readonly origins?: ReadonlyArray<string> | undefined
  /**
   * Time limit of one attempt in milliseconds, in place of the client's `timeout`. Default 10 minutes:
   * your library's own timeout usually comes first.
   */
  readonly timeout?: number | undefined
  /**
   * Longest silence within a streamed answer, in milliseconds. Default: the client's `idleTimeout`, 60
   * seconds.
   */
  readonly idleTimeout?: number | undefined
  /**
   * Number of times the client retries a failed request, in place of its own `maxRetries`. Default 0, because
   * your library retries too.
   */
  readonly maxRetries?: number | undefined
}

const DEFAULT_TIMEOUT = 600_000

/** `FetchOptions` with every default filled in. */
interface Settings {
  readonly apiKey: "client" | "header"
  readonly models: ReadonlyArray<string>
  readonly origins: ReadonlySet<string>
  readonly timeout: number
  readonly idleTimeout: number | undefined
  readonly maxRetries: number
}

const isWebUrl = (url: string): boolean => /^https?:$/.test(URL.canParse(url) ? new URL(url).protocol : "")

const rules = {
  apiKey: rule<"client" | "header">("\"client\" or \"header\"",
    (value) => value === "client" || value === "header"),
  models: strings,
  origins: rule<ReadonlyArray<string>>("a list of origins, such as https://api.openai.com", (value) =>
    strings.accepts(value) && (value as ReadonlyArray<string>).every(isWebUrl)),
  timeout: positive,
  idleTimeout: positive,
  maxRetries: wholeNumber(0)
}

/** Throws a `TypeError` for options that are not valid, as a constructor of the platform does. */
const readOptions = (options: FetchOptions): Read<typeof rules> => {
  const read = readByRules(rules, options)
  if (typeof read === "string") throw new TypeError(read)
  return read
}

const settingsOf = (options: FetchOptions): Settings => {
  const { apiKey, idleTimeout, maxRetries, models, origins, timeout } = readOptions(options)
  return {
    apiKey: apiKey ?? "client",
    models: models ?? Models.DEFAULT_MODELS,
    origins: new Set([BASE_URL, ...origins ?? []].map((url) => new URL(url).origin)),
    timeout: timeout ?? DEFAULT_TIMEOUT,
    idleTimeout,
    maxRetries: maxRetries ?? 0
  }
}

/** A call of `fetch`, with the defaults that a `Request` brings. */
interface Call {
  readonly method: string
  readonly url: string
  readonly headers: Headers
  readonly body: unknown
  readonly signal: AbortSignal | undefined
}

const callOf = (input: string | URL | Request, init: RequestInit = {}): Call => {
  const request = typeof input === "string" || input instanceof URL ? undefined : input
  if (request?.bodyUsed === true && init.body === undefined) {
    throw new TypeError("The body of this Request has already been read. Pass a clone()")
  }
  return {
    method: (init.method ?? request?.method ?? "GET").toUpperCase(),
    url: request?.url ?? String(input),
    headers: new Headers(init.headers ?? request?.headers),
    body: init.body ?? request?.body,
    signal: (init.signal === undefined ? request?.signal : init.signal) ?? undefined
  }
}

/** Throws a `Refusal` for a URL that may lead to somebody else. */
const pathOf = (url: string, origins: ReadonlySet<string>): string => {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed !== undefined && origins.has(parsed.origin)) return parsed.pathname
  const message = "Nothing was sent: nomyo-js/fetch does not serve this URL"
  throw new Refusal(400, "unknown_origin", `${message}. Set the base URL to ${BASE_URL}`)
}

const apiKeyOf = (headers: Headers): string => {
  const key = /^Bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1] ?? headers.get("api-key") ?? ""
  if (key !== "") return key
  const message = "The request has no API key in its Authorization header. Set your library's apiKey"
  throw new Refusal(401, "invalid_api_key", message)
}

const encoder = /* @__PURE__ */ new TextEncoder()

type Bytes = Uint8Array<ArrayBuffer>

/** The source of a body, and a function for when its reader leaves. */
interface Source {
  readonly texts: Iterator<string, void> | AsyncIterator<string, void>
  readonly leave?: () => void
}

/**
 * A body that breaks off with the signal's reason, as that of a real `fetch` does. It reads when it is read.
 */
const bodyOf = ({ leave, texts }: Source, signal: AbortSignal | undefined): ReadableStream<Bytes> => {
  let abort = (): void => undefined
  const close = () => signal?.removeEventListener("abort", abort)
  return new ReadableStream({
    start(controller) {
      abort = () => {
        leave?.()
        controller.error(signal?.reason)
      }
      signal?.addEventListener("abort", abort, { once: true })
    },
    async pull(controller) {
      try {
        const next = await texts.next()
        if (signal?.aborted === true) return
        if (next.done !== true) return controller.enqueue(encoder.encode(next.value))
      } catch (error) {
        close()
        throw error
      }
      close()
      controller.close()
    },
    cancel() {
      close()
      leave?.()
    }
  }, { highWaterMark: 0 })
}

const json = (value: object, status: number, headers: { readonly [name: string]: string }): Response =>
  new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json", ...headers } })

const errorResponse = ({ body, headers, status }: ErrorAnswer): Response => json(body, status, headers)

const payloadIdOf = (answer: object): { readonly [name: string]: string } => {
  const { _metadata } = answer as { readonly _metadata?: { readonly payload_id?: unknown } }
  return typeof _metadata?.payload_id === "string" ? { "x-request-id": _metadata.payload_id } : {}
}

const responseOf = (source: Source, type: string, answer: object, signal: AbortSignal | undefined) =>
  new Response(bodyOf(source, signal), {
    headers: { "content-type": type, "cache-control": "no-store", ...payloadIdOf(answer) }
  })

type Chunks = AsyncIterator<object, unknown>

/** The events of a stream. A stream that breaks off throws, so nobody takes its part for the whole. */
async function* eventsFrom(
  first: IteratorResult<object, unknown>,
  rest: Chunks,
  { includeUsage }: Mapped
): AsyncGenerator<string, void> {
  try {
    for (let next = first; next.done !== true; next = await rest.next()) {
      if (includeUsage || !isUsageChunk(next.value)) yield eventOf(next.value)
    }
  } catch (error) {
    throw isFailure(error) && error._tag === "APIConnectionError" ? connectionError(error) : error
  }
  yield DONE
}

/** The client's stream as events. It begins with the first chunk, so a failure before it has its status. */
const completeStreamed = async (
  open: (signal: AbortSignal) => AsyncIterable<object>,
  mapped: Mapped,
  signal: AbortSignal | undefined
): Promise<Response> => {
  const reading = new AbortController()
  const leave = () => reading.abort(signal?.reason)
  signal?.addEventListener("abort", leave, { once: true })
  try {
    const chunks = open(reading.signal)[Symbol.asyncIterator]()
    const first = await chunks.next()
    signal?.throwIfAborted()
    const texts = eventsFrom(first, chunks, mapped)
    return responseOf({ texts, leave }, EVENT_STREAM, first.value ?? {}, signal)
  } finally {
    signal?.removeEventListener("abort", leave)
  }
}

const complete = async (
  client: ChatClient,
  { apiKey, idleTimeout, maxRetries, timeout }: Settings,
  { body, headers, signal }: Call,
  deployment: string | undefined
): Promise<Response> => {
  const mapped = mapRequest(await readText(body, signal), {
    apiKey: apiKey === "header" ? apiKeyOf(headers) : undefined,
    deployment
  })
  // an abort in between comes before anybody listens
  signal?.throwIfAborted()
  const request = mapped.request as ChatRequest
  const { stream } = client
  if (mapped.stream && stream !== undefined) {
    const open = (signal: AbortSignal) =>
      stream.call(client, request, { signal, timeout, idleTimeout, maxRetries })
    return completeStreamed(open, mapped, signal)
  }
  const answer = await client.create(request, { signal, timeout, idleTimeout, maxRetries }) as Answer
  // a client may answer at the moment of the abort
  signal?.throwIfAborted()
  return mapped.stream
    ? responseOf({ texts: eventsOf(answer, mapped) }, EVENT_STREAM, answer, signal)
    : responseOf({ texts: [JSON.stringify(completionOf(answer))].values() }, "application/json", answer,
      signal)
}

const answer = async (client: ChatClient, settings: Settings, call: Call): Promise<Response> => {
  const route = routeOf(call.method, pathOf(call.url, settings.origins))
  switch (route.name) {
    case "completions":
      return complete(client, settings, call, route.deployment)
    case "models":
      return json(Models.listOf(settings.models), 200, {})
    case "model":
      return json(Models.find(settings.models, route.id), 200, {})
  }
}

/** The texts by which tools know a lost network and a timeout. */
const connectionError = (error: Failure): TypeError => {
  const timedOut = () => new Error(`The request timed out: ${error.message}`, { cause: error })
  return new TypeError("fetch failed", { cause: error.reason === "timeout" ? timedOut() : error })
}

/** An error of the client as a `fetch` has it: a response, or what it rejects with. */
const outcomeOf = (error: unknown, { headers }: Call): Response => {
  if (error instanceof Refusal) return errorResponse(error.answer)
  if (!isFailure(error)) throw error
  if (error._tag === "APIConnectionError") throw connectionError(error)
  return errorResponse(answerFor(headers.get("user-agent"), answerOf(error)))
}

/**
 * Makes a `fetch` that sends chat completions through `client`, encrypted. It sends nothing in the clear, for
 * any URL.
 *
 * It encrypts `POST …/chat/completions` and answers `GET …/models` and `/models/{id}` from a list. Other
 * paths get a 404 in OpenAI's form. With `stream: true` the answer is a stream of events. Under protocol 2
 * they arrive while the model writes. Under protocol 1.0 the client waits for the whole answer, then splits
 * it. `_metadata.is_streamed` of the first event is `true` if the router streamed. The stream applies
 * backpressure. When you stop reading, the connection closes. A stream that breaks off throws the client's
 * error. Of your library's headers, only an API key is ever sent, and only with `apiKey: "header"`.
 *
 * HTTP errors keep their status. One exception: the AI SDK, known by its `User-Agent`, would retry a 408 or
 * 409, so it gets a 400 with the `code` `http_408` or `http_409`. A `SecurityError` is a 400 with the reason
 * as its `code`, and a `DisposedError` a 400 with the `code` `disposed`. A lost connection and a timeout
 * reject with `TypeError("fetch failed")`, whose `cause` leads to the `APIConnectionError`. An abort rejects
 * with the signal's reason.
 *
 * Throws a `TypeError` for a client without `create`, and for an unknown or invalid option.
 *
 * @example
 * import { SecureChatCompletion } from "nomyo-js"
 * import { BASE_URL, createFetch } from "nomyo-js/fetch"
 *
 * const nomyo = new SecureChatCompletion({ apiKey: process.env.NOMYO_API_KEY })
 * const fetch = createFetch(nomyo)
 * const response = await fetch(`${BASE_URL}/models`)
 * console.log(await response.json())
 * nomyo.dispose()
 *
 * @since 0.3.0
 * @category constructors
 */
export const createFetch = (client: ChatClient, options: FetchOptions = {}): typeof globalThis.fetch => {
  if (!hasMethod(client, "create")) {
    throw new TypeError(
      "createFetch needs a SecureChatCompletion, such as createFetch(new SecureChatCompletion({ apiKey }))"
    )
  }
  const settings = settingsOf(options)
  return async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const call = callOf(input, init)
    call.signal?.throwIfAborted()
    try {
      return await answer(client, settings, call)
    } catch (error) {
      if (call.signal?.aborted === true) throw call.signal.reason
      return outcomeOf(error, call)
    }
  }
}

/**
 * Constructor options for `OpenAI` of the package `openai`.
 *
 * @since 0.3.0
 * @category models
 */
export interface OpenAiOptions {
  /** A placeholder, because the package requires a key. By default the router gets the client's own key. */
  readonly apiKey: string
  /** `BASE_URL`. */
  readonly baseURL: string
  /** The `fetch` of `createFetch`. */
  readonly fetch: typeof globalThis.fetch
  /** 0 if the option `maxRetries` is set: then only the client retries. Otherwise absent. */
  readonly maxRetries?: 0
}

/**
 * Options for `new OpenAI(…)` of the package `openai`, and for the `configuration` of LangChain's
 * `ChatOpenAI`.
 *
 * @since 0.3.0
 * @category constructors
 */
export const openAiOptions = (client: ChatClient, options: FetchOptions = {}): OpenAiOptions => ({
  apiKey: "nomyo",
  baseURL: BASE_URL,
  fetch: createFetch(client, options),
  // otherwise left out: LangChain, which repeats requests itself, sets 0 where its configuration says nothing
  ...(options.maxRetries === undefined ? {} : { maxRetries: 0 as const })
})
