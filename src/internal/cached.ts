import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { APIConnectionError, type InvalidRequestError } from "../NomyoError.js"
import type { TransportError } from "../Transport.js"
import { makeSharedResource } from "./fibers/sharedResource.js"

/** A router's key and the time of its fetch, in milliseconds since 1970. */
export interface Dated<A> {
  readonly key: A
  readonly fetchedAt: number
}

/** A router's published value, fetched on demand and cached. */
export interface Cached<A, E> {
  /**
   * Returns the cached key at once, or `undefined` if it is stale. A key that is almost stale is fetched
   * again in the background.
   */
  readonly cached: Effect.Effect<Dated<A> | undefined>
  /**
   * Returns the cached key, or fetches it if it is stale. Concurrent callers share one request. A failure is
   * not cached.
   */
  readonly get: Effect.Effect<Dated<A>, E>
  /** Fetches the key now. Concurrent callers share one request. */
  readonly refetch: Effect.Effect<Dated<A>, E>
}

/** How long a key is used, and how long a fetch may take. */
interface Times {
  readonly routerKeyTtl: Duration.Duration
  readonly timeout: Duration.Duration
}

/**
 * The fraction of `routerKeyTtl` after which a key in use is fetched again, so that no request has to wait
 * for it.
 */
const REFRESH_AFTER = 0.8

const timedOut = (timeout: Duration.Duration) => () =>
  new APIConnectionError({
    reason: "timeout",
    message: `The router did not send its public key within ${Duration.format(timeout)}. ` +
      "Check baseUrl and the network, or raise timeout"
  })

/** Caches the result of `fetch` until the scope closes. */
export const makeCached = Effect.fnUntraced(function*<A, E>(
  fetch: Effect.Effect<A, E>,
  { routerKeyTtl, timeout }: Times,
  /** The time that the router lets clients keep what it published, in milliseconds. */
  maxAgeOf: (key: A) => number = () => Number.POSITIVE_INFINITY
): Effect.fn.Return<Cached<A, E | APIConnectionError>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  let cached: Dated<A> | undefined
  const keep = Effect.flatMap(fetch, (key) =>
    Effect.map(Clock.currentTimeMillis, (fetchedAt) => cached = { key, fetchedAt }))
  // later callers join a fetch, so it must not hang for ever
  const bounded = Effect.timeoutFail(keep, { duration: timeout, onTimeout: timedOut(timeout) })

  // retired from the start: a fetch lives while a caller waits for it, and concurrent callers share it
  const flight = makeSharedResource(scope, bounded)
  yield* flight.retire
  const refetch = Effect.uninterruptibleMask((restore) => flight.lease(restore, Effect.succeed))

  const fresh = Effect.clockWith((clock) => {
    const now = clock.unsafeCurrentTimeMillis()
    const ttl = cached === undefined ? 0 : Math.min(Duration.toMillis(routerKeyTtl), maxAgeOf(cached.key))
    // a clock that was set back does not make a key fresh again
    if (cached === undefined || now < cached.fetchedAt || now - cached.fetchedAt >= ttl) {
      return Effect.succeed(undefined)
    }
    return now - cached.fetchedAt < ttl * REFRESH_AFTER
      ? Effect.succeed(cached)
      : Effect.as(Effect.forkIn(Effect.ignore(refetch), scope), cached)
  })
  const get = Effect.flatMap(fresh, (key) => key === undefined ? refetch : Effect.succeed(key))
  return { cached: fresh, get, refetch }
})

/**
 * Fetches a router's key again after a 400. A connection that fails says nothing about the key, and may be
 * retried; if the router refuses its key, the 400 stands.
 */
export const refetchAfter = <A>(
  error: InvalidRequestError,
  refetch: Effect.Effect<A, TransportError>
): Effect.Effect<A, TransportError> =>
  Effect.mapError(refetch, (failure) =>
    failure._tag === "SecurityError" || failure._tag === "APIConnectionError" ? failure : error)
