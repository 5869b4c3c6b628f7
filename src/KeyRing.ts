/**
 * The client's key pair: loaded or generated on first use, leased to requests, rotated as it ages.
 *
 * A router seals an answer to the public key of its request. A replaced pair is therefore destroyed only when
 * the last request that leased it has ended.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Layer from "effect/Layer"
import type * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import { Crypto, type KeyPair } from "./Crypto.js"
import { type Epochs, makeEpochs } from "./internal/keyRing/epochs.js"
import { type EventHub, makeEventHub } from "./internal/keyRing/eventHub.js"
import { rotate, type RotationDependencies, startRotation } from "./internal/keyRing/rotation.js"
import { generate, loadOrGenerate, type StoreDependencies } from "./internal/keyRing/storedPair.js"
import { KeyStore } from "./KeyStore.js"
import type { NomyoConfig } from "./NomyoConfig.js"
import type { SecurityError } from "./NomyoError.js"

/**
 * A change of the client's key pair. `fingerprint` identifies the pair that is current after the change; it
 * is absent if the client has no pair.
 *
 * @since 0.2.0
 * @category models
 */
export type KeyEvent =
  | { readonly _tag: "Generated" | "Loaded" | "Rotated"; readonly fingerprint: string }
  | {
    readonly _tag: "RotationFailed"
    readonly fingerprint: string | undefined
    readonly error: SecurityError
  }

/**
 * The operations of `KeyRing`. They fail with a `SecurityError` with reason `client-key`, `key-permissions`
 * or `key-password` if the pair cannot be generated, read or stored.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /**
   * Leases the current pair to `use` until `use` ends. The first lease loads or generates the pair.
   * Concurrent leases share that work, which continues if they are interrupted. After a failure, the next
   * lease tries again.
   *
   * @example
   * import * as Effect from "effect/Effect"
   * import { KeyRing } from "nomyo-js/effect"
   *
   * const fingerprint = Effect.flatMap(KeyRing.KeyRing, (ring) =>
   *   ring.lease(({ publicKey }) => Effect.succeed(publicKey.fingerprint)))
   */
  readonly lease: <A, E, R>(
    use: (pair: KeyPair) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SecurityError, R>
  /**
   * Generates a pair, stores it, and makes it the current one. After a failure, the current pair and the
   * stored pair stay. If another process rotated the stored pair first, that pair becomes the current one.
   */
  readonly rotate: Effect.Effect<KeyPair, SecurityError>
  /** Replaces the current pair by `pair` without storing it. The age of `pair` counts from now. */
  readonly replace: (pair: Effect.Effect<KeyPair, SecurityError>) => Effect.Effect<KeyPair, SecurityError>
  /** Removes the stored pair and releases the current one. The next lease generates another pair. */
  readonly forget: Effect.Effect<void, SecurityError>
  /** Subscribes to the events from now on. A subscriber more than 64 events behind misses the oldest. */
  readonly events: Effect.Effect<Queue.Dequeue<KeyEvent>, never, Scope.Scope>
}

/**
 * The client's key pair, as a service.
 *
 * @since 0.2.0
 * @category tags
 */
export class KeyRing extends Context.Tag("nomyo-js/KeyRing")<KeyRing, Service>() {}

const publishPair = (
  events: EventHub<KeyEvent>,
  _tag: "Generated" | "Loaded" | "Rotated",
  { publicKey }: KeyPair
): Effect.Effect<void> => events.publish({ _tag, fingerprint: publicKey.fingerprint })

/** Loads or generates the first pair, and publishes which. */
const acquireFirst = (
  dependencies: StoreDependencies,
  events: EventHub<KeyEvent>
): Effect.Effect<KeyPair, SecurityError> =>
  Effect.flatMap(loadOrGenerate(dependencies), ({ isGenerated, pair }) =>
    Effect.as(publishPair(events, isGenerated ? "Generated" : "Loaded", pair), pair))

const rotationOf = (
  dependencies: StoreDependencies,
  events: EventHub<KeyEvent>,
  epochs: Epochs,
  changes: Effect.Semaphore
): RotationDependencies => ({
  epochs,
  changes,
  generate: (old) => Effect.map(generate(dependencies, old), ({ pair }) => pair),
  onRotated: (pair) => publishPair(events, "Rotated", pair),
  onFailed: (current, error) =>
    events.publish({ _tag: "RotationFailed", fingerprint: current?.publicKey.fingerprint, error })
})

/** A pair whose age counts from now. */
const madeNow = (pair: Effect.Effect<KeyPair, SecurityError>): Effect.Effect<KeyPair, SecurityError> =>
  Effect.zipWith(pair, Clock.currentTimeMillis, (pair, createdAt) => ({ ...pair, createdAt }))

/**
 * A key ring that rotates its pair until the scope closes, and destroys it then.
 *
 * @internal
 */
export const make = Effect.fnUntraced(function*(
  { keyRotationInterval, keySize }: Pick<NomyoConfig, "keySize" | "keyRotationInterval">
): Effect.fn.Return<Service, never, Crypto | KeyStore | Scope.Scope> {
  const crypto = yield* Crypto
  const store = yield* KeyStore
  // closes last: the finalizers before it end every fiber that waits for a pair
  const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
  const events = yield* makeEventHub<KeyEvent>()
  const dependencies: StoreDependencies = { crypto, store, keySize }

  // Two locks: a rotation holds `changes` while it leases, and the first lease takes `storing`. The latter
  // keeps a pair that is being generated from being stored after it was forgotten, where the store has no
  // lock of its own.
  const changes = yield* Effect.makeSemaphore(1)
  const storing = yield* Effect.makeSemaphore(1)
  const exclusively = <A>(effect: Effect.Effect<A, SecurityError>) =>
    storing.withPermits(1)(store.exclusively(effect))

  const epochs = yield* makeEpochs({
    scope,
    acquireFirst: exclusively(acquireFirst(dependencies, events)),
    destroy: ({ privateKey }) => crypto.destroy(privateKey)
  })
  const rotation = rotationOf(dependencies, events, epochs, changes)
  if (Duration.isFinite(keyRotationInterval)) yield* startRotation(rotation, keyRotationInterval)

  const publishLoaded = (pair: KeyPair) => publishPair(events, "Loaded", pair)
  const removeStored = exclusively(Effect.uninterruptible(Effect.zipRight(store.remove, epochs.reset)))
  return {
    lease: epochs.lease,
    rotate: rotate(rotation),
    replace: (pair) => changes.withPermits(1)(epochs.replaceWith(madeNow(pair), publishLoaded)),
    forget: changes.withPermits(1)(removeStored),
    events: events.subscribe
  }
})

/**
 * Provides `KeyRing`, which generates keys of `keySize` bits, by default 4096, and rotates them after
 * `keyRotationInterval`, by default 24 hours. `NomyoClient.layerParts` includes this layer.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = (config: NomyoConfig): Layer.Layer<KeyRing, never, Crypto | KeyStore> =>
  Layer.scoped(KeyRing, make(config))
