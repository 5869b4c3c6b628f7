/**
 * The client's key pair: loaded or made on first use, leased to requests, replaced as it ages.
 *
 * The answer to a request is sealed to the public key that the request carried, so a pair that has been replaced lives on until the
 * last request that leased it is done, and is destroyed then.
 *
 * @since 0.2.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import type * as Queue from "effect/Queue"
import * as RcMap from "effect/RcMap"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Crypto, type KeyPair } from "./Crypto.js"
import { KeyStore } from "./KeyStore.js"
import type { NomyoConfig } from "./NomyoConfig.js"
import type { SecurityError } from "./NomyoError.js"

/**
 * What happened to the client's key pair. `fingerprint` is that of the pair in use afterwards, absent if there is none.
 *
 * @since 0.2.0
 * @category models
 */
export type KeyEvent =
  | { readonly _tag: "Generated" | "Loaded" | "Rotated"; readonly fingerprint: string }
  | { readonly _tag: "RotationFailed"; readonly fingerprint: string | undefined; readonly error: SecurityError }

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
  /** Puts a pair in place of the current one, without storing it. Its age counts from now. */
  readonly replace: (pair: Effect.Effect<KeyPair, SecurityError>) => Effect.Effect<KeyPair, SecurityError>
  /** What happens from now on. A subscriber that falls more than 64 events behind misses the oldest. */
  readonly events: Effect.Effect<Queue.Dequeue<KeyEvent>, never, Scope.Scope>
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
/** Events kept for a subscriber that is slow to take them. */
const EVENT_CAPACITY = 64

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
  const events = yield* Effect.acquireRelease(PubSub.sliding<KeyEvent>(EVENT_CAPACITY), PubSub.shutdown)
  const tell = (_tag: "Generated" | "Loaded" | "Rotated") => ({ publicKey }: KeyPair) =>
    PubSub.publish(events, { _tag, fingerprint: publicKey.fingerprint })

  const generate = crypto.generateKeyPair(config.keySize)

  /** Another process may store its pair while this one makes its own: the first one stored is used by both. */
  const generateFirst = Effect.gen(function*() {
    const pair = yield* generate
    const kept = yield* store.saveFirst(pair)
    if (kept === pair) return yield* Effect.tap(Effect.succeed(pair), tell("Generated"))
    yield* crypto.destroy(pair.privateKey)
    return yield* Effect.tap(Effect.succeed(kept), tell("Loaded"))
  })
  const first = Effect.flatMap(
    store.load,
    Option.match({ onNone: () => generateFirst, onSome: (pair) => Effect.tap(Effect.succeed(pair), tell("Loaded")) })
  )

  const oneAtATime = yield* Effect.makeSemaphore(1)
  const current = yield* Ref.make<Epoch>({ acquire: oneAtATime.withPermits(1)(first) })
  const pairs: RcMap.RcMap<Epoch, KeyPair, SecurityError> = yield* RcMap.make({
    lookup: (epoch: Epoch) =>
      epoch.acquire.pipe(
        Effect.tap((pair) => Effect.addFinalizer(() => crypto.destroy(pair.privateKey))),
        Effect.tapErrorCause(() => RcMap.invalidate(pairs, epoch))
      ),
    idleTimeToLive: Duration.infinity
  })

  const inUse = yield* Effect.makeLatch()
  const lease = Effect.gen(function*() {
    const epoch = yield* Ref.get(current)
    const pair = yield* RcMap.get(pairs, epoch)
    // a rotation may have come between the two: nothing must keep the pair alive but this lease
    if ((yield* Ref.get(current)) !== epoch) yield* RcMap.invalidate(pairs, epoch)
    yield* inUse.open
    return pair
  })

  const replaceWith = (acquire: Effect.Effect<KeyPair, SecurityError>, event: "Loaded" | "Rotated") =>
    Effect.gen(function*() {
      const next: Epoch = { acquire }
      const pair = yield* Effect.onInterrupt(RcMap.get(pairs, next), () => RcMap.invalidate(pairs, next))
      const previous = yield* Ref.getAndSet(current, next)
      yield* RcMap.invalidate(pairs, previous)
      yield* inUse.open
      yield* tell(event)(pair)
      return pair
    }).pipe(Effect.scoped, oneAtATime.withPermits(1))

  const rotate = replaceWith(Effect.tap(generate, store.save), "Rotated").pipe(
    Effect.tapError((error) =>
      Effect.flatMap(currentFingerprint, (fingerprint) => PubSub.publish(events, { _tag: "RotationFailed", fingerprint, error }))
    )
  )

  /** Without loading or making a pair to tell it of. */
  const currentFingerprint = Effect.gen(function*() {
    const epoch = yield* Ref.get(current)
    if (!(yield* RcMap.has(pairs, epoch))) return undefined
    const pair = yield* Effect.option(Effect.scoped(RcMap.get(pairs, epoch)))
    return Option.getOrUndefined(pair)?.publicKey.fingerprint
  })

  const ageOf = (pair: KeyPair) =>
    Effect.map(Clock.currentTimeMillis, (now) => Duration.millis(Math.max(0, now - pair.createdAt)))

  /** Rotates if it is time; gives the time until the next look. */
  const rotateIfDue = Effect.gen(function*() {
    const interval = config.keyRotationInterval
    const pair = yield* Effect.scoped(lease)
    const age = yield* ageOf(pair)
    if (Duration.lessThan(age, interval)) return Duration.subtract(interval, age)
    // another process with the same store may have rotated already
    const stored = yield* store.load
    if (Option.isSome(stored) && Duration.lessThan(yield* ageOf(stored.value), interval)) {
      const replaced = yield* replaceWith(Effect.succeed(stored.value), "Loaded")
      return Duration.subtract(interval, yield* ageOf(replaced))
    }
    if (Option.isSome(stored)) yield* crypto.destroy(stored.value.privateKey)
    yield* rotate
    return interval
  }).pipe(
    Effect.catchAllCause((cause) => {
      if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
      const why = Option.match(Cause.failureOption(cause), { onNone: () => "an unexpected failure", onSome: (error) => error.message })
      return Effect.as(Effect.logWarning(`The client's key pair was not rotated: ${why}`), RETRY_AFTER)
    })
  )

  if (Duration.isFinite(config.keyRotationInterval)) {
    const untilNextLook = Schedule.addDelay(Schedule.identity<Duration.Duration>(), Duration.min(LONGEST_SLEEP))
    const rotation = Effect.zipRight(inUse.await, Effect.repeat(rotateIfDue, untilNextLook))
    const clock = yield* RotationClock
    yield* Effect.forkScoped(Option.match(clock, { onNone: () => rotation, onSome: (clock) => Effect.withClock(rotation, clock) }))
  }

  return {
    lease,
    rotate,
    replace: (acquire) =>
      replaceWith(Effect.zipWith(acquire, Clock.currentTimeMillis, (pair, createdAt) => ({ ...pair, createdAt })), "Loaded"),
    events: PubSub.subscribe(events)
  }
})

/**
 * @since 0.2.0
 * @category layers
 */
export const layer = (config: NomyoConfig): Layer.Layer<KeyRing, never, Crypto | KeyStore> => Layer.scoped(KeyRing, make(config))
