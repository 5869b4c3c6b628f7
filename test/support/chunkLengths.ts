/** Bytes of the tag of a sealed chunk. */
const TAG = 16

/** A QUIC integer, and the position after it. */
const readVarint = (bytes: Uint8Array, at: number) => {
  const width = 1 << (bytes[at]! >> 6)
  let value = bytes[at]! & 0x3f
  for (let i = 1; i < width; i++) value = value * 256 + bytes[at + i]!
  return { value, next: at + width }
}

/**
 * The lengths of the plaintexts of a sealed message, which everyone on the path can read off. `start` is the
 * length of what stands before its chunks.
 */
export const chunkLengths = (message: Uint8Array, start: number): ReadonlyArray<number> => {
  const lengths: Array<number> = []
  for (let at = start;;) {
    const { next, value } = readVarint(message, at)
    lengths.push((value === 0 ? message.length - next : value) - TAG)
    if (value === 0) return lengths
    at = next + value
  }
}
