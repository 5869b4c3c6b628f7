import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { ChatCompletionResponse } from "../ChatCompletion.js"
import type { KeyPair } from "../Crypto.js"
import type * as KeyRing from "../KeyRing.js"
import type { InvalidRequestError } from "../NomyoError.js"
import type * as RouterKey from "../RouterKey.js"
import type { TransportError } from "../Transport.js"
import { refetchAfter } from "./cached.js"
import { exchange, type ExchangeDependencies, type Keys } from "./exchange.js"
import type { Request, Limits } from "../Protocol.js"

export interface AttemptDependencies extends ExchangeDependencies {
  readonly keyRing: KeyRing.Service
  readonly routerKey: RouterKey.Service
}

/** The router's key, perhaps in flight. */
type Fetched = Effect.Effect<RouterKey.CachedRouterKey, TransportError>
type Answer = Effect.Effect<ChatCompletionResponse, TransportError>

/**
 * Waits for the rate limit with both keys there, so that requests leave as far apart as the limit demands.
 */
const exchangeInTime = (
  dependencies: AttemptDependencies,
  request: Request,
  keys: Keys,
  { withDeadline, withRateLimit }: Limits
): Answer => withRateLimit(withDeadline(exchange(dependencies, request, keys)))

/** Seals the request again, if the router's key is another than the one that the 400 answered to. */
const exchangeAgain = (
  dependencies: AttemptDependencies,
  request: Request,
  keys: Keys,
  limits: Limits,
  error: InvalidRequestError
): Answer =>
  Effect.flatMap(refetchAfter(error, limits.withDeadline(dependencies.routerKey.refetch)), (router) =>
    router.key.fingerprint === keys.router.key.fingerprint
      ? Effect.fail(error)
      : exchangeInTime(dependencies, request, { pair: keys.pair, router }, limits))

/**
 * Exchanges once, and once more if the router has changed its key: it cannot read the request then, and
 * answers 400. A key that was fetched after the exchange began has not changed.
 */
const exchangeOrRekey = (
  dependencies: AttemptDependencies,
  request: Request,
  keys: Keys,
  limits: Limits
): Answer =>
  Effect.flatMap(Clock.currentTimeMillis, (startedAt) => {
    const first = exchangeInTime(dependencies, request, keys, limits)
    return Effect.catchTag(first, "InvalidRequestError", (error) =>
      keys.router.fetchedAt >= startedAt
        ? Effect.fail(error)
        : exchangeAgain(dependencies, request, keys, limits, error))
  })

/**
 * Fetches the router's key in its own fiber. Returns an effect that waits. (Not `Effect.all`, which hangs
 * if it is interrupted before it has begun to wait.)
 */
const startFetching = (
  routerKey: RouterKey.Service,
  { withDeadline }: Limits
): Effect.Effect<Fetched> =>
  Effect.map(Effect.fork(Effect.exit(withDeadline(routerKey.get))), (fetching) =>
    Effect.flatten(Fiber.join(fetching)))

/**
 * One attempt: the whole path of a request, under one key pair and one deadline. It gets both keys at the
 * same time: to generate the client's own pair takes seconds, once, and the deadline does not count them.
 */
export const attempt = (
  dependencies: AttemptDependencies,
  request: Request,
  limits: Limits
): Answer => {
  const { keyRing, routerKey } = dependencies
  const exchangeUnder = (pair: KeyPair, fetched: Fetched) =>
    Effect.flatMap(fetched, (router) =>
      limits.withPermit(exchangeOrRekey(dependencies, request, { pair, router }, limits)))
  const leaseAndExchange = (fetched: Fetched) => keyRing.lease((pair) => exchangeUnder(pair, fetched))
  return Effect.flatMap(routerKey.cached, (cached) =>
    cached === undefined
      ? Effect.flatMap(startFetching(routerKey, limits), leaseAndExchange)
      : leaseAndExchange(Effect.succeed(cached)))
}
