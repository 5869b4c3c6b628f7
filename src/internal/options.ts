/**
 * The check that every set of options goes through first, by one table: which names there are, and which type
 * each value has. Ranges are checked where the value is used.
 *
 * Only own properties count. What is read has every name of its table as an own property: nothing that a
 * polluted `Object.prototype` holds can stand in for an option that was not given.
 */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { InvalidRequestError } from "../NomyoError.js"
import { misspelled, related } from "./closestName.js"
import type * as OptionTypes from "./optionTypes.js"

/** What a value must be: in words that follow "is", and as a test. */
export interface Rule {
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
}

/** A rule for each option, by name. */
export type Rules = { readonly [name: string]: Rule }

const rule = (expected: string, accepts: (value: unknown) => boolean): Rule => ({ expected, accepts })

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null
const isString = (value: unknown): boolean => typeof value === "string"
const isSecret = (value: unknown): boolean =>
  isString(value) || (Redacted.isRedacted(value) && isString(Redacted.value(value)))
const hasMethod = (value: unknown, name: string): boolean =>
  isObject(value) && typeof (value as { readonly [name: string]: unknown })[name] === "function"

const text = rule("a string", isString)
const strings = rule("a list of strings", (value) => Array.isArray(value) && value.every(isString))
const flag = rule("true or false", (value) => typeof value === "boolean")
const number = rule("a number", (value) => typeof value === "number")
const secret = rule("a string", isSecret)
const time = rule(
  "a time: a number of milliseconds, or a number and a unit such as \"30 seconds\"",
  (value) => ["number", "string", "bigint"].includes(typeof value) || Duration.isDuration(value) ||
    Array.isArray(value)
)
const wholeNumber = (least: number) =>
  rule(`a whole number, ${least} or more`, (value) => typeof value === "number")
const keyDir = rule("the name of a directory, or false", (value) => value === false || isString(value))
const password = rule("a string of at least 8 characters", isSecret)
const keySize = rule("2048 or 4096", (value) => value === 2048 || value === 4096)

type Logger = { readonly debug?: unknown }

type ClientOptions = OptionTypes.PortableOptions<unknown, unknown> & OptionTypes.PlatformOptions<unknown>

/** The options of a client on any platform. */
export const clientRules = {
  baseUrl: text,
  allowHttp: flag,
  apiKey: secret,
  trustedBaseUrls: rule(
    "false or a list of origins, such as https://router.test or https://*.router.test",
    (value) => value === false || (Array.isArray(value) && value.every(isString))
  ),
  timeout: time,
  maxRetries: wholeNumber(0),
  throttle: flag,
  keySize,
  keyRotationInterval: time,
  routerKeyFingerprints: strings,
  protocol: rule("1 or 2", (value) => value === 1 || value === 2),
  routerKeyConfigFingerprints: strings,
  routerKeyConfig: text,
  routerKeyTtl: time,
  maxResponseBytes: number,
  keyDir,
  keyRotationDir: text,
  keyRotationPassword: password,
  keyHistory: wholeNumber(0),
  keyPersistence: rule("\"memory\" or \"indexeddb\"", (value) => value === "memory" || value === "indexeddb"),
  secureMemory: flag
} satisfies { readonly [name in keyof Required<ClientOptions>]: Rule }

/** The options that the Promise classes have beyond those. */
const promiseRules = {
  debug: flag,
  fetch: rule("a function", (value) => typeof value === "function"),
  logger: rule("an object with a method warn, and optionally a method debug", (value) =>
    hasMethod(value, "warn") && (hasMethod(value, "debug") || (value as Logger).debug === undefined))
}

const { baseUrl, ...unnamedRouter } = clientRules

export const chatCompletionRules = { ...clientRules, ...promiseRules }
export const completionClientRules = { ...unnamedRouter, ...promiseRules, routerUrl: baseUrl }
export const generateKeysRules = { keySize, keyDir, password }

/** The options of one call of a Promise class. */
export const callRules = {
  timeout: time,
  maxRetries: wholeNumber(0),
  signal: rule("an AbortSignal", (value) =>
    hasMethod(value, "addEventListener") && typeof (value as AbortSignal).aborted === "boolean")
}
export const batchRules = { ...callRules, concurrency: wholeNumber(1), ordered: flag }

const isUrl = (name: string): boolean => /url$/i.test(name)

/** The router's URL has another name in each class. */
const meantBy = (name: string, names: ReadonlyArray<string>): string | undefined =>
  misspelled(name, names) ?? (isUrl(name) ? names.find(isUrl) : undefined) ?? related(name, names)

const refuse = (message: string) => Either.left(new InvalidRequestError({ message }))

/** The value is not shown: it may be secret. */
const wrongType = (name: string, { expected }: Rule, value: unknown) =>
  refuse(`${name} is ${expected}${hasMethod(value, "then") ? ", not a Promise: await it first" : ""}`)

/** Options that were read: every name of the table is there, with `undefined` for what was not given. */
export type Read<R extends object> = { readonly [name in keyof R]: any }

/**
 * Reads options by their table. Fails with an `InvalidRequestError` that names the option. `null` is taken
 * for `undefined`, for the options together and for each of them.
 */
export const readOptions = <const R extends Rules>(
  rules: R,
  options: unknown
): Either.Either<Read<R>, InvalidRequestError> => {
  const names = Object.keys(rules)
  const read = Object.fromEntries(names.map((name): [string, unknown] => [name, undefined]))
  if (options !== undefined && options !== null && (!isObject(options) || Array.isArray(options))) {
    return refuse("The options are an object")
  }
  for (const name of Object.keys(options ?? {})) {
    const known = Object.hasOwn(rules, name) ? rules[name] : undefined
    if (known === undefined) return unknownName(name, names)
    const value = valueOf(options as object, name, known)
    if (Either.isLeft(value)) return Either.left(value.left)
    read[name] = value.right
  }
  return Either.right(read as Read<R>)
}

const unknownName = (name: string, names: ReadonlyArray<string>) => {
  const meant = meantBy(name, names)
  const remedy = meant === undefined
    ? `The options are ${names.toSorted().join(", ")}`
    : `Did you mean ${meant}?`
  return refuse(`There is no option ${JSON.stringify(name.slice(0, 40))}. ${remedy}`)
}

/** A getter may throw anything, which is not passed on. */
const valueOf = (options: object, name: string, known: Rule): Either.Either<unknown, InvalidRequestError> => {
  try {
    const value = (options as { readonly [name: string]: unknown })[name] ?? undefined
    return value === undefined || known.accepts(value) ? Either.right(value) : wrongType(name, known, value)
  } catch {
    return refuse(`The option ${name} cannot be read`)
  }
}

/** Those options that a table names; `undefined` where an option is not an own property. */
export const pickOptions = <R extends object>(rules: R, options: object): Read<R> => {
  const own = new Map(Object.entries(options))
  return Object.fromEntries(Object.keys(rules).map((name) => [name, own.get(name)])) as Read<R>
}

/** Options, and others where one is missing, such as those of the environment. */
export const withFallback = <R extends object>(options: Read<R>, fallback: object): Read<R> => {
  const others = new Map(Object.entries(fallback))
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name, value ?? others.get(name)])
  ) as Read<R>
}
