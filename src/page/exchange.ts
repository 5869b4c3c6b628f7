/** The traffic of one request: the beginning and the length of each body. */

/** A message of HTTP as it was sent. */
export interface Captured {
  /** Request or status line, and the headers. The API key is hidden. */
  readonly head: string
  /** The first bytes of the body, as far as they are shown. */
  readonly start: Uint8Array
  /** The length of the body so far. */
  readonly bytes: number
}

/** A request and, once it is there, its response. */
export interface Exchange {
  readonly request: Captured
  readonly response?: Captured
}

/** As much of a body as is shown, in bytes. */
export const SHOWN = 2048

/** Longer values of headers are cut, in characters. */
const LONGEST_VALUE = 40

const shorten = (text: string): string =>
  text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text

/** The first line of a request, and its headers. */
export const requestHead = (
  method: string,
  url: string,
  headers: Iterable<readonly [string, string]>
): string => {
  const lines = [...headers].map(([name, value]) =>
    `${name}: ${name.toLowerCase() === "authorization" ? "Bearer ••••" : shorten(value)}`)
  return [`${method} ${new URL(url).pathname}`, ...lines].join("\n")
}

/** Shorter keys, in characters, are words that may occur in any text. */
const SHORTEST_KEY = 8

/**
 * The bytes of a body with asterisks for the API key of an `Authorization` header: some servers repeat it in
 * their errors.
 */
export const withoutKey = (body: Uint8Array, authorization: string | null | undefined): Uint8Array => {
  const key = authorization?.replace(/^Bearer /, "") ?? ""
  const text = String.fromCharCode(...body)
  return key.length < SHORTEST_KEY || !text.includes(key)
    ? body
    : Uint8Array.from(text.replaceAll(key, "*".repeat(key.length)), (char) => char.charCodeAt(0))
}

/** The status of a response and the type of its body. */
export const responseHead = (status: number, type: string | null | undefined): string =>
  `HTTP ${status}${type ? `\nContent-Type: ${type}` : ""}`

const isText = (bytes: Uint8Array): boolean =>
  bytes.every((byte) => byte === 10 || (byte >= 32 && byte < 127))

/** For bodies that are no text. A line breaks between two bytes. */
const hexDump = (bytes: Uint8Array): string =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")

const number = (value: number): string => value.toLocaleString("en")

/** Bytes in words. */
export const bytesOf = (count: number): string => `${number(count)} ${count === 1 ? "byte" : "bytes"}`

/** Captured traffic as text: the head, an empty line, and the visible part of the body. */
export const textOf = ({ bytes, head, start }: Captured): string => {
  const body = isText(start) ? new TextDecoder().decode(start) : hexDump(start)
  const rest = bytes - start.length
  return `${head}\n\n${body}${rest > 0 ? `\n… and ${bytesOf(rest)} more` : ""}`
}
