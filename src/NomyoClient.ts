/**
 * The client: chat completions, encrypted end to end between this process and the NOMYO router.
 *
 * @since 0.2.0
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import { dual, identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Batch from "./Batch.js"
import * as ChatCompletion from "./ChatCompletion.js"
import type { ChatCompletionChunk } from "./ChatCompletionChunk.js"
import { Crypto, type PublicKey } from "./Crypto.js"
import { withRequest } from "./internal/errors.js"
import { makeCalls } from "./internal/fibers/deadline.js"
import { makeFairSemaphore } from "./internal/fibers/fairSemaphore.js"
import { httpWarning } from "./internal/httpWarning.js"
import type * as OptionTypes from "./internal/optionTypes.js"
import { type PreparedRequest, prepareRequest } from "./internal/preparedRequest.js"
import { makeRateLimiter } from "./internal/rateLimit.js"
import { retry, type RetryDependencies } from "./internal/retry.js"
import * as testClient from "./internal/testClient.js"
import * as KeyRing from "./KeyRing.js"
import type { KeyStore } from "./KeyStore.js"
import * as NomyoConfig from "./NomyoConfig.js"
import {
  APIConnectionError,
  type DisposedError,
  type InvalidRequestError,
  type NomyoError,
  SecurityError
} from "./NomyoError.js"
import type { Plaintext } from "./Plaintext.js"
import * as Protocol from "./Protocol.js"
import * as Protocol1 from "./Protocol1.js"
import * as RouterKey from "./RouterKey.js"
import type { Transport } from "./Transport.js"

/**
 * Options of one call.
 *
 * @since 0.2.0
 * @category models
 */
export interface RequestOptions extends OptionTypes.RequestOptions<Duration.DurationInput> {}

/**
 * Options of a batch. `timeout` and `maxRetries` apply to each of its requests.
 *
 * @since 0.2.0
 * @category models
 */
export interface BatchOptions extends RequestOptions, OptionTypes.BatchOptions {}

/**
 * The result of one request of a batch.
 *
 * @since 0.2.0
 * @category models
 */
export interface Outcome {
  /** Position of the request in the input, counted from 0. */
  readonly index: number
  readonly result: Either.Either<ChatCompletion.ChatCompletionResponse, Exclude<NomyoError, DisposedError>>
}

/**
 * Options of one call of `send`.
 *
 * @since 0.2.0
 * @category models
 */
export interface SendOptions extends RequestOptions {
  /** The `X-Payload-ID` of every attempt, in visible ASCII. */
  readonly payloadId: string
  /** The bearer token, in visible ASCII. Default: the client's `apiKey`. */
  readonly apiKey?: string | undefined
  /** The `X-Security-Tier`. Default: no such header. */
  readonly securityTier?: ChatCompletion.SecurityTier | undefined
}

/**
 * An answer that is read chunk by chunk.
 *
 * @since 0.3.0
 * @category models
 */
export interface OpenStream {
  /**
   * Returns the next chunks, or `undefined` after the last chunk of a complete answer. An empty list means
   * that the router is alive but the model has no text yet.
   */
  readonly pull: Effect.Effect<ReadonlyArray<ChatCompletionChunk> | undefined, NomyoError>
}

