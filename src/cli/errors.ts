/** Errors as the command line words them. */
import { InvalidRequestError, SecurityError } from "../NomyoError.js"
import { plain } from "./terminal.js"

/** How the command line names options of the library. */
const FLAGS: { readonly [option: string]: string } = {
  allowHttp: "--allow-http",
  baseUrl: "--base-url",
  apiKey: "NOMYO_API_KEY",
  maxRetries: "NOMYO_MAX_RETRIES",
  timeout: "NOMYO_TIMEOUT",
  routerKeyFingerprints: "NOMYO_ROUTER_KEY_FINGERPRINTS",
  routerKeyConfigFingerprints: "NOMYO_ROUTER_KEY_CONFIG_FINGERPRINTS",
  routerKeyConfig: "NOMYO_ROUTER_KEY_CONFIG",
  keyRotationPassword: "NOMYO_KEY_ROTATION_PASSWORD",
  keyDirReadOnly: "NOMYO_KEY_DIR_READ_ONLY=true",
  "keyDir: false": "NOMYO_KEY_DIR=memory"
}

const options = new RegExp(`\\b(?:${Object.keys(FLAGS).join("|")})\\b`, "g")

/** A message of the library, with flags and variables in place of options. */
export const withFlags = (message: string): string => message.replace(options, (option) => FLAGS[option]!)

/** One line for what went wrong. */
export const describe = (error: unknown): string =>
  plain(error instanceof Error ? `${error.name}: ${withFlags(error.message)}` : String(error))

/** Whether another command line would do: nothing was sent. */
export const isUsageError = (error: unknown): boolean =>
  (error instanceof InvalidRequestError && error.attempts === undefined) ||
  (error instanceof SecurityError && ["plain-http", "url-credentials"].includes(error.reason))
