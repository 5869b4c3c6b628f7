/**
 * The portable `Crypto` service, on WebCrypto: browsers and every server runtime.
 *
 * @since 0.3.0
 */
import * as Layer from "effect/Layer"
import { Crypto } from "./Crypto.js"
import * as webCrypto from "./internal/webCrypto.js"
import type { SecurityError } from "./NomyoError.js"
import type { SecureMemory } from "./SecureMemory.js"

/**
 * `Crypto` on WebCrypto. Private keys are not extractable, and AES keys never enter JavaScript. Fails with a
 * `SecurityError` with reason `unsupported` if there is no WebCrypto, such as in a page from plain HTTP on
 * another machine.
 *
 * @since 0.3.0
 * @category layers
 */
export const layer: Layer.Layer<Crypto, SecurityError, SecureMemory> = Layer.effect(
  Crypto,
  webCrypto.make({ extractable: false, primitives: webCrypto.primitives })
)
