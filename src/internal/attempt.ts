import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { ChatCompletionResponse } from "../ChatCompletion.js"
import type { Crypto, KeyPair } from "../Crypto.js"
import type * as KeyRing from "../KeyRing.js"
import type { InvalidRequestError } from "../NomyoError.js"
import type * as RouterKey from "../RouterKey.js"
import type { TransportError } from "../Transport.js"
import { exchange, type ExchangeDependencies, type Keys } from "./exchange.js"
import type { WithDeadline } from "./fibers/deadline.js"
import type { PreparedRequest } from "./preparedRequest.js"

export interface AttemptDependencies extends ExchangeDependencies {
  readonly keyRing: KeyRing.Service
  /** Bounds the number of exchanges at a time. */
  readonly withPermit: <A, E, R>(exchange: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Waits until the rate limit allows one more request. */
  readonly awaitRateLimit: Effect.Effect<void>
}

/** The router's key, perhaps in flight. */
type Fetched = Effect.Effect<RouterKey.CachedRouterKey, TransportError>
type Answer = Effect.Effect<ChatCompletionResponse, TransportError, Crypto>

/**
 * Waits for the rate limit with both keys there, so that requests leave as far apart as the limit demands.
 */
const exchangeInTime = (
  dependencies: AttemptDependencies,
  request: PreparedRequest,
  keys: Keys,
  withDeadline: WithDeadline
): Answer => Effect.zipRight(dependencies.awaitRateLimit, withDeadline(exchange(dependencies, request, keys)))

/**
 * Fetches the router's key again after a 400. A connection that fails says nothing about the key, and may be
 * retried; if the router refuses its key, the 400 stands.
 */
const refetchAfter = (
  error: InvalidRequestError,
  { target }: PreparedRequest,
  withDeadline: WithDeadline
): Effect.Effect<RouterKey.CachedRouterKey, TransportError> =>
  Effect.mapError(withDeadline(target.routerKey.refetch), (failure) =>
    failure._tag === "SecurityError" || failure._tag === "APIConnectionError" ? failure : error)

/** Seals the request again, if the router's key is another than the one that the 400 answered to. */
const exchangeAgain = (
  dependencies: AttemptDependencies,
  request: PreparedRequest,
  keys: Keys,
  withDeadline: WithDeadline,
  error: InvalidRequestError
): Answer =>
  Effect.flatMap(refetchAfter(error, request, withDeadline), (router) =>
    router.key.fingerprint === keys.router.key.fingerprint
      ? Effect.fail(error)
      : exchangeInTime(dependencies, request, { pair: keys.pair, router }, withDeadline))

/**
 * Exchanges once, and once more if the router has changed its key: it cannot read the request then, and
 * answers 400. A key that was fetched after the exchange began has not changed.
 */
const exchangeOrRekey = (
  dependencies: AttemptDependencies,
  request: PreparedRequest,
  keys: Keys,
  withDeadline: WithDeadline
): Answer =>
  Effect.flatMap(Clock.currentTimeMillis, (startedAt) => {
    const first = exchangeInTime(dependencies, request, keys, withDeadline)
    return Effect.catchTag(first, "InvalidRequestError", (error) =>
      keys.router.fetchedAt >= startedAt
        ? Effect.fail(error)
        : exchangeAgain(dependencies, request, keys, withDeadline, error))
  })

/**
 * Fetches the router's key in a fiber of its own, and gives what waits for it. (Not `Effect.all`, which hangs
 * if it is interrupted before it has begun to wait.)
 */
const startFetching = (
  routerKey: RouterKey.Service,
  withDeadline: WithDeadline
): Effect.Effect<Fetched> =>
  Effect.map(Effect.fork(Effect.exit(withDeadline(routerKey.get))), (fetching) =>
    Effect.flatten(Fiber.join(fetching)))

/**
 * One attempt: the whole path of a request, under one key pair and one deadline. It gets both keys at the
 * same time: to generate the client's own pair takes seconds, once, and the deadline does not count them.
 */
export const attempt = (
  dependencies: AttemptDependencies,
  request: PreparedRequest,
  withDeadline: WithDeadline
): Answer => {
  const { keyRing, withPermit } = dependencies
  const { routerKey } = request.target
  const exchangeUnder = (pair: KeyPair, fetched: Fetched) =>
    Effect.flatMap(fetched, (router) =>
      withPermit(exchangeOrRekey(dependencies, request, { pair, router }, withDeadline)))
  const leaseAndExchange = (fetched: Fetched) => keyRing.lease((pair) => exchangeUnder(pair, fetched))
  return Effect.flatMap(routerKey.cached, (cached) =>
    cached === undefined
      ? Effect.flatMap(startFetching(routerKey, withDeadline), leaseAndExchange)
      : leaseAndExchange(Effect.succeed(cached)))
}
