/**
 * The body of an HTTP request in chunks, with its length.
 *
 * @since 0.3.0
 */
import * as Bytes from "./internal/codecs/bytes.js"
import { SecurityError } from "./NomyoError.js"

/**
 * A body to send, chunk by chunk.
 *
 * @since 0.3.0
 * @category models
 */
export interface Body {
  /** In bytes, of all chunks together. */
  readonly length: number
  /**
   * ASCII texts, or bytes. Iterate only once: a chunk may be made when you take it. If that fails, the
   * iterator throws a `SecurityError`.
   */
  readonly chunks: Iterable<string | Uint8Array<ArrayBuffer>>
}

const invalidBody = () =>
  new SecurityError({
    reason: "encryption",
    message: "The request's body is not ASCII, or its length is wrong. Correct the code that makes it"
  })

/**
 * A body whose chunks are checked as you take them. They throw a `SecurityError` with reason `encryption`,
 * before the last chunk is sent, if one is not ASCII or they do not add up to the length. A router would take
 * excess bytes for another request, and wait for missing ones.
 *
 * @internal
 */
export const checked = (body: Body): Body => ({ length: body.length, chunks: checkedChunks(body) })

const isAscii = (chunk: string | Uint8Array): boolean =>
  typeof chunk !== "string" || Bytes.utf8Length(chunk) === chunk.length

const checkedChunks = function*(
  { chunks, length }: Body
): Generator<string | Uint8Array<ArrayBuffer>, void> {
  let left = length
  let held: string | Uint8Array<ArrayBuffer> = ""
  for (const chunk of chunks) {
    left -= chunk.length
    if (left < 0 || !isAscii(chunk)) throw invalidBody()
    if (held.length > 0) yield held
    held = chunk
  }
  if (left !== 0) throw invalidBody()
  yield held
}

/**
 * Joins the chunks of a body. Throws a `SecurityError` with reason `encryption` if a chunk cannot be made, if
 * a text is not ASCII, or if the chunks do not add up to `length`.
 *
 * @since 0.3.0
 * @category utils
 */
export const toBytes = (body: Body): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(body.length)
  let at = 0
  for (const chunk of checkedChunks(body)) {
    if (typeof chunk === "string") Bytes.write(chunk, bytes.subarray(at))
    else bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}
