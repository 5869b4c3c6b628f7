/**
 * Time on Node that does not keep a process alive.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { BackgroundClock } from "../../internal/fibers/backgroundClock.js"

const clock = Clock.make()

/**
 * The system's clock, with timers that Node does not wait for at its end.
 *
 * @since 0.2.0
 * @category constructors
 */
export const background: Clock.Clock = {
  [Clock.ClockTypeId]: Clock.ClockTypeId,
  unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis(),
  unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
  currentTimeMillis: clock.currentTimeMillis,
  currentTimeNanos: clock.currentTimeNanos,
  sleep: (duration) =>
    Effect.async((resume) => {
      const timer = setTimeout(() => resume(Effect.void), Duration.toMillis(duration)).unref()
      return Effect.sync(() => clearTimeout(timer))
    })
}

/**
 * The clock that every fiber begins with: one for the process, even where Effect is loaded twice, as the
 * bundle behind `nomyo-js` may do.
 */
const live = () => Effect.runSync(Effect.clock)

/**
 * A clock for rotation and deadlines whose timers do not keep a script running. It leaves other clocks, such
 * as a `TestClock`, in place.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerBackground: Layer.Layer<never> = Layer.succeed(
  BackgroundClock,
  (clock) => clock === live() ? background : clock
)
