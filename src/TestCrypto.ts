/**
 * A `Crypto` service for tests, without secrecy.
 *
 * @since 0.3.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  cannotOpen,
  cannotSeal,
  Crypto,
  type KeyPair,
  NONCE_LENGTH,
  type PrivateKey,
  type PublicKey,
  type Sealed,
  type Service,
  TAG_LENGTH
} from "./Crypto.js"
import * as Bytes from "./internal/codecs/bytes.js"
import * as Pem from "./internal/codecs/pem.js"
import { SecurityError } from "./NomyoError.js"
import { withBytes } from "./Plaintext.js"
import { type Service as SecureMemory, zeroOnly } from "./SecureMemory.js"

/**
 * A 16-byte checksum (FNV-1a, 32 bits, of the bytes and a counter): it finds accidents and protects nothing.
 */
const checksum = (...parts: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> => {
  const bytes = Bytes.concat(parts)
  const tag = new DataView(new ArrayBuffer(TAG_LENGTH))
  for (let i = 0; i < TAG_LENGTH; i += 4) {
    let hash = 0x811c9dc5 ^ i
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
    tag.setUint32(i, hash)
  }
  return new Uint8Array(tag.buffer)
}

const publicKeyOf = (spki: Uint8Array<ArrayBuffer>, modulusLength: number): PublicKey => ({
  spki,
  pem: Bytes.toText(Pem.encode("PUBLIC KEY", spki)),
  fingerprint: Bytes.toHex(checksum(spki)).padEnd(64, "0"),
  modulusLength
})

/** The length that imported keys claim, in bits. */
const MODULUS_LENGTH = 4096

const notPem = () =>
  new SecurityError({
    reason: "router-key",
    message: "The router's public key is not PEM. Take a key of this TestCrypto"
  })

const importPublicKey: Service["importPublicKey"] = (pem) =>
  Effect.suspend(() => {
    const block = Pem.decode(Uint8Array.from(pem), "PUBLIC KEY")
    return block === undefined
      ? Effect.fail(notPem())
      : Effect.succeed(publicKeyOf(block.der, MODULUS_LENGTH))
  })

/** The plaintext itself under a checksum of it. */
const sealBytes = (key: PublicKey, bytes: Uint8Array, nextNonce: () => number): Effect.Effect<Sealed> =>
  Effect.sync(() => {
    const nonce = new Uint8Array(NONCE_LENGTH)
    new DataView(nonce.buffer).setUint32(0, nextNonce())
    const ciphertext = Uint8Array.from(bytes)
    const { length } = ciphertext
    const tag = checksum(key.spki, nonce, ciphertext)
    return { encryptedKey: key.spki, nonce, length, ciphertext: [ciphertext], tag: () => tag }
  })

const openBytes = (name: Uint8Array, { ciphertext, encryptedKey, length, nonce, tag }: Sealed) =>
  Effect.try({
    try: () => {
      const plaintext = Bytes.join(ciphertext, length)
      const expected = checksum(name, nonce, plaintext)
      if (!Bytes.equals(name, encryptedKey) || !Bytes.equals(tag(), expected)) throw cannotOpen()
      return plaintext
    },
    catch: cannotOpen
  })

const destroyed = () =>
  new SecurityError({
    reason: "client-key",
    message: "The private key has been destroyed. Use the current key pair"
  })

/**
 * Makes a service whose keys are names and whose ids and nonces count up from 1.
 *
 * @since 0.3.0
 * @category constructors
 */
export const make = (memory: SecureMemory): Service => {
  const names = new WeakMap<PrivateKey, Uint8Array<ArrayBuffer>>()
  const count = { keys: 0, ids: 0, nonces: 0 }
  const nextNonce = () => ++count.nonces

  const keyPair = (name: Uint8Array<ArrayBuffer>, modulusLength: number, createdAt: number): KeyPair => {
    const privateKey = Object.freeze({}) as PrivateKey
    names.set(privateKey, name)
    return { publicKey: publicKeyOf(name, modulusLength), privateKey, createdAt }
  }
  const nameOf = (key: PrivateKey, failure: () => SecurityError) =>
    Effect.suspend(() => {
      const name = names.get(key)
      return name === undefined ? Effect.fail(failure()) : Effect.succeed(name)
    })

  return {
    generateKeyPair: (modulusLength) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        keyPair(Bytes.fromText(`test key ${++count.keys}`), modulusLength, now)),
    importPublicKey,
    importKeyPair: (pkcs8, createdAt) =>
      Effect.sync(() => keyPair(Uint8Array.from(pkcs8), MODULUS_LENGTH, createdAt)),
    exportPrivateKey: (key) =>
      memory.guard(Effect.map(nameOf(key, destroyed), (name) => Uint8Array.from(name))),
    destroy: (key) => Effect.sync(() => names.delete(key)),
    seal: (key, plaintext, use) =>
      withBytes(memory, plaintext, (bytes) => sealBytes(key, bytes, nextNonce)).pipe(
        Effect.mapError(cannotSeal),
        Effect.flatMap(use)
      ),
    open: (key, sealed, use) =>
      Effect.using(
        memory.guard(Effect.flatMap(nameOf(key, cannotOpen), (name) => openBytes(name, sealed))),
        use
      ),
    randomId: Effect.sync(() => `00000000-0000-4000-8000-${String(++count.ids).padStart(12, "0")}`)
  }
}

/**
 * `Crypto` without secrecy, for tests only. Keys are made at once, ids count up, and a sealed text is the
 * plaintext with a checksum. A test with a `TestClock` therefore never waits for real cryptography.
 *
 * @since 0.3.0
 * @category layers
 */
export const layer: Layer.Layer<Crypto> = Layer.sync(Crypto, () => make(zeroOnly))
