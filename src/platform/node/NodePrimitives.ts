/**
 * Protocol 2's primitives on `node:crypto`, which is several times faster than WebCrypto for messages of this
 * size.
 *
 * @since 0.3.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodeCrypto from "node:crypto"
import * as Bytes from "../../internal/codecs/bytes.js"
import type { SecurityError } from "../../NomyoError.js"
import {
  type Aead,
  failed,
  Primitives,
  type Service,
  type X25519KeyPair,
  type X25519PrivateKey
} from "../../protocol2/Primitives.js"
import { asBuffer } from "./buffer.js"

const TAG_LENGTH = 16
/** The prefix of the 32 bytes of a private key in PKCS#8 (RFC 8410, 7). */
const PKCS8_HEAD = Buffer.from("302e020100300506032b656e04220420", "hex")
const KEY_LENGTH = 32

const privateKeys = new WeakMap<X25519PrivateKey, NodeCrypto.KeyObject>()

const attempt = <A>(run: () => A): Effect.Effect<A, SecurityError> => Effect.try({ try: run, catch: failed })

const keyPair = (publicKey: Uint8Array<ArrayBuffer>, handle: NodeCrypto.KeyObject): X25519KeyPair => {
  const privateKey = Object.freeze({}) as X25519PrivateKey
  privateKeys.set(privateKey, handle)
  return { publicKey, privateKey }
}

const importKeyPair = (bytes: Uint8Array): X25519KeyPair => {
  if (bytes.length !== KEY_LENGTH) throw new RangeError("length")
  const pkcs8 = Buffer.concat([PKCS8_HEAD, bytes])
  try {
    const handle = NodeCrypto.createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" })
    const spki = NodeCrypto.createPublicKey(handle).export({ format: "der", type: "spki" })
    return keyPair(Bytes.plain(spki).slice(-KEY_LENGTH), handle)
  } finally {
    pkcs8.fill(0)
  }
}

/** OpenSSL takes 85 µs for a public key in DER, and 11 for one in JWK. */
const importPublicKey = (bytes: Uint8Array<ArrayBuffer>): NodeCrypto.KeyObject => {
  const x = asBuffer(bytes).toString("base64url")
  return NodeCrypto.createPublicKey({ key: { kty: "OKP", crv: "X25519", x }, format: "jwk" })
}

const diffieHellman = (privateKey: X25519PrivateKey, bytes: Uint8Array<ArrayBuffer>) => {
  const publicKey = importPublicKey(bytes)
  // OpenSSL refuses a result that is all zero
  return Bytes.plain(NodeCrypto.diffieHellman({ privateKey: privateKeys.get(privateKey)!, publicKey }))
}

/** Node's types lack this form. */
interface Generated {
  readonly publicKey: { readonly x: string }
  readonly privateKey: NodeCrypto.KeyObject
}

/**
 * The public key comes as a JWK, which takes 45 µs: in DER it takes 120. It is made within the call: Node 20
 * hangs where `export` makes it later, if the garbage collector finds an earlier pair in between.
 */
const generateKeyPair = () => {
  const options = { publicKeyEncoding: { format: "jwk" } } as never
  const { privateKey, publicKey } = NodeCrypto.generateKeyPairSync("x25519", options) as unknown as Generated
  return keyPair(Bytes.plain(Buffer.from(publicKey.x, "base64url")), privateKey)
}

const hmac = (key: Uint8Array, parts: ReadonlyArray<Uint8Array>) => {
  const code = NodeCrypto.createHmac("sha256", key)
  for (const part of parts) code.update(part)
  return Bytes.plain(code.digest())
}

const noHead = new Uint8Array(0)

const aesGcm = (key: Uint8Array): Aead => {
  const name = key.length === 16 ? "aes-128-gcm" : "aes-256-gcm"
  return {
    seal: (nonce, aad, plaintext, head = noHead) =>
      attempt(() => {
        const cipher = NodeCrypto.createCipheriv(name, key, nonce).setAAD(aad)
        const sealed = new Uint8Array(head.length + plaintext.length + TAG_LENGTH)
        sealed.set(head)
        sealed.set(cipher.update(plaintext), head.length)
        cipher.final()
        sealed.set(cipher.getAuthTag(), head.length + plaintext.length)
        return sealed
      }),
    open: (nonce, aad, ciphertext) =>
      attempt(() => {
        const end = ciphertext.length - TAG_LENGTH
        const decipher = NodeCrypto.createDecipheriv(name, key, nonce, { authTagLength: TAG_LENGTH })
        decipher.setAAD(aad).setAuthTag(ciphertext.subarray(end))
        const opened = Bytes.plain(decipher.update(ciphertext.subarray(0, end)))
        try {
          decipher.final()
        } catch (error) {
          // no bytes of a chunk that was tampered with leave this function
          opened.fill(0)
          throw error
        }
        return opened
      })
  }
}

const service: Service = {
  randomBytes: (length) => Bytes.plain(NodeCrypto.randomBytes(length)),
  sha256: (bytes) => attempt(() => Bytes.plain(NodeCrypto.createHash("sha256").update(bytes).digest())),
  hmac: (key, parts) => attempt(() => hmac(key, parts)),
  generateKeyPair: attempt(generateKeyPair),
  importKeyPair: (bytes) => attempt(() => importKeyPair(bytes)),
  diffieHellman: (privateKey, publicKey) => attempt(() => diffieHellman(privateKey, publicKey)),
  aesGcm: (key) => attempt(() => aesGcm(key))
}

/**
 * `Primitives` on `node:crypto`.
 *
 * @since 0.3.0
 * @category layers
 */
export const layer: Layer.Layer<Primitives> = Layer.succeed(Primitives, service)
