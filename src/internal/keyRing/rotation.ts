import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { KeyPair } from "../../Crypto.js"
import type { SecurityError } from "../../NomyoError.js"
import { BackgroundClock } from "../fibers/backgroundClock.js"
import { keyAge } from "../keyAge.js"
import type { Epochs } from "./epochs.js"

/**
 * The longest time between two looks at the age: timers stand still while a machine sleeps or a browser
 * freezes a page.
 */
const LONGEST_SLEEP = Duration.minutes(10)
/** The time from a failed rotation to the next attempt. */
const RETRY_AFTER = Duration.minutes(1)

export interface RotationDependencies {
  readonly epochs: Epochs
  /** Allows one change of the current pair at a time. */
  readonly changes: Effect.Semaphore
  /** Generates and stores a pair in place of `old`. */
  readonly generate: (old: KeyPair) => Effect.Effect<KeyPair, SecurityError>
  readonly onRotated: (pair: KeyPair) => Effect.Effect<void>
  /** Receives the current pair, if it could be read. */
  readonly onFailed: (current: KeyPair | undefined, error: SecurityError) => Effect.Effect<void>
}

const ageOf = ({ createdAt }: KeyPair): Effect.Effect<Duration.Duration> =>
  Effect.map(Clock.currentTimeMillis, (now) => Duration.millis(keyAge(createdAt, now)))

/** Rotates `old` if it is as old as `age`. Returns the pair in use afterwards. */
const rotateIfAged = (
  { epochs, generate, onRotated }: RotationDependencies,
  old: KeyPair,
  age: Duration.Duration
): Effect.Effect<KeyPair, SecurityError> =>
  Effect.flatMap(ageOf(old), (itsAge) =>
    Duration.lessThan(itsAge, age) ? Effect.succeed(old) : epochs.replaceWith(generate(old), onRotated))

/** Rotates the current pair if it is as old as `age`. A pair that cannot be read is not replaced. */
const rotateAt = (
  dependencies: RotationDependencies,
  age: Duration.Duration
): Effect.Effect<KeyPair, SecurityError> => {
  const { epochs, onFailed } = dependencies
  const rotateLeased = (old: KeyPair) =>
    rotateIfAged(dependencies, old, age).pipe(
      Effect.tapError((error) => onFailed(old, error)),
      // a value, so that a failed rotation is not reported as a failed lease too
      Effect.exit
    )
  return epochs.lease(rotateLeased).pipe(
    Effect.tapError((error) => onFailed(undefined, error)),
    Effect.flatten
  )
}

/** Rotates the current pair now, whatever its age. */
export const rotate = (dependencies: RotationDependencies): Effect.Effect<KeyPair, SecurityError> =>
  dependencies.changes.withPermits(1)(rotateAt(dependencies, Duration.zero))

const logFailure = (cause: Cause.Cause<SecurityError>): Effect.Effect<void> => {
  const why = Option.match(Cause.failureOption(cause), {
    onNone: () => "an unexpected failure",
    onSome: (error) => error.message
  })
  return Effect.logWarning(`The client's key pair was not rotated: ${why}`)
}

/** Rotates the current pair if it is due. Returns the time until the next look. */
const rotateIfDue = (
  dependencies: RotationDependencies,
  interval: Duration.Duration
): Effect.Effect<Duration.Duration> =>
  rotateAt(dependencies, interval).pipe(
    Effect.flatMap(ageOf),
    Effect.map((age) => Duration.subtract(interval, age)),
    // a lease of a pair that was removed in between would generate another
    Effect.when(() => dependencies.epochs.isAcquired()),
    Effect.map(Option.getOrElse(() => RETRY_AFTER)),
    dependencies.changes.withPermits(1),
    Effect.catchAllCause((cause) => Effect.as(logFailure(cause), RETRY_AFTER))
  )

/** Rotates the pair whenever it is as old as `interval`, until the scope closes, by the background clock. */
export const startRotation = (
  dependencies: RotationDependencies,
  interval: Duration.Duration
): Effect.Effect<void, never, Scope.Scope> => {
  const untilNextLook = Schedule.addDelay(Schedule.identity<Duration.Duration>(), Duration.min(LONGEST_SLEEP))
  const look = Effect.zipRight(dependencies.epochs.awaitUse, rotateIfDue(dependencies, interval))
  return Effect.gen(function*() {
    const clock = (yield* BackgroundClock)(yield* Effect.clock)
    yield* Effect.forkScoped(Effect.withClock(Effect.repeat(look, untilNextLook), clock))
  })
}
