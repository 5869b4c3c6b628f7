/**
 * The network, as a service: one HTTP exchange, which checks everything that a hostile or broken server may
 * send.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { type Body, checked, toBytes } from "./Body.js"
import * as Bytes from "./internal/codecs/bytes.js"
import { connectionError, originOf, truncated } from "./internal/connectionError.js"
import { describeDetails, type ErrorDetails, safeDetails } from "./internal/errorDetails.js"
import { fromStatus } from "./internal/errors.js"
import { acquire, bracket } from "./internal/fibers/acquire.js"
import { retryAfter } from "./internal/retryAfter.js"
import { statusMessage } from "./internal/statusMessage.js"
import { strictFetch } from "./internal/strictFetch.js"
import { refuseUnverified } from "./internal/unverifiedTls.js"
import { withoutKey } from "./internal/withoutKey.js"
import { type APIConnectionError, type HttpError, SecurityError } from "./NomyoError.js"

/**
 * One HTTP request.
 *
 * @since 0.2.0
 * @category models
 */
export interface Request {
  readonly method: "GET" | "POST"
  readonly url: string
  readonly headers: { readonly [name: string]: string }
  readonly body?: Body | undefined
  /** The largest body of a successful answer, in bytes. A larger one fails with a `SecurityError`. */
  readonly maxResponseBytes: number
  /**
   * `true` if this request fetches the router's key and the caller compares it with pins. Only then does a
   * transport fetch the key while certificate checks are off (`NODE_TLS_REJECT_UNAUTHORIZED=0`). Default
   * `false`.
   *
   * @since 0.3.0
   */
  readonly isKeyPinned?: boolean | undefined
}

/**
 * A response of a platform's HTTP client, once its headers have arrived.
 *
 * @since 0.2.0
 * @category models
 */
export interface Response {
  readonly status: number
  /** The value of a header, by its name in lower case. */
  readonly header: (name: string) => string | null | undefined
  /** The body's chunks. The iterator's `return`, and the end of the exchange, close the body. */
  readonly body: AsyncIterable<Uint8Array>
}

/**
 * Everything an exchange can fail with.
 *
 * @since 0.2.0
 * @category models
 */
export type TransportError = HttpError | APIConnectionError | SecurityError

/**
 * One strict HTTP exchange: no redirects, bounded bodies, typed errors.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /**
   * Sends a request and returns the body of a 200 answer. Any other status fails with its error. It never
   * follows a redirect. Interruption closes the connection.
   */
  readonly send: (request: Request) => Effect.Effect<Uint8Array<ArrayBuffer>, TransportError>
  /**
   * Sends a request and returns a 200 answer as soon as its headers arrive. You read the body as it arrives.
   * It fails as `send` does. The connection closes when the scope closes.
   */
  readonly open: (request: Request) => Effect.Effect<Opened, TransportError, Scope.Scope>
}

/**
 * A 200 answer with a body for you to read.
 *
 * @since 0.3.0
 * @category models
 */
export interface Opened {
  /** The value of a header, by its name in lower case. */
  readonly header: Response["header"]
  /**
   * Returns the next bytes of the body, or `undefined` at its end. Nothing is read before you ask. Copy what
   * you keep: the bytes may change when you ask again. Fails with reason `truncated` if the connection is
   * lost, and with a `SecurityError` if the body is larger than `maxResponseBytes`.
   */
  readonly pull: Effect.Effect<Uint8Array<ArrayBuffer> | undefined, TransportError>
}

/**
 * The network, as a service.
 *
 * @since 0.2.0
 * @category tags
 */
export class Transport extends Context.Tag("nomyo-js/Transport")<Transport, Service>() {}

/** As much of an error's body as is read for its `detail`, in bytes. */
const MAX_ERROR_BYTES = 64 * 1024
/** How long an error's body may take. Without it the status still says what matters. */
const ERROR_BODY_TIMEOUT = "2 seconds"
/** As much of a router's `detail` as an error message repeats, in characters. */
const MAX_DETAIL_LENGTH = 500

