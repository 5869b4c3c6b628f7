/**
 * ML-KEM-768 (FIPS 203), SHA3-256 and SHAKE256 (FIPS 202) in JavaScript. The build writes the code of
 * `@noble/post-quantum` and `@noble/hashes` into this module, so that nobody has to install them.
 */
import { sha3_256, shake256 as shake } from "@noble/hashes/sha3.js"
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js"

interface MlKem {
  /** `seed` is `d` and `z`, 64 bytes together. */
  readonly keygen: (seed: Uint8Array) => { readonly publicKey: Uint8Array; readonly secretKey: Uint8Array }
  /** Throws for a public key that FIPS 203 (7.2) refuses. `randomness` is 32 bytes; fresh without it. */
  readonly encapsulate: (
    publicKey: Uint8Array,
    randomness?: Uint8Array
  ) => { readonly cipherText: Uint8Array; readonly sharedSecret: Uint8Array }
  /** Returns a secret that nobody else has if the ciphertext was not made for this key. */
  readonly decapsulate: (cipherText: Uint8Array, secretKey: Uint8Array) => Uint8Array
}

export const mlKem768: MlKem = ml_kem768

/** 32 bytes. */
export const sha3: (bytes: Uint8Array) => Uint8Array = sha3_256

export const shake256 = (bytes: Uint8Array, length: number): Uint8Array => shake(bytes, { dkLen: length })
