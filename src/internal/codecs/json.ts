/**
 * JSON in chunks, so that a long text is never in memory twice and nothing waits for all of it: sealing 10
 * MiB takes 14 MiB of memory, and 32 with `JSON.stringify` alone.
 */
import { CHUNK_LENGTH } from "../../Plaintext.js"
import * as Bytes from "./bytes.js"

/**
 * The JSON of a value, a snapshot: later changes of the value change nothing here. Strings longer than a
 * chunk are apart, between the parts.
 */
export interface Json {
  readonly parts: ReadonlyArray<string>
  readonly long: ReadonlyArray<string>
}

/** Kind of an object of any realm. */
const tagOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1)

/** A list, or an object whose prototype is `Object.prototype` of any realm, or `null`. */
const isData = (value: object): boolean => {
  if (Array.isArray(value)) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null
}

/**
 * Whether JSON has nothing of an object that is no data: a Map, a Promise, an ArrayBuffer. A boxed text or
 * number is written as what it boxes.
 */
const isEmptied = (value: object): boolean => {
  const tag = tagOf(value)
  if (tag === "Map" || tag === "Set") return true
  return tag !== "String" && tag !== "Number" && tag !== "Boolean" && Object.keys(value).length === 0
}

/**
 * Whether `JSON.stringify` would drop a value, empty it or turn it into `null` without a word. `given` is
 * what it was before its `toJSON`.
 */
const isLost = (value: unknown, given: unknown, inList: boolean): boolean => {
  switch (typeof value) {
    case "number":
      return !Number.isFinite(value)
    case "bigint":
    case "function":
    case "symbol":
      return true
    case "undefined":
      return inList
    case "object":
      return value === null ? tagOf(given) === "Date" : !isData(value) && isEmptied(value)
    default:
      return false
  }
}

/** The value, unless it would be lost. */
const strict = function(this: unknown, key: string, value: unknown): unknown {
  if (isLost(value, (this as { readonly [key: string]: unknown })[key], Array.isArray(this)))
    throw new TypeError(typeof value)
  return value
}

/**
 * Data that JSON carries as it stands, without long strings. To look at it first and write it then takes
 * half as long as to look while it is written.
 */
const isPlain = (value: unknown, inList: boolean): boolean => {
  if (typeof value === "string") return value.length <= CHUNK_LENGTH
  if (isLost(value, value, inList)) return false
  if (typeof value !== "object" || value === null) return true
  if ("toJSON" in value || !isData(value)) return false
  if (!Array.isArray(value)) return Object.values(value).every((member) => isPlain(member, false))
  for (const member of value as ReadonlyArray<unknown>) if (!isPlain(member, true)) return false
  return true
}

/** The JSON of a value. Throws if JSON cannot carry all of it. */
export const stringify = (value: unknown): Json => {
  if (isPlain(value, true)) return { parts: [JSON.stringify(value)], long: [] }
  const long: Array<string> = []
  // random, so that no string of the value can contain it
  let mark = ""
  const skeleton: string | undefined = JSON.stringify(value, function(key, member: unknown) {
    const checked = strict.call(this, key, member)
    if (typeof checked !== "string" || checked.length <= CHUNK_LENGTH) return checked
    long.push(checked)
    return mark ||= crypto.randomUUID()
  })
  if (skeleton === undefined) throw new TypeError("undefined")
  return { parts: mark === "" ? [skeleton] : skeleton.split(`"${mark}"`), long }
}

/** The JSON of an object that is not empty, with the texts that some of its members have already. */
export const assemble = (value: object, texts: ReadonlyMap<string, string>): Json => {
  const members = Object.entries(value).flatMap(([name, member], i) => [
    `${i === 0 ? "{" : ","}${JSON.stringify(name)}:`,
    texts.get(name) ?? JSON.stringify(member)
  ])
  return { parts: [...members, "}"], long: [] }
}

