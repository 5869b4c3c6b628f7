/** JSON in pieces, so that a long text is never there twice, and nothing has to wait for all of it. */
import * as Bytes from "./bytes.js"
import { PIECE_LENGTH } from "../plaintext.js"

/**
 * The JSON of a value, its long strings aside, which have more characters than a piece: they stand between the parts. What the caller changes
 * later changes nothing here.
 */
export interface Json {
  readonly parts: ReadonlyArray<string>
  readonly long: ReadonlyArray<string>
}

/** What an object is, whatever realm it is of. */
const tagOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1)

/** A list, or an object whose prototype is `Object.prototype` of any realm, or `null`. */
const isData = (value: object): boolean => {
  if (Array.isArray(value)) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Whether JSON has nothing of an object that is no data: a Map, a Promise, an ArrayBuffer. A boxed text or number is written as what it boxes. */
const isEmptied = (value: object): boolean => {
  const tag = tagOf(value)
  if (tag === "Map" || tag === "Set") return true
  return tag !== "String" && tag !== "Number" && tag !== "Boolean" && Object.keys(value).length === 0
}

/** Whether `JSON.stringify` would drop a value, empty it or turn it into `null` without a word. `given` is what it was before its `toJSON`. */
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
  if (isLost(value, (this as { readonly [key: string]: unknown })[key], Array.isArray(this))) throw new TypeError(typeof value)
  return value
}

/** Data that JSON carries as it stands, without long strings. To look at it first and write it then takes half as long as to look while it is written. */
const isPlain = (value: unknown, inList: boolean): boolean => {
  if (typeof value === "string") return value.length <= PIECE_LENGTH
  if (isLost(value, value, inList)) return false
  if (typeof value !== "object" || value === null) return true
  if ("toJSON" in value || !isData(value)) return false
  if (!Array.isArray(value)) return Object.values(value).every((member) => isPlain(member, false))
  for (const member of value as ReadonlyArray<unknown>) if (!isPlain(member, true)) return false
  return true
}

/** Throws where JSON cannot carry all of a value. */
export const stringify = (value: unknown): Json => {
  if (isPlain(value, true)) return { parts: [JSON.stringify(value)], long: [] }
  const long: Array<string> = []
  // nobody can have written this into a string of theirs
  let mark = ""
  const skeleton: string | undefined = JSON.stringify(value, function(key, member: unknown) {
    const checked = strict.call(this, key, member)
    if (typeof checked !== "string" || checked.length <= PIECE_LENGTH) return checked
    long.push(checked)
    return mark ||= crypto.randomUUID()
  })
  if (skeleton === undefined) throw new TypeError("undefined")
  return { parts: mark === "" ? [skeleton] : skeleton.split(`"${mark}"`), long }
}

const isHighSurrogate = (unit: number) => (unit & 0xfc00) === 0xd800

/** A text in pieces, none of which begins or ends within a pair of surrogates: half a character would be written twice. */
const cut = function*(text: string): Generator<string, void> {
  for (let at = 0; at < text.length;) {
    const end = Math.min(at + PIECE_LENGTH, text.length)
    const next = end < text.length && isHighSurrogate(text.charCodeAt(end - 1)) ? end - 1 : end
    yield text.slice(at, next)
    at = next
  }
}

const inString = (text: string) => JSON.stringify(text).slice(1, -1)

/** The text, piece by piece. */
export const pieces = function*({ long, parts }: Json): Generator<string, void> {
  for (const [i, part] of parts.entries()) {
    yield* cut(part)
    const text = long[i]
    if (text === undefined) continue
    yield "\""
    for (const piece of cut(text)) yield inString(piece)
    yield "\""
  }
}

/** How many bytes each byte of UTF-8 takes within a string. */
const widths = /* @__PURE__ */ Uint8Array.from({ length: 0x100 }, (_, byte) => byte < 0x80 ? inString(String.fromCharCode(byte)).length : 1)

/** How many bytes of UTF-8 a text takes within a string. To count them takes a third of the time of writing it. */
const lengthInString = (text: string, utf8: Uint8Array): number => {
  // half a pair of surrogates has no UTF-8, and is escaped; older browsers cannot tell
  if (text.isWellFormed?.() !== true) return Bytes.utf8Length(inString(text))
  const { written } = Bytes.write(text, utf8)
  let length = 0
  let at = 0
  // four at a time take half as long
  for (; at + 4 <= written; at += 4) {
    length += widths[utf8[at]!]! + widths[utf8[at + 1]!]! + widths[utf8[at + 2]!]! + widths[utf8[at + 3]!]!
  }
  for (; at < written; at++) length += widths[utf8[at]!]!
  utf8.fill(0, 0, written)
  return length
}

/** Of UTF-8, for a unit of UTF-16. */
const MOST_BYTES = 3

/** How many bytes of UTF-8 the text takes, piece by piece. `kept`, if there is such a list, gets the pieces. */
export const lengths = function*(json: Json, kept: Array<string> | undefined): Generator<number, void> {
  if (kept !== undefined) {
    for (const text of pieces(json)) {
      kept.push(text)
      yield Bytes.utf8Length(text)
    }
    return
  }
  const { long, parts } = json
  const utf8 = new Uint8Array(MOST_BYTES * PIECE_LENGTH)
  for (const [i, part] of parts.entries()) {
    yield Bytes.utf8Length(part)
    const text = long[i]
    if (text === undefined) continue
    yield 2
    for (const piece of cut(text)) yield lengthInString(piece, utf8)
  }
}

/** The UTF-8 of a text in pieces, as `PlaintextPieces` has it. */
export const encode = function*(texts: Iterable<string>, window: Uint8Array<ArrayBuffer>): Generator<Uint8Array<ArrayBuffer>, void> {
  let end = 0
  for (const piece of texts) {
    let text = piece
    for (;;) {
      const { read, written } = Bytes.write(text, window.subarray(end))
      end += written
      text = text.slice(read)
      if (text === "") break
      // what is left of three bytes waits for the rest of them
      const whole = end - end % 3
      yield window.subarray(0, whole)
      window.copyWithin(0, whole, end)
      end -= whole
    }
  }
  yield window.subarray(0, end)
}
