import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { makeFairSemaphore } from "./fibers/fairSemaphore.js"

/**
 * The service's limit on the requests under one API key (protocol.md, "Limits of the service"): 2 in a
 * second, and up to 4 in one second out of ten. A client waits by this rule and the development router
 * refuses by it, over any second, wherever it begins.
 */
const SUSTAINED = 2
const BURST = 4
const SECOND = 1000
/** Seconds from the beginning of one burst to the beginning of the next. */
const APART = 10
/**
 * A client's second, in milliseconds. It is longer than the router's, since the network may delay one request
 * more than the next.
 */
const CLIENT_SECOND = 1100
const MARGIN = CLIENT_SECOND - SECOND
/**
 * As much as a request may have been delayed on a busy machine, in milliseconds. An answer that takes longer
 * is taken for a model at work.
 */
const LONGEST_DELAY = 400
/** How often one request looks at the limit. */
const ROUNDS = 3

/** The past requests that decide about the next one, in milliseconds of one clock. */
export interface History {
  /** The times at which the last four requests passed, the oldest first. */
  readonly passed: ReadonlyArray<number>
  /** The beginning of the last second in which more than two requests passed. */
  readonly burst: number
}

export const none: History = { passed: [], burst: Number.NEGATIVE_INFINITY }

/** The time from which on the last second holds fewer than `limit` requests. */
const below = (limit: number, { passed }: History, second: number): number =>
  (passed.at(-limit) ?? Number.NEGATIVE_INFINITY) + second

/** The earliest time, within a second from `now`, at which the limit allows one more request. */
export const earliest = (history: History, now: number, second = SECOND): number => {
  const at = Math.max(now, below(BURST, history, second))
  const calm = below(SUSTAINED, history, second)
  const mayBurst = at < history.burst + second || calm >= history.burst + (APART + 1) * second
  // no wait is longer than a second, even if the clock was set back
  return Math.min(mayBurst ? at : Math.max(at, calm), now + second)
}

/** The history after one more request has passed. */
export const pass = (history: History, at: number, second = SECOND): History => ({
  passed: [...history.passed.slice(1 - BURST), at],
  burst: at < below(SUSTAINED, history, second) && at >= history.burst + second
    ? history.passed.at(-SUSTAINED)!
    : history.burst
})

/**
 * The history in which the request that passed at `at` had its answer at `answered`. The router counted it
 * at some time in between: the latest one is assumed.
 */
const settle = (history: History, at: number, answered: number): History => {
  const index = history.passed.indexOf(at)
  if (index < 0) return history
  const latest = Math.max(at, Math.min(answered - MARGIN, at + LONGEST_DELAY))
  return { ...history, passed: history.passed.with(index, latest).toSorted((a, b) => a - b) }
}

/**
 * Waits for the limit before an effect, and counts it. An interrupted wait uses up nothing of the limit.
 */
type RateLimiter = <A, E, R>(exchange: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Lets exchanges begin as the limit allows, in order. */
export const makeRateLimiter = (): RateLimiter => {
  let history = none
  const take = Effect.gen(function*() {
    let now = yield* Clock.currentTimeMillis
    // an answer in between may move the time; a clock that was set back must not move it for ever
    for (let round = 0; round < ROUNDS; round++) {
      const at = earliest(history, now, CLIENT_SECOND)
      if (at <= now) break
      yield* Effect.sleep(at - now)
      now = Math.max(at, yield* Clock.currentTimeMillis)
    }
    history = pass(history, now, CLIENT_SECOND)
    return now
  })
  const inOrder = makeFairSemaphore(1)(take)
  const note = (at: number) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      history = settle(history, at, now)
    })
  return (exchange) => Effect.flatMap(inOrder, (at) => Effect.ensuring(exchange, note(at)))
}
