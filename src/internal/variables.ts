/**
 * The variable of each option in the environment, and its kind. `nomyo-js/effect` and
 * `nomyo-js/effect4` read them by this table, each with the `Config` of its own Effect.
 */
import type * as OptionTypes from "./optionTypes.js"

/** The kinds of values, each with its own reader. */
export type Kind =
  | "text"
  | "secret"
  | "flag"
  | "integer"
  | "time"
  | "list"
  | "origins"
  | "keyDirectory"
  | "keySize"
  | "protocol"
  | "postQuantum"

/** Variables by option: a name in the environment, and a kind. */
export type Variables = { readonly [option: string]: readonly [name: string, kind: Kind] }

type VariablesOf<Options> = { readonly [option in keyof Options]-?: readonly [name: string, kind: Kind] }

export const portable = {
  baseUrl: ["NOMYO_BASE_URL", "text"],
  allowHttp: ["NOMYO_ALLOW_HTTP", "flag"],
  apiKey: ["NOMYO_API_KEY", "secret"],
  trustedBaseUrls: ["NOMYO_TRUSTED_BASE_URLS", "origins"],
  timeout: ["NOMYO_TIMEOUT", "time"],
  idleTimeout: ["NOMYO_IDLE_TIMEOUT", "time"],
  maxRetries: ["NOMYO_MAX_RETRIES", "integer"],
  throttle: ["NOMYO_THROTTLE", "flag"],
  keySize: ["NOMYO_KEY_SIZE", "keySize"],
  keyRotationInterval: ["NOMYO_KEY_ROTATION_INTERVAL", "time"],
  routerKeyFingerprints: ["NOMYO_ROUTER_KEY_FINGERPRINTS", "list"],
  protocol: ["NOMYO_PROTOCOL", "protocol"],
  routerKeyConfigFingerprints: ["NOMYO_ROUTER_KEY_CONFIG_FINGERPRINTS", "list"],
  routerKeyConfig: ["NOMYO_ROUTER_KEY_CONFIG", "text"],
  postQuantum: ["NOMYO_POST_QUANTUM", "postQuantum"],
  padding: ["NOMYO_PADDING", "flag"],
  routerKeyTtl: ["NOMYO_ROUTER_KEY_TTL", "time"],
  maxResponseBytes: ["NOMYO_MAX_RESPONSE_BYTES", "integer"]
} as const satisfies VariablesOf<OptionTypes.PortableOptions<never, never>>

export const platform = {
  keyDir: ["NOMYO_KEY_DIR", "keyDirectory"],
  keyRotationDir: ["NOMYO_KEY_ROTATION_DIR", "text"],
  keyDirReadOnly: ["NOMYO_KEY_DIR_READ_ONLY", "flag"],
  keyRotationPassword: ["NOMYO_KEY_ROTATION_PASSWORD", "secret"],
  keyHistory: ["NOMYO_KEY_HISTORY", "integer"],
  secureMemory: ["NOMYO_SECURE_MEMORY", "flag"]
} as const satisfies VariablesOf<Omit<OptionTypes.PlatformOptions<never>, "keyPersistence">>

/**
 * A directory of keys; `false` for `memory`, `none` and what says no in other variables, which keep them in
 * memory. A directory of such a name is `./false`.
 */
export const keyDirectory = (text: string): string | false =>
  /^(memory|none|false|no|off|0)$/i.test(text.trim()) ? false : text