/**
 * The operations of `NomyoClient`. Each fails with a `DisposedError` once the client's scope has closed.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /**
   * Checks a request, encrypts it, sends it, and decrypts the answer. It retries 429, 500, 502, 503, 504,
   * network failures and timeouts, and fails with the error of the last attempt.
   *
   * @example
   * import * as Effect from "effect/Effect"
   * import { NomyoClient } from "nomyo-js/effect"
   *
   * const answer = Effect.flatMap(NomyoClient.NomyoClient, (client) =>
   *   client.create({ model: "Qwen/Qwen3-0.6B", messages: [{ role: "user", content: "Good morning!" }] }))
   */
  readonly create: (
    request: ChatCompletion.ChatCompletionRequest,
    options?: RequestOptions
  ) => Effect.Effect<ChatCompletion.ChatCompletionResponse, NomyoError>
  /**
   * Checks a request, sends it, and opens its answer chunk by chunk. `NomyoClient.stream` wraps this as a
   * stream. Until the answer begins, `timeout` counts and the client retries as `create` does. After that,
   * `idleTimeout` counts for each silence. The connection closes when the scope closes.
   */
  readonly openStream: (
    request: ChatCompletion.ChatCompletionRequest,
    options?: RequestOptions
  ) => Effect.Effect<OpenStream, NomyoError, Scope.Scope>
  /**
   * Sends a payload that is JSON already, unchecked, and retries as `create` does. It does not zero the
   * bytes: do so afterwards.
   */
  readonly send: (
    payload: Plaintext,
    options: SendOptions
  ) => Effect.Effect<ChatCompletion.ChatCompletionResponse, NomyoError>
  /**
   * Loads or generates the client's key pair ahead of the first request. Returns its public key.
   */
  readonly ready: Effect.Effect<PublicKey, SecurityError | DisposedError>
  /**
   * Replaces the client's key pair now and returns the new public key. Requests in flight keep the old pair.
   */
  readonly rotateKeys: Effect.Effect<PublicKey, SecurityError | DisposedError>
  /**
   * Removes the client's key pair, also from storage. The next request generates another. Requests in flight
   * keep the old pair. Earlier pairs that `keyHistory` keeps remain.
   */
  readonly forgetKeys: Effect.Effect<void, SecurityError | DisposedError>
  /** Subscribes to the changes of the key pair. `NomyoClient.keyEvents` wraps this as a stream. */
  readonly keyEvents: Effect.Effect<Queue.Dequeue<KeyRing.KeyEvent>, never, Scope.Scope>
}

/**
 * The client, as a service.
 *
 * @since 0.2.0
 * @category tags
 */
export class NomyoClient extends Context.Tag("nomyo-js/NomyoClient")<NomyoClient, Service>() {}

/**
 * The exchanges of one client at a time, since Node's `fetch` would open a connection for each. Others wait
 * in order.
 */
const MAX_EXCHANGES = 64

/** State that the calls of one client share. */
interface ClientDependencies extends RetryDependencies {
  readonly config: NomyoConfig.NomyoConfig
  readonly crypto: Context.Tag.Service<Crypto>
  readonly protocol: Protocol.Service
}

const warnOfHttp = (
  baseUrl: string,
  { routerKeyFingerprints }: Pick<NomyoConfig.NomyoConfig, "routerKeyFingerprints">
): Effect.Effect<void> => {
  const warning = httpWarning(baseUrl, routerKeyFingerprints.length > 0)
  return warning === undefined ? Effect.void : Effect.logWarning(warning)
}

const sendTo = (
  client: ClientDependencies,
  router: Protocol.Router,
  payload: Plaintext,
  options: SendOptions
) =>
  Effect.flatMap(prepareRequest(client.config, router, payload, options), (request) =>
    retry(client, request, router.create))

/** The router of a request's own `base_url`, whose key is fetched for this request alone. */
const routerAt = Effect.fnUntraced(function*(
  { config, protocol }: ClientDependencies,
  url: string,
  apiKey: string | undefined
) {
  const baseUrl = yield* NomyoConfig.checkRequestUrl(url, apiKey, config)
  yield* warnOfHttp(baseUrl, config)
  return yield* protocol.routerAt(baseUrl)
})

/** Checks a request, and hands it on prepared. */
const withPrepared = Effect.fnUntraced(function*<A, R>(
  client: ClientDependencies,
  encoded: ChatCompletion.Encoded,
  { idleTimeout, maxRetries, timeout }: RequestOptions,
  use: (request: PreparedRequest) => Effect.Effect<A, NomyoError, R>
) {
  const { apiKey, baseUrl, payload, securityTier } = encoded
  const prepared = (router: Protocol.Router) =>
    Effect.flatMap(client.crypto.randomId, (payloadId) => {
      const options = { timeout, idleTimeout, maxRetries, payloadId, apiKey, securityTier }
      return Effect.flatMap(prepareRequest(client.config, router, payload, options), use)
    })
  return yield* baseUrl === undefined
    ? prepared(client.protocol.router)
    : Effect.scoped(Effect.flatMap(routerAt(client, baseUrl, apiKey), prepared))
})

const createInSpan = Effect.fnUntraced(function*(
  client: ClientDependencies,
  request: ChatCompletion.ChatCompletionRequest,
  options: RequestOptions | undefined,
  span: Tracer.Span
) {
  const encoded = yield* ChatCompletion.encodeRequest(request)
  span.attribute("gen_ai.request.model", encoded.model)
  return yield* withPrepared(client, encoded, options ?? {}, (prepared) =>
    retry(client, prepared, prepared.router.create))
})

