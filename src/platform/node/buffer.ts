/** The same memory as a buffer of Node. `Bytes.plain` is the way back. */
export const asBuffer = (bytes: Uint8Array<ArrayBuffer>): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
