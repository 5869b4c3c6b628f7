/** The tables of the clients' options, and how they are read. */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { InvalidRequestError } from "../NomyoError.js"
import {
  flag,
  hasMethod,
  isString,
  positive,
  type Read,
  readByRules,
  type Rule,
  rule,
  type Rules,
  strings,
  text,
  wholeNumber
} from "./optionRules.js"
import type * as OptionTypes from "./optionTypes.js"

export type { Read, Rules }

const isSecret = (value: unknown): boolean =>
  isString(value) || (Redacted.isRedacted(value) && isString(Redacted.value(value)))

type Secret = string | Redacted.Redacted

const secret = rule<Secret>("a string", isSecret)
const time = rule<Duration.DurationInput>(
  "a time: a number of milliseconds, or a number and a unit such as \"30 seconds\"",
  (value) => ["number", "string", "bigint"].includes(typeof value) || Duration.isDuration(value) ||
    Array.isArray(value)
)
const keyDir = rule<string | false>("the name of a directory, or false", (value) =>
  value === false || (isString(value) && value !== ""))
const password = rule<Secret>("a string of at least 8 characters", isSecret)
const keySize = rule<2048 | 4096>("2048 or 4096", (value) => value === 2048 || value === 4096)

interface Logger {
  readonly warn: (line: string) => void
  readonly debug?: ((line: string) => void) | undefined
}

interface ClientOptions
  extends OptionTypes.PortableOptions<Duration.DurationInput, Secret>, OptionTypes.PlatformOptions<Secret> {}

/** The options of a client on any platform. */
export const clientRules = {
  baseUrl: text,
  allowHttp: flag,
  apiKey: secret,
  trustedBaseUrls: rule<ReadonlyArray<string> | false>(
    "false or an array of origins such as https://router.test or https://*.router.test",
    (value) => value === false || strings.accepts(value)
  ),
  timeout: time,
  idleTimeout: time,
  maxRetries: wholeNumber(0),
  throttle: flag,
  keySize,
  keyRotationInterval: time,
  routerKeyFingerprints: strings,
  protocol: rule<1 | 2>("1 or 2", (value) => value === 1 || value === 2),
  routerKeyConfigFingerprints: strings,
  routerKeyConfig: text,
  postQuantum: rule<"off" | "prefer" | "require">(
    "\"off\", \"prefer\" or \"require\"",
    (value) => value === "off" || value === "prefer" || value === "require"
  ),
  padding: flag,
  routerKeyTtl: time,
  maxResponseBytes: positive,
  keyDir,
  keyRotationDir: text,
  keyDirReadOnly: flag,
  keyRotationPassword: password,
  keyHistory: wholeNumber(0),
  keyPersistence: rule<"memory" | "indexeddb">("\"memory\" or \"indexeddb\"", (value) =>
    value === "memory" || value === "indexeddb"),
  secureMemory: flag
} satisfies { readonly [name in keyof Required<ClientOptions>]: Rule<NonNullable<ClientOptions[name]>> }

/** The options that the Promise classes have beyond those. */
const promiseRules = {
  debug: flag,
  fetch: rule<typeof fetch>("a function", (value) => typeof value === "function"),
  logger: rule<Logger>("an object with a method warn, and optionally a method debug", (value) =>
    hasMethod(value, "warn") && (hasMethod(value, "debug") || (value as Logger).debug === undefined))
}

const { baseUrl, ...unnamedRouter } = clientRules

export const chatCompletionRules = { ...clientRules, ...promiseRules }
export const completionClientRules = { ...unnamedRouter, ...promiseRules, routerUrl: baseUrl }
export const generateKeysRules = { keySize, keyDir, password }

/** The options of one call of a Promise class. */
export const callRules = {
  timeout: time,
  idleTimeout: time,
  maxRetries: wholeNumber(0),
  signal: rule<AbortSignal>("an AbortSignal", (value) =>
    hasMethod(value, "addEventListener") && typeof (value as AbortSignal).aborted === "boolean")
}
export const batchRules = { ...callRules, concurrency: wholeNumber(1), ordered: flag }

/**
 * Reads options by their table. Fails with an `InvalidRequestError` that names the option. `null` is taken
 * for `undefined`, for the options together and for each of them.
 */
export const readOptions = <const R extends Rules>(
  rules: R,
  options: unknown
): Either.Either<Read<R>, InvalidRequestError> => {
  const read = readByRules(rules, options)
  return typeof read === "string"
    ? Either.left(new InvalidRequestError({ message: read }))
    : Either.right(read)
}

/** Those options that a table names; `undefined` where an option is not an own property. */
export const pickOptions = <R extends Rules>(rules: R, options: object): Read<R> => {
  const own = new Map(Object.entries(options))
  return Object.fromEntries(Object.keys(rules).map((name) => [name, own.get(name)])) as Read<R>
}

/** Options, and others where one is missing, such as those of the environment. */
export const withFallback = <A extends object>(options: A, fallback: object): A => {
  const others = new Map(Object.entries(fallback))
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name, value ?? others.get(name)])
  ) as A
}
