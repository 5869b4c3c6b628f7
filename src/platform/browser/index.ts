/**
 * The client in browsers, and wherever there is `fetch` and WebCrypto: `layer(options)` is a `NomyoClient` that needs nothing more.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Crypto } from "../../Crypto.js"
import * as KeyStore from "../../KeyStore.js"
import * as NomyoClient from "../../NomyoClient.js"
import type * as NomyoConfig from "../../NomyoConfig.js"
import { type InvalidRequestError, SecurityError } from "../../NomyoError.js"
import * as SecureMemory from "../../SecureMemory.js"
import type * as Transport from "../../Transport.js"
import * as WebCrypto from "../../WebCrypto.js"
import * as BrowserKeyStore from "./BrowserKeyStore.js"
import * as BrowserTransport from "./BrowserTransport.js"

/**
 * What the platform's services may be told.
 *
 * @since 0.2.0
 * @category models
 */
export interface PlatformOptions {
  /** Zeroes secret buffers after use. Default `true`. */
  readonly secureMemory?: boolean | undefined
  /**
   * Where the client's key pair is kept: `memory` of this page, or `indexeddb`, where it survives reloads and is shared by the tabs of the
   * origin (see `BrowserKeyStore`). Default `memory`.
   */
  readonly keyPersistence?: "memory" | "indexeddb" | undefined
  /** There are no key directories here: a name fails with reason `unsupported`. */
  readonly keyDir?: string | false | undefined
}

/**
 * Options of a client in a browser, none of them needed.
 *
 * @since 0.2.0
 * @category models
 */
export interface Options extends NomyoConfig.Options, PlatformOptions {}

const unsupported = (message: string) => Layer.fail(new SecurityError({ reason: "unsupported", message }))

const NO_FILES = "Key files (keyDir, loadKeys) are a feature of Node; here keyPersistence \"indexeddb\" keeps the key pair between visits"

/**
 * The key store that the options ask for.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerKeyStore = (
  { keyDir, keyPersistence = "memory" }: PlatformOptions
): Layer.Layer<KeyStore.KeyStore, SecurityError> => {
  if (typeof keyDir === "string") return unsupported(NO_FILES)
  switch (keyPersistence) {
    case "memory":
      return KeyStore.layerMemory
    case "indexeddb":
      return BrowserKeyStore.layerIndexedDb
    default:
      return unsupported("keyPersistence is \"memory\" or \"indexeddb\"")
  }
}

/**
 * The services that a client stands on.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerPlatform = (
  options: PlatformOptions = {}
): Layer.Layer<Crypto | KeyStore.KeyStore | Transport.Transport | SecureMemory.SecureMemory, SecurityError> =>
  Layer.mergeAll(layerKeyStore(options), BrowserTransport.layer).pipe(
    Layer.merge(
      Layer.provideMerge(WebCrypto.layer, options.secureMemory === false ? SecureMemory.layerOff : SecureMemory.layer)
    )
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
export const loadKeyPair = (_privateKeyPath: string): Effect.Effect<never, SecurityError> =>
  Effect.fail(new SecurityError({ reason: "unsupported", message: NO_FILES }))

/**
 * How secret bytes are protected at the moment.
 *
 * @since 0.2.0
 * @category operations
 */
export const getMemoryProtectionInfo = (): SecureMemory.MemoryProtectionInfo => Effect.runSync(SecureMemory.zeroOnly.info)

export {
  /**
   * @since 0.2.0
   */
  BrowserKeyStore,
  /**
   * @since 0.2.0
   */
  BrowserTransport
}
