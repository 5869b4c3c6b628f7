/**
 * The client: chat completions, encrypted end to end between this process and the NOMYO router.
 *
 * @since 0.2.0
 */
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import type * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as ChatCompletion from "./ChatCompletion.js"
import { Crypto, type KeyPair, type Plaintext, type PublicKey } from "./Crypto.js"
import * as Envelope from "./Envelope.js"
import * as Calls from "./internal/fibers/deadline.js"
import { isVisibleAscii } from "./internal/codecs/header.js"
import { makeFairSemaphore } from "./internal/fibers/fairSemaphore.js"
import { makeThrottle } from "./internal/rateLimit.js"
import * as KeyRing from "./KeyRing.js"
import type { KeyStore } from "./KeyStore.js"
import * as NomyoConfig from "./NomyoConfig.js"
import {
  APIConnectionError,
  DisposedError,
  InvalidRequestError,
  type NomyoError,
  SecurityError,
  withRequest
} from "./NomyoError.js"
import * as RouterKey from "./RouterKey.js"
import { SecureMemory } from "./SecureMemory.js"
import { Transport } from "./Transport.js"

/**
 * What one call may set for itself.
 *
 * @since 0.2.0
 * @category models
 */
export interface RequestOptions {
  /** In place of the client's `timeout`, for each attempt. A number is milliseconds. */
  readonly timeout?: Duration.DurationInput | undefined
  /** In place of the client's `maxRetries`. */
  readonly maxRetries?: number | undefined
}

/**
 * What a batch may set for itself. The rest is set for each of its requests.
 *
 * @since 0.2.0
 * @category models
 */
export interface BatchOptions extends RequestOptions {
  /** How many requests may be out, or answered and not taken yet. Default 4: as many as the service takes at once. */
  readonly concurrency?: number | undefined
  /** Gives the outcomes in the order of the requests, each when all before it are there. Default `false`: each when it is there. */
  readonly ordered?: boolean | undefined
}

/**
 * What became of one request of a batch.
 *
 * @since 0.2.0
 * @category models
 */
export interface Outcome {
  /** Which request it was, counted from 0. */
  readonly index: number
  readonly result: Either.Either<ChatCompletion.ChatCompletionResponse, Exclude<NomyoError, DisposedError>>
}

/**
 * Where a payload goes, beside the payload itself.
 *
 * @since 0.2.0
 * @category models
 */
export interface SendOptions extends RequestOptions {
  /** The `X-Payload-ID`, the same on every attempt. */
  readonly payloadId: string
  /** In place of the client's `apiKey`. */
  readonly apiKey?: string | undefined
  readonly securityTier?: ChatCompletion.SecurityTier | undefined
}

/**
 * What `NomyoClient` does.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /** Checks a request, encrypts it, sends it, and decrypts the answer. */
  readonly create: (
    request: ChatCompletion.ChatCompletionRequest,
    options?: RequestOptions
  ) => Effect.Effect<ChatCompletion.ChatCompletionResponse, NomyoError>
  /** The same for a payload that is JSON already and not checked; it is left as it is. */
  readonly send: (
    payload: Plaintext,
    options: SendOptions
  ) => Effect.Effect<ChatCompletion.ChatCompletionResponse, NomyoError>
  /** Loads or makes the client's key pair, which the first request would otherwise wait for; gives its public half. */
  readonly ready: Effect.Effect<PublicKey, SecurityError | DisposedError>
  /** Replaces the client's key pair now. Requests that are out are answered under the old one. */
  readonly rotateKeys: Effect.Effect<PublicKey, SecurityError | DisposedError>
  /**
   * Removes the client's key pair, from where it is stored too: the next request makes another. Requests that are out are answered, and
   * what `keyHistory` has kept of earlier pairs stays.
   */
  readonly forgetKeys: Effect.Effect<void, SecurityError | DisposedError>
  /** Subscribes to what happens to the key pair. `keyEvents` has it as a stream. */
  readonly keyEvents: Effect.Effect<Queue.Dequeue<KeyRing.KeyEvent>, never, Scope.Scope>
}

