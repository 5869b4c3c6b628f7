import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"

/**
 * The clock of work that goes on beside your program: key rotation and deadlines. It is made from the fiber's
 * own clock, which it is by default. On Node its timers do not keep the process alive.
 */
export class BackgroundClock extends Context.Reference<BackgroundClock>()("nomyo-js/BackgroundClock", {
  defaultValue: () => (clock: Clock.Clock): Clock.Clock => clock
}) {}
