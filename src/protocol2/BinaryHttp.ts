/**
 * Binary HTTP messages (RFC 9292): written with indeterminate length, read with either.
 *
 * @since 0.3.0
 */
import * as Bytes from "../internal/codecs/bytes.js"
import { zeroAll } from "../internal/zeroing.js"

/**
 * Header fields by lower-case name.
 *
 * @since 0.3.0
 * @category models
 */
export type Headers = { readonly [name: string]: string }

/**
 * The head of a request.
 *
 * @since 0.3.0
 * @category models
 */
export interface RequestHead {
  readonly method: string
  readonly scheme: string
  readonly authority: string
  readonly path: string
  readonly headers: Headers
}

/**
 * The head of a final response.
 *
 * @since 0.3.0
 * @category models
 */
export interface ResponseHead {
  readonly status: number
  readonly headers: Headers
}

/** Framing indicators (RFC 9292, 3.3). */
const KNOWN_REQUEST = 0
const KNOWN_RESPONSE = 1
const INDETERMINATE_REQUEST = 2
const INDETERMINATE_RESPONSE = 3

/** The most that a head may have, in bytes (protocol 2, 5). */
const MAX_HEAD_LENGTH = 16 * 1024

/** The end of an indeterminate message: no more content, no trailers. */
const END = Uint8Array.of(0, 0)

/**
 * A QUIC variable-length integer (RFC 9000, 16), up to 2^30 - 1.
 *
 * @since 0.3.0
 * @category encoding
 */
