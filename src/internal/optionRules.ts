/**
 * The check that every set of options goes through first, by one table: which names there are, and what each
 * value may be. A range that depends on more than the value is checked where the value is used.
 *
 * Only own properties count. What is read has every name of its table as an own property: nothing that a
 * polluted `Object.prototype` holds can stand in for an option that was not given.
 */
import { misspelled, related } from "./closestName.js"

/** A rule for a value: in words that follow "must be", and as a test. */
export interface Rule<A = unknown> {
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
  /** Carries only the type of accepted values; it is never set. */
  readonly type?: A
}

/** A rule for each option, by name. */
export type Rules = { readonly [name: string]: Rule }

/** Options that were read: every name of the table is there, with `undefined` for what was not given. */
export type Read<R extends Rules> = {
  readonly [name in keyof R]: (R[name] extends Rule<infer A> ? A : never) | undefined
}

export const rule = <A>(expected: string, accepts: (value: unknown) => boolean): Rule<A> => ({
  expected,
  accepts
})

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null
export const isString = (value: unknown): value is string => typeof value === "string"
export const hasMethod = (value: unknown, name: string): boolean =>
  isObject(value) && typeof (value as { readonly [name: string]: unknown })[name] === "function"

const isList = (value: unknown): boolean => Array.isArray(value) && value.every(isString)

export const text = rule<string>("a string", isString)
export const strings = rule<ReadonlyArray<string>>("an array of strings", isList)
export const flag = rule<boolean>("true or false", (value) => typeof value === "boolean")
export const positive = rule<number>("a number of more than 0",
  (value) => typeof value === "number" && value > 0)
export const wholeNumber = (least: number): Rule<number> =>
  rule(`a whole number, ${least} or more`, (value) => Number.isInteger(value) && (value as number) >= least)

const isUrl = (name: string): boolean => /url$/i.test(name)

/** A URL has another name in each class, and in each library. */
const meantBy = (name: string, names: ReadonlyArray<string>): string | undefined =>
  misspelled(name, names) ?? (isUrl(name) ? names.find(isUrl) : undefined) ?? related(name, names)

const unknownName = (name: string, names: ReadonlyArray<string>): string => {
  const meant = meantBy(name, names)
  const remedy = meant === undefined
    ? `Options: ${names.toSorted().join(", ")}`
    : `Did you mean ${meant}?`
  return `Unknown option ${JSON.stringify(name.slice(0, 40))}. ${remedy}`
}

/** The value is not shown: it may be secret. */
const wrongType = (name: string, { expected }: Rule, value: unknown): string =>
  `${name} must be ${expected}${hasMethod(value, "then") ? ", not a Promise: await it first" : ""}`

/** Puts the value of an option into `read`, or says what is wrong with it. */
const readOne = (options: object, name: string, known: Rule, read: { [name: string]: unknown }) => {
  try {
    const value = (options as { readonly [name: string]: unknown })[name] ?? undefined
    if (value !== undefined && !known.accepts(value)) return wrongType(name, known, value)
    read[name] = value
    return undefined
  } catch {
    // a getter may throw anything, which is not passed on
    return `Option ${name} cannot be read: its getter throws. Pass a plain value`
  }
}

/**
 * Reads options by their table, or says what is wrong with them. `null` is taken for `undefined`, for the
 * options together and for each of them.
 */
export const readByRules = <const R extends Rules>(rules: R, options: unknown): Read<R> | string => {
  const names = Object.keys(rules)
  const read = Object.fromEntries(names.map((name): [string, unknown] => [name, undefined]))
  const given = options ?? {}
  if (!isObject(given) || Array.isArray(given))
    return `The options must be an object such as { ${names[0]}: … }`
  for (const name of Object.keys(given)) {
    const known = Object.hasOwn(rules, name) ? rules[name] : undefined
    const problem = known === undefined ? unknownName(name, names) : readOne(given, name, known, read)
    if (problem !== undefined) return problem
  }
  return read as Read<R>
}
