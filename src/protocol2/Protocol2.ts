/**
 * Protocol 2 of a client: each request has its own keys, only its sender can open the answer, and the answer
 * arrives in chunks while the model writes it.
 *
 * @since 0.3.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as ChatCompletion from "../ChatCompletion.js"
import type { Crypto } from "../Crypto.js"
import { refetchAfter } from "../internal/cached.js"
import * as Bytes from "../internal/codecs/bytes.js"
import { fromStatus } from "../internal/errors.js"
import { retryAfter } from "../internal/retryAfter.js"
import { statusMessage } from "../internal/statusMessage.js"
import { wholeChunks } from "../internal/wholeChunks.js"
import * as KeyRing from "../KeyRing.js"
import * as NomyoClient from "../NomyoClient.js"
import * as NomyoConfig from "../NomyoConfig.js"
import { type HttpError, type InvalidRequestError, SecurityError } from "../NomyoError.js"
import * as Protocol from "../Protocol.js"
import * as RouterKey from "../RouterKey.js"
import { SecureMemory } from "../SecureMemory.js"
import { Transport, type TransportError } from "../Transport.js"
import { chunksOf } from "./events.js"
import { X_WING_ID } from "./kems.js"
import * as ObliviousHttp from "./ObliviousHttp.js"
import { Primitives } from "./Primitives.js"
import * as RouterConfiguration from "./RouterConfiguration.js"
import type { RecipientKey } from "./RouterConfiguration.js"
import { type Answer, ask, type Asked, type Needs, readAll } from "./SealedExchange.js"

/** The name of the suite in `_metadata`. */
const algorithmOf = ({ kemId }: RecipientKey): string =>
  `hpke-${kemId === X_WING_ID ? "mlkem768-x25519" : "x25519"}-hkdf-sha256-aes256-gcm`

interface Router {
  readonly baseUrl: string
  readonly configuration: RouterConfiguration.RouterConfiguration
  readonly maxResponseBytes: number
  readonly isPadded: boolean
}

/** The router's clock and the client's differ too much. */
interface StaleDate {
  readonly _tag: "StaleDate"
  /** The router's time, in milliseconds since 1970. */
  readonly date: number
  readonly error: HttpError
}

const parse = (bytes: Uint8Array): unknown => {
  try {
    return JSON.parse(Bytes.toText(bytes))
  } catch {
    return undefined
  }
}

const textOf = (details: unknown, name: string): string => {
  const value = Predicate.hasProperty(details, name) ? details[name] : undefined
  return typeof value === "string" ? value : ""
}

/** Fails with the error of a status inside an encrypted answer. */
const checkStatus = Effect.fnUntraced(function*(answer: Answer) {
  if (answer.status === 200) return
  const errorDetails = parse(yield* readAll(answer))
  const detail = textOf(errorDetails, "detail").slice(0, 500)
  const error = fromStatus({
    statusCode: answer.status,
    message: statusMessage(answer.status, detail, textOf(errorDetails, "reason") !== ""),
    errorDetails,
    retryAfter: retryAfter((name) => answer.headers[name], yield* Clock.currentTimeMillis),
    authenticated: true
  })
  const date = Date.parse(answer.headers["date"] ?? "")
  const isStale = textOf(errorDetails, "type") === ObliviousHttp.DATE_PROBLEM && !Number.isNaN(date)
  return yield* isStale ? Effect.fail<StaleDate>({ _tag: "StaleDate", date, error }) : Effect.fail(error)
})

type Use<A> = (
  answer: Answer,
  algorithm: string
) => Effect.Effect<A, TransportError, SecureMemory | Scope.Scope>

/** One attempt of a request. */
interface Attempt<A> {
  readonly router: Router
  readonly asked: Asked
  readonly limits: Protocol.Limits
  readonly use: Use<A>
}

/** Sends the request, dated `date`, and uses its answer. */
const exchangeAt = <A>({ asked, limits, use }: Attempt<A>, key: RecipientKey, date: number) => {
  const used = Effect.flatMap(ask(asked, key, date), (answer) =>
    Effect.zipRight(checkStatus(answer), use(answer, algorithmOf(key))))
  return limits.withRateLimit(limits.withDeadline(used))
}

/** Exchanges once, and once more by the router's clock if this one differs too much. */
const exchangeNow = <A>(attempt: Attempt<A>, key: RecipientKey) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => exchangeAt(attempt, key, now)).pipe(
    Effect.catchTag("StaleDate", ({ date }) => exchangeAt(attempt, key, date)),
    Effect.catchTag("StaleDate", ({ error }) => Effect.fail(error))
  )

/** Exchanges again, if the router's key is another than the one that the 400 answered to. */
const exchangeAgain = <A>(attempt: Attempt<A>, key: RecipientKey, error: InvalidRequestError) => {
  const { limits, router } = attempt
  return Effect.flatMap(refetchAfter(error, limits.withDeadline(router.configuration.refetch)), (fetched) =>
    fetched.key.fingerprint === key.fingerprint ? Effect.fail(error) : exchangeNow(attempt, fetched.key))
}

/**
 * Exchanges, and again if the router has changed its keys, as an outer 400 may mean. That is all it may do:
 * anyone on the path can send one.
 */
const exchangeOrRekey = <A>(attempt: Attempt<A>, key: RecipientKey) =>
  Effect.catchTag(exchangeNow(attempt, key), "InvalidRequestError", (error) =>
    error.authenticated === true ? Effect.fail(error) : exchangeAgain(attempt, key, error))

