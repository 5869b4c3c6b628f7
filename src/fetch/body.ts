/** The body of a `fetch` call as text: of a string, of bytes, of a stream, of a `Request`. */
import * as Bytes from "../internal/codecs/bytes.js"
import { MAX_BODY_BYTES, notJson, tooLarge } from "../openai/requests.js"

const MOST_BYTES_OF_A_UNIT = 3

const encoder = /* @__PURE__ */ new TextEncoder()
/** In bytes. */
const WINDOW = 64 * 1024

/** How many bytes of UTF-8 a text takes. Written and not counted: that takes a third of the time. */
const utf8Length = (text: string): number => {
  const bytes = new Uint8Array(WINDOW)
  let length = 0
  for (let at = 0; at < text.length;) {
    const { read, written } = encoder.encodeInto(text.slice(at), bytes)
    length += written
    at += read
  }
  bytes.fill(0)
  return length
}

/** Counts only where the length leaves it open. */
const isTooLarge = (text: string): boolean =>
  text.length > MAX_BODY_BYTES ||
  (text.length * MOST_BYTES_OF_A_UNIT > MAX_BODY_BYTES && utf8Length(text) > MAX_BODY_BYTES)

const decode = (bytes: Uint8Array): string => {
  if (bytes.length > MAX_BODY_BYTES) return tooLarge()
  try {
    return Bytes.toText(bytes)
  } catch {
    return notJson()
  }
}

/** The common part of a reader and an async iterator. */
interface Source {
  readonly next: () => Promise<{ readonly done?: boolean | undefined; readonly value?: unknown }>
  readonly cancel: () => unknown
}

const sourceOf = (body: unknown): Source => {
  // Safari's streams cannot be iterated
  if (body instanceof ReadableStream) {
    const reader = body.getReader()
    return { next: () => reader.read(), cancel: () => reader.cancel() }
  }
  const iterate = (body as Partial<AsyncIterable<unknown>>)[Symbol.asyncIterator]
  if (typeof iterate !== "function") return notJson()
  const iterator = iterate.call(body)
  return { next: () => iterator.next(), cancel: () => iterator.return?.() }
}

/** Rejects with the signal's reason as soon as it is aborted, and closes the source. */
const readAll = async ({ cancel, next }: Source, signal: AbortSignal | undefined): Promise<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  let length = 0
  let abort = (): void => undefined
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal?.reason)
  })
  signal?.addEventListener("abort", abort)
  let isOver = false
  try {
    for (;;) {
      const { done, value } = await Promise.race([next(), aborted])
      if (done === true) break
      if (!(value instanceof Uint8Array)) return notJson()
      length += value.length
      if (length > MAX_BODY_BYTES) return tooLarge()
      chunks.push(value)
    }
    isOver = true
    return Bytes.concat(chunks)
  } finally {
    signal?.removeEventListener("abort", abort)
    // not awaited: a source that stopped sending may never let it end
    if (!isOver) Promise.resolve(cancel()).catch(() => undefined)
  }
}

/** Throws a `Refusal` for a body that is too large or cannot be JSON. */
export const readText = async (body: unknown, signal: AbortSignal | undefined): Promise<string> => {
  if (typeof body === "string") return isTooLarge(body) ? tooLarge() : body
  if (ArrayBuffer.isView(body)) return decode(new Uint8Array(body.buffer, body.byteOffset, body.byteLength))
  if (body instanceof ArrayBuffer) return decode(new Uint8Array(body))
  if (typeof body !== "object" || body === null) return notJson()
  return decode(await readAll(sourceOf(body instanceof Blob ? body.stream() : body), signal))
}