/**
 * Runs a request in its span. A tracer receives the exit of a span, so the answer leaves the span by another
 * way.
 */
const create = (
  client: ClientDependencies,
  request: ChatCompletion.ChatCompletionRequest,
  options: RequestOptions | undefined
): Effect.Effect<ChatCompletion.ChatCompletionResponse, NomyoError> =>
  Effect.suspend(() => {
    let answer: ChatCompletion.ChatCompletionResponse
    const keep = (created: ChatCompletion.ChatCompletionResponse) => {
      answer = created
    }
    const createUnder = (span: Tracer.Span) =>
      createInSpan(client, request, options, span).pipe(
        Effect.map(keep),
        Effect.provideService(Tracer.ParentSpan, span)
      )
    const attributes = { "gen_ai.operation.name": "chat", "gen_ai.provider.name": "nomyo" }
    const traced = Effect.useSpan("NomyoClient.create", { captureStackTrace: false, attributes }, createUnder)
    return Effect.map(traced, () => answer)
  })

const idle = (idleTimeout: Duration.Duration) => () =>
  new APIConnectionError({
    reason: "timeout",
    message: `The router was silent for ${Duration.format(idleTimeout)} within an answer. ` +
      "Try again, or raise idleTimeout"
  })

/** Opens an answer to be read chunk by chunk. The scope's end closes its connection. */
const openStream = Effect.fnUntraced(function*(
  client: ClientDependencies,
  request: ChatCompletion.ChatCompletionRequest,
  options: RequestOptions
): Effect.fn.Return<OpenStream, NomyoError, Scope.Scope> {
  const encoded = yield* ChatCompletion.encodeRequest(request, { stream: client.protocol.streams })
  const scope = yield* Effect.scope
  return yield* withPrepared(client, encoded, options, (prepared) => {
    const open = retry(client, prepared, (_, limits) => openIn(scope, prepared, limits))
    return Effect.map(open, ({ pull }) => ({ pull: boundedPull(client, prepared, pull) }))
  })
})

/** One attempt, whose connection ends with it if it fails, and otherwise with the scope. */
const openIn = (scope: Scope.Scope, request: PreparedRequest, limits: Protocol.Limits) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const own = yield* Scope.fork(scope, ExecutionStrategy.sequential)
      const opened = restore(Scope.extend(request.router.stream(request, limits), own))
      return yield* Effect.tapErrorCause(opened, (cause) => Scope.close(own, Exit.failCause(cause)))
    })
  )

/** Chunks that come in time, until the client is disposed. */
const boundedPull = (
  { calls }: ClientDependencies,
  { idleTimeout, payloadId }: PreparedRequest,
  pull: Protocol.Chunks["pull"]
): OpenStream["pull"] => {
  const deadline = { duration: idleTimeout, onTimeout: idle(idleTimeout) }
  const bounded = calls.untilDeadline((withDeadline) => withDeadline(pull), deadline)
  return Effect.mapError(bounded, (error) => withRequest(error, { payloadId, attempts: 1 }))
}

/**
 * Makes a client of `Crypto`, `Protocol` and `KeyRing`. It works until the scope closes.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  config: NomyoConfig.NomyoConfig
): Effect.fn.Return<
  Service,
  never,
  Crypto | Protocol.Protocol | KeyRing.KeyRing | Scope.Scope
> {
  const keyRing = yield* KeyRing.KeyRing
  const calls = yield* makeCalls
  const client: ClientDependencies = {
    config,
    crypto: yield* Crypto,
    protocol: yield* Protocol.Protocol,
    withPermit: makeFairSemaphore(MAX_EXCHANGES),
    withRateLimit: config.throttle ? makeRateLimiter() : identity,
    calls
  }
  yield* warnOfHttp(config.baseUrl, config)
  return {
    create: (request, options) => create(client, request, options),
    openStream: (request, options) => openStream(client, request, options ?? {}),
    send: (payload, options) => sendTo(client, client.protocol.router, payload, options),
    ready: calls.untilDisposed(keyRing.lease(({ publicKey }) => Effect.succeed(publicKey))),
    rotateKeys: Effect.map(calls.untilDisposed(keyRing.rotate), ({ publicKey }) => publicKey),
    forgetKeys: calls.untilDisposed(keyRing.forget),
    keyEvents: keyRing.events
  }
})

/**
 * The changes of the client's key pair, from the subscription on until the client is disposed.
 *
 * @example
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 * import { NomyoClient } from "nomyo-js/effect"
 *
 * const logged = Stream.runForEach(NomyoClient.keyEvents, (event) => Effect.log(event._tag))
 *
 * @since 0.2.0
 * @category events
 */
