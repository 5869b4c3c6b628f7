/** The client's options from Effect 4's configuration. */
import * as Config from "effect4/Config"
import * as Duration from "effect4/Duration"
import type { Options } from "./options.js"

/** A variable that is missing or blank is not set. */
const optional = <A>(name: string, read: (name: string) => Config.Config<A>): Config.Config<A | undefined> =>
  Config.flatMap(
    Config.withDefault(Config.String(name), ""),
    (text): Config.Config<A | undefined> => text.trim() === "" ? Config.succeed(undefined) : read(name)
  )

/** A number of milliseconds, or a number and a unit, such as `30 seconds`. */
const time = (name: string): Config.Config<number> =>
  Config.orElse(Config.Finite(name), () => Config.map(Config.Duration(name), Duration.toMillis))

const keySize = (name: string): Config.Config<2048 | 4096> =>
  Config.map(Config.Literals(["2048", "4096"], name), (text) => text === "2048" ? 2048 : 4096)

const list = (name: string): Config.Config<ReadonlyArray<string>> =>
  Config.map(Config.String(name), (text) => text.split(",").map((part) => part.trim()))

/** A directory called `false` or `memory` has to be given as `./false`. */
const keyDirectory = (name: string): Config.Config<string | false> =>
  Config.map(Config.String(name), (text) => /^(false|memory)$/i.test(text.trim()) ? false : text)

/**
 * The options from the environment: `NOMYO_API_KEY` and the other variables of `NomyoConfig.config`. A
 * missing variable leaves the option at its default.
 *
 * @since 0.3.0
 * @category config
 */
export const config: Config.Config<Options> = Config.all({
  baseUrl: optional("NOMYO_BASE_URL", Config.String),
  allowHttp: optional("NOMYO_ALLOW_HTTP", Config.Boolean),
  apiKey: optional("NOMYO_API_KEY", Config.Redacted),
  timeout: optional("NOMYO_TIMEOUT", time),
  idleTimeout: optional("NOMYO_IDLE_TIMEOUT", time),
  maxRetries: optional("NOMYO_MAX_RETRIES", Config.Int),
  throttle: optional("NOMYO_THROTTLE", Config.Boolean),
  keySize: optional("NOMYO_KEY_SIZE", keySize),
  keyRotationInterval: optional("NOMYO_KEY_ROTATION_INTERVAL", time),
  routerKeyFingerprints: optional("NOMYO_ROUTER_KEY_FINGERPRINTS", list),
  padding: optional("NOMYO_PADDING", Config.Boolean),
  routerKeyTtl: optional("NOMYO_ROUTER_KEY_TTL", time),
  maxResponseBytes: optional("NOMYO_MAX_RESPONSE_BYTES", Config.Int),
  keyDir: optional("NOMYO_KEY_DIR", keyDirectory),
  keyRotationDir: optional("NOMYO_KEY_ROTATION_DIR", Config.String),
  keyDirReadOnly: optional("NOMYO_KEY_DIR_READ_ONLY", Config.Boolean),
  keyRotationPassword: optional("NOMYO_KEY_ROTATION_PASSWORD", Config.Redacted),
  keyHistory: optional("NOMYO_KEY_HISTORY", Config.Int),
  secureMemory: optional("NOMYO_SECURE_MEMORY", Config.Boolean)
})
