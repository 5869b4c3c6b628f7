/** Private keys in files: every format that the protocol's clients have written is read, standard PKCS#8 is written. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as NodeCrypto from "node:crypto"
import { promisify } from "node:util"
import * as Bytes from "../../internal/codecs/bytes.js"
import * as Der from "../../internal/codecs/der.js"
import * as Pem from "../../internal/codecs/pem.js"
import { SecurityError } from "../../NomyoError.js"
import { SecureMemory } from "../../SecureMemory.js"
import { asBuffer, asBytes } from "./buffer.js"

const PLAIN = "PRIVATE KEY"
const ENCRYPTED = "ENCRYPTED PRIVATE KEY"
const PKCS1 = "RSA PRIVATE KEY"

const MINIMUM_PASSWORD_LENGTH = 8
/** OWASP Password Storage Cheat Sheet, PBKDF2-HMAC-SHA256. */
const ROUNDS = 600_000
/** Of a file that asks for more it is not the password that is checked, but the patience. Half a minute or so. */
const MAX_ROUNDS = 100_000_000
/** What nomyo-js 0.1 used. */
const LEGACY_ROUNDS = 100_000
const SALT_LENGTH = 16
const IV_LENGTH = 16
const KEY_LENGTH = 32
const CIPHER = "aes-256-cbc"

const pbkdf2 = promisify(NodeCrypto.pbkdf2)

const oid = (...bytes: ReadonlyArray<number>) => Der.element(Der.OBJECT_IDENTIFIER, Uint8Array.from(bytes))
/** 1.2.840.113549.1.5.13 (RFC 8018 A.4) */
const pbes2 = oid(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d)
/** 1.2.840.113549.1.5.12 (RFC 8018 A.2) */
const pbkdf2Oid = oid(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c)
/** 1.2.840.113549.2.9 (RFC 8018 B.1.2) */
const hmacWithSha256 = oid(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09)
/** 2.16.840.1.101.3.4.1.42 (RFC 3565) */
const aes256Cbc = oid(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a)

const wrongPassword = () =>
  new SecurityError({ reason: "key-password", message: "The private key's password is wrong, or its file is damaged" })

/** Fails unless the password is long enough to be worth having. */
export const checkPassword = (password: Redacted.Redacted | undefined): Effect.Effect<void, SecurityError> =>
  password === undefined || String(Redacted.value(password)).length >= MINIMUM_PASSWORD_LENGTH
    ? Effect.void
    : Effect.fail(
      new SecurityError({ reason: "key-password", message: `A key password has at least ${MINIMUM_PASSWORD_LENGTH} characters` })
    )

/** A password's bytes, until the scope closes. The string it came as cannot be reached. */
const bytesOf = (password: Redacted.Redacted): Effect.Effect<Uint8Array<ArrayBuffer>, never, SecureMemory | Scope.Scope> =>
  Effect.flatMap(SecureMemory, (memory) => memory.guard(Effect.sync(() => Bytes.fromText(String(Redacted.value(password))))))

const deriveKey = Effect.fnUntraced(function*(password: Redacted.Redacted, salt: Uint8Array, rounds: number) {
  const memory = yield* SecureMemory
  const bytes = yield* bytesOf(password)
  return yield* memory.guard(
    Effect.map(Effect.tryPromise(() => pbkdf2(bytes, salt, rounds, KEY_LENGTH, "sha256")), asBytes)
  )
})

const { element, integer, NULL, OCTET_STRING, SEQUENCE } = Der

/** A PKCS#8 under AES-256-CBC, and what its key is derived with: PBKDF2-HMAC-SHA-256. */
interface Encrypted {
  readonly salt: Uint8Array
  readonly rounds: number
  readonly iv: Uint8Array
  readonly ciphertext: Uint8Array
}

/** The EncryptedPrivateKeyInfo (RFC 5958) of the scheme PBES2. */
const encodePbes2 = ({ ciphertext, iv, rounds, salt }: Encrypted): Uint8Array<ArrayBuffer> => {
  const prf = element(SEQUENCE, hmacWithSha256, element(NULL))
  const kdf = element(SEQUENCE, pbkdf2Oid, element(SEQUENCE, element(OCTET_STRING, salt), integer(rounds), prf))
  const scheme = element(SEQUENCE, aes256Cbc, element(OCTET_STRING, iv))
  return element(SEQUENCE, element(SEQUENCE, pbes2, element(SEQUENCE, kdf, scheme)), element(OCTET_STRING, ciphertext))
}

/** What `encodePbes2` was given; `undefined` if the DER is anything that it does not give. */
const decodePbes2 = (der: Uint8Array): Encrypted | undefined => {
  const [info] = Der.elements(der) ?? []
  const [algorithm, ciphertext] = Der.children(info)
  const [, parameters] = Der.children(algorithm)
  const [kdf, scheme] = Der.children(parameters)
  const [, kdfParameters] = Der.children(kdf)
  const [salt, rounds] = Der.children(kdfParameters)
  const [, iv] = Der.children(scheme)
  if (salt === undefined || rounds === undefined || iv === undefined || ciphertext === undefined || rounds.value.length > 4) return undefined
  const encrypted = {
    salt: salt.value,
    rounds: rounds.value.reduce((n, byte) => n * 256 + byte, 0),
    iv: iv.value,
    ciphertext: ciphertext.value
  }
  return Bytes.equals(encodePbes2(encrypted), der) ? encrypted : undefined
}

