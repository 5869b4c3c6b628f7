import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { KeyPair, Plaintext, PrivateKey, PublicKey, Sealed, Service } from "../Crypto.js"
import { type SecurityReason, SecurityError } from "../NomyoError.js"
import { SecureMemory as SecureMemoryTag, type Service as SecureMemory } from "../SecureMemory.js"
import * as Bytes from "./codecs/bytes.js"
import * as Der from "./codecs/der.js"
import * as Pem from "./codecs/pem.js"
import { withBytes } from "./plaintext.js"

export const NONCE_LENGTH = 12
export const TAG_LENGTH = 16
export const AES_KEY_LENGTH = 32
/** NIST SP 800-131A: RSA below 2048 bits is disallowed. */
const MINIMUM_MODULUS_LENGTH = 2048
/** NIST SP 800-56B 6.2: the public exponent is odd and at least this. Under an exponent of 1 everybody can read what is encrypted. */
const MINIMUM_EXPONENT = 65_537

const rsa = { name: "RSA-OAEP", hash: "SHA-256" } as const
const aes = { name: "AES-GCM", length: AES_KEY_LENGTH * 8 } as const

/** The two operations that a platform may do in a better way of its own, given the WebCrypto keys. They fail with `cannotSeal` and `cannotOpen`. */
export interface Primitives {
  readonly seal: <A, E, R>(
    key: CryptoKey,
    plaintext: Plaintext,
    use: (sealed: Sealed) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SecurityError, R>
  readonly open: <A, E, R>(
    key: CryptoKey,
    sealed: Sealed,
    use: (plaintext: Uint8Array<ArrayBuffer>) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SecurityError, R>
}

/** A random key in place of one that could not be unwrapped: a bad key costs what a bad tag costs, and fails where that fails. */
const implicitRejectionKey = () =>
  crypto.subtle.importKey("raw", crypto.getRandomValues(new Uint8Array(AES_KEY_LENGTH)), "AES-GCM", false, ["decrypt"])

/** The AES key is made, wrapped and unwrapped inside WebCrypto and never seen here. */
export const primitives = (memory: SecureMemory): Primitives => ({
  seal: (key, plaintext, use) =>
    Effect.flatMap(
      Effect.tryPromise(async () => {
        const aesKey = await crypto.subtle.generateKey(aes, true, ["encrypt"])
        return { aesKey, encryptedKey: new Uint8Array(await crypto.subtle.wrapKey("raw", aesKey, key, rsa)) }
      }),
      ({ aesKey, encryptedKey }) => {
        const nonce = crypto.getRandomValues(new Uint8Array(NONCE_LENGTH))
        return Effect.map(
          // copied before the call returns: nothing reads the bytes when they have been given back
          withBytes(memory, plaintext, (bytes) =>
            Effect.tryPromise(() => crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce }, aesKey, bytes as Uint8Array<ArrayBuffer>))),
          (joined) => {
            // as it was encrypted: a buffer may have been resized since
            const length = joined.byteLength - TAG_LENGTH
            return { encryptedKey, nonce, length, ciphertext: [new Uint8Array(joined, 0, length)], tag: () => new Uint8Array(joined, length) }
          }
        )
      }
    ).pipe(Effect.mapError(cannotSeal), Effect.flatMap(use)),
  open: (key, { ciphertext, encryptedKey, nonce, tag }, use) => {
    const opened = memory.guard(Effect.tryPromise({
      try: async () => {
        const aesKey = await crypto.subtle.unwrapKey("raw", encryptedKey, key, rsa, "AES-GCM", false, ["decrypt"]).then(
          (unwrapped) => (unwrapped.algorithm as AesKeyAlgorithm).length === aes.length ? unwrapped : implicitRejectionKey(),
          implicitRejectionKey
        )
        const plaintext = await crypto.subtle.decrypt(
          { name: "AES-GCM", iv: nonce },
          aesKey,
          Bytes.concat([...ciphertext, tag()])
        )
        return new Uint8Array(plaintext)
      },
      catch: cannotOpen
    }))
    return Effect.using(opened, use)
  }
})

/** The WebCrypto keys, by the identity of the opaque objects that are handed out. */
const publicKeys = new WeakMap<PublicKey, CryptoKey>()
const privateKeys = new WeakMap<PrivateKey, CryptoKey>()

const attempt = <A>(reason: SecurityReason, message: string, run: () => Promise<A>): Effect.Effect<A, SecurityError> =>
  Effect.tryPromise({ try: run, catch: () => new SecurityError({ reason, message }) })

export const sha256 = async (bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))

/** The one thing that is ever said about an envelope that does not open. */
export const cannotOpen = (): SecurityError =>
  new SecurityError({ reason: "envelope", message: "The answer could not be opened with this client's key" })

export const cannotSeal = (): SecurityError => new SecurityError({ reason: "encryption", message: "The request could not be encrypted" })

const importFailure = {
  "router-key": "The router's public key is not an RSA key of at least 2048 bits, with an exponent of at least 65537, in SPKI PEM",
  "client-key": "The private key is not an RSA key of at least 2048 bits, with an exponent of at least 65537, in PKCS#8"
} as const

const importSpki = (spki: Uint8Array<ArrayBuffer>) =>
  crypto.subtle.importKey("spki", spki, rsa, true, ["encrypt", "wrapKey"])

