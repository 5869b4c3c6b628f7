/**
 * The other side of the protocol: a router for development and tests, as an Effect `HttpApp`.
 *
 * It is as strict with what it is sent as the client is, and never logs what it opened.
 *
 * @since 0.2.0
 */
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as ChatCompletion from "../ChatCompletion.js"
import { Crypto, type KeyPair } from "../Crypto.js"
import * as Envelope from "../Envelope.js"
import * as Bytes from "../internal/codecs/bytes.js"
import { isVisibleAscii } from "../internal/codecs/header.js"
import * as RateLimit from "../internal/rateLimit.js"
import { sha256 } from "../internal/codecs/sha256.js"
import { fromStatus } from "../internal/errors.js"
import type { HttpError, SecurityError } from "../NomyoError.js"
import { SecureMemory } from "../SecureMemory.js"
import * as Transport from "../Transport.js"
import * as Model from "./Model.js"

/**
 * How a router answers.
 *
 * @since 0.2.0
 * @category models
 */
export interface Options {
  /** What answers. Default: the echo model. */
  readonly model?: Model.Model | undefined
  /** The key that clients must send. Default: none is asked for. */
  readonly apiKey?: Redacted.Redacted | undefined
  /** The router's key pair. Default: a new one of 4096 bits. */
  readonly keyPair?: KeyPair | undefined
  /**
   * Refuses requests beyond the service's limit (2 in a second, and up to 4 in one second out of ten, for each API key) with a 429, and
   * who does not stop with a 503 for 30 minutes. Default `false`.
   */
  readonly rateLimit?: boolean | undefined
}

/** The largest payload in base64, and room for the rest of the envelope. */
const MAX_BODY_BYTES = Math.ceil(ChatCompletion.MAX_PAYLOAD_BYTES / 3) * 4 + 16 * 1024

const refuse = (statusCode: number, message: string) => Effect.fail(fromStatus({ statusCode, message }))

const isSecurityTier = Schema.is(ChatCompletion.SecurityTier)

/** The body, or a 413 if it is too large. */
const body = Effect.gen(function*() {
  const request = yield* HttpServerRequest.HttpServerRequest
  if (Number(request.headers["content-length"] ?? 0) > MAX_BODY_BYTES) {
    return yield* refuse(413, `The body is larger than ${MAX_BODY_BYTES} bytes`)
  }
  const bytes = new Uint8Array(
    yield* Effect.catchAll(request.arrayBuffer, () => refuse(413, `The body is larger than ${MAX_BODY_BYTES} bytes, or broken`))
  )
  // not every server enforces the limit it is given
  return bytes.length > MAX_BODY_BYTES ? yield* refuse(413, `The body is larger than ${MAX_BODY_BYTES} bytes`) : bytes
}).pipe(HttpServerRequest.withMaxBodySize(Option.some(MAX_BODY_BYTES)))

const percentDecode = (text: string): Uint8Array => {
  try {
    return Bytes.fromText(decodeURIComponent(text))
  } catch {
    return new Uint8Array(0)
  }
}

/** This many refusals in ten seconds are taken for abuse. The service does not say how many it takes. */
const ABUSE = 100
/** As long as the service locks out who abuses it (protocol.md, "Limits of the service"). */
const COOL_DOWN = 30 * 60 * 1000
/** API keys that are kept account of. */
const MAX_API_KEYS = 1000

/**
 * Fails for a request of an API key that has to wait.
 *
 * @internal
 */
export const makeRateLimit = (): ((apiKey: string) => Effect.Effect<void, HttpError>) => {
  const accounts = new Map<string, { history: RateLimit.History; refusals: ReadonlyArray<number>; lockedUntil: number }>()
  return Effect.fnUntraced(function*(apiKey: string) {
    const now = yield* Clock.currentTimeMillis
    const account = accounts.get(apiKey) ?? { history: RateLimit.none, refusals: [], lockedUntil: 0 }
    accounts.set(apiKey, account)
    if (accounts.size > MAX_API_KEYS) accounts.delete(accounts.keys().next().value!)
    const at = RateLimit.earliest(account.history, now)
    if (now >= account.lockedUntil && at <= now) {
      account.history = RateLimit.pass(account.history, now)
      return
    }
    account.refusals = [...account.refusals.filter((refusal) => now - refusal < 10_000), now].slice(-ABUSE)
    if (account.refusals.length === ABUSE) account.lockedUntil = now + COOL_DOWN
    return yield* Effect.fail(
      now < account.lockedUntil
        ? fromStatus({ statusCode: 503, message: "Too many requests, for too long", retryAfter: account.lockedUntil - now })
        : fromStatus({ statusCode: 429, message: "Too many requests", retryAfter: at - now })
    )
  })
}

