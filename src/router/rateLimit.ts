import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as RateLimit from "../internal/rateLimit.js"
import { fromStatus } from "../internal/errors.js"
import type { HttpError } from "../NomyoError.js"

/** This many refusals in ten seconds are taken for abuse. The service does not say how many it takes. */
const ABUSE = 100
const ABUSE_WINDOW = 10_000
/**
 * As long as the service locks a key out that is abused (protocol.md, "Limits of the service"), in
 * milliseconds.
 */
const COOL_DOWN = 30 * 60 * 1000
/** API keys whose requests are counted. */
const MAX_API_KEYS = 1000

interface Account {
  history: RateLimit.History
  refusals: ReadonlyArray<number>
  lockedUntil: number
}

/** Counts a refused request. */
const refuse = (account: Account, now: number, at: number): HttpError => {
  const recent = account.refusals.filter((refusal) => now - refusal < ABUSE_WINDOW)
  account.refusals = [...recent, now].slice(-ABUSE)
  if (account.refusals.length === ABUSE) account.lockedUntil = now + COOL_DOWN
  const locked = account.lockedUntil - now
  return locked > 0
    ? fromStatus({ statusCode: 503, message: "Too many requests, for too long", retryAfter: locked })
    : fromStatus({ statusCode: 429, message: "Too many requests", retryAfter: at - now })
}

/**
 * Fails for a request of an API key that has to wait: with a 429, or with a 503 for a key that is locked out.
 */
export const makeRateLimit = (): ((apiKey: string) => Effect.Effect<void, HttpError>) => {
  const accounts = new Map<string, Account>()
  return Effect.fnUntraced(function*(apiKey: string) {
    const now = yield* Clock.currentTimeMillis
    const account = accounts.get(apiKey) ?? { history: RateLimit.none, refusals: [], lockedUntil: 0 }
    accounts.set(apiKey, account)
    if (accounts.size > MAX_API_KEYS) accounts.delete(accounts.keys().next().value!)
    const at = RateLimit.earliest(account.history, now)
    if (now < account.lockedUntil || at > now) return yield* Effect.fail(refuse(account, now, at))
    account.history = RateLimit.pass(account.history, now)
  })
}