/**
 * The client, as a service.
 *
 * @since 0.2.0
 * @category tags
 */
export class NomyoClient extends Context.Tag("nomyo-js/NomyoClient")<NomyoClient, Service>() {}

/** Statuses worth another try; 404 and the other 4xx would only repeat themselves. */
const RETRIED = new Set([429, 500, 502, 503, 504])
/** A router that asks for a longer wait than this is not waited for. */
const LONGEST_WAIT = Duration.seconds(60)

/** Requests of one client that are out at the same time: Node's `fetch` would open a connection for each. The rest wait in order. */
const MAX_EXCHANGES = 64

const waitOf = (error: NomyoError): number => "retryAfter" in error ? error.retryAfter ?? 0 : 0

const isRetryable = (error: NomyoError): boolean =>
  error._tag === "APIConnectionError" ||
  ("statusCode" in error && RETRIED.has(error.statusCode) && waitOf(error) <= Duration.toMillis(LONGEST_WAIT))

/** 1 s, 2 s, 4 s, … and up to a quarter more, so that clients that failed together do not return together; or what the router asks, if more. */
const retryPolicy = (maxRetries: number): Schedule.Schedule<unknown, NomyoError> =>
  Schedule.identity<NomyoError>().pipe(
    Schedule.intersect(Schedule.jitteredWith(Schedule.exponential("1 second"), { min: 1, max: 1.25 })),
    // rounded up: clocks count in whole milliseconds
    Schedule.modifyDelay(([error], delay) => Math.ceil(Math.max(Duration.toMillis(delay), waitOf(error)))),
    Schedule.intersect(Schedule.recurs(maxRetries)),
    Schedule.whileInput(isRetryable)
  )

const header = (name: string, value: string): Effect.Effect<string, SecurityError> =>
  isVisibleAscii(value)
    ? Effect.succeed(value)
    : Effect.fail(
      new SecurityError({ reason: "header", message: `The ${name} holds a character outside visible ASCII` })
    )

const warnOfHttp = (baseUrl: string): Effect.Effect<void> =>
  baseUrl.startsWith("http:")
    ? Effect.logWarning(
      `nomyo-js talks plain HTTP to ${baseUrl}: prompts and answers are encrypted, API keys and metadata are not. For local development only.`
    )
    : Effect.void

/** Percent-encoded once for each key, and forgotten with it. */
const publicKeyHeaders = /* @__PURE__ */ new WeakMap<PublicKey, string>()
const publicKeyHeader = (key: PublicKey): string => {
  const header = publicKeyHeaders.get(key) ?? encodeURIComponent(key.pem)
  publicKeyHeaders.set(key, header)
  return header
}

/** Where requests go. */
interface Target {
  readonly baseUrl: string
  readonly routerKey: RouterKey.Service
}

/** What an attempt needs to know. None of it is spread into another object on its way: V8 makes a shape of its own for each such object. */
interface Prepared {
  readonly target: Target
  readonly payload: Plaintext
  readonly payloadId: string
  /** Empty if there is none. */
  readonly apiKey: string
  readonly securityTier: string | undefined
}

const headersOf = ({ apiKey, payloadId, securityTier }: Prepared, key: PublicKey): { readonly [name: string]: string } => {
  const headers: Record<string, string> = {
    "Content-Type": "application/octet-stream",
    "X-Payload-ID": payloadId,
    "X-Public-Key": publicKeyHeader(key)
  }
  if (apiKey !== "") headers["Authorization"] = `Bearer ${apiKey}`
  if (securityTier !== undefined) headers["X-Security-Tier"] = securityTier
  return headers
}

const outOfTime = () => new APIConnectionError({ reason: "timeout", message: "The attempt ran out of time" })

