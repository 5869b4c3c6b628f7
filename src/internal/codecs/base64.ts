/**
 * Base64 of RFC 4648 section 4: standard alphabet, padded, nothing else accepted. It works on bytes, so that
 * secrets never become strings.
 */
import * as Bytes from "./bytes.js"

const alphabet = /* @__PURE__ */ new TextEncoder().encode(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)
const PAD = 61
const INVALID = 64

const values = /* @__PURE__ */ (() => {
  const table = new Uint8Array(256).fill(INVALID)
  alphabet.forEach((char, value) => {
    table[char] = value
  })
  return table
})()

export const encodedLength = (byteLength: number): number => Math.ceil(byteLength / 3) * 4

/** Writes the encoding of `bytes` into `target` at `offset`; returns the offset behind it. */
const encodeInto = (bytes: Uint8Array, target: Uint8Array, offset: number): number => {
  const whole = bytes.length - (bytes.length % 3)
  let at = offset
  for (let i = 0; i < whole; i += 3) {
    const n = (bytes[i]! << 16) | (bytes[i + 1]! << 8) | bytes[i + 2]!
    target[at++] = alphabet[n >> 18]!
    target[at++] = alphabet[(n >> 12) & 63]!
    target[at++] = alphabet[(n >> 6) & 63]!
    target[at++] = alphabet[n & 63]!
  }
  const rest = bytes.length - whole
  if (rest > 0) {
    const n = (bytes[whole]! << 16) | (rest === 2 ? bytes[whole + 1]! << 8 : 0)
    target[at++] = alphabet[n >> 18]!
    target[at++] = alphabet[(n >> 12) & 63]!
    target[at++] = rest === 2 ? alphabet[(n >> 6) & 63]! : PAD
    target[at++] = PAD
  }
  return at
}

export const encode = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => {
  const target = new Uint8Array(encodedLength(bytes.length))
  encodeInto(bytes, target, 0)
  return target
}

/** The bytes, or `undefined` if the text is not exactly what encoding them would give. */
export const decode = (ascii: Uint8Array): Uint8Array<ArrayBuffer> | undefined =>
  decodeInto(ascii, new Uint8Array(Math.floor(ascii.length / 4) * 3))

/**
 * Decodes into `target`, which may be `ascii` itself. Returns the part that was written, or `undefined` if
 * the text is not exactly what encoding those bytes would give.
 */
export const decodeInto = (
  ascii: Uint8Array,
  target: Uint8Array<ArrayBuffer>
): Uint8Array<ArrayBuffer> | undefined => {
  const length = ascii.length
  if (length % 4 !== 0) return undefined
  const padding = length === 0 || ascii[length - 1] !== PAD ? 0 : ascii[length - 2] === PAD ? 2 : 1
  const bytes = target.subarray(0, (length / 4) * 3 - padding)
  const whole = padding === 0 ? length : length - 4
  let at = 0
  let invalid = 0
  for (let i = 0; i < whole; i += 4) {
    const a = values[ascii[i]!]!
    const b = values[ascii[i + 1]!]!
    const c = values[ascii[i + 2]!]!
    const d = values[ascii[i + 3]!]!
    invalid |= a | b | c | d
    bytes[at++] = (a << 2) | (b >> 4)
    bytes[at++] = (b << 4) | (c >> 2)
    bytes[at++] = (c << 6) | d
  }
  if (padding > 0) {
    const a = values[ascii[whole]!]!
    const b = values[ascii[whole + 1]!]!
    const c = padding === 1 ? values[ascii[whole + 2]!]! : 0
    invalid |= a | b | c
    bytes[at++] = (a << 2) | (b >> 4)
    if (padding === 1) bytes[at++] = (b << 4) | (c >> 2)
    // bits that the last byte does not use must be zero, or two texts would mean the same bytes
    if ((padding === 1 ? c & 3 : b & 15) !== 0) invalid |= INVALID
  }
  if ((invalid & INVALID) === 0) return bytes
  bytes.fill(0)
  return undefined
}

/** How many bytes a text of base64 stands for, if it is valid. */
export const decodedLength = (ascii: Uint8Array): number =>
  (ascii.length / 4) * 3 - (ascii.at(-1) !== PAD ? 0 : ascii.at(-2) !== PAD ? 1 : 2)

/**
 * The base64 of bytes that are not secret, as text. Node's own encoder, where there is one, is many times as
 * fast.
 */
export const textOf = (bytes: Uint8Array): string =>
  typeof Buffer === "undefined" ? Bytes.toText(encode(bytes)) : buffer(bytes).toString("base64")

/**
 * Decodes base64 that is not secret. Returns `undefined` if it is not exactly what encoding the bytes would
 * give. Node's decoder is lax: it skips invalid characters and accepts the URL alphabet. So its result is
 * encoded again and compared.
 */
export const decodePublic = (ascii: Uint8Array | string): Uint8Array<ArrayBuffer> | undefined => {
  if (typeof Buffer === "undefined") return decode(typeof ascii === "string" ? Bytes.fromText(ascii) : ascii)
  const text = typeof ascii === "string" ? ascii : buffer(ascii).toString("latin1")
  const bytes = Buffer.from(text, "base64") as Uint8Array<ArrayBuffer>
  return textOf(bytes) === text ? bytes : undefined
}

const buffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
