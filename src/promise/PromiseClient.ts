/**
 * What the Promise classes have in common: a runtime with the client's layers, and its end.
 *
 * @since 0.2.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import { layerPlatform } from "#platform"
import type { Crypto, PublicKey } from "../Crypto.js"
import type * as KeyRing from "../KeyRing.js"
import * as NomyoClient from "../NomyoClient.js"
import type * as NomyoConfig from "../NomyoConfig.js"
import { DisposedError } from "../NomyoError.js"
import type * as RouterKey from "../RouterKey.js"
import type { SecureMemory } from "../SecureMemory.js"

/**
 * Options of both Promise classes.
 *
 * @since 0.2.0
 * @category models
 */
export interface ClientConfig extends Omit<NomyoConfig.Options, "baseUrl"> {
  /** Prints what the client does to the console; never what it is told. Default `false`. */
  readonly debug?: boolean | undefined
  /** Zeroes secret buffers after use. Default `true`. */
  readonly secureMemory?: boolean | undefined
  /** Where key pairs are loaded from and saved to, on Node; `false` keeps them in memory only. Default `client_keys`. */
  readonly keyDir?: string | false | undefined
  /** Where key pairs made by rotation are saved, on Node. Default `keyDir`. */
  readonly keyRotationDir?: string | undefined
  /** Encrypts the private key files, on Node. At least 8 characters. Default: they are not encrypted. */
  readonly keyRotationPassword?: string | undefined
  /**
   * Where the key pair is kept in a browser: `memory`, or `indexeddb`, where it survives reloads and is shared by the tabs of an origin.
   * Default `memory`.
   */
  readonly keyPersistence?: "memory" | "indexeddb" | undefined
  /** How many replaced private keys are kept, on Node, as `private_key.<time>.pem`. Default 0. */
  readonly keyHistory?: number | undefined
}

/**
 * What one call may set for itself.
 *
 * @since 0.2.0
 * @category models
 */
export interface CallOptions extends NomyoClient.RequestOptions {
  /** Cancels the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** On Node this is bundled with Effect, and errors come from the app's own copy of it, which may be another version: that is as it should be. */
const oneOfManyVersions = Layer.scopedDiscard(Effect.locallyScoped(FiberRef.versionMismatchErrorLogLevel, Option.none()))

type Services = NomyoClient.NomyoClient | KeyRing.KeyRing | RouterKey.RouterKey | Crypto | SecureMemory

/**
 * @since 0.2.0
 * @category classes
 */
export abstract class PromiseClient {
  readonly #runtime: ManagedRuntime.ManagedRuntime<Services, unknown>
  readonly #calls = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  #end: Promise<void> | undefined

  /** Touches neither disk nor network: the first call does. */
  constructor(config: ClientConfig, baseUrl: string | undefined) {
    this.#runtime = ManagedRuntime.make(
      NomyoClient.layerParts({ ...config, baseUrl }).pipe(
        Layer.provideMerge(layerPlatform(config)),
        Layer.provideMerge(Layer.mergeAll(
          oneOfManyVersions,
          Logger.replace(Logger.defaultLogger, Logger.withLeveledConsole(Logger.stringLogger)),
          Logger.minimumLogLevel(config.debug === true ? LogLevel.Debug : LogLevel.Warning)
        ))
      )
    )
  }

  /** Runs an effect to a promise that rejects with the effect's own error. */
  protected run<A>(effect: Effect.Effect<A, unknown, Services>, signal?: AbortSignal): Promise<A> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) return reject(new DisposedError())
      if (signal?.aborted) return reject(signal.reason)
      const fiber = this.#runtime.runFork(effect)
      const abort = () => fiber.unsafeInterruptAsFork(FiberId.none)
      this.#calls.add(fiber)
      signal?.addEventListener("abort", abort, { once: true })
      fiber.addObserver((exit) => {
        this.#calls.delete(fiber)
        signal?.removeEventListener("abort", abort)
        if (Exit.isSuccess(exit)) return resolve(exit.value)
        const failure = Cause.failureOption(exit.cause)
        if (failure._tag === "Some") return reject(failure.value)
        if (this.#end !== undefined) return reject(new DisposedError())
        reject(signal?.aborted ? signal.reason : Cause.squash(exit.cause))
      })
    })
  }

  /**
   * Loads or makes the client's key pair, which the first request would otherwise wait for; gives its public half.
   */
  ready(): Promise<PublicKey> {
    return this.run(Effect.flatMap(NomyoClient.NomyoClient, (client) => client.ready))
  }

  /** Replaces the client's key pair now. Requests that are out are answered under the old one. */
  rotateKeys(): Promise<PublicKey> {
    return this.run(Effect.flatMap(NomyoClient.NomyoClient, (client) => client.rotateKeys))
  }

  /**
   * Removes the client's key pair, from where it is stored too: the next request makes another. Requests that are out are answered, and
   * what `keyHistory` has kept of earlier pairs stays.
   */
  forgetKeys(): Promise<void> {
    return this.run(Effect.flatMap(NomyoClient.NomyoClient, (client) => client.forgetKeys))
  }

  /** Ends calls in flight and later ones with a `DisposedError`, forgets the keys, stops their rotation. May be called more than once. */
  dispose(): void {
    if (this.#end !== undefined) return
    this.#end = Promise.resolve()
    for (const fiber of this.#calls) fiber.unsafeInterruptAsFork(FiberId.none)
    this.#end = this.#runtime.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  /** The same, and waits for the end of what was in flight. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose()
    await this.#end
  }
}
