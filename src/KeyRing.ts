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
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { Crypto, type KeyPair } from "./Crypto.js"
import { makeSharedResource, type Shared } from "./internal/fibers/sharedResource.js"
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
 * What `KeyRing` does.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /**
   * Lends the current pair to `use`, for as long as that takes. The first lease loads or makes it; concurrent ones share that work, and it goes
   * on if they give up. A failure is not remembered.
   */
  readonly lease: <A, E, R>(use: (pair: KeyPair) => Effect.Effect<A, E, R>) => Effect.Effect<A, E | SecurityError, R>
  /**
   * Makes a new pair, stores it, and only then puts it in place of the current one. On failure the current one stays, and what is stored.
   * If another process has rotated the stored pair meanwhile, its pair is taken.
   */
  readonly rotate: Effect.Effect<KeyPair, SecurityError>
  /** Puts a pair in place of the current one, without storing it. Its age counts from now. */
  readonly replace: (pair: Effect.Effect<KeyPair, SecurityError>) => Effect.Effect<KeyPair, SecurityError>
  /** Removes the stored pair and lets go of the current one: the next lease makes another. */
  readonly forget: Effect.Effect<void, SecurityError>
  /** What happens from now on. A subscriber that falls more than 64 events behind misses the oldest. */
  readonly events: Effect.Effect<Queue.Dequeue<KeyEvent>, never, Scope.Scope>
}

/**
 * The client's key pair, as a service.
 *
 * @since 0.2.0
 * @category tags
 */
export class KeyRing extends Context.Tag("nomyo-js/KeyRing")<KeyRing, Service>() {}

/**
 * By which clock keys age and calls run out of time, given the fiber's own. Default: that one. On Node it is one whose timers do not keep the
 * process alive.
 *
 * @since 0.2.0
 * @category references
 */
export class BackgroundClock extends Context.Reference<BackgroundClock>()("nomyo-js/KeyRing/BackgroundClock", {
  defaultValue: () => (clock: Clock.Clock): Clock.Clock => clock
}) {}

/** How often the age is looked at, at least: timers stand still while a machine sleeps or a browser freezes a page. */
const LONGEST_SLEEP = Duration.minutes(10)
/** When to try again after a rotation failed. */
const RETRY_AFTER = Duration.minutes(1)
/** Events kept for a subscriber that is slow to take them. */
const EVENT_CAPACITY = 64

/** One pair's time in office. */
type Epoch = Shared<KeyPair, SecurityError>

