import * as Effect from "effect/Effect"
import { ensuring } from "./acquire.js"

/**
 * Lends a number of permits, first come, first served. A semaphore of Effect's wakes all who wait whenever one permit comes back, and has a
 * fiber give way to others even where nobody has to wait.
 */
export const makeFairSemaphore = (count: number) => {
  let free = count
  const waiting = new Set<() => void>()
  const giveBack = () => {
    const [next] = waiting
    if (next === undefined) free++
    else {
      waiting.delete(next)
      next()
    }
  }
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.uninterruptibleMask((restore) => {
      const use = ensuring(restore(effect), giveBack)
      if (free > 0) {
        free--
        return use
      }
      let isOurs = false
      const wait = Effect.async<void>((resume) => {
        const next = () => {
          isOurs = true
          resume(Effect.void)
        }
        waiting.add(next)
        return Effect.sync(() => waiting.delete(next))
      })
      // a permit may come together with the interruption
      return Effect.zipRight(Effect.onInterrupt(restore(wait), () => isOurs ? Effect.sync(giveBack) : Effect.void), use)
    })
}
