import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { PrivateKey, PublicKey, Service } from "../Crypto.js"
import { SecurityError } from "../NomyoError.js"
import type { Service as SecureMemory } from "../SecureMemory.js"
import * as Bytes from "./codecs/bytes.js"
import * as Pem from "./codecs/pem.js"
import { withBytes } from "./plaintext.js"
import { cannotOpen, cannotSeal, NONCE_LENGTH, TAG_LENGTH } from "./webCrypto.js"

/** A 16-byte checksum (FNV-1a, 32 bits, of the bytes and a counter): finds accidents, protects from nobody. */
const checksum = (...parts: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> => {
  const tag = new DataView(new ArrayBuffer(TAG_LENGTH))
  for (let i = 0; i < TAG_LENGTH; i += 4) {
    let hash = 0x811c9dc5 ^ i
    for (const byte of Bytes.concat(parts)) hash = Math.imul(hash ^ byte, 0x01000193)
    tag.setUint32(i, hash)
  }
  return new Uint8Array(tag.buffer)
}

const publicKey = (spki: Uint8Array<ArrayBuffer>, modulusLength: number): PublicKey => ({
  spki,
  pem: Bytes.toText(Pem.encode("PUBLIC KEY", spki)),
  fingerprint: Bytes.toHex(checksum(spki)).padEnd(64, "0"),
  modulusLength
})

export const make = (memory: SecureMemory): Service => {
  const names = new WeakMap<PrivateKey, Uint8Array<ArrayBuffer>>()
  let keys = 0
  let ids = 0
  let nonces = 0

  const keyPair = (name: Uint8Array<ArrayBuffer>, modulusLength: number, createdAt: number) => {
    const privateKey = Object.freeze({}) as PrivateKey
    names.set(privateKey, name)
    return { publicKey: publicKey(name, modulusLength), privateKey, createdAt }
  }

  const nameOf = (key: PrivateKey, failure: () => SecurityError) =>
    Effect.suspend(() => {
      const name = names.get(key)
      return name === undefined ? Effect.fail(failure()) : Effect.succeed(name)
    })

  return {
    generateKeyPair: (modulusLength) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        keyPair(Bytes.fromText(`test key ${++keys}`), modulusLength, now)),
    importPublicKey: (pem) =>
      Effect.suspend(() => {
        const block = Pem.decode(Uint8Array.from(pem), "PUBLIC KEY")
        return block === undefined
          ? Effect.fail(new SecurityError({ reason: "router-key", message: "The router's public key is not PEM" }))
          : Effect.succeed(publicKey(block.der, 4096))
      }),
    importKeyPair: (pkcs8, createdAt) => Effect.sync(() => keyPair(Uint8Array.from(pkcs8), 4096, createdAt)),
    exportPrivateKey: (key) =>
      memory.guard(Effect.map(
        nameOf(key, () => new SecurityError({ reason: "client-key", message: "The private key has been destroyed" })),
        (name) => Uint8Array.from(name)
      )),
    destroy: (key) => Effect.sync(() => names.delete(key)),
    seal: (key, plaintext, use) =>
      withBytes(memory, plaintext, (bytes) =>
        Effect.sync(() => {
          const nonce = new Uint8Array(NONCE_LENGTH)
          new DataView(nonce.buffer).setUint32(0, ++nonces)
          const ciphertext = Uint8Array.from(bytes)
          const tag = checksum(key.spki, nonce, ciphertext)
          return { encryptedKey: key.spki, nonce, length: ciphertext.length, ciphertext: [ciphertext], tag: () => tag }
        })).pipe(Effect.mapError(cannotSeal), Effect.flatMap(use)),
    open: (key, { ciphertext, encryptedKey, length, nonce, tag }, use) =>
      nameOf(key, cannotOpen).pipe(
        Effect.flatMap((name) =>
          Effect.try({
            try: () => {
              const plaintext = Bytes.join(ciphertext, length)
              if (!Bytes.equals(name, encryptedKey) || !Bytes.equals(tag(), checksum(name, nonce, plaintext))) throw cannotOpen()
              return plaintext
            },
            catch: cannotOpen
          })
        ),
        memory.guard,
        Effect.using(use)
      ),
    randomId: Effect.sync(() => `00000000-0000-4000-8000-${String(++ids).padStart(12, "0")}`)
  }
}
