/**
 * Decides which requests reach an HTTP server on this machine: a middleware against DNS rebinding, pages of
 * other origins and forms, and the comparison of API keys.
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Bytes from "./codecs/bytes.js"
import { sha256 } from "./codecs/sha256.js"

/** Why a request was refused, in words that are safe to send to the caller. */
export interface Refusal {
  readonly status: 403 | 415
  readonly message: string
}

/** Rules of a server's guard. */
export interface Options {
  /** Host names that are accepted beside those of loopback, without a port. */
  readonly hosts: ReadonlyArray<string>
  /** Origins whose pages may call, beside the server's own. `null` is never one. */
  readonly origins: ReadonlyArray<string>
  /** The scheme that clients reach the server by. It is a part of the server's own origin. */
  readonly scheme: "http" | "https"
  /** Media types that a body may have. None of them may be one that an HTML form sends. */
  readonly contentTypes: ReadonlyArray<string>
  /** The response to a refused request. */
  readonly refuse: (refusal: Refusal) => HttpServerResponse.HttpServerResponse
}

type Headers = HttpServerRequest.HttpServerRequest["headers"]

const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"]

/** Whether a `Host` header names one of these hosts exactly, whatever its case and port. */
const isHost = (host: string | undefined, hosts: ReadonlyArray<string>): boolean => {
  const [, name = ""] = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::\d*)?$/i.exec(host ?? "") ?? []
  return hosts.includes(name.toLowerCase())
}

const originOf = (url: string): string | undefined => URL.canParse(url) ? new URL(url).origin : undefined

/** Whether a page came from this server: it has the same scheme, name and port, as browsers write them. */
const isOwn = (origin: string, host: string, { scheme }: Options): boolean =>
  origin === originOf(`${scheme}://${host}`)

/**
 * Custom schemes such as `app://obsidian.md` have no origin in the URL standard: they are compared as they
 * are.
 */
const isAllowedOrigin = (origin: string, host: string, options: Options): boolean =>
  origin !== "null" && (options.origins.includes(origin) || isOwn(origin, host, options))

/**
 * A page of another origin sends no `Origin` with the GET of an image or a script. Browsers mark such
 * requests, and only a link or the address bar leads here from elsewhere.
 */
const isForeignFetch = (headers: Headers): boolean =>
  /^(cross-site|same-site)$/.test(headers["sec-fetch-site"] ?? "") &&
  !(headers["sec-fetch-mode"] === "navigate" && headers["sec-fetch-dest"] === "document")

const hasBody = (method: string): boolean => !["GET", "HEAD", "OPTIONS"].includes(method)

const mediaType = (headers: Headers): string =>
  (headers["content-type"] ?? "").split(";")[0]!.trim().toLowerCase()

type Head = Pick<HttpServerRequest.HttpServerRequest, "headers" | "method" | "url">

const refusalOf = ({ headers, method, url }: Head, options: Options): Refusal | undefined => {
  const { host, origin } = headers
  // a URL in its place has a host of its own, which would count in place of the header (RFC 9112, 3.2.2)
  if (!url.startsWith("/")) {
    return { status: 403, message: "The target of the request must be a path. Send it without an HTTP proxy" }
  }
  if (!isHost(host, [...LOOPBACK, ...options.hosts.map((name) => name.toLowerCase())])) {
    return { status: 403, message: "The Host is not a name of this server. Allow it with --allow-host" }
  }
  if (origin === undefined ? isForeignFetch(headers) : !isAllowedOrigin(origin, host!, options)) {
    const message = "Pages of this origin may not use this server. Allow it with --allow-origin"
    return { status: 403, message }
  }
  return hasBody(method) && !options.contentTypes.includes(mediaType(headers))
    ? { status: 415, message: `The Content-Type must be ${options.contentTypes.join(" or ")}` }
    : undefined
}

const preflight = (headers: Headers): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-headers": headers["access-control-request-headers"] ?? "",
      "access-control-max-age": "600",
      // Chromium asks this before a public page may reach a private address
      ...(headers["access-control-request-private-network"] === "true"
        ? { "access-control-allow-private-network": "true" }
        : {})
    }
  })

const readableBy = (origin: string | undefined) => (response: HttpServerResponse.HttpServerResponse) =>
  HttpServerResponse.setHeaders(response, {
    vary: "Origin",
    ...(origin === undefined ? {} : {
      "access-control-allow-origin": origin,
      "access-control-expose-headers": "Retry-After, X-Request-Id"
    })
  })

/**
 * An app behind its guards. `Host` must match exactly (403, against DNS rebinding). A request with an
 * `Origin` that is neither the server's own nor allowed is refused (403), and so is its preflight. A body
 * must have one of the content types (415).
 */
export const guard = (options: Options) => <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const { headers, method } = request
    const refusal = refusalOf(request, options)
    if (refusal !== undefined) return Effect.succeed(options.refuse(refusal))
    const isPreflight = method === "OPTIONS" && headers["origin"] !== undefined &&
      headers["access-control-request-method"] !== undefined
    return Effect.map(isPreflight ? Effect.succeed(preflight(headers)) : app, readableBy(headers["origin"]))
  })

/** A secret that callers send as a bearer token, and the name that a log has for its owner. */
export interface Token {
  readonly label: string
  readonly token: Redacted.Redacted
}

const digest = (text: string): Effect.Effect<Uint8Array> => Effect.promise(() => sha256(Bytes.fromText(text)))

/**
 * Finds the token of an `Authorization` header; `undefined` if it holds none of them. Digests are compared,
 * so that the time taken tells nothing of a token.
 */
export const makeTokens = Effect.fnUntraced(function*(
  tokens: ReadonlyArray<Token>
): Effect.fn.Return<(authorization: string | undefined) => Effect.Effect<Token | undefined>> {
  const digests = yield* Effect.forEach(tokens, ({ token }) => digest(Redacted.value(token)))
  return (authorization) => {
    const bearer = /^bearer +(.+)$/i.exec(authorization ?? "")?.[1] ?? ""
    return Effect.map(digest(bearer), (given) => tokens.find((_, i) => Bytes.equals(digests[i]!, given)))
  }
})
