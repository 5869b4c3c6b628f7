/** The runtime of the Promise classes: the client's layers, calls in flight, and their end. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import { environment, layerParts, layerPlatform } from "#platform"
import type { Crypto } from "../Crypto.js"
import * as Options from "../internal/options.js"
import type * as KeyRing from "../KeyRing.js"
import type * as NomyoClient from "../NomyoClient.js"
import { DisposedError, type InvalidRequestError, SecurityError } from "../NomyoError.js"
import type * as RouterKey from "../RouterKey.js"
import type { SecureMemory } from "../SecureMemory.js"
import * as Transport from "../Transport.js"
import { onAbort, reasonOf } from "../internal/abort.js"
import { type CallSite, captureCallSite, withCallSite } from "./callSite.js"
import { layerLogger } from "./logging.js"
import type { ClientConfig, Fetch } from "./options.js"

/** The services that the calls of the Promise classes use. */
export type Services = NomyoClient.NomyoClient | KeyRing.KeyRing | RouterKey.RouterKey | Crypto | SecureMemory

/** The options of either class, read, and filled up from the environment. */
export interface Config extends ClientConfig {
  readonly baseUrl?: string | undefined
}

/** Options that the tables of both classes read. */
type Given = Partial<
  Options.Read<typeof Options.chatCompletionRules> & Options.Read<typeof Options.completionClientRules>
>

/** Reads the options of a class by its table. They come before the environment. */
export const readConfig = (
  rules: typeof Options.chatCompletionRules | typeof Options.completionClientRules,
  config: unknown
): Either.Either<Config, InvalidRequestError> =>
  Either.flatMap(Options.readOptions(rules, config), ({ routerUrl, ...own }: Given) =>
    Either.map(Effect.runSync(Effect.either(environment)), (others) =>
      Options.withFallback({ ...own, baseUrl: own.baseUrl ?? routerUrl }, others) as Config))

/**
 * On Node this code is bundled with Effect, and errors come from the app's own copy of Effect, which may have
 * another version. That is intended, so Effect need not warn of it.
 */
const severalVersions = Layer.scopedDiscard(
  Effect.locallyScoped(FiberRef.versionMismatchErrorLogLevel, Option.none())
)

const followed = () =>
  new SecurityError({
    reason: "redirect",
    message: "The fetch option followed a redirect. Pass one that obeys redirect: \"manual\""
  })

/**
 * A transport on the `fetch` option. It can follow a redirect against its instructions: that is found out
 * afterwards.
 */
const layerFetch = (fetch: Fetch): Layer.Layer<Transport.Transport> =>
  Layer.sync(Transport.Transport, () =>
    Transport.fromFetch(async (url, init) => {
      const response = await fetch(String(url), init as Parameters<Fetch>[1])
      if (response.redirected === true) throw followed()
      return response as Response
    }))

const layerOf = (
  config: Either.Either<Config, InvalidRequestError>
): Layer.Layer<Services, InvalidRequestError | SecurityError> =>
  Either.match(config, {
    onLeft: (error) => Layer.fail(error),
    onRight: (options) => {
      const clientOptions = Options.pickOptions(Options.clientRules, options)
      const transport = options.fetch === undefined ? undefined : layerFetch(options.fetch)
      return layerParts(clientOptions).pipe(
        Layer.provideMerge(layerPlatform(clientOptions, transport)),
        Layer.provideMerge(Layer.merge(severalVersions, layerLogger(options)))
      )
    }
  })

/** Runs effects as promises until it is disposed. */
export class ClientRuntime {
  readonly #runtime: ManagedRuntime.ManagedRuntime<Services, unknown>
  readonly #calls = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  #end: Promise<void> | undefined

  /** Touches neither disk nor network: the first call does. */
  constructor(config: Either.Either<Config, InvalidRequestError>) {
    this.#runtime = ManagedRuntime.make(layerOf(config))
  }

  /** Runs an effect to a promise that rejects with the effect's error, whose stack includes the caller. */
  run<A>(effect: Effect.Effect<A, unknown, Services>, signal?: AbortSignal): Promise<A> {
    const site = captureCallSite(this.run)
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) return reject(withCallSite(new DisposedError(), site))
      if (signal?.aborted === true) return reject(reasonOf(signal))
      const fiber = this.#runtime.runFork(effect)
      this.#calls.add(fiber)
      const cancel = () => fiber.unsafeInterruptAsFork(FiberId.none)
      const stop = signal === undefined ? undefined : onAbort(signal, cancel)
      fiber.addObserver((exit) => {
        this.#calls.delete(fiber)
        stop?.()
        if (Exit.isSuccess(exit)) resolve(exit.value)
        else reject(this.#errorOf(exit.cause, signal, site))
      })
    })
  }

  /** Runs what a call does with its options, which were read by their table. */
  call<A, O extends { readonly signal: AbortSignal | undefined }>(
    read: Either.Either<O, InvalidRequestError>,
    use: (options: O) => Effect.Effect<A, unknown, Services>
  ): Promise<A> {
    return Either.isLeft(read)
      ? Promise.reject(withCallSite(read.left, captureCallSite(this.call)))
      : this.run(use(read.right), read.right.signal)
  }

  #errorOf(cause: Cause.Cause<unknown>, signal: AbortSignal | undefined, site: CallSite): unknown {
    const failure = Cause.failureOption(cause)
    if (Option.isSome(failure)) return withCallSite(failure.value, site)
    if (this.#end !== undefined) return withCallSite(new DisposedError(), site)
    return signal?.aborted === true ? reasonOf(signal) : Cause.squash(cause)
  }

  /** Ends the calls in flight, and then the client. May be called more than once. */
  dispose(): Promise<void> {
    if (this.#end !== undefined) return this.#end
    this.#end = Promise.resolve()
    for (const fiber of this.#calls) fiber.unsafeInterruptAsFork(FiberId.none)
    this.#end = this.#runtime.dispose()
    return this.#end
  }
}
