/**
 * RFC 9110 lets header values hold more; nothing that the service issues needs it, and line breaks would
 * start headers of their own.
 */
export const isVisibleAscii = (value: unknown): value is string =>
  typeof value === "string" && /^[\x21-\x7e]+$/.test(value)
