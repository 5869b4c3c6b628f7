/**
 * The post-quantum hybrid KEM MLKEM768-X25519 ("X-Wing", draft-ietf-hpke-pq), KEM 0x647a, in JavaScript.
 *
 * It needs `@noble/post-quantum`. Its secrets pass through JavaScript, in buffers that this library cannot zero.
 *
 * @since 0.3.0
 */
import { ml_kem768_x25519 } from "@noble/post-quantum/hybrid.js"
import * as Effect from "effect/Effect"
import { SecurityError } from "../NomyoError.js"
import { SecureMemory } from "../SecureMemory.js"
import type { Kem } from "./Hpke.js"

/**
 * A key pair: a seed of 32 bytes, and the public key of 1216 bytes that follows from it.
 *
 * @since 0.3.0
 * @category models
 */
export interface KeyPair {
  readonly seed: Uint8Array<ArrayBuffer>
  readonly publicKey: Uint8Array<ArrayBuffer>
}

const attempt = <A>(run: () => A) =>
  Effect.try({
    try: run,
    catch: () => new SecurityError({ reason: "envelope", message: "The message could not be opened or sealed" })
  })

const guard = <E>(secret: Effect.Effect<Uint8Array, E>) =>
  Effect.flatMap(SecureMemory, (memory) => memory.guard(Effect.map(secret, (bytes) => bytes as Uint8Array<ArrayBuffer>)))

/**
 * The key pair of a seed of 32 bytes.
 *
 * @since 0.3.0
 * @category constructors
 */
export const keyPair = (seed: Uint8Array<ArrayBuffer>): KeyPair => ({
  seed,
  publicKey: Uint8Array.from(ml_kem768_x25519.keygen(seed).publicKey)
})

/**
 * X-Wing with given randomness, as test vectors need it.
 *
 * @internal
 */
export const xWingWith = (randomness: Uint8Array | undefined): Kem<KeyPair> => ({
  id: 0x647a,
  publicKeyLength: 1216,
  encLength: 1120,
  encapsulate: (_primitives, publicKey) =>
    Effect.flatMap(attempt(() => ml_kem768_x25519.encapsulate(publicKey, randomness)), ({ cipherText, sharedSecret }) =>
      Effect.map(guard(Effect.succeed(sharedSecret)), (sharedSecret) => ({ enc: Uint8Array.from(cipherText), sharedSecret }))),
  decapsulate: (_primitives, { seed }, enc) => guard(attempt(() => ml_kem768_x25519.decapsulate(enc, seed)))
})

/**
 * MLKEM768-X25519, KEM 0x647a.
 *
 * @since 0.3.0
 * @category KEMs
 */
export const xWing: Kem<KeyPair> = xWingWith(undefined)
