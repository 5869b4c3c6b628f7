/**
 * The post-quantum hybrid KEM MLKEM768-X25519, also called X-Wing (draft-ietf-hpke-pq): KEM 0x647a. X25519 is
 * the platform's; ML-KEM is JavaScript, and leaves copies of its secrets that nothing can zero.
 *
 * @since 0.3.0
 */
import * as Effect from "effect/Effect"
import * as Bytes from "../internal/codecs/bytes.js"
import type { SecurityError } from "../NomyoError.js"
import { SecureMemory } from "../SecureMemory.js"
import type { Kem } from "./Hpke.js"
import { mlKem768, sha3, shake256 } from "./mlKem.js"
import { failed, type Service, type X25519KeyPair } from "./Primitives.js"

/**
 * A key pair: one of X25519, and the private key of ML-KEM-768 in a buffer of its own.
 *
 * @since 0.3.0
 * @category models
 */
export interface KeyPair {
  /** 1216 bytes: ML-KEM's, then X25519's. */
  readonly publicKey: Uint8Array<ArrayBuffer>
  readonly x25519: X25519KeyPair
}

/** The bytes that ML-KEM takes of a public key and of `enc`; the last 32 of each are X25519's. */
const ML_KEM_KEY_LENGTH = 1184
const ML_KEM_ENC_LENGTH = 1088
const X25519_LENGTH = 32
const SEED_LENGTH = 32
/** `XWingLabel`, in ASCII: `\.//^\`. */
const label = Bytes.fromText("\\.//^\\")

/** ML-KEM's private keys: a pair shows nothing of them. */
const mlKemKeys = new WeakMap<KeyPair, Uint8Array>()

const attempt = <A>(run: () => A) => Effect.try({ try: run, catch: failed })

const guard = <E, R>(secret: Effect.Effect<Uint8Array, E, R>) =>
  Effect.flatMap(SecureMemory, (memory) =>
    memory.guard(Effect.map(secret, (bytes) => bytes as Uint8Array<ArrayBuffer>)))

/** `Combiner`: binds the secret to both ciphertexts, ML-KEM's by what ML-KEM itself does. */
const combine = (
  secrets: { readonly mlKem: Uint8Array; readonly x25519: Uint8Array },
  x25519Enc: Uint8Array,
  x25519Key: Uint8Array
) =>
  Effect.acquireUseRelease(
    Effect.sync(() => Bytes.concat([secrets.mlKem, secrets.x25519, x25519Enc, x25519Key, label])),
    (input) => guard(Effect.sync(() => sha3(input))),
    (input) => Effect.sync(() => input.fill(0))
  )

const encapsulate = Effect.fnUntraced(function*(
  primitives: Service,
  publicKey: Uint8Array<ArrayBuffer>,
  ephemeral: Effect.Effect<X25519KeyPair, SecurityError>,
  randomness?: Uint8Array
) {
  const [mlKemKey, x25519Key] = [publicKey.slice(0, ML_KEM_KEY_LENGTH), publicKey.slice(ML_KEM_KEY_LENGTH)]
  const { cipherText, sharedSecret } = yield* attempt(() => mlKem768.encapsulate(mlKemKey, randomness))
  const mlKem = yield* guard(Effect.succeed(sharedSecret))
  const { privateKey, publicKey: x25519Enc } = yield* ephemeral
  const x25519 = yield* guard(primitives.diffieHellman(privateKey, x25519Key))
  return {
    enc: Bytes.concat([cipherText, x25519Enc]),
    sharedSecret: yield* combine({ mlKem, x25519 }, x25519Enc, x25519Key)
  }
})

const decapsulate = Effect.fnUntraced(function*(
  primitives: Service,
  keyPair: KeyPair,
  enc: Uint8Array<ArrayBuffer>
) {
  const [mlKemEnc, x25519Enc] = [enc.slice(0, ML_KEM_ENC_LENGTH), enc.slice(ML_KEM_ENC_LENGTH)]
  const mlKem = yield* guard(attempt(() => mlKem768.decapsulate(mlKemEnc, mlKemKeys.get(keyPair)!)))
  const x25519 = yield* guard(primitives.diffieHellman(keyPair.x25519.privateKey, x25519Enc))
  return yield* combine({ mlKem, x25519 }, x25519Enc, keyPair.x25519.publicKey)
})

/** `expandDecapsulationKey`: a seed of 32 bytes is the private key of both parts. */
const importKeyPair = Effect.fnUntraced(function*(primitives: Service, seed: Uint8Array<ArrayBuffer>) {
  if (seed.length !== SEED_LENGTH) return yield* Effect.fail(failed())
  const expanded = shake256(seed, 3 * SEED_LENGTH)
  const x25519Seed = expanded.slice(-X25519_LENGTH)
  const { publicKey, secretKey } = mlKem768.keygen(expanded.subarray(0, 2 * SEED_LENGTH))
  const x25519 = yield* Effect.ensuring(
    primitives.importKeyPair(x25519Seed),
    Effect.sync(() => [expanded, x25519Seed].forEach((secret) => secret.fill(0)))
  )
  const keyPair: KeyPair = { publicKey: Bytes.concat([publicKey, x25519.publicKey]), x25519 }
  mlKemKeys.set(keyPair, secretKey)
  return keyPair
})

const wipe = (keyPair: KeyPair): void => void mlKemKeys.get(keyPair)?.fill(0)

/**
 * MLKEM768-X25519 with given randomness: 32 bytes for ML-KEM, and an ephemeral private key of X25519. Test
 * vectors need it.
 *
 * @internal
 */
export const xWingWith = (randomness: Uint8Array<ArrayBuffer>): Kem<KeyPair> => ({
  ...xWing,
  encapsulate: (primitives, publicKey) => {
    const ephemeral = primitives.importKeyPair(randomness.slice(SEED_LENGTH))
    return encapsulate(primitives, publicKey, ephemeral, randomness.slice(0, SEED_LENGTH))
  }
})

/**
 * MLKEM768-X25519, KEM 0x647a.
 *
 * @since 0.3.0
 * @category KEMs
 */
export const xWing: Kem<KeyPair> = {
  id: 0x647a,
  encLength: ML_KEM_ENC_LENGTH + X25519_LENGTH,
  encapsulate: (primitives, publicKey) => encapsulate(primitives, publicKey, primitives.generateKeyPair),
  decapsulate,
  importKeyPair,
  wipe
}
