/**
 * The client in browsers, and wherever there is `fetch` and WebCrypto: `layer(options)` is a `NomyoClient` that needs nothing more.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Crypto from "../../Crypto.js"
import * as KeyStore from "../../KeyStore.js"
import * as NomyoClient from "../../NomyoClient.js"
import type * as NomyoConfig from "../../NomyoConfig.js"
import { type InvalidRequestError, SecurityError } from "../../NomyoError.js"
import * as SecureMemory from "../../SecureMemory.js"
import * as Transport from "../../Transport.js"

/**
 * What the platform's services may be told.
 *
 * @since 0.2.0
 * @category models
 */
export interface PlatformOptions {
  /** Zeroes secret buffers after use. Default `true`. */
  readonly secureMemory?: boolean | undefined
  /** There are no key directories here: keys live in memory. Anything but `false` fails with reason `unsupported`. */
  readonly keyDir?: string | false | undefined
}

/**
 * @since 0.2.0
 * @category models
 */
export interface Options extends NomyoConfig.Options, PlatformOptions {}

const noFiles = () =>
  new SecurityError({
    reason: "unsupported",
    message: "Key files (keyDir, loadKeys) are a feature of Node: here the key pair is kept in memory"
  })

/**
 * The key store that the options ask for.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerKeyStore = (options: PlatformOptions): Layer.Layer<KeyStore.KeyStore, SecurityError> =>
  typeof options.keyDir === "string" ? Layer.failSync(noFiles) : KeyStore.layerMemory

/**
 * The services that a client stands on.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerPlatform = (
  options: PlatformOptions = {}
): Layer.Layer<Crypto.Crypto | KeyStore.KeyStore | Transport.Transport | SecureMemory.SecureMemory, SecurityError> =>
  Layer.mergeAll(
    Crypto.layer,
    layerKeyStore(options),
    Transport.layer,
    options.secureMemory === false ? SecureMemory.layerOff : SecureMemory.layer
  )

/**
 * The client with everything provided.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<NomyoClient.NomyoClient, InvalidRequestError | SecurityError> =>
  Layer.provide(NomyoClient.layer(options), layerPlatform(options))

/**
 * Fails: there are no files here.
 *
 * @since 0.2.0
 * @category operations
 */
export const loadKeyPair = (_privateKeyPath: string): Effect.Effect<never, SecurityError> => Effect.failSync(noFiles)