/** `salt | iv | ciphertext`, as nomyo-js 0.1 wrote it under the label of an unencrypted key. */
const decodeLegacy = (der: Uint8Array): Encrypted => ({
  salt: der.subarray(0, SALT_LENGTH),
  rounds: LEGACY_ROUNDS,
  iv: der.subarray(SALT_LENGTH, SALT_LENGTH + IV_LENGTH),
  ciphertext: der.subarray(SALT_LENGTH + IV_LENGTH)
})

const encrypt = Effect.fnUntraced(function*(pkcs8: Uint8Array, password: Redacted.Redacted) {
  const salt = NodeCrypto.randomBytes(SALT_LENGTH)
  const iv = NodeCrypto.randomBytes(IV_LENGTH)
  const cipher = NodeCrypto.createCipheriv(CIPHER, yield* deriveKey(password, salt, ROUNDS), iv)
  const ciphertext = Bytes.concat([cipher.update(pkcs8), cipher.final()])
  return Pem.encode(ENCRYPTED, encodePbes2({ salt, rounds: ROUNDS, iv, ciphertext }))
})

/** The PEM of a PKCS#8 private key, encrypted if there is a password; until the scope closes. */
export const encode = (
  pkcs8: Uint8Array,
  password: Redacted.Redacted | undefined
): Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError, SecureMemory | Scope.Scope> =>
  password === undefined
    ? Effect.flatMap(SecureMemory, (memory) => memory.guard(Effect.sync(() => Pem.encode(PLAIN, pkcs8))))
    : Effect.mapError(
      encrypt(pkcs8, password),
      () => new SecurityError({ reason: "client-key", message: "The private key could not be encrypted" })
    )

const decrypt = Effect.fnUntraced(function*({ ciphertext, iv, rounds, salt }: Encrypted, password: Redacted.Redacted) {
  const memory = yield* SecureMemory
  if (rounds > MAX_ROUNDS) return yield* Effect.fail(wrongPassword())
  const key = yield* deriveKey(password, salt, rounds)
  const pkcs8 = yield* memory.guard(Effect.try(() => {
    const decipher = NodeCrypto.createDecipheriv(CIPHER, key, iv)
    const parts = [decipher.update(ciphertext)]
    try {
      parts.push(decipher.final())
      return Bytes.concat(parts)
    } finally {
      parts.forEach((part) => part.fill(0))
    }
  }))
  // CBC has no tag: one wrong password in 256 or so passes its padding and gives noise
  return Der.spkiOfPkcs8(pkcs8) === undefined ? yield* Effect.fail(wrongPassword()) : pkcs8
})

/** By OpenSSL, which knows every scheme, and derives the key on the main thread. */
const decryptOther = Effect.fnUntraced(function*(der: Uint8Array<ArrayBuffer>, password: Redacted.Redacted) {
  const memory = yield* SecureMemory
  const passphrase = asBuffer(yield* bytesOf(password))
  return yield* memory.guard(Effect.try(() => {
    const key = NodeCrypto.createPrivateKey({ key: asBuffer(der), format: "der", type: "pkcs8", passphrase })
    return asBytes(key.export({ format: "der", type: "pkcs8" }))
  }))
})

/** The format of nomyo-js 0.1 is known by not being DER. */
const isEncrypted = ({ der, label }: { readonly der: Uint8Array; readonly label: string }): boolean =>
  label === ENCRYPTED || (label === PLAIN && Der.elements(der)?.length !== 1)

/** The PKCS#8 of a private key in PEM, until the scope closes; `pem` is used up. */
export const decode = Effect.fnUntraced(function*(
  pem: Uint8Array<ArrayBuffer>,
  password: Redacted.Redacted | undefined
): Effect.fn.Return<Uint8Array<ArrayBuffer>, SecurityError, SecureMemory | Scope.Scope> {
  const memory = yield* SecureMemory
  const block = Pem.decode(pem, ENCRYPTED, PLAIN, PKCS1)
  if (block === undefined && asBuffer(pem).includes(ENCRYPTED)) return yield* Effect.fail(wrongPassword())
  if (block === undefined) {
    return yield* Effect.fail(new SecurityError({ reason: "client-key", message: "The private key's file holds no private key in PEM" }))
  }
  const { der, label } = block
  if (label === PKCS1) return yield* memory.guard(Effect.sync(() => Der.pkcs8OfPkcs1(der)))
  if (!isEncrypted(block)) {
    if (password !== undefined) yield* Effect.logWarning("A password was given for a private key that is not encrypted")
    return der
  }
  if (password === undefined) {
    return yield* Effect.fail(new SecurityError({
      reason: "key-password",
      message: "The private key needs a password and none was given, or its file is damaged"
    }))
  }
  const encrypted = label === ENCRYPTED ? decodePbes2(der) : decodeLegacy(der)
  return yield* Effect.mapError(
    encrypted === undefined ? decryptOther(der, password) : decrypt(encrypted, password),
    wrongPassword
  )
})