export const varint = (value: number): Uint8Array<ArrayBuffer> =>
  value < 0x40
    ? Uint8Array.of(value)
    : value < 0x4000
    ? Uint8Array.of(0x40 | (value >> 8), value & 0xff)
    : Uint8Array.of(0x80 | (value >> 24), (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff)

const withLength = (text: string): ReadonlyArray<Uint8Array<ArrayBuffer>> => {
  const bytes = Bytes.fromText(text)
  return [varint(bytes.length), bytes]
}

const fields = (headers: Headers) => [
  ...Object.entries(headers).flatMap(([name, value]) => [...withLength(name), ...withLength(value)]),
  varint(0)
]

/**
 * A request up to its content, which follows in chunks.
 *
 * @since 0.3.0
 * @category encoding
 */
export const encodeRequestHead = (
  { authority, headers, method, path, scheme }: RequestHead
): Uint8Array<ArrayBuffer> =>
  Bytes.concat([
    varint(INDETERMINATE_REQUEST),
    ...[method, scheme, authority, path].flatMap(withLength),
    ...fields(headers)
  ])

/**
 * A response up to its content, which follows in chunks.
 *
 * @since 0.3.0
 * @category encoding
 */
export const encodeResponseHead = ({ headers, status }: ResponseHead): Uint8Array<ArrayBuffer> =>
  Bytes.concat([varint(INDETERMINATE_RESPONSE), varint(status), ...fields(headers)])

/**
 * A chunk of content. It has at least one byte.
 *
 * @since 0.3.0
 * @category encoding
 */
export const encodeContent = (content: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
  Bytes.concat([varint(content.length), content])

/**
 * The end of a message and its padding.
 *
 * @param padding zero bytes to add
 *
 * @since 0.3.0
 * @category encoding
 */
export const encodeEnd = (padding = 0): Uint8Array<ArrayBuffer> =>
  Bytes.concat([END, new Uint8Array(padding)])

/** More bytes are needed to go on. */
const incomplete = Symbol("incomplete")

const invalid = (): never => {
  throw new RangeError("not binary HTTP")
}

const isToken = (name: string) => /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)
/** RFC 9110, 5.5, without what is not ASCII. */
const isValue = (value: string) => /^[\t\x20-\x7e]*$/.test(value) && value.trim() === value

/** Counted: `every` takes eight times as long, and a long message has 32 KiB of padding. */
const isZero = (bytes: Uint8Array): boolean => {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false
  return true
}

/** Reads a buffer from the front. Throws `incomplete` where that ends. */
class Reader {
  at = 0

  constructor(readonly bytes: Uint8Array<ArrayBuffer>) {}

  get isAtEnd(): boolean {
    return this.at === this.bytes.length
  }

  take(length: number): Uint8Array<ArrayBuffer> {
    if (this.at + length > this.bytes.length) throw incomplete
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }

  varint(): number {
    const [first] = this.take(1)
    const length = 1 << (first! >> 6)
    const rest = this.take(length - 1)
    const value = rest.reduce((value, byte) => value * 256 + byte, first! & 0x3f)
    return value < 2 ** 30 ? value : invalid()
  }

  text(): string {
    return Bytes.toText(this.take(this.varint()))
  }

  field(headers: Record<string, string>, nameLength: number): void {
    const name = Bytes.toText(this.take(nameLength))
    const value = this.text()
    if (!isToken(name) || !isValue(value) || name in headers) invalid()
    headers[name] = value
  }

  /** Fields up to the terminator of an indeterminate section. */
  fieldsToTerminator(): Headers {
    const headers: Record<string, string> = Object.create(null)
    for (let length = this.varint(); length > 0; length = this.varint()) this.field(headers, length)
    return headers
  }

  /** Fields of a section with its length in front. A message may end before it (RFC 9292, 3.8). */
  fieldsOfLength(isWhole: boolean): Headers {
    const headers: Record<string, string> = Object.create(null)
    if (isWhole && this.isAtEnd) return headers
    const section = new Reader(this.take(this.varint()))
    while (!section.isAtEnd) section.field(headers, section.varint())
    return headers
  }
}

type Head = RequestHead | ResponseHead

const requestHead = (reader: Reader): Omit<RequestHead, "headers"> => ({
  method: reader.text(),
  scheme: reader.text(),
  authority: reader.text(),
  path: reader.text()
})

const responseHead = (reader: Reader): Omit<ResponseHead, "headers"> => {
  const status = reader.varint()
  // informational responses have no use here
  return status >= 200 && status <= 599 ? { status } : invalid()
}

const kinds = {
  request: { known: KNOWN_REQUEST, indeterminate: INDETERMINATE_REQUEST, head: requestHead },
  response: { known: KNOWN_RESPONSE, indeterminate: INDETERMINATE_RESPONSE, head: responseHead }
} as const

/**
 * Output of a decoder: the head once, then content.
 *
 * @since 0.3.0
 * @category models
 */
export type Part<H> =
  | { readonly _tag: "Head"; readonly head: H }
  | { readonly _tag: "Content"; readonly content: Uint8Array<ArrayBuffer> }

/**
 * Reads a message from bytes that come in any chunks. Every method throws for a message that is malformed,
 * has trailers, a field twice, a head over 16 KiB, or padding that is not zero.
 *
 * @since 0.3.0
 * @category decoding
 */
export class Decoder<H extends Head> {
  #buffer: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  #isKnown = false
  #state: "head" | "content" | "trailers" | "padding" | "broken" = "head"
  /** Bytes of content that are still to come of the chunk, or of a known length. */
  #missing = 0
  readonly #kind: (typeof kinds)["request" | "response"]

  constructor(kind: H extends RequestHead ? "request" : "response") {
    this.#kind = kinds[kind]
  }

  /** Whether the message ended. Padding may follow. */
  get isComplete(): boolean {
    return this.#state === "padding"
  }

  /** Reads bytes, which then belong to the decoder or to a part. Returns the parts that are complete. */
  push(bytes: Uint8Array<ArrayBuffer>): ReadonlyArray<Part<H>> {
    this.#append(bytes)
    return this.#parts(false)
  }

  /** Zeroes what it copies, so that a part has the only copy of its content. */
  #append(bytes: Uint8Array<ArrayBuffer>): void {
    const incomplete = this.#buffer
    this.#buffer = incomplete.length === 0 ? bytes : Bytes.concat([incomplete, bytes])
    if (incomplete.length > 0) zeroAll([incomplete, bytes])
  }

  /** Reads the end of the bytes. Throws if the message has not ended. */
  end(): ReadonlyArray<Part<H>> {
    const parts = this.#parts(true)
    if (!this.isComplete) invalid()
    return parts
  }

  /** Whether all bytes so far, or a whole message, have been read. */
  #isDone(isWhole: boolean): boolean {
    return this.#buffer.length === 0 && (this.isComplete || !isWhole)
  }

  /** The parts that can be read. Zeroes all it has if the message is malformed. */
  #parts(isWhole: boolean): ReadonlyArray<Part<H>> {
    const buffer = this.#buffer
    try {
      return this.#readParts(isWhole)
    } catch (error) {
      buffer.fill(0)
      // zeros might be read as an end
      this.#state = "broken"
      throw error
    }
  }

  #readParts(isWhole: boolean): ReadonlyArray<Part<H>> {
    const parts: Array<Part<H>> = []
    while (!this.#isDone(isWhole)) {
      const reader = new Reader(this.#buffer)
      try {
        const part = this.#step(reader, isWhole)
        if (part !== undefined) parts.push(part)
      } catch (error) {
        if (error !== incomplete) throw error
        if (isWhole || (this.#state === "head" && this.#buffer.length > MAX_HEAD_LENGTH)) invalid()
        break
      }
      this.#buffer = this.#buffer.subarray(reader.at)
    }
    return parts
  }

  #step(reader: Reader, isWhole: boolean): Part<H> | undefined {
    switch (this.#state) {
      case "head":
        return this.#head(reader, isWhole)
      case "content":
        return this.#content(reader, isWhole)
      case "trailers":
        return this.#trailers(reader, isWhole)
      case "padding":
        return isZero(reader.take(this.#buffer.length)) ? undefined : invalid()
      case "broken":
        return invalid()
    }
  }

  #head(reader: Reader, isWhole: boolean): Part<H> {
    const { head, indeterminate, known } = this.#kind
    const framing = reader.varint()
    if (framing !== known && framing !== indeterminate) invalid()
    this.#isKnown = framing === known
    const start = head(reader)
    const headers = this.#isKnown ? reader.fieldsOfLength(isWhole) : reader.fieldsToTerminator()
    if (reader.at > MAX_HEAD_LENGTH) invalid()
    // of a known length there is one chunk
    if (this.#isKnown) this.#missing = isWhole && reader.isAtEnd ? 0 : reader.varint()
    this.#state = this.#isKnown && this.#missing === 0 ? "trailers" : "content"
    return { _tag: "Head", head: { ...start, headers } as unknown as H }
  }

  #content(reader: Reader, isWhole: boolean): Part<H> | undefined {
    if (this.#missing === 0) {
      this.#missing = reader.varint()
      if (this.#missing === 0) this.#state = "trailers"
      return undefined
    }
    if (isWhole && reader.isAtEnd) throw incomplete
    const content = reader.take(Math.min(this.#missing, this.#buffer.length))
    this.#missing -= content.length
    if (this.#isKnown && this.#missing === 0) this.#state = "trailers"
    return { _tag: "Content", content }
  }

  #trailers(reader: Reader, isWhole: boolean): undefined {
    const headers = this.#isKnown ? reader.fieldsOfLength(isWhole) : reader.fieldsToTerminator()
    if (Object.keys(headers).length > 0) invalid()
    this.#state = "padding"
  }
}

/**
 * The length that a message of `length` bytes is padded to: at most 12 % more, so that the length tells
 * little (Padmé: Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with
 * PURBs", PETS 2019).
 *
 * @since 0.3.0
 * @category padding
 */
export const padme = (length: number): number => {
  if (length < 2) return length
  const exponent = Math.floor(Math.log2(length))
  const step = 2 ** (exponent - (Math.floor(Math.log2(exponent)) + 1))
  return Math.ceil(length / Math.max(step, 1)) * Math.max(step, 1)
}
