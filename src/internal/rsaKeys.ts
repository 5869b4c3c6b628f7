/** RSA keys as opaque values, and the WebCrypto keys behind them. */
import * as Effect from "effect/Effect"
import type { KeyPair, PrivateKey, PublicKey } from "../Crypto.js"
import type { SecurityError } from "../NomyoError.js"
import * as Bytes from "./codecs/bytes.js"
import * as Pem from "./codecs/pem.js"
import { sha256 } from "./codecs/sha256.js"

export const rsa = { name: "RSA-OAEP", hash: "SHA-256" } as const

/** NIST SP 800-131A: RSA below 2048 bits is disallowed. */
const MINIMUM_MODULUS_LENGTH = 2048
/** NIST SP 800-56B 6.2: the public exponent is odd and at least this. An exponent of 1 encrypts nothing. */
const MINIMUM_EXPONENT = 65_537
const EXPONENT = Uint8Array.of(1, 0, 1)

/** WebCrypto keys by the identity of the opaque objects that callers have. */
const publicHandles = new WeakMap<PublicKey, CryptoKey>()
const privateHandles = new WeakMap<PrivateKey, CryptoKey>()

/** Reads an SPKI. Rejects if it is not of an RSA key. */
export const importSpki = (spki: Uint8Array<ArrayBuffer>): Promise<CryptoKey> =>
  crypto.subtle.importKey("spki", spki, rsa, true, ["encrypt", "wrapKey"])

/** Reads a PKCS#8. Rejects if it is not of an RSA key. */
export const importPkcs8 = (pkcs8: Uint8Array<ArrayBuffer>, extractable: boolean): Promise<CryptoKey> =>
  crypto.subtle.importKey("pkcs8", pkcs8, rsa, extractable, ["decrypt", "unwrapKey"])

const checkStrength = ({ modulusLength, publicExponent }: RsaHashedKeyAlgorithm): void => {
  const exponent = publicExponent.reduce((n, byte) => n * 256 + byte, 0)
  const isOdd = publicExponent.at(-1)! % 2 === 1
  if (modulusLength < MINIMUM_MODULUS_LENGTH || exponent < MINIMUM_EXPONENT || !isOdd) {
    throw new RangeError("weak key")
  }
}

/** The public key of a WebCrypto key. Rejects if the key is weak or may not be exported. */
export const publicKeyOf = async (handle: CryptoKey): Promise<PublicKey> => {
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", handle))
  const algorithm = handle.algorithm as RsaHashedKeyAlgorithm
  checkStrength(algorithm)
  const key: PublicKey = Object.freeze({
    spki,
    pem: Bytes.toText(Pem.encode("PUBLIC KEY", spki)),
    fingerprint: Bytes.toHex(await sha256(spki)),
    modulusLength: algorithm.modulusLength
  })
  publicHandles.set(key, handle)
  return key
}

/** The pair of two WebCrypto keys. Rejects if the public one is weak or may not be exported. */
export const keyPairOf = async (
  publicHandle: CryptoKey,
  privateHandle: CryptoKey,
  createdAt: number
): Promise<KeyPair> => {
  const privateKey = Object.freeze({}) as PrivateKey
  const pair = { publicKey: await publicKeyOf(publicHandle), privateKey, createdAt }
  privateHandles.set(privateKey, privateHandle)
  return pair
}

/** Makes a new pair. Rejects if WebCrypto does, or if the pair is weak. */
export const generateKeyPair = async (
  modulusLength: number,
  extractable: boolean,
  createdAt: number
): Promise<KeyPair> => {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(
    { ...rsa, modulusLength, publicExponent: EXPONENT },
    extractable,
    ["encrypt", "decrypt", "wrapKey", "unwrapKey"]
  )
  return keyPairOf(publicKey, privateKey, createdAt)
}

/** Forgets the WebCrypto key of a private key. */
export const destroy = (key: PrivateKey): void => {
  privateHandles.delete(key)
}

/**
 * The WebCrypto keys of a pair, for a store that can hold them; `undefined` if it was destroyed or is not
 * WebCrypto's.
 */
export const handlesOf = ({ privateKey, publicKey }: KeyPair): CryptoKeyPair | undefined => {
  const publicHandle = publicHandles.get(publicKey)
  const privateHandle = privateHandles.get(privateKey)
  if (publicHandle === undefined || privateHandle === undefined) return undefined
  return { publicKey: publicHandle, privateKey: privateHandle }
}

type Failure = () => SecurityError

const withHandle = <K extends PublicKey | PrivateKey, A, E, R>(
  handles: WeakMap<K, CryptoKey>,
  key: K,
  failure: Failure,
  f: (handle: CryptoKey) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SecurityError, R> =>
  Effect.suspend((): Effect.Effect<A, E | SecurityError, R> => {
    const handle = handles.get(key)
    return handle === undefined ? Effect.fail(failure()) : f(handle)
  })

/** Runs an effect with the WebCrypto key of a public key. Fails with `failure` if there is none. */
export const withPublicHandle = <A, E, R>(
  key: PublicKey,
  failure: Failure,
  f: (handle: CryptoKey) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SecurityError, R> => withHandle(publicHandles, key, failure, f)

/** Runs an effect with the WebCrypto key of a private key. Fails with `failure` if there is none. */
export const withPrivateHandle = <A, E, R>(
  key: PrivateKey,
  failure: Failure,
  f: (handle: CryptoKey) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SecurityError, R> => withHandle(privateHandles, key, failure, f)
