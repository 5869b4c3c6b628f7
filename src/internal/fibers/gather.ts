import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"

/**
 * Gathers the texts of `next`: a first one, and those of the `time` after it, until there are `length`
 * characters. A failure of `next` comes after the texts before it. Reads ahead by one text at most.
 */
export const gather = <E, R>(
  next: Effect.Effect<string, E, R>,
  time: Duration.DurationInput,
  length: number
): Effect.Effect<Effect.Effect<string, E, R>, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    let text = ""
    let isDue = false
    /** Goes on while its texts are passed on, and ends after one more. */
    let reading: Fiber.Fiber<void, E> | undefined
    const step = (more: string) => {
      text += more
    }
    const readOn = Effect.whileLoop({ while: () => !isDue && text.length < length, body: () => next, step })
    return Effect.gen(function*() {
      if (reading !== undefined) yield* Fiber.join(reading)
      if (text === "") step(yield* next)
      isDue = false
      reading = yield* Effect.forkIn(readOn, scope)
      yield* Effect.timeoutOption(Fiber.await(reading), time)
      isDue = true
      const gathered = text
      text = ""
      return gathered
    })
  })
