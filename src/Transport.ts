/**
 * The network, as a service: one HTTP exchange, strict about everything that a hostile or broken peer may send.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { bracket } from "./internal/fibers/acquire.js"
import * as Bytes from "./internal/codecs/bytes.js"
import { APIConnectionError, fromStatus, type HttpError, SecurityError } from "./NomyoError.js"

/**
 * What is sent, piece by piece: to be taken once.
 *
 * @since 0.2.0
 * @category models
 */
export interface Body {
  /** In bytes, of all pieces together. */
  readonly length: number
  /** Texts of ASCII, as JSON with base64 is. */
  readonly pieces: Iterable<string>
}

const notOfItsLength = () => new SecurityError({ reason: "encryption", message: "The body is not ASCII, or not as long as it says" })

/**
 * The pieces of a body, for who sends them one by one. Throws a `SecurityError` where one is not ASCII or they do not come to the length, before it
 * gives the last: the router would take what is too much for another request, and wait for what is missing.
 *
 * @since 0.2.0
 * @category utils
 */
export const piecesOf = function*({ length, pieces }: Body): Generator<string, void> {
  let left = length
  let held = ""
  for (const piece of pieces) {
    left -= piece.length
    if (left < 0 || Bytes.utf8Length(piece) !== piece.length) throw notOfItsLength()
    if (held !== "") yield held
    held = piece
  }
  if (left !== 0) throw notOfItsLength()
  yield held
}

/**
 * A body at once. Throws a `SecurityError` where its pieces are not ASCII, do not come to its length, or cannot be made.
 *
 * @since 0.2.0
 * @category utils
 */
export const textOf = (body: Body): string => {
  let text = ""
  for (const piece of piecesOf(body)) text += piece
  return text
}

/**
 * The same in bytes.
 *
 * @since 0.2.0
 * @category utils
 */
export const bytesOf = (body: Body): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(body.length)
  let at = 0
  for (const piece of piecesOf(body)) at += Bytes.write(piece, bytes.subarray(at)).written
  return bytes
}

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
  /** The largest body of a successful answer, in bytes; a larger one is a `SecurityError`. */
  readonly maxResponseBytes: number
}

/**
 * What a platform's HTTP client gives back once the headers are there.
 *
 * @since 0.2.0
 * @category models
 */
export interface Response {
  readonly status: number
  /** The value of a header, by its lower-case name. */
  readonly header: (name: string) => string | null | undefined
  /** Closed by its iterator's `return`, or when the exchange ends. */
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
 * What `Transport` does.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /** The body of a 200 answer. Every other status is its error; a redirect is never followed. Interruption closes the connection. */
  readonly send: (request: Request) => Effect.Effect<Uint8Array<ArrayBuffer>, TransportError>
}

/**
 * The network, as a service.
 *
 * @since 0.2.0
 * @category tags
 */
export class Transport extends Context.Tag("nomyo-js/Transport")<Transport, Service>() {}

/** An error body is read for its `detail`: what passes this many bytes is cut. */
const MAX_ERROR_BYTES = 64 * 1024
/** The status has said what matters: a body that takes longer than this is done without. */
const ERROR_BODY_TIMEOUT = "2 seconds"
/** As much of a router's `detail` as an error message repeats, in characters. */
const MAX_DETAIL_LENGTH = 500

/** Reads a body up to a limit; `complete` tells whether that was all of it. Chunks are copied at once: a byte may come in an object of its own. */
const read = (body: AsyncIterator<Uint8Array>, limit: number) =>
  Effect.tryPromise({
    try: async () => {
      let buffer = new Uint8Array(0)
      let length = 0
      for (let next = await body.next(); !next.done; next = await body.next()) {
        const end = length + next.value.length
        if (end > limit) return { bytes: buffer.subarray(0, length), complete: false }
        if (end > buffer.length) {
          const larger = new Uint8Array(Math.min(limit, Math.max(end, 2 * buffer.length)))
          larger.set(buffer)
          buffer = larger
        }
        buffer.set(next.value, length)
        length = end
      }
      return { bytes: buffer.subarray(0, length), complete: true }
    },
    catch: (error) =>
      isParserCode(codeOf(error))
        ? notHttp(codeOf(error))
        : new APIConnectionError({ reason: "truncated", message: "The connection was lost before the answer was complete" })
  })

