/**
 * The `Crypto` service on Node: sealing and AES by `node:crypto`, which is several times faster than WebCrypto there for small
 * requests; the RSA private operation by WebCrypto, which does it off the main thread. Private keys can be exported, for key files.
 *
 * @since 0.2.0
 */
import * as Layer from "effect/Layer"
import * as NodeCrypto from "node:crypto"
import { Crypto } from "../../Crypto.js"
import * as webCrypto from "../../internal/webCrypto.js"
import type { SecurityError } from "../../NomyoError.js"

const CIPHER = "aes-256-gcm"

const view = (buffer: Buffer): Uint8Array<ArrayBuffer> =>
  new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.byteLength)

const primitives: webCrypto.Primitives = {
  async seal(key, plaintext) {
    const aesKey = NodeCrypto.randomBytes(webCrypto.AES_KEY_LENGTH)
    try {
      const nonce = NodeCrypto.randomBytes(webCrypto.NONCE_LENGTH)
      const cipher = NodeCrypto.createCipheriv(CIPHER, aesKey, nonce)
      const ciphertext = cipher.update(plaintext)
      cipher.final()
      const encryptedKey = NodeCrypto.publicEncrypt(
        { key: NodeCrypto.KeyObject.from(key), padding: NodeCrypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
        aesKey
      )
      return { encryptedKey: view(encryptedKey), nonce: view(nonce), ciphertext: view(ciphertext), tag: view(cipher.getAuthTag()) }
    } finally {
      aesKey.fill(0)
    }
  },
  async open(key, { ciphertext, encryptedKey, nonce, tag }) {
    // a key that does not unwrap is replaced by a random one, so that it fails where a bad tag fails
    const aesKey = NodeCrypto.randomBytes(webCrypto.AES_KEY_LENGTH)
    const unwrapped = await NodeCrypto.webcrypto.subtle.decrypt("RSA-OAEP", key, encryptedKey).then(
      (buffer) => new Uint8Array(buffer),
      () => new Uint8Array(0)
    )
    try {
      if (unwrapped.length === aesKey.length) aesKey.set(unwrapped)
      const decipher = NodeCrypto.createDecipheriv(CIPHER, aesKey, nonce, { authTagLength: webCrypto.TAG_LENGTH })
      decipher.setAuthTag(tag)
      const plaintext = decipher.update(ciphertext)
      try {
        decipher.final()
      } catch (error) {
        // what was decrypted under a wrong tag is nobody's to see
        plaintext.fill(0)
        throw error
      }
      return view(plaintext)
    } finally {
      aesKey.fill(0)
      unwrapped.fill(0)
    }
  }
}

/**
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<Crypto, SecurityError> = Layer.effect(Crypto, webCrypto.make({ extractable: true, primitives }))