/**
 * A key ring that rotates its pair until the scope closes, and destroys it then.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  config: Pick<NomyoConfig, "keySize" | "keyRotationInterval">
): Effect.fn.Return<Service, never, Crypto | KeyStore | Scope.Scope> {
  const crypto = yield* Crypto
  const store = yield* KeyStore
  // the last to close: who waits for a pair when it does is to be gone by then
  const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
  // a `PubSub` would do the same for 2.5 kB more in a browser, gzipped
  const subscribers = new Set<Queue.Queue<KeyEvent>>()
  yield* Effect.addFinalizer(() => Effect.forEach(subscribers, Queue.shutdown, { discard: true }))
  const events = Effect.acquireRelease(
    Effect.tap(Queue.sliding<KeyEvent>(EVENT_CAPACITY), (queue) => Effect.sync(() => subscribers.add(queue))),
    (queue) => Effect.zipRight(Effect.sync(() => subscribers.delete(queue)), Queue.shutdown(queue))
  )
  const publish = (event: KeyEvent) =>
    // a subscriber may have shut its queue down, which would interrupt who offers to it
    Effect.forEach(subscribers, (queue) => Effect.unlessEffect(Queue.offer(queue, event), Queue.isShutdown(queue)), { discard: true })
  const tell = (_tag: "Generated" | "Loaded" | "Rotated") => ({ publicKey }: KeyPair) =>
    publish({ _tag, fingerprint: publicKey.fingerprint })

  /** A new pair in the store, in place of `replacing`; or the one that another process has put there. */
  const generate = (replacing: KeyPair | undefined) =>
    Effect.flatMap(crypto.generateKeyPair(config.keySize), (pair) =>
      store.save(pair, replacing).pipe(
        Effect.onError(() => crypto.destroy(pair.privateKey)),
        Effect.tap((kept) => kept === pair ? Effect.void : crypto.destroy(pair.privateKey)),
        Effect.map((kept) => ({ kept, isOurs: kept === pair }))
      ))

  // one at a time in this process too, where the store has no lock: what is being made would be stored after it was forgotten
  const storing = yield* Effect.makeSemaphore(1)
  const exclusively = <A, E, R>(effect: Effect.Effect<A, E, R>) => storing.withPermits(1)(store.exclusively(effect))

  const first = exclusively(Effect.gen(function*() {
    const stored = yield* store.load
    const { isOurs, kept } = Option.isSome(stored) ? { isOurs: false, kept: stored.value } : yield* generate(undefined)
    yield* tell(isOurs ? "Generated" : "Loaded")(kept)
    return kept
  }))

  const epochOf = (acquire: Effect.Effect<KeyPair, SecurityError>): Epoch =>
    makeSharedResource(scope, Effect.tap(acquire, ({ privateKey }) => Effect.addFinalizer(() => crypto.destroy(privateKey))))

  const inUse = yield* Effect.makeLatch()
  const firstEpoch = () => epochOf(Effect.zipLeft(first, inUse.open))
  let current = firstEpoch()
  const lease: Service["lease"] = (use) => Effect.uninterruptibleMask((restore) => current.lease(restore, use))

  /** Begins another epoch: the pair of the one before lives on with its leases. */
  const begin = (next: Epoch) =>
    Effect.uninterruptible(Effect.suspend(() => {
      const previous = current
      current = next
      return previous.retire
    }))

  const oneAtATime = yield* Effect.makeSemaphore(1)
  const replaceWith = (acquire: Effect.Effect<KeyPair, SecurityError>, event: "Loaded" | "Rotated") =>
    Effect.suspend(() => {
      const next = epochOf(acquire)
      // together: a pair in use that nobody looks after would never be rotated
      const takeOver = Effect.uninterruptible(Effect.zipRight(inUse.open, begin(next)))
      return Effect.uninterruptibleMask((restore) =>
        next.lease(restore, (pair) => Effect.as(Effect.zipRight(takeOver, tell(event)(pair)), pair))
      ).pipe(
        Effect.ensuring(Effect.suspend(() => current === next ? Effect.void : next.retire))
      )
    })

  const replace = (acquire: Effect.Effect<KeyPair, SecurityError>) =>
    Effect.zipWith(acquire, Clock.currentTimeMillis, (pair, createdAt) => ({ ...pair, createdAt })).pipe(
      (adopted) => replaceWith(adopted, "Loaded"),
      oneAtATime.withPermits(1)
    )

  const retire = Effect.zipRight(inUse.close, Effect.suspend(() => begin(firstEpoch())))
  const forget = oneAtATime.withPermits(1)(exclusively(Effect.uninterruptible(Effect.zipRight(store.remove, retire))))

  const failed = (fingerprint: string | undefined) => (error: SecurityError) =>
    publish({ _tag: "RotationFailed", fingerprint, error })

  /** Rotates the current pair, which must be readable for that, if it is as old as `age`. Gives the pair in use afterwards. */
  const rotateAt = (age: Duration.Duration) =>
    lease((old) =>
      ageOf(old).pipe(
        Effect.flatMap((itsAge) =>
          Duration.lessThan(itsAge, age) ? Effect.succeed(old) : replaceWith(Effect.map(generate(old), ({ kept }) => kept), "Rotated")
        ),
        Effect.tapError(failed(old.publicKey.fingerprint)),
        // or the failure would be told again
        Effect.exit
      )
    ).pipe(Effect.tapError(failed(undefined)), Effect.flatten)

  const ageOf = (pair: KeyPair) =>
    Effect.map(Clock.currentTimeMillis, (now) => Duration.millis(Math.max(0, now - pair.createdAt)))

  /** Rotates if it is time; gives the time until the next look. */
  const rotateIfDue = rotateAt(config.keyRotationInterval).pipe(
    Effect.flatMap(ageOf),
    Effect.map((age) => Duration.subtract(config.keyRotationInterval, age)),
    // the pair may have been forgotten since this was due: to ask for it would make another
    Effect.when(() => current.isAcquired()),
    Effect.map(Option.getOrElse(() => RETRY_AFTER)),
    oneAtATime.withPermits(1),
    Effect.catchAllCause((cause) => {
      const why = Option.match(Cause.failureOption(cause), { onNone: () => "an unexpected failure", onSome: (error) => error.message })
      return Effect.as(Effect.logWarning(`The client's key pair was not rotated: ${why}`), RETRY_AFTER)
    })
  )

  if (Duration.isFinite(config.keyRotationInterval)) {
    const untilNextLook = Schedule.addDelay(Schedule.identity<Duration.Duration>(), Duration.min(LONGEST_SLEEP))
    const rotation = Effect.repeat(Effect.zipRight(inUse.await, rotateIfDue), untilNextLook)
    const rotationClock = yield* BackgroundClock
    yield* Effect.forkScoped(Effect.clockWith((clock) => Effect.withClock(rotation, rotationClock(clock))))
  }

  return { lease, rotate: oneAtATime.withPermits(1)(rotateAt(Duration.zero)), replace, forget, events }
})

/**
 * `make` as a layer.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = (config: NomyoConfig): Layer.Layer<KeyRing, never, Crypto | KeyStore> => Layer.scoped(KeyRing, make(config))
