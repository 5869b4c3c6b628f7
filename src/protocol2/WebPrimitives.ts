/**
 * Protocol 2's primitives on WebCrypto: pages, workers and every server runtime.
 *
 * @since 0.3.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Bytes from "../internal/codecs/bytes.js"
import type { SecurityError } from "../NomyoError.js"
import { type Aead, failed, Primitives, type Service, type X25519KeyPair,
  type X25519PrivateKey } from "./Primitives.js"

/** Prefix of the 32 bytes of a private key in PKCS#8 (RFC 8410, 7). */
const PKCS8_HEAD = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20)
/**
 * The X coordinate of the base point: the public key of `k` is the Diffie-Hellman result of `k` and this (RFC
 * 7748, 6.1).
 */
const BASE_POINT = Uint8Array.from({ length: 32 }, (_, i) => i === 0 ? 9 : 0)
const BITS = 256

const privateKeys = new WeakMap<X25519PrivateKey, CryptoKey>()

const attempt = <A>(run: () => Promise<A>): Effect.Effect<A, SecurityError> =>
  Effect.tryPromise({ try: run, catch: failed })

const bytesOf = (buffer: ArrayBuffer): Uint8Array<ArrayBuffer> => new Uint8Array(buffer)

const keyPair = (publicKey: Uint8Array<ArrayBuffer>, handle: CryptoKey): X25519KeyPair => {
  const privateKey = Object.freeze({}) as X25519PrivateKey
  privateKeys.set(privateKey, handle)
  return { publicKey, privateKey }
}

const importPublicKey = (bytes: Uint8Array<ArrayBuffer>) =>
  crypto.subtle.importKey("raw", bytes, "X25519", false, [])

const agree = async (handle: CryptoKey,
  publicKey: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> => {
  const shared = bytesOf(
    await crypto.subtle.deriveBits({ name: "X25519", public: await importPublicKey(publicKey) }, handle, BITS)
  )
  // some engines leave this check to their callers
  if (shared.every((byte) => byte === 0)) throw new RangeError("small order")
  return shared
}

const importKeyPair = async (bytes: Uint8Array<ArrayBuffer>): Promise<X25519KeyPair> => {
  const pkcs8 = Bytes.concat([PKCS8_HEAD, bytes])
  try {
    const handle = await crypto.subtle.importKey("pkcs8", pkcs8, "X25519", false, ["deriveBits"])
    return keyPair(await agree(handle, BASE_POINT), handle)
  } finally {
    pkcs8.fill(0)
  }
}

const generateKeyPair = async (): Promise<X25519KeyPair> => {
  const pair = await crypto.subtle.generateKey("X25519", false, ["deriveBits"]) as CryptoKeyPair
  return keyPair(bytesOf(await crypto.subtle.exportKey("raw", pair.publicKey)), pair.privateKey)
}

/**
 * HMAC pads its key with zeros to a block (RFC 2104), so a zero byte is the empty key, which WebCrypto
 * refuses.
 */
const EMPTY_KEY = new Uint8Array(1)

const hmac = async (key: Uint8Array<ArrayBuffer>, parts: ReadonlyArray<Uint8Array<ArrayBuffer>>) => {
  const handle = await crypto.subtle.importKey(
    "raw",
    key.length === 0 ? EMPTY_KEY : key,
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"]
  )
  const message = Bytes.concat(parts)
  try {
    return bytesOf(await crypto.subtle.sign("HMAC", handle, message))
  } finally {
    message.fill(0)
  }
}

const noHead = new Uint8Array(0)

const aesGcm = async (key: Uint8Array<ArrayBuffer>): Promise<Aead> => {
  const handle = await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"])
  const parameters = (iv: Uint8Array<ArrayBuffer>, additionalData: Uint8Array<ArrayBuffer>) =>
    ({ name: "AES-GCM", iv, additionalData }) as const
  return {
    seal: (nonce, aad, plaintext, head = noHead) =>
      attempt(async () => {
        const sealed = bytesOf(await crypto.subtle.encrypt(parameters(nonce, aad), handle, plaintext))
        return Bytes.concat([head, sealed])
      }),
    open: (nonce, aad, ciphertext) =>
      attempt(async () => bytesOf(await crypto.subtle.decrypt(parameters(nonce, aad), handle, ciphertext)))
  }
}

const service: Service = {
  randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  sha256: (bytes) => attempt(async () => bytesOf(await crypto.subtle.digest("SHA-256", bytes))),
  hmac: (key, parts) => attempt(() => hmac(key, parts)),
  generateKeyPair: attempt(generateKeyPair),
  importKeyPair: (bytes) => attempt(() => importKeyPair(bytes)),
  diffieHellman: (privateKey, publicKey) => attempt(() => agree(privateKeys.get(privateKey)!, publicKey)),
  aesGcm: (key) => attempt(() => aesGcm(key))
}

/**
 * `Primitives` on WebCrypto.
 *
 * @since 0.3.0
 * @category layers
 */
export const layer: Layer.Layer<Primitives> = Layer.succeed(Primitives, service)