/** How many objects and lists an error's details may be within each other: `JSON.stringify` of more could overflow the stack of who logs it. */
const MAX_DETAIL_DEPTH = 32

const isWithin = (depth: number, value: unknown): boolean =>
  typeof value !== "object" || value === null || (depth > 0 && Object.values(value).every((inner) => isWithin(depth - 1, inner)))

/** Some servers repeat the API key in their error. Keys shorter than this are words that may stand in any text. */
const SHORTEST_KEY = 8

const withoutKey = (text: string, { headers }: Request): string => {
  const key = headers["Authorization"]?.replace("Bearer ", "") ?? ""
  return key.length < SHORTEST_KEY ? text : text.replaceAll(key, "[API key]")
}

const parseDetails = (bytes: Uint8Array, request: Request): unknown => {
  try {
    const details: unknown = JSON.parse(withoutKey(Bytes.toText(bytes), request))
    return isWithin(MAX_DETAIL_DEPTH, details) ? details : undefined
  } catch {
    return undefined
  }
}

const decimal = /^\d+(\.\d+)?$/
const httpDate = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/

/** The wait a router asks for, in milliseconds: `retry-after-ms`, or `Retry-After` in seconds or as an HTTP date (RFC 9110 10.2.3). */
const retryAfter = (response: Response, now: number): number | undefined => {
  const milliseconds = response.header("retry-after-ms")?.trim() ?? ""
  if (decimal.test(milliseconds)) return Number(milliseconds)
  const value = response.header("retry-after")?.trim() ?? ""
  if (decimal.test(value)) return Number(value) * 1000
  // `Date.parse` reads "1 2" as a day in January
  const date = httpDate.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

const statusError = Effect.fnUntraced(function*(
  request: Request,
  response: Response,
  body: AsyncIterator<Uint8Array>
) {
  const { bytes } = yield* read(body, MAX_ERROR_BYTES).pipe(
    Effect.timeout(ERROR_BODY_TIMEOUT),
    Effect.orElseSucceed(() => ({ bytes: new Uint8Array(0) }))
  )
  const errorDetails = parseDetails(bytes, request)
  const detail = typeof errorDetails === "object" && errorDetails !== null && "detail" in errorDetails
    ? errorDetails.detail
    : undefined
  const said = typeof detail === "string"
    // control characters could move a terminal's cursor
    // oxlint-disable-next-line no-control-regex
    ? `: ${detail.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ").slice(0, MAX_DETAIL_LENGTH)}`
    : ""
  return fromStatus({
    statusCode: response.status,
    message: `The router answered ${response.status}${said}`,
    errorDetails,
    retryAfter: retryAfter(response, yield* Clock.currentTimeMillis)
  })
})

/**
 * A transport over any HTTP client that does not follow redirects. The client's part fails with the error it can tell, and gives `onEnd` what
 * closes its connection as soon as there is one: that is run when the exchange is over, however it ends. Bounds, statuses and redirects are
 * seen to here.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = (
  exchange: (request: Request, onEnd: (close: () => void) => void) => Effect.Effect<Response, APIConnectionError | SecurityError>
): Service => ({
  send: (request) =>
    bracket(
      (): Array<() => void> => [],
      (closing) =>
        Effect.flatMap(exchange(request, (close) => closing.unshift(close)), (response): Effect.Effect<Uint8Array<ArrayBuffer>, TransportError> => {
          const body = response.body[Symbol.asyncIterator]()
          // not awaited: a peer that stopped sending may never let it end
          closing.unshift(() => void body.return?.().catch(() => undefined))
          // a browser reports a redirect it did not follow as status 0
          if (response.status === 0 || (response.status >= 300 && response.status < 400)) {
            return Effect.fail(new SecurityError({ reason: "redirect", message: "The router answered with a redirect, which is not followed" }))
          }
          if (response.status !== 200) return Effect.flatMap(statusError(request, response, body), Effect.fail)
          return Effect.flatMap(read(body, request.maxResponseBytes), ({ bytes, complete }) =>
            complete
              ? Effect.succeed(bytes)
              : Effect.fail(
                new SecurityError({
                  reason: "response-too-large",
                  message: `The answer is larger than ${request.maxResponseBytes} bytes`
                })
              ))
        }),
      (closing) => {
        for (const close of closing) close()
      }
    )
})

/** Codes of Node (OpenSSL's X509_V_ERR names) for a certificate that does not prove the router's name. */
const certificateCode = /CERT|CRL|ISSUER|LEAF_SIGNATURE|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED/

/** Finds the system's error code, which clients bury in a chain of causes. Some undici versions name a parser's error without a code. */
const codeOf = (error: unknown): string => {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth++) {
    if ("code" in cause && typeof cause.code === "string") return cause.code
    if (cause.name === "HTTPParserError") return "HPE_INVALID"
  }
  return ""
}

