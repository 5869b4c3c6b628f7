/**
 * The router's public key: fetched once, shared, cached, and checked against the pins.
 *
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Crypto, type PublicKey } from "./Crypto.js"
import { type Cached, type Dated, makeCached } from "./internal/cached.js"
import type { NomyoConfig } from "./NomyoConfig.js"
import { SecurityError } from "./NomyoError.js"
import { Transport, type TransportError } from "./Transport.js"

/**
 * A router's key and the time of its fetch, in milliseconds since 1970.
 *
 * @since 0.2.0
 * @category models
 */
export interface CachedRouterKey extends Dated<PublicKey> {}

/**
 * The operations of `RouterKey`. A fetch fails with a `SecurityError`: with reason `router-key` if the key
 * cannot be used, and with reason `router-key-pin` if the key is not pinned.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service extends Cached<PublicKey, TransportError> {}

/**
 * The router's public key, as a service.
 *
 * @since 0.2.0
 * @category tags
 */
export class RouterKey extends Context.Tag("nomyo-js/RouterKey")<RouterKey, Service>() {}

/** An 8192-bit key in PEM takes 1.5 KiB. */
const MAX_PEM_BYTES = 64 * 1024
/**
 * In bits. Above it platforms disagree about what they accept (OpenSSL takes 16,384), and an operation takes
 * too long.
 */
const MAX_MODULUS_LENGTH = 8192
/**
 * Refuses a key that is too long or not pinned, before it is cached: every request would fail until it is
 * stale.
 */
const checkKey = (key: PublicKey, pins: ReadonlyArray<string>): Effect.Effect<PublicKey, SecurityError> => {
  if (key.modulusLength > MAX_MODULUS_LENGTH) {
    const message = `The router's public key is longer than ${MAX_MODULUS_LENGTH} bits. Check baseUrl`
    return Effect.fail(new SecurityError({ reason: "router-key", message }))
  }
  if (pins.length > 0 && !pins.includes(key.fingerprint)) {
    const message = `The router's key has the fingerprint ${key.fingerprint}, which is not in ` +
      "routerKeyFingerprints. Confirm it with the router's operator before you add it"
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
  const url = `${config.baseUrl}/pki/public_key`
  const fetch = Effect.gen(function*() {
    const isKeyPinned = config.routerKeyFingerprints.length > 0
    const pem = yield* transport.send({
      method: "GET",
      url,
      headers: {},
      maxResponseBytes: MAX_PEM_BYTES,
      ...(isKeyPinned ? { isKeyPinned } : {})
    })
    return yield* checkKey(yield* crypto.importPublicKey(pem), config.routerKeyFingerprints)
  })
  return yield* makeCached<PublicKey, TransportError>(fetch, config)
})

/**
 * Provides `RouterKey`, which caches the key for `routerKeyTtl`, by default 1 hour. `NomyoClient.layerParts`
 * includes this layer.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = (config: NomyoConfig): Layer.Layer<RouterKey, never, Crypto | Transport> =>
  Layer.scoped(RouterKey, make(config))