export const keyEvents: Stream.Stream<KeyRing.KeyEvent, never, NomyoClient> = Stream.unwrapScoped(
  Effect.flatMap(NomyoClient, (client) => Effect.map(client.keyEvents, (queue) => Stream.fromQueue(queue)))
)

/**
 * Streams the chunks of an answer. Over protocol 2 they arrive while the model writes. Each chunk is
 * authenticated, in order, and an answer that is cut short fails with a `SecurityError`. Over protocol 1.0
 * the client waits for the whole answer, then splits it into chunks. `_metadata.is_streamed` of the first
 * chunk is `true` if the router streamed. The last chunk has the usage and no choices.
 *
 * Backpressure reaches the model: the client reads a chunk when you ask for it. When you stop reading, the
 * connection closes. After the first chunk, the client does not retry.
 *
 * @example
 * import * as Stream from "effect/Stream"
 * import { NomyoClient } from "nomyo-js/effect"
 *
 * const chunks = NomyoClient.stream({
 *   model: "Qwen/Qwen3-0.6B",
 *   messages: [{ role: "user", content: "Good morning!" }]
 * })
 * const text = Stream.map(chunks, ({ choices }) => choices[0]?.delta.content ?? "")
 *
 * @since 0.3.0
 * @category streams
 */
export const stream = (
  request: ChatCompletion.ChatCompletionRequest,
  options?: RequestOptions
): Stream.Stream<ChatCompletionChunk, NomyoError, NomyoClient> =>
  Stream.unwrapScoped(Effect.map(
    Effect.flatMap(NomyoClient, (client) => client.openStream(request, options)),
    ({ pull }) =>
      Stream.repeatEffectChunkOption(Effect.matchEffect(pull, {
        onFailure: (error) => Effect.fail(Option.some(error)),
        onSuccess: (chunks) =>
          chunks === undefined
            ? Effect.fail(Option.none())
            : Effect.succeed(Chunk.unsafeFromArray([...chunks]))
      }))
  ))

/** A request's own failure is an outcome; the client's end and a defect are the batch's. */
const toOutcome = (
  { exit, index }: Batch.Settled<ChatCompletion.ChatCompletionResponse, NomyoError>
): Effect.Effect<Outcome, Option.Option<DisposedError>> => {
  if (exit._tag === "Success") return Effect.succeed({ index, result: Either.right(exit.value) })
  return Either.match(Cause.failureOrCause(exit.cause), {
    onLeft: (error) =>
      error._tag === "DisposedError"
        ? Effect.fail(Option.some(error))
        : Effect.succeed({ index, result: Either.left(error) }),
    onRight: Effect.failCause
  })
}

const batchOf = <E, R>(
  requests: Stream.Stream<ChatCompletion.ChatCompletionRequest, E, R>,
  options: BatchOptions | undefined
): Stream.Stream<Outcome, E | DisposedError | InvalidRequestError, R | NomyoClient> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const client = yield* NomyoClient
    const pull = yield* Stream.toPull(Stream.rechunk(requests, 1))
    const next = Effect.map(pull, Chunk.unsafeHead)
    const take = yield* Batch.make(next, (request) => client.create(request, options), options)
    const outcome: Effect.Effect<Outcome, Option.Option<E | DisposedError>> = Effect.flatMap<
      Batch.Settled<ChatCompletion.ChatCompletionResponse, NomyoError>,
      Outcome,
      Option.Option<E | DisposedError>,
      never
    >(toOutcome)(take)
    return Stream.repeatEffectOption(outcome)
  }))

