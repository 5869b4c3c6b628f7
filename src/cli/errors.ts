/** Errors as the command line words them. */
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as ValidationError from "@effect/cli/ValidationError"
import { stripVTControlCharacters } from "node:util"
import * as Variables from "../internal/variables.js"
import { InvalidRequestError, SecurityError } from "../NomyoError.js"
import { plain } from "./terminal.js"

const variables = { ...Variables.portable, ...Variables.platform }

const variablesOf = (...options: ReadonlyArray<keyof typeof variables>) =>
  Object.fromEntries(options.map((option) => [option, variables[option][0]]))

/** The place that the router's URL came from: the option, or else the variable. */
const baseUrl =
  process.env["NOMYO_BASE_URL"]?.trim() && !process.argv.some((word) => /^--base-url(=|$)/.test(word))
    ? "NOMYO_BASE_URL"
    : "--base-url"

/** Advice that differs by command: these take a key directory as an option, and no password of a variable. */
const BY_COMMAND: { readonly [command: string]: typeof FLAGS } = {
  keys: {
    "set keyDir: false to keep keys in memory": "name another with --dir",
    "Set keyRotationPassword": "Pass --password-stdin",
    "Check keyRotationPassword": "Check the password on standard input",
    "keyRotationPassword is set": "--password-stdin is given"
  },
  router: {
    "set keyDir: false to keep keys in memory": "leave out --key-dir to keep keys in memory",
    "Set keyRotationPassword": "The router takes only keys without a password"
  }
}

/**
 * How the command line names options of the library. Left out are options whose names are words of messages
 * about something else, such as `protocol`.
 */
const FLAGS: { readonly [option: string]: string } = {
  ...variablesOf("apiKey", "maxRetries", "timeout", "idleTimeout", "trustedBaseUrls", "maxResponseBytes",
    "keySize", "keyRotationDir", "routerKeyFingerprints", "routerKeyConfigFingerprints", "routerKeyConfig",
    "postQuantum", "padding", "keyRotationPassword"),
  allowHttp: "--allow-http",
  "baseUrl, NOMYO_BASE_URL or the request's base_url": baseUrl,
  baseUrl,
  "keyRotationInterval: 0": "NOMYO_KEY_ROTATION_INTERVAL=0",
  keyDirReadOnly: "NOMYO_KEY_DIR_READ_ONLY=true",
  "keyDir: false": "NOMYO_KEY_DIR=memory"
}

const flags = { ...BY_COMMAND[process.argv[2] ?? ""], ...FLAGS }

/** Not within a flag, a path or a URL, which may have the word too. */
const options = new RegExp(`(?<![\\w./-])(?:${Object.keys(flags).join("|")})(?![\\w/-])`, "g")

/** A message of the library, with flags and variables in place of options. */
export const withFlags = (message: string): string => message.replace(options, (option) => flags[option]!)

const messageOf = (error: unknown): string => {
  if (ValidationError.isValidationError(error)) {
    return stripVTControlCharacters(HelpDoc.toAnsiText(error.error)).trim().replace(/\s+/g, " ")
  }
  return error instanceof Error ? withFlags(error.message) : String(error)
}

/** One line about an error, without the class of an error of usage. */
export const describe = (error: unknown): string => {
  const name = error instanceof Error && !isUsageError(error) ? `${error.name}: ` : ""
  return plain(name + messageOf(error))
}

/** Whether another command line would do: nothing was sent. */
export const isUsageError = (error: unknown): boolean =>
  ValidationError.isValidationError(error) ||
  (error instanceof InvalidRequestError && error.attempts === undefined) ||
  (error instanceof SecurityError && ["plain-http", "url-credentials"].includes(error.reason))
