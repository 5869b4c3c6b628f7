/**
 * The router's public key: fetched once, shared, kept for a while, checked against the pins.
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
 * A router's key and when it was fetched, in milliseconds since 1970.
 *
 * @since 0.2.0
 * @category models
 */
export interface Fetched {
  readonly key: PublicKey
  readonly fetchedAt: number
}

/**
 * What `RouterKey` does.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /** The key while it is fresh, without waiting; one that will not be for long is fetched again meanwhile. */
  readonly cached: Effect.Effect<Fetched | undefined>
  /** The key, from the cache while it is fresh. Concurrent callers share one request; a failure is not remembered. */
  readonly get: Effect.Effect<Fetched, TransportError>
  /** The key as the router has it now. */
  readonly refetch: Effect.Effect<Fetched, TransportError>
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
/** Beyond this the platforms disagree about what they can use (OpenSSL takes 16,384), and an operation takes too long. */
const MAX_MODULUS_LENGTH = 8192
/** The part of its time after which a key in use is fetched again, before anyone has to wait for it. */
const REFRESH_AFTER = 0.8

/**
 * The key of one router, fetched when it is first asked for.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  config: Pick<NomyoConfig, "baseUrl" | "routerKeyFingerprints" | "routerKeyTtl" | "timeout">
): Effect.fn.Return<Service, never, Crypto | Transport | Scope.Scope> {
  const crypto = yield* Crypto
  const transport = yield* Transport
  const scope = yield* Effect.scope
  const ttl = Duration.toMillis(config.routerKeyTtl)
  let cached: Fetched | undefined

  const fetch = Effect.gen(function*() {
    const pem = yield* transport.send({
      method: "GET",
      url: `${config.baseUrl}/pki/public_key`,
      headers: {},
      maxResponseBytes: MAX_PEM_BYTES
    })
    const key = yield* crypto.importPublicKey(pem)
    // kept, it would fail every request for as long as it is
    if (key.modulusLength > MAX_MODULUS_LENGTH) {
      return yield* Effect.fail(new SecurityError({ reason: "router-key", message: `The router's public key is longer than ${MAX_MODULUS_LENGTH} bits` }))
    }
    const pins = config.routerKeyFingerprints
    if (pins.length > 0 && !pins.includes(key.fingerprint)) {
      return yield* Effect.fail(new SecurityError({
        reason: "router-key-pin",
        message: `The router's key has the fingerprint ${key.fingerprint}, which is none of routerKeyFingerprints`
      }))
    }
    cached = { key, fetchedAt: yield* Clock.currentTimeMillis }
    return cached
  }).pipe(
    // a fetch that hangs must not be joined for ever by those who come later
    Effect.timeoutFail({
      duration: config.timeout,
      onTimeout: () => new APIConnectionError({ reason: "timeout", message: "The router did not send its public key in time" })
    })
  )

  // lives as long as somebody waits for it: that is one request for all who ask at the same time
  const flight = makeSharedResource(scope, fetch)
  yield* flight.retire
  const refetch = Effect.uninterruptibleMask((restore) => flight.lease(restore, Effect.succeed))

  const fresh = Effect.clockWith((clock) => {
    const now = clock.unsafeCurrentTimeMillis()
    // a clock that was set back makes a key no younger
    if (cached === undefined || now < cached.fetchedAt || now - cached.fetchedAt >= ttl) return Effect.succeed(undefined)
    return now - cached.fetchedAt < ttl * REFRESH_AFTER
      ? Effect.succeed(cached)
      : Effect.as(Effect.forkIn(Effect.ignore(refetch), scope), cached)
  })

  return { cached: fresh, get: Effect.flatMap(fresh, (key) => key === undefined ? refetch : Effect.succeed(key)), refetch }
})

/**
 * `make` as a layer.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = (config: NomyoConfig): Layer.Layer<RouterKey, never, Crypto | Transport> =>
  Layer.scoped(RouterKey, make(config))