/**
 * Sends each element as a request, `concurrency` at a time. The error of a failed request is its outcome, and
 * the batch continues.
 *
 * Backpressure: requests in flight plus results you have not taken yet are at most `concurrency`. While there
 * are fewer, it reads the next request. `Stream.fromIterable` itself reads 4096 elements at once. If the
 * input fails, the stream fails after the outcomes of the requests read so far. It fails with a
 * `DisposedError` when the client is disposed, and with an `InvalidRequestError` if `concurrency` is not a
 * whole number, 1 or more. When you interrupt the stream or stop reading, it cancels the requests in flight.
 *
 * @example
 * import * as Stream from "effect/Stream"
 * import { NomyoClient } from "nomyo-js/effect"
 *
 * const requests = Stream.map(Stream.make("one", "two"), (content) => ({
 *   model: "Qwen/Qwen3-0.6B",
 *   messages: [{ role: "user", content }]
 * }))
 * const outcomes = Stream.runCollect(NomyoClient.createAll(requests, { concurrency: 2 }))
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
} = dual((args) => Predicate.hasProperty(args[0], Stream.StreamTypeId), batchOf)

/** The services that a platform provides. */
type Platform = Crypto | KeyStore | Transport

/**
 * `NomyoClient` with its `KeyRing` and `RouterKey`, for programs that use these parts too. It needs `Crypto`,
 * `KeyStore` and `Transport`. An invalid option fails the layer with an `InvalidRequestError` or a
 * `SecurityError`.
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
  Layer.unwrapEffect(Effect.flatMap(NomyoConfig.make(options), (config) =>
    config.protocol === 1
      ? Effect.succeed(partsOf(config))
      : Effect.fail(new SecurityError({ reason: "unsupported", message: NOT_HERE }))))

const NOT_HERE = "Protocol 2 has layers of its own: use layer of nomyo-js/node, or Protocol2.layer of " +
  "nomyo-js/protocol-2"

const partsOf = (config: NomyoConfig.NomyoConfig) =>
  Layer.scoped(NomyoClient, make(config)).pipe(
    Layer.provide(Protocol1.layer(config)),
    Layer.provideMerge(Layer.merge(KeyRing.layer(config), RouterKey.layer(config)))
  )

/**
 * `NomyoClient` for programs that provide `Crypto`, `KeyStore` and `Transport` themselves. `layer` of
 * `nomyo-js/node` and of `nomyo-js/browser` includes these services. An invalid option fails the layer with
 * an `InvalidRequestError` or a `SecurityError`.
 *
 * @example
 * import * as Layer from "effect/Layer"
 * import { KeyStore, NomyoClient, SecureMemory, Transport } from "nomyo-js/effect"
 * import { NodeCrypto } from "nomyo-js/node"
 *
 * const client = NomyoClient.layer({ keySize: 2048 }).pipe(
 *   Layer.provide([NodeCrypto.layer, KeyStore.layerMemory, Transport.layer]),
 *   Layer.provide(SecureMemory.layer)
 * )
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = (
  options: NomyoConfig.Options = {}
): Layer.Layer<NomyoClient, InvalidRequestError | SecurityError, Platform> =>
  Layer.map(layerParts(options), Context.pick(NomyoClient))

/**
 * `layer` with options from a `Config`, by default from the environment (see `NomyoConfig.config`). The layer
 * fails with a `ConfigError` if the configuration cannot be read.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Config.Wrap<NomyoConfig.Options> = NomyoConfig.config
): Layer.Layer<NomyoClient, ConfigError.ConfigError | InvalidRequestError | SecurityError, Platform> =>
  Layer.unwrapEffect(Effect.map(Config.unwrap(config), layer))

/**
 * The answer of `layerTest`: the text of the assistant's message, or the fields of a chat completion. Missing
 * fields get fixed values.
 *
 * @since 0.3.0
 * @category models
 */
export type TestAnswer = testClient.TestAnswer

/**
 * A `NomyoClient` for tests. It answers from a function, without keys, encryption, network or retries. It
 * checks requests as the client does.
 *
 * @example
 * import * as Effect from "effect/Effect"
 * import { NomyoClient, NomyoError } from "nomyo-js/effect"
 *
 * const polite = NomyoClient.layerTest((request) => `You sent ${request.messages.length} messages`)
 * const busy = NomyoClient.layerTest(() =>
 *   Effect.fail(new NomyoError.RateLimitError({ message: "Too many requests" })))
 *
 * @since 0.3.0
 * @category layers
 */
export const layerTest = (
  answer: (
    request: ChatCompletion.ChatCompletionRequest
  ) => TestAnswer | Effect.Effect<TestAnswer, NomyoError>
): Layer.Layer<NomyoClient> => Layer.sync(NomyoClient, () => testClient.make(answer))