const isHighSurrogate = (unit: number) => (unit & 0xfc00) === 0xd800

/** A text in chunks that do not split a pair of surrogates: half a character has no UTF-8. */
const cut = function*(text: string): Generator<string, void> {
  for (let at = 0; at < text.length;) {
    const end = Math.min(at + CHUNK_LENGTH, text.length)
    const next = end < text.length && isHighSurrogate(text.charCodeAt(end - 1)) ? end - 1 : end
    yield text.slice(at, next)
    at = next
  }
}

const inString = (text: string) => JSON.stringify(text).slice(1, -1)

/** The text in chunks. */
export const chunks = function*({ long, parts }: Json): Generator<string, void> {
  for (const [i, part] of parts.entries()) {
    yield* cut(part)
    const text = long[i]
    if (text === undefined) continue
    yield "\""
    for (const chunk of cut(text)) yield inString(chunk)
    yield "\""
  }
}

/** How many bytes of JSON each byte of UTF-8 takes within a string. */
const widths = /* @__PURE__ */ Uint8Array.from(
  { length: 0x100 },
  (_, byte) => byte < 0x80 ? inString(String.fromCharCode(byte)).length : 1
)

/** The sum of the widths of UTF-8. Four at a time take half as long. */
const sumOfWidths = (utf8: Uint8Array): number => {
  const { length } = utf8
  let sum = 0
  let at = 0
  for (; at + 4 <= length; at += 4) {
    sum += widths[utf8[at]!]! + widths[utf8[at + 1]!]! + widths[utf8[at + 2]!]! + widths[utf8[at + 3]!]!
  }
  for (; at < length; at++) sum += widths[utf8[at]!]!
  return sum
}

/**
 * How many bytes of UTF-8 a text takes within a string of JSON. To count takes a third of the time of writing
 * it.
 */
const lengthInString = (text: string, utf8: Uint8Array): number => {
  // a lone surrogate has no UTF-8, and is escaped; older browsers cannot look for one
  if (text.isWellFormed?.() !== true) return Bytes.utf8Length(inString(text))
  const { written } = Bytes.write(text, utf8)
  const length = sumOfWidths(utf8.subarray(0, written))
  utf8.fill(0, 0, written)
  return length
}

/** The most bytes of UTF-8 for a unit of UTF-16. */
const MOST_BYTES = 3

/** How many bytes of UTF-8 each chunk takes, without a text of it. */
const count = function*({ long, parts }: Json): Generator<number, void> {
  const utf8 = new Uint8Array(MOST_BYTES * CHUNK_LENGTH)
  for (const [i, part] of parts.entries()) {
    yield Bytes.utf8Length(part)
    const text = long[i]
    if (text === undefined) continue
    yield "\"\"".length
    for (const chunk of cut(text)) yield lengthInString(chunk, utf8)
  }
}

/** How many bytes of UTF-8 each chunk takes. Chunks are added to `kept`, if there is such a list. */
export const lengths = function*(json: Json, kept: Array<string> | undefined): Generator<number, void> {
  if (kept === undefined) return yield* count(json)
  for (const text of chunks(json)) {
    kept.push(text)
    yield Bytes.utf8Length(text)
  }
}

/** The UTF-8 of texts, as the chunks of a `ChunkedPlaintext` have it. */
export const encode = function*(
  texts: Iterable<string>,
  window: Uint8Array<ArrayBuffer>
): Generator<Uint8Array<ArrayBuffer>, void> {
  let end = 0
  for (const chunk of texts) {
    let text = chunk
    for (;;) {
      const { read, written } = Bytes.write(text, window.subarray(end))
      end += written
      text = text.slice(read)
      if (text === "") break
      // one or two bytes wait for the rest of three
      const whole = end - end % 3
      yield window.subarray(0, whole)
      window.copyWithin(0, whole, end)
      end -= whole
    }
  }
  yield window.subarray(0, end)
}
