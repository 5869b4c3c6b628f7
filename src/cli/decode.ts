/** Text from files and pipes, whose encoding nobody names. */

const BYTE_ORDER_MARKS = [
  // UTF-32 begins as UTF-16 does, and no decoder here reads it
  { mark: [0xff, 0xfe, 0, 0], encoding: undefined },
  { mark: [0, 0, 0xfe, 0xff], encoding: undefined },
  { mark: [0xff, 0xfe], encoding: "utf-16le" },
  { mark: [0xfe, 0xff], encoding: "utf-16be" }
] as const

const beginsWith = (bytes: Uint8Array, mark: ReadonlyArray<number>): boolean =>
  mark.every((byte, i) => bytes[i] === byte)

/**
 * Decodes text by its byte order mark (UTF-8, UTF-16), or else as UTF-8. `undefined` for bytes that are
 * not such text.
 */
export const decodeText = (bytes: Uint8Array): string | undefined => {
  const found = BYTE_ORDER_MARKS.find(({ mark }) => beginsWith(bytes, mark))
  const encoding = found === undefined ? "utf-8" : found.encoding
  if (encoding === undefined) return undefined
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes)
    return text.includes("\0") ? undefined : text
  } catch {
    return undefined
  }
}
