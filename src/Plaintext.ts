/**
 * The input of sealing: bytes, or chunks made on demand, so that a long text is never whole in memory.
 *
 * @since 0.3.0
 */
import type { UnknownException } from "effect/Cause"
import * as Effect from "effect/Effect"
import { yieldToEventLoop } from "./internal/fibers/yieldToEventLoop.js"
import type { Service as SecureMemory } from "./SecureMemory.js"

/**
 * A plaintext in chunks. You can read it several times, each time with a new window.
 *
 * @since 0.3.0
 * @category models
 */
export interface ChunkedPlaintext {
  /** In bytes, of all chunks together. */
  readonly length: number
  /**
   * Writes the bytes into `window`, chunk by chunk. A chunk is valid until you take the next. Each chunk but
   * the last is a multiple of three bytes long. `window` has 6 bytes or more (see `windowLength`); you zero
   * it.
   */
  readonly chunks: (window: Uint8Array<ArrayBuffer>) => Iterable<Uint8Array<ArrayBuffer>>
}

/**
 * The input of sealing: bytes or chunks.
 *
 * @since 0.3.0
 * @category models
 */
export type Plaintext = Uint8Array | ChunkedPlaintext

/**
 * The longest chunk that the library makes: 48 KiB. A cipher takes a few hundredths of a millisecond for it.
 * It is a multiple of three, so that the base64 of a chunk has no padding. Chunks of 96 KiB took 25 MiB to
 * seal 10 MiB, and these take 14.
 *
 * @since 0.3.0
 * @category constants
 */
export const CHUNK_LENGTH = 48 * 1024

/** Two bytes of an incomplete group of three, and a character of up to four bytes. */
const SHORTEST_WINDOW = 6

/**
 * Length of a window for the chunks of a plaintext, in bytes; 0 if the plaintext is bytes.
 *
 * @since 0.3.0
 * @category utils
 */
export const windowLength = (plaintext: Plaintext): number =>
  ArrayBuffer.isView(plaintext) ? 0 : Math.min(Math.max(plaintext.length, SHORTEST_WINDOW), CHUNK_LENGTH)

/**
 * The chunks of any plaintext, each at most `CHUNK_LENGTH` long. Throws a `RangeError` if the owner of the
 * bytes has resized them.
 *
 * @since 0.3.0
 * @category utils
 */
export const chunksOf = function*(
  plaintext: Plaintext,
  window: Uint8Array<ArrayBuffer>
): Generator<Uint8Array, void> {
  if (!ArrayBuffer.isView(plaintext)) return yield* plaintext.chunks(window)
  const { length } = plaintext
  for (let at = 0; at < length; at += CHUNK_LENGTH) {
    if (plaintext.length !== length) throw new RangeError("length")
    yield plaintext.subarray(at, at + CHUNK_LENGTH)
  }
}

/** Copies the next chunk to `target` at `at`. Returns where it ends, or `undefined` after the last. */
const copyNext = (chunks: Iterator<Uint8Array>, target: Uint8Array, at: number): number | undefined => {
  const next = chunks.next()
  if (next.done !== true) {
    target.set(next.value, at)
    return at + next.value.length
  }
  if (at !== target.length) throw new RangeError("length")
  return undefined
}

/** Joins the chunks in `target`. Fails if they are shorter or longer than it. */
const gather = Effect.fnUntraced(function*(
  plaintext: ChunkedPlaintext,
  window: Uint8Array<ArrayBuffer>,
  target: Uint8Array<ArrayBuffer>
) {
  const chunks = plaintext.chunks(window)[Symbol.iterator]()
  let at: number | undefined = 0
  while (at !== undefined) {
    const from: number = at
    at = yield* Effect.try(() => copyNext(chunks, target, from))
    if (at !== undefined && at < target.length) yield* yieldToEventLoop
  }
})

/**
 * Runs an effect with all bytes of a plaintext at once, for a platform that cannot encrypt chunks. The bytes
 * are in secure memory, and zeroed afterwards. A plaintext of bytes is passed without a copy. Fails with an
 * `UnknownException` if the chunks throw or do not add up to the length.
 *
 * @since 0.3.0
 * @category utils
 */
export const withBytes = <A, E, R>(
  memory: SecureMemory,
  plaintext: Plaintext,
  f: (bytes: Uint8Array) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | UnknownException, R> =>
  ArrayBuffer.isView(plaintext)
    ? f(plaintext)
    : memory.use(plaintext.length, (bytes) =>
      Effect.zipRight(
        memory.use(windowLength(plaintext), (window) => gather(plaintext, window, bytes)),
        f(bytes)
      ))