/**
 * A buffer with the same content and room for `length` bytes: twice as large as before, so that few copies
 * are made.
 */
const grow = (buffer: Uint8Array<ArrayBuffer>, length: number, limit: number): Uint8Array<ArrayBuffer> => {
  const larger = new Uint8Array(Math.min(limit, Math.max(length, 2 * buffer.length)))
  larger.set(buffer)
  return larger
}

/**
 * All of a body, or `undefined` if it is larger than the limit. Chunks are copied at once: there may be one
 * for each byte.
 */
const readAll = async (
  body: AsyncIterator<Uint8Array>,
  limit: number
): Promise<Uint8Array<ArrayBuffer> | undefined> => {
  let buffer = new Uint8Array(0)
  let length = 0
  for (let next = await body.next(); !next.done; next = await body.next()) {
    const end = length + next.value.length
    if (end > limit) return undefined
    if (end > buffer.length) buffer = grow(buffer, end, limit)
    buffer.set(next.value, length)
    length = end
  }
  return buffer.subarray(0, length)
}

const read = (body: AsyncIterator<Uint8Array>, limit: number) =>
  Effect.tryPromise({ try: () => readAll(body, limit), catch: truncated })

/** The key is looked for in parsed text: JSON has several spellings for a character. */
const parseDetails = (bytes: Uint8Array, request: Request): ErrorDetails | undefined => {
  const key = request.headers["Authorization"]?.replace("Bearer ", "") ?? ""
  try {
    return safeDetails(JSON.parse(Bytes.toText(bytes)), withoutKey(key))
  } catch {
    return undefined
  }
}

const messageOf = (status: number, details: ErrorDetails | undefined): string =>
  statusMessage(status, describeDetails(details).slice(0, MAX_DETAIL_LENGTH), details?.reason !== undefined)

const statusError = Effect.fnUntraced(function*(
  request: Request,
  response: Response,
  body: AsyncIterator<Uint8Array>
) {
  const bytes = yield* read(body, MAX_ERROR_BYTES).pipe(
    Effect.timeout(ERROR_BODY_TIMEOUT),
    Effect.orElseSucceed(() => undefined)
  )
  const errorDetails = bytes && parseDetails(bytes, request)
  return fromStatus({
    statusCode: response.status,
    message: messageOf(response.status, errorDetails),
    errorDetails,
    retryAfter: retryAfter(response.header, yield* Clock.currentTimeMillis)
  })
})

/** A browser reports a redirect that it did not follow as status 0. */
const isRedirect = ({ status }: Response): boolean => status === 0 || (status >= 300 && status < 400)

/** Fails with the error of a response that is none of status 200. */
const checkStatus = (
  request: Request,
  response: Response,
  body: AsyncIterator<Uint8Array>
): Effect.Effect<void, TransportError> => {
  if (isRedirect(response)) {
    const message = `${originOf(request.url)} answered with a redirect, which the client does not follow. ` +
      "Set baseUrl to the redirect's target if you trust it"
    return Effect.fail(new SecurityError({ reason: "redirect", message }))
  }
  return response.status === 200
    ? Effect.void
    : Effect.flatMap(statusError(request, response, body), Effect.fail)
}

const tooLarge = ({ maxResponseBytes }: Request) =>
  new SecurityError({
    reason: "response-too-large",
    message: `The answer is larger than ${maxResponseBytes} bytes. Raise maxResponseBytes, or ask for less`
  })

/** All of a body. */
const readBody = (request: Request,
  { body }: Begun): Effect.Effect<Uint8Array<ArrayBuffer>, TransportError> =>
  Effect.flatMap(read(body, request.maxResponseBytes), (bytes) =>
    bytes === undefined ? Effect.fail(tooLarge(request)) : Effect.succeed(bytes))

