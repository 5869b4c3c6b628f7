import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { makeFairSemaphore } from "./fibers/fairSemaphore.js"

/**
 * The service's limit on the requests under one API key (protocol.md, "Limits of the service"): 2 in a second, and up to 4 in one second
 * out of ten. A client waits by this rule and the development router refuses by it, over any second, wherever it begins.
 */
const SUSTAINED = 2
const BURST = 4
const SECOND = 1000
/** How many seconds a burst is apart from the next, from beginning to beginning. */
const APART = 10
/** A client's second, in milliseconds, is longer than the router's: the network does not take every request as long as the last. */
const CLIENT_SECOND = 1100

/** What decides about the next request, in milliseconds of one clock. */
export interface History {
  /** When the last four were let through, the oldest first. */
  readonly passed: ReadonlyArray<number>
  /** When the last second with more than two of them began. */
  readonly burst: number
}

export const none: History = { passed: [], burst: Number.NEGATIVE_INFINITY }

/** From when on the last second holds fewer than `limit` requests. */
const below = (limit: number, { passed }: History, second: number): number =>
  (passed.at(-limit) ?? Number.NEGATIVE_INFINITY) + second

/** The earliest time from `now` on at which the limit lets one more through: within a second. */
export const earliest = (history: History, now: number, second = SECOND): number => {
  const at = Math.max(now, below(BURST, history, second))
  const calm = below(SUSTAINED, history, second)
  const start = history.passed.at(-SUSTAINED) ?? now
  const mayBurst = at < history.burst + second || start >= history.burst + APART * second
  // a clock that was set back makes nobody wait for longer
  return Math.min(at >= calm || mayBurst ? at : calm, now + second)
}

/** The history after one more request was let through. */
export const pass = (history: History, at: number, second = SECOND): History => ({
  passed: [...history.passed.slice(1 - BURST), at],
  burst: at < below(SUSTAINED, history, second) && at >= history.burst + second
    ? history.passed.at(-SUSTAINED)!
    : history.burst
})

/** An effect that ends when it is the caller's turn to send a request. Who gives up waiting takes nothing from the others. */
export const makeRateLimiter = (): Effect.Effect<void> => {
  let history = none
  return makeFairSemaphore(1)(Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const at = earliest(history, now, CLIENT_SECOND)
    if (at > now) yield* Effect.sleep(at - now)
    history = pass(history, Math.max(at, yield* Clock.currentTimeMillis), CLIENT_SECOND)
  }))
}
