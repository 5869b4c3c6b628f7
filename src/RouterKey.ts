/**
 * The router's public key: fetched once, shared, cached, and checked against the pins.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { Crypto, type PublicKey } from "./Crypto.js"
import { makeSharedResource } from "./internal/fibers/sharedResource.js"
import type { NomyoConfig } from "./NomyoConfig.js"
import { APIConnectionError, SecurityError } from "./NomyoError.js"
import { Transport, type TransportError } from "./Transport.js"

/**
 * A router's key and the time of its fetch, in milliseconds since 1970.
 *
 * @since 0.2.0
 * @category models
 */
export interface CachedRouterKey {
  readonly key: PublicKey
  readonly fetchedAt: number
}

/**
 * The operations of `RouterKey`. A fetch fails with a `SecurityError` with reason `router-key` if the key
 * cannot be used, and with reason `router-key-pin` if it is none of the pinned ones.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /**
   * The cached key, without waiting; `undefined` if it is stale. A key that is stale soon is fetched again in
   * the background.
   */
  readonly cached: Effect.Effect<CachedRouterKey | undefined>
  /**
   * The cached key, or a fetched one if that is stale. Concurrent callers share one request. A failure is not
   * cached.
   */
  readonly get: Effect.Effect<CachedRouterKey, TransportError>
  /** The key that the router publishes now. Concurrent callers share one request. */
  readonly refetch: Effect.Effect<CachedRouterKey, TransportError>
}

/**
 * The router's public key, as a service.
 *
 * @since 0.2.0
 * @category tags
 */
export class RouterKey extends Context.Tag("nomyo-js/RouterKey")<RouterKey, Service>() {}

/** An 8192-bit key in PEM takes 1.5 KiB. */
const MAX_PEM_BYTES = 64 * 1024
const KEY_TIMEOUT = "The router did not send its public key in time"
/**
 * In bits. Above it platforms disagree about what they accept (OpenSSL takes 16,384), and an operation takes
 * too long.
 */
const MAX_MODULUS_LENGTH = 8192
/**
 * The fraction of `routerKeyTtl` after which a key in use is fetched again, so that no request has to wait
 * for it.
 */
const REFRESH_AFTER = 0.8

/**
 * Refuses a key that is too long or not pinned, before it is cached: every request would fail until it is
 * stale.
 */
const checkKey = (key: PublicKey, pins: ReadonlyArray<string>): Effect.Effect<PublicKey, SecurityError> => {
  if (key.modulusLength > MAX_MODULUS_LENGTH) {
    const message = `The router's public key is longer than ${MAX_MODULUS_LENGTH} bits`
    return Effect.fail(new SecurityError({ reason: "router-key", message }))
  }
  if (pins.length > 0 && !pins.includes(key.fingerprint)) {
    const message = `The router's key has the fingerprint ${key.fingerprint}, ` +
      "which is none of routerKeyFingerprints"
    return Effect.fail(new SecurityError({ reason: "router-key-pin", message }))
  }
  return Effect.succeed(key)
}

/**
 * The key of one router, fetched on first use, until the scope closes.
 *
 * @internal
 */
export const make = Effect.fnUntraced(function*(
  config: Pick<NomyoConfig, "baseUrl" | "routerKeyFingerprints" | "routerKeyTtl" | "timeout">
): Effect.fn.Return<Service, never, Crypto | Transport | Scope.Scope> {
  const crypto = yield* Crypto
  const transport = yield* Transport
  const scope = yield* Effect.scope
  const ttl = Duration.toMillis(config.routerKeyTtl)
  let cached: CachedRouterKey | undefined
  const fetch = Effect.gen(function*() {
    const url = `${config.baseUrl}/pki/public_key`
    const isKeyPinned = config.routerKeyFingerprints.length > 0
    const pem = yield* transport.send({
      method: "GET",
      url,
      headers: {},
      maxResponseBytes: MAX_PEM_BYTES,
      ...(isKeyPinned ? { isKeyPinned } : {})
    })
    const key = yield* checkKey(yield* crypto.importPublicKey(pem), config.routerKeyFingerprints)
    cached = { key, fetchedAt: yield* Clock.currentTimeMillis }
    return cached
  }).pipe(
    // later callers join a fetch, so it must not hang for ever
    Effect.timeoutFail({
      duration: config.timeout,
      onTimeout: () => new APIConnectionError({ reason: "timeout", message: KEY_TIMEOUT })
    })
  )

  // retired from the start: a fetch lives while a caller waits for it, and concurrent callers share it
  const flight = makeSharedResource(scope, fetch)
  yield* flight.retire
  const refetch = Effect.uninterruptibleMask((restore) => flight.lease(restore, Effect.succeed))

  const fresh = Effect.clockWith((clock) => {
    const now = clock.unsafeCurrentTimeMillis()
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
 * The router's key of a client: `NomyoClient.layerParts` includes it. It caches the key for `routerKeyTtl`, 1
 * hour by default.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = (config: NomyoConfig): Layer.Layer<RouterKey, never, Crypto | Transport> =>
  Layer.scoped(RouterKey, make(config))
