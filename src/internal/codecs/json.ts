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

/**
 * A replacer that throws where `JSON.stringify` would silently drop a value, empty it or turn it into `null`.
 */
const strict = function(this: unknown, key: string, value: unknown): unknown {
  switch (typeof value) {
    case "number":
      if (!Number.isFinite(value)) throw new TypeError(`${value}`)
      break
    case "bigint":
    case "function":
    case "symbol":
      throw new TypeError(typeof value)
    case "undefined":
      if (Array.isArray(this)) throw new TypeError("undefined")
      break
    case "object":
      if (value instanceof Map || value instanceof Set) throw new TypeError("a collection")
      // an invalid date's `toJSON` gives `null`
      if (value === null && Reflect.get(this as object, key) instanceof Date) throw new TypeError("no date")
  }
  return value
}

const isPlainScalar = (value: unknown): boolean => {
  switch (typeof value) {
    case "string":
      return value.length <= CHUNK_LENGTH
    case "number":
      return Number.isFinite(value)
    default:
      return typeof value === "boolean"
  }
}

/**
 * Whether JSON carries all of a value as it is, and no string of it is long. To look first and write then
 * takes half the time of a replacer.
 */
const isPlain = (value: unknown): boolean => {
  if (value === null) return true
  if (typeof value !== "object") return isPlainScalar(value)
  if ("toJSON" in value) return false
  if (Array.isArray(value)) {
    // `every` would pass over holes
    for (const member of value as ReadonlyArray<unknown>) if (!isPlain(member)) return false
    return true
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  return (prototype === Object.prototype || prototype === null) &&
    Object.values(value).every((member) => member === undefined || isPlain(member))
}

/** The JSON of a value. Throws if JSON cannot carry all of it. */
export const stringify = (value: unknown): Json => {
  if (isPlain(value)) return { parts: [JSON.stringify(value)], long: [] }
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