const publicKey = async (handle: CryptoKey): Promise<PublicKey> => {
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", handle))
  const { modulusLength, publicExponent } = handle.algorithm as RsaHashedKeyAlgorithm
  if (modulusLength < MINIMUM_MODULUS_LENGTH) throw new RangeError("modulus")
  const exponent = publicExponent.reduce((n, byte) => n * 256 + byte, 0)
  if (exponent < MINIMUM_EXPONENT || publicExponent.at(-1)! % 2 === 0) throw new RangeError("exponent")
  const key: PublicKey = Object.freeze({
    spki,
    pem: Bytes.toText(Pem.encode("PUBLIC KEY", spki)),
    fingerprint: Bytes.toHex(await sha256(spki)),
    modulusLength
  })
  publicKeys.set(key, handle)
  return key
}

/** The pair of two WebCrypto keys. Rejects if the public one may not be exported, or is too short. */
export const keyPair = async (publicHandle: CryptoKey, privateHandle: CryptoKey, createdAt: number): Promise<KeyPair> => {
  const privateKey = Object.freeze({}) as PrivateKey
  const pair = { publicKey: await publicKey(publicHandle), privateKey, createdAt }
  privateKeys.set(privateKey, privateHandle)
  return pair
}

/** The WebCrypto keys of a pair, for a store that can hold them; none if it was destroyed or is not one of WebCrypto's. */
export const handlesOf = ({ privateKey, publicKey }: KeyPair): CryptoKeyPair | undefined => {
  const handles = { publicKey: publicKeys.get(publicKey), privateKey: privateKeys.get(privateKey) }
  return handles.publicKey === undefined || handles.privateKey === undefined ? undefined : handles as CryptoKeyPair
}

const destroyed = () => new SecurityError({ reason: "client-key", message: "The private key has been destroyed" })

const withHandle = <K extends PublicKey | PrivateKey, A, E, R>(
  handles: WeakMap<K, CryptoKey>,
  key: K,
  failure: () => SecurityError,
  f: (handle: CryptoKey) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SecurityError, R> =>
  Effect.suspend((): Effect.Effect<A, E | SecurityError, R> => {
    const handle = handles.get(key)
    return handle === undefined ? Effect.fail(failure()) : f(handle)
  })

/** Reads a PKCS#8. */
export const importPkcs8 = (pkcs8: Uint8Array<ArrayBuffer>, extractable: boolean): Promise<CryptoKey> =>
  crypto.subtle.importKey("pkcs8", pkcs8, rsa, extractable, ["decrypt", "unwrapKey"])

interface Options {
  readonly extractable: boolean
  /** In place of `importPkcs8`. */
  readonly importPkcs8?: typeof importPkcs8
  readonly primitives: (memory: SecureMemory) => Primitives
}

const service = (memory: SecureMemory, { extractable, importPkcs8: read = importPkcs8, primitives }: Options): Service => {
  const { open, seal } = primitives(memory)
  return {
    generateKeyPair: (modulusLength) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        attempt("client-key", `An RSA key pair of ${modulusLength} bits could not be generated`, async () => {
          const pair = await crypto.subtle.generateKey(
            { ...rsa, modulusLength, publicExponent: Uint8Array.of(1, 0, 1) },
            extractable,
            ["encrypt", "decrypt", "wrapKey", "unwrapKey"]
          )
          return keyPair(pair.publicKey, pair.privateKey, now)
        })),

    importPublicKey: (pem) =>
      attempt("router-key", importFailure["router-key"], async () => {
        const block = Pem.decode(Uint8Array.from(pem), "PUBLIC KEY")
        return publicKey(await importSpki(block!.der))
      }),

    importKeyPair: (pkcs8, createdAt) =>
      attempt("client-key", importFailure["client-key"], async () => {
        const [privateHandle, publicHandle] = await Promise.all([
          read(pkcs8, extractable),
          importSpki(Der.spkiOfPkcs8(pkcs8)!)
        ])
        return keyPair(publicHandle, privateHandle, createdAt)
      }),

    exportPrivateKey: (key) =>
      withHandle(privateKeys, key, destroyed, (handle) =>
        memory.guard(attempt("unsupported", "Private keys cannot be exported here", async () =>
          new Uint8Array(await crypto.subtle.exportKey("pkcs8", handle))))),

    destroy: (key) => Effect.sync(() => privateKeys.delete(key)),

    seal: (key, plaintext, use) => withHandle(publicKeys, key, cannotSeal, (handle) => seal(handle, plaintext, use)),

    open: (key, sealed, use) => withHandle(privateKeys, key, cannotOpen, (handle) => open(handle, sealed, use)),

    randomId: Effect.sync(() => crypto.randomUUID())
  }
}

/** Fails where there is no WebCrypto. */
export const make = (options: Options): Effect.Effect<Service, SecurityError, SecureMemoryTag> =>
  Effect.flatMap(SecureMemoryTag, (memory) =>
    globalThis.crypto?.subtle === undefined
      ? Effect.fail(
        new SecurityError({
          reason: "unsupported",
          message: "WebCrypto is not available: a page must be served over HTTPS or from localhost"
        })
      )
      : Effect.succeed(service(memory, options))
  )