/** Names of Node's parsers (llhttp's and undici's) for an answer that breaks the rules of HTTP. */
const isParserCode = (code: string) => /^(HPE_|UND_ERR_(HEADERS_OVERFLOW|RES_CONTENT_LENGTH_MISMATCH)$)/.test(code)
const notHttp = (code: string) => new APIConnectionError({ reason: "protocol", message: `The router's answer is not HTTP (${code})` })

/**
 * The typed error for whatever an HTTP client rejected with before there was a response. Only the system's error code is kept of it.
 *
 * @since 0.2.0
 * @category constructors
 */
export const connectionError = (error: unknown): APIConnectionError | SecurityError => {
  // of the body's pieces, which are made as they are taken
  if (error instanceof SecurityError) return error
  const code = codeOf(error)
  if (certificateCode.test(code)) {
    return new SecurityError({ reason: "certificate", message: `The router's TLS certificate is not trusted (${code})` })
  }
  if (/^UND_ERR_(HEADERS|BODY)_TIMEOUT$/.test(code)) {
    return new APIConnectionError({ reason: "timeout", message: `The router was silent for too long (${code})` })
  }
  return isParserCode(code)
    ? notHttp(code)
    : new APIConnectionError({
      reason: "network",
      message: code === "" ? "The router could not be reached" : `The router could not be reached (${code})`
    })
}

/**
 * What a `fetch` must be told to be as strict as this module promises.
 *
 * @internal
 */
export const strictFetch = {
  redirect: "manual",
  credentials: "omit",
  cache: "no-store",
  referrerPolicy: "no-referrer"
} as const satisfies RequestInit

/** A stream's chunks. Safari's streams cannot be iterated. */
async function* chunks(stream: ReadableStream<Uint8Array> | null): AsyncGenerator<Uint8Array, void> {
  if (stream === null) return
  const reader = stream.getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
  } finally {
    void reader.cancel().catch(() => undefined)
  }
}

/**
 * On a `fetch`: the platform's own, or one that behaves like it.
 *
 * @since 0.2.0
 * @category constructors
 */
export const fromFetch = (fetch: typeof globalThis.fetch): Service =>
  make(({ body, headers, method, url }, onEnd) =>
    Effect.map(
      Effect.tryPromise({
        try: () => {
          const controller = new AbortController()
          onEnd(() => controller.abort())
          return fetch(url, {
            method,
            headers,
            ...(body === undefined ? {} : { body: bytesOf(body) }),
            signal: controller.signal,
            ...strictFetch
          })
        },
        catch: connectionError
      }),
      (response) => ({
        status: response.status,
        header: (name) => response.headers.get(name),
        body: chunks(response.body)
      })
    )
  )

/**
 * On the platform's own `fetch`: browsers and every server runtime.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<Transport> = Layer.sync(Transport, () => fromFetch((input, init) => globalThis.fetch(input, init)))
