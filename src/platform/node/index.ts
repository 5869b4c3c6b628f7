/**
 * The client on Node: `layer(options)` is a complete `NomyoClient`.
 *
 * @since 0.2.0
 */
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Crypto } from "../../Crypto.js"
import { clientRules, readOptions } from "../../internal/options.js"
import type * as OptionTypes from "../../internal/optionTypes.js"
import { layerByProtocol } from "../../internal/protocolLayers.js"
import * as Variables from "../../internal/variables.js"
import type { KeyRing } from "../../KeyRing.js"
import * as KeyStore from "../../KeyStore.js"
import * as NomyoClient from "../../NomyoClient.js"
import * as NomyoConfig from "../../NomyoConfig.js"
import { InvalidRequestError, SecurityError } from "../../NomyoError.js"
import type { RouterKey } from "../../RouterKey.js"
import * as SecureMemory from "../../SecureMemory.js"
import type * as Transport from "../../Transport.js"
import * as NodeClock from "./NodeClock.js"
import * as NodeCrypto from "./NodeCrypto.js"
import * as NodeKeyStore from "./NodeKeyStore.js"
import * as NodeSecureMemory from "./NodeSecureMemory.js"
import * as NodeTransport from "./NodeTransport.js"

/**
 * Options of the platform's services.
 *
 * @since 0.2.0
 * @category models
 */
export interface PlatformOptions extends OptionTypes.PlatformOptions<string | Redacted.Redacted> {}

/**
 * Options of a client on Node, all optional.
 *
 * @since 0.2.0
 * @category models
 */
export interface Options extends NomyoConfig.Options, PlatformOptions {}

const redacted = (secret: string | Redacted.Redacted | undefined) =>
  secret === undefined || Redacted.isRedacted(secret) ? secret : Redacted.make(secret)

const noIndexedDb = Layer.fail(
  new SecurityError({
    reason: "unsupported",
    message: "keyPersistence must be \"memory\" on Node, which has no IndexedDB. Use keyDir for key files"
  })
)

/**
 * The `KeyStore` of the options: a directory, or memory.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerKeyStore = (
  options: PlatformOptions
): Layer.Layer<KeyStore.KeyStore, SecurityError, Crypto | SecureMemory.SecureMemory> => {
  const { keyDir = "client_keys", keyDirReadOnly, keyHistory, keyPersistence, keyRotationDir } = options
  if (keyPersistence === "indexeddb") return noIndexedDb
  if (keyDir === false || keyPersistence === "memory") return KeyStore.layerMemory
  const keyRotationPassword = redacted(options.keyRotationPassword)
  return NodeKeyStore.layer({ keyDir, keyDirReadOnly, keyHistory, keyRotationDir, keyRotationPassword })
}

/**
 * `Crypto`, `KeyStore`, `Transport` and `SecureMemory` for a client. `transport` replaces
 * `NodeTransport.layer`.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerPlatform = (
  options: PlatformOptions = {},
  transport: Layer.Layer<Transport.Transport> = NodeTransport.layer
): Layer.Layer<Crypto | KeyStore.KeyStore | Transport.Transport | SecureMemory.SecureMemory, SecurityError> =>
  Layer.mergeAll(layerKeyStore(options), transport, NodeClock.layerBackground).pipe(
    Layer.provideMerge(
      Layer.provideMerge(
        NodeCrypto.layer,
        options.secureMemory === false ? SecureMemory.layerOff : NodeSecureMemory.layer
      )
    )
  )

type Services = Crypto | KeyStore.KeyStore | Transport.Transport | SecureMemory.SecureMemory

type Parts = Layer.Layer<
  NomyoClient.NomyoClient | KeyRing | RouterKey,
  InvalidRequestError | SecurityError,
  Services
>

/**
 * `NomyoClient` with its `KeyRing` and `RouterKey`, for the protocol of the options. Provide the services of
 * the platform yourself; `layer` provides them for you.
 *
 * @since 0.3.0
 * @category layers
 */
export const layerParts = (options: NomyoConfig.Options): Parts =>
  layerByProtocol(options, () => import("./protocol2.js"))

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
 * The options from the environment: those of `NomyoConfig.config`, and `NOMYO_KEY_DIR` (`false` or `memory`
 * keeps the pair in memory only), `NOMYO_KEY_ROTATION_DIR`, `NOMYO_KEY_DIR_READ_ONLY`,
 * `NOMYO_KEY_ROTATION_PASSWORD`, `NOMYO_KEY_HISTORY`, `NOMYO_SECURE_MEMORY`. A blank variable counts as
 * unset.
 *
 * @since 0.2.0
 * @category config
 */
export const config: Config.Config<Options> = Config.zipWith(
  NomyoConfig.config,
  NomyoConfig.fromEnvironment(Variables.platform),
  (portable, platform) => ({ ...portable, ...platform })
)

/** The variables that a `ConfigError` is about, and never a value: it may be a password. */
const variablesOf = (error: ConfigError.ConfigError): ReadonlyArray<string> =>
  error._op === "And" || error._op === "Or"
    ? [...variablesOf(error.left), ...variablesOf(error.right)]
    : [error.path.join("_")]

/** Expected value of a variable's option: `NOMYO_KEY_DIR` is `keyDir`. */
const expectedOf = (variable: string): string => {
  const words = variable.replace("NOMYO_", "").toLowerCase()
  const option = words.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase())
  return new Map(Object.entries(clientRules)).get(option)?.expected ?? "another value"
}

const notValid = (name: string): string =>
  `${name} in the environment is not valid: expected ${expectedOf(name)}`

/**
 * The options of the environment, for the Promise classes: `config`, whose error names the variable and no
 * value.
 *
 * @internal
 */
export const environment: Effect.Effect<Options, InvalidRequestError> = Effect.mapError(config, (error) => {
  const names = [...new Set(variablesOf(error))]
  return new InvalidRequestError({ message: names.map(notValid).join("; ") })
})

/**
 * A complete `NomyoClient` with options from a `Config`, by default from the environment.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerConfig = (
  wrapped: Config.Config.Wrap<Options> = config
): Layer.Layer<NomyoClient.NomyoClient, ConfigError.ConfigError | InvalidRequestError | SecurityError> =>
  Layer.unwrapEffect(Effect.map(Config.unwrap(wrapped), layer))

export {
  /**
   * @since 0.2.0
   * @category operations
   */
  loadKeyPair
} from "./NodeKeyStore.js"

export {
  /**
   * @since 0.2.0
   * @category operations
   */
  getMemoryProtectionInfo
} from "./NodeSecureMemory.js"

export {
  /**
   * @since 0.2.0
   */
  NodeClock,
  /**
   * @since 0.2.0
   */
  NodeCrypto,
  /**
   * @since 0.2.0
   */
  NodeKeyStore,
  /**
   * @since 0.2.0
   */
  NodeSecureMemory,
  /**
   * @since 0.2.0
   */
  NodeTransport
}
