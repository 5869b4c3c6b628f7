/**
 * The `Crypto` service on Node: sealing and AES by `node:crypto`, which is several times faster than WebCrypto there for small
 * requests; the RSA private operation by WebCrypto, which does it off the main thread. Private keys can be exported, for key files.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodeCrypto from "node:crypto"
import { Crypto } from "../../Crypto.js"
import * as webCrypto from "../../internal/webCrypto.js"
import type { SecurityError } from "../../NomyoError.js"
import type { SecureMemory, Service as Memory } from "../../SecureMemory.js"
import { asBytes } from "./buffer.js"

const CIPHER = "aes-256-gcm"
/** A piece takes OpenSSL a few hundredths of a millisecond: nothing else waits for long. */
const PIECE_LENGTH = 64 * 1024

/** Lets everything else that is due have its turn. */
const nextTurn: Effect.Effect<void> = Effect.async((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})

/** Decrypts a random key into `aesKey`, or leaves it as it is: whatever is wrong, it turns out later and in one way. */
const unwrap = (key: CryptoKey, encryptedKey: Uint8Array<ArrayBuffer>, aesKey: Uint8Array): Effect.Effect<void> =>
  Effect.promise(async (signal) => {
    const unwrapped = await NodeCrypto.webcrypto.subtle.decrypt("RSA-OAEP", key, encryptedKey).then(
      (buffer) => new Uint8Array(buffer),
      () => new Uint8Array(0)
    )
    if (!signal.aborted && unwrapped.length === aesKey.length) aesKey.set(unwrapped)
    unwrapped.fill(0)
  })

const primitives = (memory: Memory): webCrypto.Primitives => ({
  seal: (key, plaintext) =>
    Effect.flatMap(memory.allocate(webCrypto.AES_KEY_LENGTH), (aesKey) =>
      Effect.try(() => {
        NodeCrypto.randomFillSync(aesKey)
        const nonce = NodeCrypto.randomBytes(webCrypto.NONCE_LENGTH)
        const cipher = NodeCrypto.createCipheriv(CIPHER, aesKey, nonce)
        const ciphertext = cipher.update(plaintext)
        cipher.final()
        const encryptedKey = NodeCrypto.publicEncrypt(
          { key: NodeCrypto.KeyObject.from(key), padding: NodeCrypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
          aesKey
        )
        return { encryptedKey: asBytes(encryptedKey), nonce: asBytes(nonce), ciphertext: asBytes(ciphertext), tag: asBytes(cipher.getAuthTag()) }
      })),

  open: Effect.fnUntraced(function*(key, { ciphertext, encryptedKey, nonce, tag }) {
    // a key that does not unwrap is replaced by a random one, so that it fails where a bad tag fails
    const aesKey = NodeCrypto.randomFillSync(yield* memory.allocate(webCrypto.AES_KEY_LENGTH))
    const plaintext = yield* memory.allocate(ciphertext.length)
    yield* unwrap(key, encryptedKey, aesKey)
    const decipher = yield* Effect.acquireRelease(
      Effect.try(() =>
        NodeCrypto.createDecipheriv(CIPHER, aesKey, nonce, { authTagLength: webCrypto.TAG_LENGTH }).setAuthTag(tag)
      ),
      // OpenSSL clears its copy of the key when it is told that this is the end
      (decipher) => Effect.ignore(Effect.try(() => decipher.final()))
    )
    for (let at = 0; at < ciphertext.length; at += PIECE_LENGTH) {
      if (at > 0) yield* nextTurn
      const piece = decipher.update(ciphertext.subarray(at, at + PIECE_LENGTH))
      plaintext.set(piece, at)
      piece.fill(0)
    }
    yield* Effect.try(() => decipher.final())
    return plaintext
  })
})

/** Enough to find that block in all of 15 processes, where 16 found it in two of three and none in one of 15. */
const BLOCKS = 256

/**
 * OpenSSL 3.0 frees a copy of a private key's DER that it has read without clearing it (`der2key_decode`). Buffers of the same length come
 * from the same allocator, zeroed: one of them is likely to be where that copy was.
 */
const overwriteFreed = (length: number): void => {
  const blocks: Array<ArrayBuffer> = []
  while (blocks.length < BLOCKS) blocks.push(new ArrayBuffer(length))
}

/**
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<Crypto, SecurityError, SecureMemory> = Layer.effect(
  Crypto,
  Effect.map(webCrypto.make({ extractable: true, primitives }), (crypto) => ({
    ...crypto,
    importKeyPair: (pkcs8, createdAt) =>
      Effect.tap(crypto.importKeyPair(pkcs8, createdAt), () => Effect.sync(() => overwriteFreed(pkcs8.length)))
  }))
)
