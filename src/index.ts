/**
 * `nomyo-js/effect`: everything that works on every platform, the Effect modules by namespace, the Promise
 * classes and errors by name.
 *
 * @since 0.2.0
 */

/**
 * @since 0.3.0
 */
export * as Body from "./Body.js"

/**
 * @since 0.2.0
 */
export * as ChatCompletion from "./ChatCompletion.js"

/**
 * @since 0.3.0
 */
export * as ChatCompletionChunk from "./ChatCompletionChunk.js"

/**
 * @since 0.2.0
 */
export * as Crypto from "./Crypto.js"

/**
 * @since 0.2.0
 */
export * as Envelope from "./Envelope.js"

/**
 * @since 0.2.0
 */
export * as KeyRing from "./KeyRing.js"

/**
 * @since 0.2.0
 */
export * as KeyStore from "./KeyStore.js"

/**
 * @since 0.2.0
 */
export * as NomyoClient from "./NomyoClient.js"

/**
 * @since 0.2.0
 */
export * as NomyoConfig from "./NomyoConfig.js"

/**
 * @since 0.2.0
 */
export * as NomyoError from "./NomyoError.js"

/**
 * @since 0.3.0
 */
export * as Plaintext from "./Plaintext.js"

/**
 * @since 0.2.0
 */
export * as RouterKey from "./RouterKey.js"

/**
 * @since 0.2.0
 */
export * as SecureMemory from "./SecureMemory.js"

/**
 * @since 0.3.0
 */
export * as TestCrypto from "./TestCrypto.js"

/**
 * @since 0.2.0
 */
export * as Transport from "./Transport.js"

/**
 * @since 0.3.0
 */
export * as WebCrypto from "./WebCrypto.js"

/**
 * @since 0.2.0
 */
export * from "./promise/index.js"