const run = <A>(attempt: Attempt<A>) => {
  const { limits, router } = attempt
  return Effect.flatMap(limits.withDeadline(router.configuration.get), ({ key }) =>
    limits.withPermit(exchangeOrRekey(attempt, key)))
}

const processedAtOf = ({ headers }: Answer): number | undefined => {
  const date = Date.parse(headers["date"] ?? "")
  return Number.isNaN(date) ? undefined : Math.floor(date / 1000)
}

const readWhole = (answer: Answer, algorithm: string, payloadId: string) =>
  Effect.flatMap(readAll(answer), (bytes) =>
    ChatCompletion.decodeResponse(bytes, { algorithm, payloadId, processedAt: processedAtOf(answer) }))

/** An answer in chunks; a router that does not stream sends it whole. */
const readChunks = (answer: Answer, algorithm: string, payloadId: string) => {
  if (answer.headers["content-type"] !== "text/event-stream") {
    return Effect.map(readWhole(answer, algorithm, payloadId), wholeChunks)
  }
  const processedAt = processedAtOf(answer)
  return Effect.succeed(chunksOf(answer, {
    payload_id: payloadId,
    ...(processedAt === undefined ? {} : { processed_at: processedAt }),
    is_encrypted: true,
    encryption_algorithm: algorithm,
    is_streamed: true
  }))
}

const routerOf = (router: Router, context: Context.Context<Needs>): Protocol.Router => ({
  create: (request, limits) => {
    const asked = { ...router, request, accept: "application/json" } as const
    const use: Use<ChatCompletion.ChatCompletionResponse> = (answer, algorithm) =>
      readWhole(answer, algorithm, request.payloadId)
    return Effect.provide(Effect.scoped(run({ router, asked, limits, use })), context)
  },
  stream: (request, limits) => {
    const asked = { ...router, request, accept: "text/event-stream" } as const
    const use: Use<Protocol.Chunks> = (answer, algorithm) => readChunks(answer, algorithm, request.payloadId)
    return Effect.provide(run({ router, asked, limits, use }), context)
  }
})

const make = Effect.fnUntraced(function*(config: NomyoConfig.NomyoConfig) {
  const context = Context.pick(Primitives, SecureMemory, Transport)(yield* Effect.context<Needs>())
  const { maxResponseBytes, padding: isPadded } = config
  const routerAt = (baseUrl: string) =>
    Effect.map(Effect.provide(RouterConfiguration.make(config, baseUrl), context), (configuration) =>
      routerOf({ baseUrl, configuration, maxResponseBytes, isPadded }, context))
  const service: Protocol.Service = { streams: true, router: yield* routerAt(config.baseUrl), routerAt }
  return service
})

const noKeys = Effect.suspend(() =>
  Effect.fail(
    new SecurityError({
      reason: "unsupported",
      message: "Protocol 2 has no client key and no RSA router key. Remove this call"
    })
  ))

/** The client has no key to keep: what asks for one fails. */
const layerNoKeys: Layer.Layer<KeyRing.KeyRing | RouterKey.RouterKey> = Layer.merge(
  Layer.succeed(KeyRing.KeyRing, {
    lease: () => noKeys,
    rotate: noKeys,
    replace: () => noKeys,
    forget: Effect.void,
    events: Effect.acquireRelease(Queue.unbounded<KeyRing.KeyEvent>(), Queue.shutdown)
  }),
  Layer.succeed(RouterKey.RouterKey, { cached: Effect.succeed(undefined), get: noKeys, refetch: noKeys })
)

/** The services that a platform provides for protocol 2. */
type Platform = Crypto | Needs

/**
 * `NomyoClient` over protocol 2. `KeyRing` and `RouterKey` belong to protocol 1.0, so their operations fail
 * with reason `unsupported`.
 *
 * @since 0.3.0
 * @category layers
 */
export const layerParts = (
  options: NomyoConfig.Options = {}
): Layer.Layer<
  NomyoClient.NomyoClient | KeyRing.KeyRing | RouterKey.RouterKey,
  InvalidRequestError | SecurityError,
  Platform
> =>
  Layer.unwrapEffect(Effect.map(NomyoConfig.make({ ...options, protocol: options.protocol ?? 2 }), (config) =>
    Layer.scoped(NomyoClient.NomyoClient, NomyoClient.make(config)).pipe(
      Layer.provide(Layer.scoped(Protocol.Protocol, make(config))),
      Layer.provideMerge(layerNoKeys)
    )))

/**
 * `NomyoClient` that speaks only protocol 2, for programs that provide `Crypto`, `Transport`, `Primitives`
 * and `SecureMemory` themselves. It stores no keys, so it needs no `KeyStore`.
 *
 * @example
 * import * as Layer from "effect/Layer"
 * import { SecureMemory, Transport } from "nomyo-js/effect"
 * import { Protocol2, WebPrimitives } from "nomyo-js/protocol-2"
 * import * as WebCrypto from "nomyo-js/WebCrypto"
 *
 * const client = Protocol2.layer({ baseUrl: "https://router.test" }).pipe(
 *   Layer.provide([WebCrypto.layer, WebPrimitives.layer, Transport.layer]),
 *   Layer.provide(SecureMemory.layer)
 * )
 *
 * @since 0.3.0
 * @category layers
 */
export const layer = (
  options: NomyoConfig.Options = {}
): Layer.Layer<NomyoClient.NomyoClient, InvalidRequestError | SecurityError, Platform> =>
  Layer.map(layerParts(options), Context.pick(NomyoClient.NomyoClient))