/**
 * A client over its services and parts, until the scope closes.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  config: NomyoConfig.NomyoConfig
): Effect.fn.Return<
  Service,
  never,
  Crypto | Transport | SecureMemory | KeyRing.KeyRing | RouterKey.RouterKey | Scope.Scope
> {
  // and nothing else, such as the span that the client is made in
  const context = Context.pick(Crypto, Transport, SecureMemory)(yield* Effect.context<Crypto | Transport | SecureMemory>())
  const crypto = yield* Crypto
  const transport = yield* Transport
  const keyRing = yield* KeyRing.KeyRing
  const defaultRouterKey = yield* RouterKey.RouterKey

  const turn = config.throttle ? makeThrottle() : undefined
  const withPermit = makeFairSemaphore(MAX_EXCHANGES)

  yield* warnOfHttp(config.baseUrl)

  const run = yield* Calls.make
  const untilDisposed = <A, E>(effect: Effect.Effect<A, E>) => run(() => effect, { context: Context.empty() })

  /** Seals a request, sends it, and opens the answer. */
  const exchange = (
    { withDeadline }: Calls.Call,
    request: Prepared,
    pair: KeyPair,
    key: PublicKey
  ): Effect.Effect<ChatCompletion.ChatCompletionResponse, NomyoError, Crypto> => {
    const sent = Envelope.sealPieces(key, request.payload, (body) =>
      transport.send({
        method: "POST",
        url: `${request.target.baseUrl}/v1/chat/secure_completion`,
        headers: headersOf(request, pair.publicKey),
        body,
        maxResponseBytes: config.maxResponseBytes
      }))
    const answered = withDeadline(Effect.flatMap(sent, (answer) =>
      Envelope.open(pair.privateKey, answer, ({ algorithm, plaintext, processedAt }) =>
        ChatCompletion.decodeResponse(plaintext, { algorithm, payloadId: request.payloadId, processedAt }))))
    // with both keys at hand, so that requests leave as far apart as they were told to
    return turn === undefined ? answered : Effect.zipRight(turn, answered)
  }

  /** One attempt: the whole path of a request, under one key pair and one deadline. */
  const attempt = (call: Calls.Call, request: Prepared) => {
    const { routerKey } = request.target
    const exchangeUnder = (pair: KeyPair, { fetchedAt, key }: RouterKey.Fetched) =>
      withPermit(Effect.clockWith((clock) => {
        const startedAt = clock.unsafeCurrentTimeMillis()
        // a router that has changed its key cannot read the request and answers 400: worth a look if ours is older than the exchange
        return Effect.catchTag(exchange(call, request, pair, key), "InvalidRequestError", (error) =>
          fetchedAt >= startedAt
            ? Effect.fail(error)
            : call.withDeadline(routerKey.refetch).pipe(
              // without a connection nobody knows whether the key was the reason: that may be tried again
              Effect.mapError((failure) => failure._tag === "SecurityError" || failure._tag === "APIConnectionError" ? failure : error),
              Effect.flatMap((now) => now.key.fingerprint === key.fingerprint ? Effect.fail(error) : exchange(call, request, pair, now.key))
            ))
      }))
    return Effect.flatMap(routerKey.cached, (cached) => {
      if (cached !== undefined) return keyRing.lease((pair) => exchangeUnder(pair, cached))
      // side by side with the client's own pair, whose making takes seconds, once, and says nothing about the router: it is not on the clock.
      // Not by `Effect.all`, which hangs if it is interrupted before it has begun to wait.
      return Effect.flatMap(Effect.fork(Effect.exit(call.withDeadline(routerKey.get))), (fetching) =>
        keyRing.lease((pair) =>
          Effect.flatMap(Effect.flatten(Fiber.join(fetching)), (fetched) =>
            exchangeUnder(pair, fetched))))
    })
  }

  const sendTo = Effect.fnUntraced(function*(
    within: typeof context,
    target: Target,
    payload: Plaintext,
    { apiKey, maxRetries = config.maxRetries, payloadId, securityTier, timeout }: SendOptions
  ) {
    const duration = timeout === undefined ? config.timeout : yield* NomyoConfig.positiveDuration("timeout", timeout)
    yield* NomyoConfig.retries(maxRetries)
    const key = apiKey ?? (config.apiKey === undefined ? "" : Redacted.value(config.apiKey))
    const request: Prepared = {
      target,
      payload,
      payloadId: yield* header("payload id", payloadId),
      apiKey: key === "" ? "" : yield* header("API key", key),
      securityTier: securityTier === undefined ? undefined : yield* header("security tier", securityTier)
    }
    const { length } = payload
    let attempts = 0
    const tryOnce = Effect.suspend(() => {
      attempts++
      if (payload.length !== length) return new InvalidRequestError({ message: "The bytes to send have been moved or resized since the call" })
      return run((call) => attempt(call, request), { context: within, duration, onTimeout: outOfTime })
    })
    const tell = (error: NomyoError) =>
      Effect.logDebug(`Attempt ${attempts} failed: ${error._tag}: ${error.message}`).pipe(
        Effect.annotateLogs("payloadId", payloadId),
        // an event of the call's span
        Effect.provide(within)
      )
    // a schedule costs as much as an attempt does: it is for those who have failed
    return yield* Effect.catchAll(tryOnce, (first) => {
      const failed = [Effect.fail(first)]
      const tryAgain = Effect.tapError(Effect.suspend(() => failed.pop() ?? tryOnce), tell)
      return Effect.mapError(
        maxRetries === 0 || !isRetryable(first) ? tryAgain : untilDisposed(Effect.retry(tryAgain, retryPolicy(maxRetries))),
        (error) => withRequest(error, { payloadId, attempts })
      )
    })
  })

  const defaultTarget: Target = { baseUrl: config.baseUrl, routerKey: defaultRouterKey }

  const create = Effect.fnUntraced(function*(
    request: ChatCompletion.ChatCompletionRequest,
    options: RequestOptions | undefined,
    span: Tracer.Span
  ) {
    const { apiKey, baseUrl, model, payload, securityTier } = yield* ChatCompletion.encodeRequest(request)
    span.attribute("gen_ai.request.model", model)
    const within = Context.add(context, Tracer.ParentSpan, span)
    const send = (target: Target) =>
      Effect.flatMap(crypto.randomId, (payloadId) =>
        sendTo(within, target, payload, { timeout: options?.timeout, maxRetries: options?.maxRetries, payloadId, apiKey, securityTier }))
    if (baseUrl === undefined) return yield* send(defaultTarget)
    return yield* Effect.scoped(Effect.gen(function*() {
      const checked = yield* NomyoConfig.checkRequestUrl(baseUrl, apiKey, config)
      yield* warnOfHttp(checked)
      return yield* send({ baseUrl: checked, routerKey: yield* RouterKey.make({ ...config, baseUrl: checked }) })
    })).pipe(Effect.provide(within))
  })

  return {
    create: (request, options) =>
      Effect.suspend(() => {
        // a tracer is handed the exit of what it traces, and is not to have the answer
        let answer: ChatCompletion.ChatCompletionResponse
        return Effect.useSpan("NomyoClient.create", {
          captureStackTrace: false,
          attributes: { "gen_ai.operation.name": "chat", "gen_ai.provider.name": "nomyo" }
        }, (span) =>
          Effect.map(create(request, options, span), (created) => {
            answer = created
          })).pipe(Effect.map(() => answer))
      }),
    send: (payload, options) => sendTo(context, defaultTarget, payload, options),
    ready: untilDisposed(keyRing.lease(({ publicKey }) => Effect.succeed(publicKey))),
    rotateKeys: Effect.map(untilDisposed(keyRing.rotate), ({ publicKey }) => publicKey),
    forgetKeys: untilDisposed(keyRing.forget),
    keyEvents: keyRing.events
  }
})

