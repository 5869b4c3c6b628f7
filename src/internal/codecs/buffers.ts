/**
 * Reads the bytes of a value of any realm: `instanceof` would take another realm's buffer for an
 * object without fields.
 */

const byteLengthOf = (prototype: object | undefined) =>
  prototype === undefined ? undefined : Object.getOwnPropertyDescriptor(prototype, "byteLength")?.get

/** These getters throw for all but buffers of their own kind, and take them from any realm. */
const getters = () => [
  byteLengthOf(ArrayBuffer.prototype),
  byteLengthOf(typeof SharedArrayBuffer === "undefined" ? undefined : SharedArrayBuffer.prototype)
]

const isBuffer = (value: unknown, getter: (() => unknown) | undefined): boolean => {
  try {
    return getter !== undefined && typeof getter.call(value) === "number"
  } catch {
    return false
  }
}

/** The bytes of a buffer, or of a view of one; `undefined` of all else. */
export const viewOf = (value: unknown): Uint8Array | undefined => {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  // most values are data, and to catch a getter's exception takes 10 µs
  if (typeof value !== "object" || Object.getPrototypeOf(value) === Object.prototype) return undefined
  const [own, shared] = getters()
  return isBuffer(value, own) || isBuffer(value, shared) ? new Uint8Array(value as ArrayBuffer) : undefined
}

/** Whether other threads may write to the bytes. */
export const isShared = ({ buffer }: Uint8Array): boolean => isBuffer(buffer, getters()[1])
