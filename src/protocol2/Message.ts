/**
 * Whole binary HTTP messages, padded and sealed chunk by chunk; and messages opened as they arrive.
 *
 * @since 0.3.0
 */
import * as Effect from "effect/Effect"
import * as Bytes from "../internal/codecs/bytes.js"
import { zeroAll } from "../internal/zeroing.js"
import { SecurityError } from "../NomyoError.js"
import { SecureMemory } from "../SecureMemory.js"
import * as BinaryHttp from "./BinaryHttp.js"
import { cannotOpen, CHUNK_LENGTH, type Opener, type Sealer } from "./ObliviousHttp.js"

/** The least length of a padded message, in bytes (protocol 2, 5 and 6). */
const MIN_PADDED_LENGTH = 1024

/** The length of zero bytes that bring a message of `length` bytes to its padded length. */
const paddingFor = (length: number, isPadded: boolean): number =>
  isPadded ? Math.max(BinaryHttp.padme(length), MIN_PADDED_LENGTH) - length : 0

const end = BinaryHttp.encodeEnd()

/** The parts of a message, in order; `content` is taken as it is needed. */
const partsOf = function*(
  start: Uint8Array<ArrayBuffer>,
  content: Iterable<Uint8Array>,
  padding: number
): Generator<Uint8Array, void> {
  yield start
  yield* content
  yield end
  for (let left = padding; left > 0; left -= CHUNK_LENGTH) yield new Uint8Array(Math.min(left, CHUNK_LENGTH))
}

/** Fills `window` from the parts, again and again. Each filling is there until the next is taken. */
const fillings = function*(parts: Iterable<Uint8Array>,
  window: Uint8Array<ArrayBuffer>): Generator<Uint8Array<ArrayBuffer>, void> {
  let filled = 0
  for (const part of parts) {
    for (let at = 0; at < part.length;) {
      if (filled === window.length) {
        yield window
        filled = 0
      }
      const taken = part.subarray(at, at + window.length - filled)
      window.set(taken, filled)
      filled += taken.length
      at += taken.length
    }
  }
  yield window.subarray(0, filled)
}

/**
 * Seals a whole message: its head, `length` bytes of content, its end and its padding. Its plaintext is never
 * whole in memory, and is zeroed chunk by chunk. Fails with reason `encryption` if the content has another
 * length, or throws.
 *
 * @since 0.3.0
 * @category operations
 */
export const seal = Effect.fnUntraced(function*(
  sealer: Sealer,
  head: Uint8Array<ArrayBuffer>,
  content: Iterable<Uint8Array>,
  length: number,
  isPadded: boolean
): Effect.fn.Return<ReadonlyArray<Uint8Array<ArrayBuffer>>, SecurityError, SecureMemory> {
  const { use } = yield* SecureMemory
  const start = length === 0 ? head : Bytes.concat([head, BinaryHttp.varint(length)])
  const bare = start.length + length + end.length
  const padding = paddingFor(bare, isPadded)
  // a window that is not full has the end of the message
  return yield* use(Math.min(CHUNK_LENGTH, bare + padding + 1), (window) =>
    Effect.gen(function*() {
      const source = fillings(partsOf(start, exactly(content, length), padding), window)
      const take = Effect.try({
        try: () => source.next().value,
        catch: () =>
          new SecurityError({
            reason: "encryption",
            message: "The request could not be encrypted. Report this as a bug in nomyo-js"
          })
      })
      const framed: Array<Uint8Array<ArrayBuffer>> = []
      // the window holds a filling until the next is taken: whether it is the last is known by its length
      // only
      for (let filling = yield* take; filling; filling = yield* take) {
        const isLast = filling.length < window.length
        framed.push(yield* isLast ? sealer.final(filling) : sealer.chunk(filling))
        if (isLast) return framed
      }
      return [...framed, yield* sealer.final(new Uint8Array(0))]
    }))
})

/** Throws where content does not come to `length` bytes. */
const exactly = function*(content: Iterable<Uint8Array>, length: number): Generator<Uint8Array, void> {
  let left = length
  for (const part of content) {
    left -= part.length
    if (left < 0) break
    yield part
  }
  if (left !== 0) throw new RangeError("length")
}

/**
 * A message as it is opened.
 *
 * @since 0.3.0
 * @category models
 */
export interface Reader<H> {
  /** Reads sealed bytes. Returns the parts that are readable. */
  readonly push: (
    bytes: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<ReadonlyArray<BinaryHttp.Part<H>>, SecurityError>
  /** Reads the end of the bytes. Fails unless the final chunk opened and the message ended. */
  readonly end: Effect.Effect<ReadonlyArray<BinaryHttp.Part<H>>, SecurityError>
}

/** The parts in plaintexts. All are zeroed if one is malformed. */
const decode = <H extends BinaryHttp.RequestHead | BinaryHttp.ResponseHead>(
  decoder: BinaryHttp.Decoder<H>,
  plaintexts: ReadonlyArray<Uint8Array<ArrayBuffer>>,
  isWhole: boolean
) =>
  Effect.suspend(() => {
    const parts: Array<BinaryHttp.Part<H>> = []
    try {
      for (const plaintext of plaintexts) parts.push(...decoder.push(plaintext))
      if (isWhole) parts.push(...decoder.end())
      return Effect.succeed(parts)
    } catch {
      zeroAll(plaintexts)
      // a part may be of a copy
      for (const part of parts) if (part._tag === "Content") part.content.fill(0)
      return Effect.fail(cannotOpen())
    }
  })

/**
 * Opens and decodes a message. Whatever is wrong with it, the failure is a `SecurityError` with reason
 * `envelope`.
 *
 * @since 0.3.0
 * @category constructors
 */
export const reader = <H extends BinaryHttp.RequestHead | BinaryHttp.ResponseHead>(
  opener: Opener,
  decoder: BinaryHttp.Decoder<H>
): Reader<H> => ({
  push: (bytes) => Effect.flatMap(opener.push(bytes), (plaintexts) => decode(decoder, plaintexts, false)),
  end: Effect.flatMap(opener.end, (last) => decode(decoder, [last], true))
})
