/** Private keys in files: every format that the protocol's clients have written is read, standard PKCS#8 is written. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as NodeCrypto from "node:crypto"
import { promisify } from "node:util"
import * as Bytes from "../../internal/bytes.js"
import * as Der from "../../internal/der.js"
import * as Pem from "../../internal/pem.js"
import { SecurityError } from "../../NomyoError.js"

const PLAIN = "PRIVATE KEY"
const ENCRYPTED = "ENCRYPTED PRIVATE KEY"
const PKCS1 = "RSA PRIVATE KEY"

const MINIMUM_PASSWORD_LENGTH = 8
/** OWASP Password Storage Cheat Sheet, PBKDF2-HMAC-SHA256. */
const ROUNDS = 600_000
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

/** Lends a password's bytes to a callback and zeroes them. The string it came as cannot be reached. */
const withPassword = async <A>(password: Redacted.Redacted, use: (bytes: Buffer) => A | Promise<A>): Promise<A> => {
  const bytes = Buffer.from(String(Redacted.value(password)))
  try {
    return await use(bytes)
  } finally {
    bytes.fill(0)
  }
}

/** The PEM of a PKCS#8 private key, encrypted (RFC 8018 PBES2) if there is a password. The caller zeroes both buffers. */
export const encode = (
  pkcs8: Uint8Array,
  password: Redacted.Redacted | undefined
): Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError> =>
  password === undefined
    ? Effect.sync(() => Pem.encode(PLAIN, pkcs8))
    : Effect.tryPromise({
      try: async () => {
        const salt = NodeCrypto.randomBytes(SALT_LENGTH)
        const iv = NodeCrypto.randomBytes(IV_LENGTH)
        const key = await withPassword(password, (bytes) => pbkdf2(bytes, salt, ROUNDS, KEY_LENGTH, "sha256"))
        const cipher = NodeCrypto.createCipheriv(CIPHER, key, iv)
        key.fill(0)
        const encrypted = Bytes.concat([cipher.update(pkcs8), cipher.final()])
        const { element, INTEGER, NULL, OCTET_STRING, SEQUENCE } = Der
        const kdf = element(
          SEQUENCE,
          pbkdf2Oid,
          element(
            SEQUENCE,
            element(OCTET_STRING, salt),
            element(INTEGER, Uint8Array.of(ROUNDS >> 16, (ROUNDS >> 8) & 255, ROUNDS & 255)),
            element(SEQUENCE, hmacWithSha256, element(NULL))
          )
        )
        const scheme = element(SEQUENCE, aes256Cbc, element(OCTET_STRING, iv))
        return Pem.encode(
          ENCRYPTED,
          element(SEQUENCE, element(SEQUENCE, pbes2, element(SEQUENCE, kdf, scheme)), element(OCTET_STRING, encrypted))
        )
      },
      catch: () => new SecurityError({ reason: "client-key", message: "The private key could not be encrypted" })
    })

/** `salt | iv | AES-256-CBC(PKCS#8)`, as nomyo-js 0.1 wrote it under the label of an unencrypted key. */
const openLegacy = async (der: Uint8Array, password: Buffer): Promise<Uint8Array<ArrayBuffer>> => {
  const salt = der.subarray(0, SALT_LENGTH)
  const iv = der.subarray(SALT_LENGTH, SALT_LENGTH + IV_LENGTH)
  const key = await pbkdf2(password, salt, LEGACY_ROUNDS, KEY_LENGTH, "sha256")
  const decipher = NodeCrypto.createDecipheriv(CIPHER, key, iv)
  key.fill(0)
  const parts = [decipher.update(der.subarray(SALT_LENGTH + IV_LENGTH))]
  try {
    parts.push(decipher.final())
    const pkcs8 = Bytes.concat(parts)
    // CBC has no tag: one wrong password in 256 or so passes its padding and gives noise
    if (Der.spkiOfPkcs8(pkcs8) === undefined) throw new Error("noise")
    return pkcs8
  } finally {
    parts.forEach((part) => part.fill(0))
  }
}

const openPkcs8 = (der: Uint8Array<ArrayBuffer>, passphrase: Buffer): Uint8Array<ArrayBuffer> => {
  const key = NodeCrypto.createPrivateKey({ key: Buffer.from(der.buffer), format: "der", type: "pkcs8", passphrase })
  const pkcs8 = key.export({ format: "der", type: "pkcs8" })
  return new Uint8Array(pkcs8.buffer as ArrayBuffer, pkcs8.byteOffset, pkcs8.byteLength)
}

/** The format of nomyo-js 0.1 is known by not being DER. */
const isEncrypted = ({ der, label }: { readonly der: Uint8Array; readonly label: string }): boolean =>
  label === ENCRYPTED || (label === PLAIN && Der.elements(der)?.length !== 1)

/** The PKCS#8 of a private key in PEM. The caller zeroes both buffers. */
export const decode = Effect.fnUntraced(function*(
  pem: Uint8Array,
  password: Redacted.Redacted | undefined
): Effect.fn.Return<Uint8Array<ArrayBuffer>, SecurityError> {
  const block = Pem.decode(pem, ENCRYPTED, PLAIN, PKCS1)
  if (block === undefined && Buffer.from(pem.buffer, pem.byteOffset, pem.length).includes(ENCRYPTED)) return yield* wrongPassword()
  if (block === undefined) {
    return yield* new SecurityError({ reason: "client-key", message: "The private key's file holds no private key in PEM" })
  }
  const { der, label } = block
  if (label === PKCS1) {
    const pkcs8 = Der.pkcs8OfPkcs1(der)
    der.fill(0)
    return pkcs8
  }
  if (!isEncrypted(block)) {
    if (password !== undefined) yield* Effect.logWarning("A password was given for a private key that is not encrypted")
    return der
  }
  if (password === undefined) {
    return yield* new SecurityError({
      reason: "key-password",
      message: "The private key needs a password and none was given, or its file is damaged"
    })
  }
  return yield* Effect.tryPromise({
    try: () => withPassword(password, (bytes) => label === ENCRYPTED ? openPkcs8(der, bytes) : openLegacy(der, bytes)),
    catch: wrongPassword
  })
})
