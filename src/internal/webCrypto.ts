/** The `Crypto` service on WebCrypto, with two operations that a platform may replace. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import {
  AES_KEY_LENGTH,
  cannotOpen,
  cannotSeal,
  NONCE_LENGTH,
  type Sealed,
  type Service,
  TAG_LENGTH
} from "../Crypto.js"
import { type SecurityReason, SecurityError } from "../NomyoError.js"
import { type Plaintext, withBytes } from "../Plaintext.js"
import { SecureMemory as SecureMemoryTag, type Service as SecureMemory } from "../SecureMemory.js"
import * as Bytes from "./codecs/bytes.js"
import * as Der from "./codecs/der.js"
import * as Pem from "./codecs/pem.js"
import * as RsaKeys from "./rsaKeys.js"

const aes = { name: "AES-GCM", length: AES_KEY_LENGTH * 8 } as const

/** The operations of `Crypto` that a platform may do in its own way, on WebCrypto keys. */
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

/** Converts WebCrypto's ciphertext, with the tag at its end, to `Sealed`. */
const toSealed = (encryptedKey: ArrayBuffer, nonce: Uint8Array<ArrayBuffer>, joined: ArrayBuffer): Sealed => {
  // as it was encrypted: the owner of the plaintext may have resized it since
  const length = joined.byteLength - TAG_LENGTH
  return {
    encryptedKey: new Uint8Array(encryptedKey),
    nonce,
    length,
    ciphertext: [new Uint8Array(joined, 0, length)],
    tag: () => new Uint8Array(joined, length)
  }
}

/** A fresh AES key, and that key wrapped. */
const makeAesKey = async (key: CryptoKey) => {
  const aesKey = await crypto.subtle.generateKey(aes, true, ["encrypt"])
  return { aesKey, encryptedKey: await crypto.subtle.wrapKey("raw", aesKey, key, RsaKeys.rsa) }
}

/** WebCrypto copies the bytes before the call returns: an interruption may zero them while it works. */
const encrypt = (key: CryptoKey, nonce: Uint8Array<ArrayBuffer>, bytes: Uint8Array) =>
  Effect.tryPromise(() =>
    crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce }, key, bytes as Uint8Array<ArrayBuffer>))

const sealAtOnce = Effect.fnUntraced(function*(memory: SecureMemory, key: CryptoKey, plaintext: Plaintext) {
  const { aesKey, encryptedKey } = yield* Effect.tryPromise(() => makeAesKey(key))
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_LENGTH))
  const joined = yield* withBytes(memory, plaintext, (bytes) => encrypt(aesKey, nonce, bytes))
  return toSealed(encryptedKey, nonce, joined)
})

const seal = (memory: SecureMemory): Primitives["seal"] => (key, plaintext, use) =>
  Effect.flatMap(Effect.mapError(sealAtOnce(memory, key, plaintext), cannotSeal), use)

/**
 * A random key in place of one that cannot be unwrapped: a bad key costs as much as a bad tag, and fails in
 * the same step.
 */
const implicitRejectionKey = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(AES_KEY_LENGTH))
  return crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["decrypt"])
}

const unwrap = (key: CryptoKey, encryptedKey: Uint8Array<ArrayBuffer>): Promise<CryptoKey> =>
  crypto.subtle.unwrapKey("raw", encryptedKey, key, RsaKeys.rsa, "AES-GCM", false, ["decrypt"]).then(
    (unwrapped) =>
      (unwrapped.algorithm as AesKeyAlgorithm).length === aes.length ? unwrapped : implicitRejectionKey(),
    implicitRejectionKey
  )

const decrypt = async (key: CryptoKey, { ciphertext, encryptedKey, nonce, tag }: Sealed) => {
  const aesKey = await unwrap(key, encryptedKey)
  const joined = Bytes.concat([...ciphertext, tag()])
  return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv: nonce }, aesKey, joined))
}

const open = (memory: SecureMemory): Primitives["open"] => (key, sealed, use) =>
  Effect.using(memory.guard(Effect.tryPromise({ try: () => decrypt(key, sealed), catch: cannotOpen })), use)

/** Both operations on WebCrypto alone: it makes, wraps and unwraps AES keys, which never enter JavaScript. */
export const primitives = (memory: SecureMemory): Primitives => ({ seal: seal(memory), open: open(memory) })