const errorResponse = (error: HttpError) =>
  HttpServerResponse.unsafeJson({ detail: error.message }, {
    status: error.statusCode,
    ...(error.retryAfter === undefined ? {} : { headers: { "retry-after": String(Math.ceil(error.retryAfter / 1000)) } })
  })

/**
 * The router: `GET /pki/public_key`, `POST /v1/chat/secure_completion`, `GET /health`, with CORS for pages of any origin.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<HttpApp.Default, SecurityError, Crypto | SecureMemory> {
  const context = yield* Effect.context<Crypto | SecureMemory>()
  const crypto = yield* Crypto
  const memory = yield* SecureMemory
  const model = options.model ?? (yield* Model.makeEcho)
  const { privateKey, publicKey } = options.keyPair ?? (yield* crypto.generateKeyPair(4096))
  const { apiKey } = options
  const keyDigest = apiKey === undefined
    ? undefined
    : yield* Effect.promise(() => sha256(Bytes.fromText(`Bearer ${Redacted.value(apiKey)}`)))

  const rateLimit = options.rateLimit === true ? makeRateLimit() : () => Effect.void

  /** Digests are compared, so that the time taken tells nothing of the key. */
  const authorize = Effect.fnUntraced(function*(authorization: string | undefined) {
    if (keyDigest === undefined) return
    const digest = yield* Effect.promise(() => sha256(Bytes.fromText(authorization ?? "")))
    if (!Bytes.equals(digest, keyDigest)) yield* refuse(401, "The API key is missing or not valid")
  })

  const complete = Effect.gen(function*() {
    const { headers } = yield* HttpServerRequest.HttpServerRequest
    yield* authorize(headers["authorization"])
    yield* rateLimit(headers["authorization"] ?? "")
    const payloadId = headers["x-payload-id"]
    if (!isVisibleAscii(payloadId) || payloadId.length > 128) {
      return yield* refuse(400, "X-Payload-ID is missing or not valid")
    }
    const securityTier = headers["x-security-tier"]
    if (securityTier !== undefined && !isSecurityTier(securityTier)) return yield* refuse(400, "X-Security-Tier is not a tier")
    const clientKey = yield* Effect.orElse(
      crypto.importPublicKey(percentDecode(headers["x-public-key"] ?? "")),
      () => refuse(400, "X-Public-Key is not a percent-encoded RSA key of at least 2048 bits in SPKI PEM")
    )
    const payload = yield* Envelope.open(privateKey, yield* body, ({ plaintext }) => ChatCompletion.decodePayload(plaintext)).pipe(
      Effect.catchTag("SecurityError", () => refuse(400, "The envelope could not be opened with the router's key"))
    )
    const answer = yield* model({ payloadId, securityTier, payload })
    const bytes = yield* memory.guard(Effect.sync(() =>
      Bytes.fromText(JSON.stringify({
        ...answer,
        _metadata: {
          payload_id: payloadId,
          response_status: "success",
          ...(securityTier === undefined ? {} : { security_tier: securityTier })
        }
      }))
    ))
    const processedAt = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const sealed = yield* Effect.orDie(Envelope.seal(clientKey, bytes, { processedAt }))
    return HttpServerResponse.uint8Array(sealed, { contentType: "application/octet-stream" })
  }).pipe(Effect.scoped, Effect.provide(context))

  return HttpRouter.empty.pipe(
    HttpRouter.get("/pki/public_key", HttpServerResponse.text(publicKey.pem, { contentType: "application/x-pem-file" })),
    HttpRouter.get("/health", HttpServerResponse.unsafeJson({ status: "ok" })),
    HttpRouter.post("/v1/chat/secure_completion", complete),
    Effect.catchTag("RouteNotFound", () => refuse(404, "There is no such path")),
    Effect.catchAll((error) => Effect.succeed(errorResponse(error))),
    // a defect's message may repeat the payload: it is told to nobody
    Effect.catchAllDefect(() =>
      Effect.as(
        Effect.logError("A request failed inside the router"),
        errorResponse(fromStatus({ statusCode: 500, message: "The router failed" }))
      )
    ),
    HttpMiddleware.cors({ allowedMethods: ["GET", "POST"], exposedHeaders: ["Retry-After"], maxAge: 3600 })
  )
})

/**
 * A `Transport` that leads straight into a router, with no network: for tests of code that uses the client. Whatever the URL, this router
 * answers.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerTransport = (
  options: Options = {}
): Layer.Layer<Transport.Transport, SecurityError, Crypto | SecureMemory> =>
  Layer.effect(
    Transport.Transport,
    Effect.gen(function*() {
      const handle = HttpApp.toWebHandlerRuntime(yield* Effect.runtime<never>())(yield* make(options))
      return Transport.fromFetch((input, init) => handle(new Request(input, init)))
    })
  )
