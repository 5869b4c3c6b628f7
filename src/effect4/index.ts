/**
 * `nomyo-js/effect4`: the client as a service of Effect 4.
 *
 * It is a facade over the Promise classes. To replace the client's services, control its waits with
 * `TestClock`, or see its inner spans, use `nomyo-js/effect` with Effect 3.
 *
 * @since 0.3.0
 */
import * as Config from "effect4/Config"
import * as Context from "effect4/Context"
import * as Effect from "effect4/Effect"
import * as Layer from "effect4/Layer"
import type * as Stream from "effect4/Stream"
import {
  type ChatCompletionConfig,
  type ChatCompletionRequest,
  type ChatCompletionResponse,
  InvalidRequestError,
  type NomyoError,
  type PublicKey,
  SecureChatCompletion
} from "../promise/index.js"
import { batch, type BatchOptions, type Outcome } from "./batch.js"
import { call, type CallOptions, traced } from "./call.js"
import { config } from "./config.js"
import { type Options, plain } from "./options.js"

export type { BatchOptions, CallOptions, NomyoError, Options, Outcome }

export { config }

/**
 * The operations of the client.
 *
 * @since 0.3.0
 * @category models
 */
export interface Service {
  /**
   * Encrypts a request, sends it, and decrypts the answer, in a span `NomyoClient.create` below the caller's.
   * Interruption closes the connection.
   */
  readonly create: (
    request: ChatCompletionRequest,
    options?: CallOptions
  ) => Effect.Effect<ChatCompletionResponse, NomyoError>
  /**
   * Sends each element as a request, `concurrency` at a time, by default 4. The error of a failed request is
   * its outcome, and the batch continues. Backpressure: requests in flight plus results you have not taken
   * yet are at most `concurrency`. While there are fewer, it reads the next request. When you interrupt the
   * stream or stop reading, it cancels the requests in flight.
   */
  readonly createAll: <E, R>(
    requests: Stream.Stream<ChatCompletionRequest, E, R>,
    options?: BatchOptions
  ) => Stream.Stream<Outcome, E | NomyoError, R>
  /** Loads or creates the client's key pair before the first request needs it. Returns the public key. */
  readonly ready: Effect.Effect<PublicKey, NomyoError>
  /** Replaces the client's key pair now. Requests in flight finish under the old pair. */
  readonly rotateKeys: Effect.Effect<PublicKey, NomyoError>
  /** Removes the client's key pair, also from storage. The next request creates another. */
  readonly forgetKeys: Effect.Effect<void, NomyoError>
}

/**
 * The client. `Layer.mock(NomyoClient, { create: … })` stands in for it in tests.
 *
 * @since 0.3.0
 * @category services
 */
export class NomyoClient extends Context.Service<NomyoClient, Service>()("nomyo-js/effect4/NomyoClient") {}

/** Log lines of the client become those of the layer's fiber. */
const loggerOf = (context: Context.Context<never>): NonNullable<ChatCompletionConfig["logger"]> => {
  const fork = Effect.runForkWith(context)
  return {
    warn: (line) => void fork(Effect.logWarning(line)),
    debug: (line) => void fork(Effect.logDebug(line))
  }
}

const open = Effect.fnUntraced(function*(options: Options) {
  const logger = options.logger ?? loggerOf(yield* Effect.context<never>())
  // the next step sorts errors and defects apart
  // @effect-diagnostics-next-line unknownInEffectCatch:off
  return yield* Effect.try({
    try: () => new SecureChatCompletion({ ...plain(options), logger }),
    catch: (error) => error
  }).pipe(
    Effect.catch((error) => error instanceof InvalidRequestError ? Effect.fail(error) : Effect.die(error))
  )
})

const serve = (client: SecureChatCompletion): Service => ({
  create: (request, options) =>
    traced(request, call((signal) => client.create(request, { ...options, signal }))),
  createAll: (requests, options) => batch(client, requests, options),
  ready: call(() => client.ready()),
  rotateKeys: call(() => client.rotateKeys()),
  forgetKeys: call(() => client.forgetKeys())
})

/**
 * A complete `NomyoClient`. When the layer's scope closes, calls in flight fail with a `DisposedError` and
 * the keys leave memory. On Node a missing option comes from the environment.
 *
 * @since 0.3.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<NomyoClient, InvalidRequestError> =>
  Layer.effect(
    NomyoClient,
    Effect.map(
      Effect.acquireRelease(open(options), (client) => Effect.promise(() => client[Symbol.asyncDispose]())),
      serve
    )
  )

/**
 * A complete `NomyoClient` with options from a `Config`, by default from `config`.
 *
 * @since 0.3.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Wrap<Options> = config
): Layer.Layer<NomyoClient, Config.ConfigError | InvalidRequestError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