/**
 * What happens to the client's key pair, from the subscription on until the client is disposed.
 *
 * @since 0.2.0
 * @category events
 */
export const keyEvents: Stream.Stream<KeyRing.KeyEvent, never, NomyoClient> = Stream.unwrapScoped(
  Effect.flatMap(NomyoClient, (client) => Effect.map(client.keyEvents, (queue) => Stream.fromQueue(queue)))
)

/**
 * Makes a request of each element, `concurrency` at a time. A request that fails does not end the batch: its error is its outcome, and
 * every request that was read has one.
 *
 * No faster than the outcomes are taken: with `concurrency` of them out or waiting, one more request is read from the input and held (or the
 * chunk it comes in: `Stream.fromIterable` reads 4096 at once). When the input fails, the stream does, after the outcomes of what was read.
 * When the client is disposed, it fails with a `DisposedError`, and for a `concurrency` that is not a whole number from 1 with an
 * `InvalidRequestError`. When it is interrupted or nobody takes any more, what is out is cancelled.
 *
 * @since 0.2.0
 * @category batches
 */
export const createAll: {
  (options?: BatchOptions): <E, R>(
    requests: Stream.Stream<ChatCompletion.ChatCompletionRequest, E, R>
  ) => Stream.Stream<Outcome, E | DisposedError | InvalidRequestError, R | NomyoClient>
  <E, R>(
    requests: Stream.Stream<ChatCompletion.ChatCompletionRequest, E, R>,
    options?: BatchOptions
  ): Stream.Stream<Outcome, E | DisposedError | InvalidRequestError, R | NomyoClient>
} = dual(
  (args) => Predicate.hasProperty(args[0], Stream.StreamTypeId),
  <E, R>(requests: Stream.Stream<ChatCompletion.ChatCompletionRequest, E, R>, options?: BatchOptions) =>
    Stream.unwrap(Effect.gen(function*() {
      const client = yield* NomyoClient
      const concurrency = yield* NomyoConfig.concurrency(options?.concurrency)
      // a stream's own concurrency does not count what is answered and not taken
      const slots = yield* Effect.makeSemaphore(concurrency)
      let failure: Stream.Stream<never, E> = Stream.empty
      return requests.pipe(
        Stream.catchAllCause((cause) => {
          failure = Stream.failCause(cause)
          return Stream.empty
        }),
        Stream.zipWithIndex,
        Stream.tap(() => slots.take(1)),
        Stream.mapEffect(([request, index]) =>
          client.create(request, options).pipe(
            Effect.map(Either.right),
            Effect.catchAll((error) => error._tag === "DisposedError" ? Effect.fail(error) : Effect.succeed(Either.left(error))),
            Effect.map((result): Outcome => ({ index, result }))
          ), { concurrency, unordered: options?.ordered !== true }),
        Stream.tap(() => slots.release(1)),
        Stream.concat(Stream.suspend(() => failure))
      )
    }))
)