/** A body to be read piece by piece. */
const openBody = (request: Request, { body, response }: Begun): Opened => {
  let left = request.maxResponseBytes
  const next = Effect.tryPromise({ try: () => body.next(), catch: truncated })
  const pull = Effect.flatMap(next, ({ done, value }) => {
    if (done === true) return Effect.succeed(undefined)
    left -= value.length
    return left < 0 ? Effect.fail(tooLarge(request)) : Effect.succeed(Bytes.plain(value))
  })
  return { header: response.header, pull }
}

/**
 * Sends one request over a platform's HTTP client and returns its response. Return redirects as they are. As
 * soon as you have a connection, call `onEnd` with a function that closes it: `make` calls that function when
 * the exchange ends. While you read the request's body, its iterator may throw a `SecurityError`. Then fail
 * with that error, unwrapped.
 *
 * @since 0.3.0
 * @category models
 */
export type Exchange = (
  request: Request,
  onEnd: (close: () => void) => void
) => Effect.Effect<Response, APIConnectionError | SecurityError>

/**
 * Makes a transport of an `Exchange`. It checks the request's body, and the answer's status, redirects and
 * length.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = (exchange: Exchange): Service => ({
  send: (request) =>
    bracket((): Closing => [], (closing) =>
      Effect.flatMap(begin(exchange, request, closing), (begun) => readBody(request, begun)), closeAll),
  open: (request) =>
    Effect.flatMap(acquire(Effect.sync((): Closing => []), closeAll), (closing) =>
      Effect.map(begin(exchange, request, closing), (begun) => openBody(request, begun)))
})

/** Functions that close an exchange, the last opened first. */
type Closing = Array<() => void>

const closeAll = (closing: Closing): void => {
  for (const close of closing) close()
}

const closeBody = (body: AsyncIterator<Uint8Array>) => (): void => {
  // not awaited: a server that has stopped sending may never let it end
  void body.return?.().catch(() => undefined)
}

/** A 200 answer, and the iterator of its body. */
interface Begun {
  readonly response: Response
  readonly body: AsyncIterator<Uint8Array>
}

/** Sends a request and waits for the headers of a 200 answer. */
const begin = (
  exchange: Exchange,
  request: Request,
  closing: Closing
): Effect.Effect<Begun, TransportError> => {
  const strict = request.body === undefined ? request : { ...request, body: checked(request.body) }
  return Effect.flatMap(exchange(strict, (close) => closing.unshift(close)), (response) => {
    const body = response.body[Symbol.asyncIterator]()
    closing.unshift(closeBody(body))
    return Effect.as(checkStatus(request, response, body), { response, body })
  })
}

/** The chunks of a stream. Safari's streams are not iterable. */
async function* chunksOf(stream: ReadableStream<Uint8Array> | null): AsyncGenerator<Uint8Array, void> {
  if (stream === null) return
  const reader = stream.getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
  } finally {
    void reader.cancel().catch(() => undefined)
  }
}

const initOf = ({ body, headers, method }: Request, signal: AbortSignal): RequestInit => ({
  method,
  headers,
  ...(body === undefined ? {} : { body: toBytes(body) }),
  signal,
  ...strictFetch
})

const toResponse = ({ body, headers, status }: globalThis.Response): Response => ({
  status,
  header: (name) => headers.get(name),
  body: chunksOf(body)
})

/**
 * Makes a transport of a `fetch` function. With `NODE_TLS_REJECT_UNAUTHORIZED=0` and without a pinned key,
 * fetching the router's key fails with reason `certificate`.
 *
 * @since 0.2.0
 * @category constructors
 */
export const fromFetch = (fetch: typeof globalThis.fetch): Service =>
  make((request, onEnd) => {
    const controller = new AbortController()
    onEnd(() => controller.abort())
    const response = Effect.tryPromise({
      try: () => fetch(request.url, initOf(request, controller.signal)),
      catch: (error) => connectionError(error, request.url)
    })
    return Effect.zipRight(refuseUnverified(request), Effect.map(response, toResponse))
  })

/**
 * `Transport` on the platform's own `fetch`: browsers and every server runtime.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<Transport> = Layer.sync(Transport, () =>
  fromFetch((input, init) => globalThis.fetch(input, init)))