const attempt = <A>(
  reason: SecurityReason,
  message: string,
  run: () => Promise<A>
): Effect.Effect<A, SecurityError> =>
  Effect.tryPromise({ try: run, catch: () => new SecurityError({ reason, message }) })

const rule = "an RSA key of at least 2048 bits, with an exponent of at least 65537"

const importPublicKey: Service["importPublicKey"] = (pem) =>
  attempt("router-key",
    `The router's public key is not ${rule}, in SPKI PEM. Check that baseUrl is a NOMYO router`, async () => {
      const block = Pem.decode(Uint8Array.from(pem), "PUBLIC KEY")
      return RsaKeys.publicKeyOf(await RsaKeys.importSpki(block!.der))
    })

type ImportPkcs8 = typeof RsaKeys.importPkcs8

const CREATES = "remove it, and the client creates another"

const importKeyPair = (extractable: boolean, importPkcs8: ImportPkcs8): Service["importKeyPair"] =>
  (pkcs8, createdAt) =>
    attempt("client-key", `The private key is not ${rule}, in PKCS#8; ${CREATES}`, async () => {
      const [privateHandle, publicHandle] = await Promise.all([
        importPkcs8(pkcs8, extractable),
        RsaKeys.importSpki(Der.spkiOfPkcs8(pkcs8)!)
      ])
      return RsaKeys.keyPairOf(publicHandle, privateHandle, createdAt)
    })

const destroyed = () =>
  new SecurityError({
    reason: "client-key",
    message: "The private key has been destroyed. Use the current key pair"
  })

const exportPkcs8 = (handle: CryptoKey) =>
  attempt("unsupported", "This platform cannot export private keys. Keep them in memory", async () =>
    new Uint8Array(await crypto.subtle.exportKey("pkcs8", handle)))

const exportPrivateKey = (memory: SecureMemory): Service["exportPrivateKey"] => (key) =>
  RsaKeys.withPrivateHandle(key, destroyed, (handle) => memory.guard(exportPkcs8(handle)))

/** How a platform's service differs from others. */
export interface Options {
  /** Whether private keys may be exported. */
  readonly extractable: boolean
  /** Reads a PKCS#8. Default: WebCrypto. */
  readonly importPkcs8?: ImportPkcs8
  readonly primitives: (memory: SecureMemory) => Primitives
}

const generateKeyPair = Effect.fnUntraced(function*(modulusLength: number, extractable: boolean) {
  const now = yield* Clock.currentTimeMillis
  const failure = `An RSA key pair of ${modulusLength} bits could not be generated. ` +
    "Set keySize to 2048 or 4096"
  return yield* attempt("client-key", failure, () =>
    RsaKeys.generateKeyPair(modulusLength, extractable, now))
})

const service = (memory: SecureMemory, options: Options): Service => {
  const { extractable, importPkcs8 = RsaKeys.importPkcs8 } = options
  const { open, seal } = options.primitives(memory)
  return {
    generateKeyPair: (modulusLength) => generateKeyPair(modulusLength, extractable),
    importPublicKey,
    importKeyPair: importKeyPair(extractable, importPkcs8),
    exportPrivateKey: exportPrivateKey(memory),
    destroy: (key) => Effect.sync(() => RsaKeys.destroy(key)),
    seal: (key, plaintext, use) =>
      RsaKeys.withPublicHandle(key, cannotSeal, (handle) => seal(handle, plaintext, use)),
    open: (key, sealed, use) =>
      RsaKeys.withPrivateHandle(key, cannotOpen, (handle) => open(handle, sealed, use)),
    randomId: Effect.sync(() => crypto.randomUUID())
  }
}

const unsupported = () =>
  new SecurityError({
    reason: "unsupported",
    message: "WebCrypto is not available. Serve the page over HTTPS or from localhost"
  })

/** A service on WebCrypto. Fails with reason `unsupported` where there is none. */
export const make = (options: Options): Effect.Effect<Service, SecurityError, SecureMemoryTag> =>
  Effect.flatMap(SecureMemoryTag, (memory) =>
    globalThis.crypto?.subtle === undefined
      ? Effect.fail(unsupported())
      : Effect.succeed(service(memory, options)))
