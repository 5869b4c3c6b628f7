/**
 * Where the client's key pair is kept between runs.
 *
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type { KeyPair } from "./Crypto.js"
import type { SecurityError } from "./NomyoError.js"

/**
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /** The newest pair that was saved, with the time it was made; none if there is none. */
  readonly load: Effect.Effect<Option.Option<KeyPair>, SecurityError>
  /**
   * Keeps a pair unless there is one already, such as one that another process has saved in the meantime; gives the one that is kept.
   */
  readonly saveFirst: (pair: KeyPair) => Effect.Effect<KeyPair, SecurityError>
  /** Keeps a pair in place of the one before. */
  readonly save: (pair: KeyPair) => Effect.Effect<void, SecurityError>
  /** Forgets what was saved. */
  readonly remove: Effect.Effect<void, SecurityError>
}

/**
 * @since 0.2.0
 * @category tags
 */
export class KeyStore extends Context.Tag("nomyo-js/KeyStore")<KeyStore, Service>() {}

/**
 * Nothing is stored: the pair lives in the memory of the client that made it and goes when that client is disposed.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerMemory: Layer.Layer<KeyStore> = Layer.succeed(KeyStore, {
  load: Effect.succeedNone,
  saveFirst: Effect.succeed,
  save: () => Effect.void,
  remove: Effect.void
})
