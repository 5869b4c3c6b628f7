/** Joins, comparisons and text for byte arrays. */

const encoder = /* @__PURE__ */ new TextEncoder()
const decoder = /* @__PURE__ */ new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

export const fromText = (text: string): Uint8Array<ArrayBuffer> =>
  encoder.encode(text) as Uint8Array<ArrayBuffer>

/**
 * Writes as many whole characters of a text as there is room for, in UTF-8. Returns how much it read (in
 * UTF-16 units) and wrote (in bytes).
 */
export const write = (text: string, target: Uint8Array): TextEncoderEncodeIntoResult =>
  encoder.encodeInto(text, target)

/** How many bytes the UTF-8 of a well-formed text takes. */
export const utf8Length: (text: string) => number = typeof Buffer === "undefined"
  ? (text) => {
    let length = text.length
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      // half a surrogate pair stands for half of four bytes
      if (unit >= 0x80) length += unit < 0x800 || (unit & 0xf800) === 0xd800 ? 1 : 2
    }
    return length
  }
  : (text) => Buffer.byteLength(text)

/** The text of UTF-8 bytes. Throws on anything else. */
export const toText = (bytes: Uint8Array): string => decoder.decode(bytes)

/** The same bytes without what Node's buffers do in their own way: their `slice` copies nothing. */
export const plain = ({ buffer, byteLength, byteOffset }: Uint8Array): Uint8Array<ArrayBuffer> =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)

/** How many bytes byte arrays have together. */
export const lengthOf = (parts: ReadonlyArray<Uint8Array>): number =>
  parts.reduce((total, part) => total + part.length, 0)

/** Joins byte arrays. */
export const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> =>
  join(parts, lengthOf(parts))

/**
 * Joins chunks, which may be made as they are taken. Throws a `RangeError` unless they are `length` bytes
 * together.
 */
export const join = (parts: Iterable<Uint8Array>, length: number): Uint8Array<ArrayBuffer> => {
  const joined = new Uint8Array(length)
  copyInto(joined, parts)
  return joined
}

/** Copies chunks into `target`, one behind the other. Throws a `RangeError` unless they fill it. */
export const copyInto = (target: Uint8Array, parts: Iterable<Uint8Array>): void => {
  let at = 0
  for (const part of parts) {
    target.set(part, at)
    at += part.length
  }
  if (at !== target.length) throw new RangeError("length")
}

/** Where an ASCII text begins within bytes, from an offset on; -1 if nowhere. */
export const indexOf = (bytes: Uint8Array, text: string, from: number): number => {
  const first = text.charCodeAt(0)
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    let i = 1
    while (i < text.length && bytes[at + i] === text.charCodeAt(i)) i++
    if (i === text.length) return at
  }
  return -1
}

/** Equality in a time that depends on the length only. */
export const equals = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!
  return difference === 0
}

export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
