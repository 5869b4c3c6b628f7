/**
 * The client's key pair: loaded or made on first use, leased to requests, replaced as it ages.
 *
 * The answer to a request is sealed to the public key that the request carried, so a pair that has been replaced lives on until the
 * last request that leased it is done, and is destroyed then.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RcMap from "effect/RcMap"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Crypto, type KeyPair } from "./Crypto.js"
import { KeyStore } from "./KeyStore.js"
import type { NomyoConfig } from "./NomyoConfig.js"
import type { SecurityError } from "./NomyoError.js"

/**
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /**
   * The current pair, which stays usable until the scope closes. The first lease loads or makes it; concurrent ones share that work,
   * and it goes on if they give up. A failure is not remembered.
   */
  readonly lease: Effect.Effect<KeyPair, SecurityError, Scope.Scope>
  /** Makes a new pair, stores it, and only then puts it in place of the current one. On failure the current one stays. */
  readonly rotate: Effect.Effect<KeyPair, SecurityError>
  /** Puts a pair in place of the current one, without storing it. */
  readonly replace: (pair: Effect.Effect<KeyPair, SecurityError>) => Effect.Effect<KeyPair, SecurityError>
}

/**
 * @since 0.2.0
 * @category tags
 */
export class KeyRing extends Context.Tag("nomyo-js/KeyRing")<KeyRing, Service>() {}

/**
 * The clock by which keys age, if not the fiber's own. On Node it is one whose timers do not keep the process alive.
 *
 * @since 0.2.0
 * @category references
 */
export class RotationClock extends Context.Reference<RotationClock>()("nomyo-js/KeyRing/RotationClock", {
  defaultValue: () => Option.none<Clock.Clock>()
}) {}

/** How often the age is looked at, at least: timers stand still while a machine sleeps, and none is longer than 24.8 days. */
const LONGEST_SLEEP = Duration.hours(1)
/** When to try again after a rotation failed. */
const RETRY_AFTER = Duration.minutes(1)

/** One pair's time in office. Its identity is the key under which the pair is shared. */
interface Epoch {
  readonly acquire: Effect.Effect<KeyPair, SecurityError>
}

/**
 * @since 0.2.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  config: Pick<NomyoConfig, "keySize" | "keyRotationInterval">
): Effect.fn.Return<Service, never, Crypto | KeyStore | Scope.Scope> {
  const crypto = yield* Crypto
  const store = yield* KeyStore

  const generate = Effect.tap(
    crypto.generateKeyPair(config.keySize),
    // half a write would be worse than a late end
    (pair) => Effect.uninterruptible(store.save(pair))
  )
  const loadOrGenerate = Effect.flatMap(store.load, Option.match({ onNone: () => generate, onSome: Effect.succeed }))

  const current = yield* Ref.make<Epoch>({ acquire: loadOrGenerate })
  const pairs: RcMap.RcMap<Epoch, KeyPair, SecurityError> = yield* RcMap.make({
    lookup: (epoch: Epoch) =>
      epoch.acquire.pipe(
        Effect.tap((pair) => Effect.addFinalizer(() => crypto.destroy(pair.privateKey))),
        Effect.tapErrorCause(() => RcMap.invalidate(pairs, epoch))
      ),
    idleTimeToLive: Duration.infinity
  })

  const inUse = yield* Effect.makeLatch()
  const lease = Effect.tap(
    Effect.flatMap(Ref.get(current), (epoch) => RcMap.get(pairs, epoch)),
    () => inUse.open
  )

  const oneAtATime = yield* Effect.makeSemaphore(1)
  const replace = (acquire: Effect.Effect<KeyPair, SecurityError>) =>
    Effect.gen(function*() {
      const next: Epoch = { acquire }
      const pair = yield* Effect.onInterrupt(RcMap.get(pairs, next), () => RcMap.invalidate(pairs, next))
      const previous = yield* Ref.getAndSet(current, next)
      yield* RcMap.invalidate(pairs, previous)
      yield* inUse.open
      return pair
    }).pipe(Effect.scoped, oneAtATime.withPermits(1))
  const rotate = replace(generate)

  /** Rotates if it is time; gives the time until the next look. */
  const rotateIfDue = Effect.gen(function*() {
    const { createdAt } = yield* Effect.scoped(lease)
    const age = Duration.millis(Math.max(0, (yield* Clock.currentTimeMillis) - createdAt))
    if (Duration.lessThan(age, config.keyRotationInterval)) return Duration.subtract(config.keyRotationInterval, age)
    yield* rotate
    yield* Effect.logDebug("The client's key pair was rotated")
    return config.keyRotationInterval
  }).pipe(
    Effect.catchAll((error) =>
      Effect.as(Effect.logWarning(`The client's key pair was not rotated: ${error.message}`), RETRY_AFTER)
    )
  )

  if (Duration.isFinite(config.keyRotationInterval)) {
    const untilNextLook = Schedule.addDelay(Schedule.identity<Duration.Duration>(), Duration.min(LONGEST_SLEEP))
    const rotation = Effect.zipRight(inUse.await, Effect.repeat(rotateIfDue, untilNextLook))
    const clock = yield* RotationClock
    yield* Effect.forkScoped(Option.match(clock, { onNone: () => rotation, onSome: (clock) => Effect.withClock(rotation, clock) }))
  }

  return { lease, rotate, replace }
})

/**
 * @since 0.2.0
 * @category layers
 */
export const layer = (config: NomyoConfig): Layer.Layer<KeyRing, never, Crypto | KeyStore> => Layer.scoped(KeyRing, make(config))