/** What a client stands on: the services a platform provides. */
type Platform = Crypto | KeyStore | Transport | SecureMemory

/**
 * `NomyoClient` with its key ring and router key, for those who use the parts too.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerParts = (
  options: NomyoConfig.Options = {}
): Layer.Layer<
  NomyoClient | KeyRing.KeyRing | RouterKey.RouterKey,
  InvalidRequestError | SecurityError,
  Platform
> =>
  Layer.unwrapEffect(Effect.map(NomyoConfig.make(options), (config) =>
    Layer.provideMerge(
      Layer.scoped(NomyoClient, make(config)),
      Layer.merge(KeyRing.layer(config), RouterKey.layer(config))
    )))

/**
 * The client, over the platform's services. `nomyo-js/node` and `nomyo-js/browser` have it with all of them provided.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = (
  options: NomyoConfig.Options = {}
): Layer.Layer<NomyoClient, InvalidRequestError | SecurityError, Platform> =>
  Layer.map(layerParts(options), Context.pick(NomyoClient))

/**
 * The client, with options from the configuration: by default from the environment (see `NomyoConfig.config`).
 *
 * @since 0.2.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Config.Wrap<NomyoConfig.Options> = NomyoConfig.config
): Layer.Layer<NomyoClient, ConfigError.ConfigError | InvalidRequestError | SecurityError, Platform> =>
  Layer.unwrapEffect(Effect.map(Config.unwrap(config), layer))
