/**
 * The client in browsers, and in other runtimes with `fetch` and WebCrypto. `layer(options)` is a complete
 * `NomyoClient`.
 *
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type { Crypto } from "../../Crypto.js"
import { clientRules, readOptions } from "../../internal/options.js"
import type * as OptionTypes from "../../internal/optionTypes.js"
import { layerByProtocol } from "../../internal/protocolLayers.js"
import type { KeyRing } from "../../KeyRing.js"
import * as KeyStore from "../../KeyStore.js"
import * as NomyoClient from "../../NomyoClient.js"
import type * as NomyoConfig from "../../NomyoConfig.js"
import { type InvalidRequestError, SecurityError } from "../../NomyoError.js"
import type { RouterKey } from "../../RouterKey.js"
import * as SecureMemory from "../../SecureMemory.js"
import type * as Transport from "../../Transport.js"
import * as WebCrypto from "../../WebCrypto.js"
import * as BrowserKeyStore from "./BrowserKeyStore.js"
import * as BrowserTransport from "./BrowserTransport.js"

/**
 * Options of the platform's services.
 *
 * @since 0.2.0
 * @category models
 */
export interface PlatformOptions extends OptionTypes.PlatformOptions<string | Redacted.Redacted> {}

/**
 * Options of a client in a browser, all optional.
 *
 * @since 0.2.0
 * @category models
 */
export interface Options extends NomyoConfig.Options, PlatformOptions {}

const unsupported = (message: string) => Layer.fail(new SecurityError({ reason: "unsupported", message }))

const NO_FILES = "Key files (keyDir, loadKeys) are a feature of Node; " +
  "here keyPersistence \"indexeddb\" keeps the key pair between visits"

/**
 * The `KeyStore` of the options: memory, or IndexedDB.
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

type Services = Crypto | KeyStore.KeyStore | Transport.Transport | SecureMemory.SecureMemory

/**
 * `Crypto`, `KeyStore`, `Transport` and `SecureMemory` for a client. `transport` replaces
 * `BrowserTransport.layer`.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerPlatform = (
  options: PlatformOptions = {},
  transport: Layer.Layer<Transport.Transport> = BrowserTransport.layer
): Layer.Layer<Services, SecurityError> =>
  Layer.mergeAll(layerKeyStore(options), transport).pipe(
    Layer.merge(
      Layer.provideMerge(
        WebCrypto.layer,
        options.secureMemory === false ? SecureMemory.layerOff : SecureMemory.layer
      )
    )
  )

/**
 * `NomyoClient` with its `KeyRing` and `RouterKey`, for the protocol of the options.
 *
 * @since 0.3.0
 * @category layers
 */
export const layerParts = (
  options: NomyoConfig.Options
): Layer.Layer<
  NomyoClient.NomyoClient | KeyRing | RouterKey,
  InvalidRequestError | SecurityError,
  Services
> => layerByProtocol(options, () => import("./protocol2.js"))

/**
 * A complete `NomyoClient`.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<NomyoClient.NomyoClient, InvalidRequestError | SecurityError> =>
  Layer.unwrapEffect(Effect.map(readOptions(clientRules, options), (read) =>
    Layer.provide(Layer.map(layerParts(read), Context.pick(NomyoClient.NomyoClient)), layerPlatform(read))))

/**
 * Options of the environment: there are none in a browser.
 *
 * @internal
 */
export const environment: Effect.Effect<Options, InvalidRequestError> = Effect.succeed({})

/**
 * Fails with reason `unsupported`: browsers have no files.
 *
 * @since 0.2.0
 * @category operations
 */
export const loadKeyPair = (_privateKeyPath: string): Effect.Effect<never, SecurityError> =>
  Effect.fail(new SecurityError({ reason: "unsupported", message: NO_FILES }))

/**
 * How this page protects secret bytes now.
 *
 * @since 0.2.0
 * @category operations
 */
export const getMemoryProtectionInfo = (): SecureMemory.MemoryProtectionInfo =>
  Effect.runSync(SecureMemory.zeroOnly.info)

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
