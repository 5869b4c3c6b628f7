import type { UnknownException } from "effect/Cause"
import * as Effect from "effect/Effect"
import type { Plaintext, PlaintextPieces } from "../Crypto.js"
import type { Service as SecureMemory } from "../SecureMemory.js"
import { yieldToEventLoop } from "./fibers/yieldToEventLoop.js"

/**
 * A piece takes a cipher a few hundredths of a millisecond: nothing else waits for long. A multiple of three, for base64, whose text must stay
 * below 128 KiB: V8 keeps longer ones elsewhere, and the memory of sealing doubles.
 */
export const PIECE_LENGTH = 48 * 1024

/** Room for one character, of up to four bytes, and for what may wait before it. */
const SHORTEST_WINDOW = 6

/** As much room as the pieces of a plaintext are to have, in bytes. */
export const windowLength = ({ length }: PlaintextPieces): number => Math.min(Math.max(length, SHORTEST_WINDOW), PIECE_LENGTH)

/** Puts the pieces together, and fails if they do not come to `bytes`. */
const gather = Effect.fnUntraced(function*(plaintext: PlaintextPieces, window: Uint8Array<ArrayBuffer>, bytes: Uint8Array<ArrayBuffer>) {
  const pieces = plaintext.pieces(window)[Symbol.iterator]()
  let at = 0
  const takeNext = Effect.try(() => {
    const next = pieces.next()
    if (next.done === true) {
      if (at !== bytes.length) throw new RangeError("length")
      return false
    }
    bytes.set(next.value, at)
    at += next.value.length
    return true
  })
  while (yield* takeNext) if (at < bytes.length) yield* yieldToEventLoop
})

/** The bytes of a plaintext at once, for a platform that wants them so, and for as long as one effect uses them. */
export const withBytes = <A, E, R>(
  memory: SecureMemory,
  plaintext: Plaintext,
  f: (bytes: Uint8Array) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | UnknownException, R> =>
  ArrayBuffer.isView(plaintext)
    ? f(plaintext)
    : memory.use(plaintext.length, (bytes) =>
      Effect.zipRight(memory.use(windowLength(plaintext), (window) => gather(plaintext, window, bytes)), f(bytes)))
