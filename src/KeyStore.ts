/**
 * Storage of the client's key pair between runs.
 *
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type { KeyPair } from "./Crypto.js"
import type { SecurityError } from "./NomyoError.js"

/**
 * Stores the client's key pair between runs.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /** The newest stored pair and its creation time, or `None`. */
  readonly load: Effect.Effect<Option.Option<KeyPair>, SecurityError>
  /**
   * Stores `pair`, and returns the stored pair. `replacing` is the pair it replaces, `undefined` for the
   * first. If another process already stored a pair newer than `replacing`, `save` returns that pair instead,
   * and both processes use it. A pair whose date is over a minute in the future counts as older than any
   * other. If the stored pair cannot be read, `save` fails and overwrites nothing.
   */
  readonly save: (pair: KeyPair, replacing: KeyPair | undefined) => Effect.Effect<KeyPair, SecurityError>
  /**
   * Runs `effect` under a lock, so that processes that share the store do not each make a first pair. If the
   * platform has no such lock, just run `effect`: `save` then keeps one of the pairs.
   */
  readonly exclusively: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Deletes the saved pair. */
  readonly remove: Effect.Effect<void, SecurityError>
}

/**
 * Storage of the client's key pair, as a service.
 *
 * @since 0.2.0
 * @category tags
 */
export class KeyStore extends Context.Tag("nomyo-js/KeyStore")<KeyStore, Service>() {}

/**
 * Stores nothing. The client keeps the pair in memory until it is disposed.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerMemory: Layer.Layer<KeyStore> = Layer.succeed(KeyStore, {
  load: Effect.succeedNone,
  save: Effect.succeed,
  exclusively: identity,
  remove: Effect.void
})
