/**
 * Private keys in files: reads every format that the protocol's clients have written, writes standard
 * PKCS#8.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as NodeCrypto from "node:crypto"
import * as Bytes from "../../internal/codecs/bytes.js"
import * as Der from "../../internal/codecs/der.js"
import * as Pem from "../../internal/codecs/pem.js"
import { SecurityError } from "../../NomyoError.js"
import { SecureMemory } from "../../SecureMemory.js"
import { asBuffer } from "./buffer.js"
import * as Pbes2 from "./pbes2.js"

const PLAIN = "PRIVATE KEY"
const ENCRYPTED = "ENCRYPTED PRIVATE KEY"
const PKCS1 = "RSA PRIVATE KEY"

const MINIMUM_PASSWORD_LENGTH = 8
/** OWASP Password Storage Cheat Sheet, PBKDF2-HMAC-SHA256. */
const ROUNDS = 600_000
/** The rounds of nomyo-js 0.1. */
const LEGACY_ROUNDS = 100_000
const SALT_LENGTH = 16
const IV_LENGTH = 16
const CIPHER = { name: "aes-256-cbc", keyLength: 32 }

const wrongPassword = () =>
  new SecurityError({
    reason: "key-password",
    message: "The password of the private key is wrong, or its file is damaged. Check keyRotationPassword"
  })

const isLongEnough = (password: unknown): boolean =>
  typeof password === "string" && password.length >= MINIMUM_PASSWORD_LENGTH

/** Fails unless the password is a string, and long enough to be worth having. */
export const checkPassword = (password: Redacted.Redacted | undefined): Effect.Effect<void, SecurityError> =>
  password === undefined || isLongEnough(Redacted.value(password))
    ? Effect.void
    : Effect.fail(
      new SecurityError({
        reason: "key-password",
        message: `The key password must be a string of at least ${MINIMUM_PASSWORD_LENGTH} characters`
      })
    )

/** A password's bytes, until the scope closes. The string it came as cannot be reached. */
const bytesOf = (
  password: Redacted.Redacted
): Effect.Effect<Uint8Array<ArrayBuffer>, never, SecureMemory | Scope.Scope> => {
  const encoded = Effect.sync(() => Bytes.fromText(Redacted.value(password)))
  return Effect.flatMap(SecureMemory, (memory) => memory.guard(encoded))
}

const ownKdf = (salt: Uint8Array, rounds: number): Pbes2.Kdf =>
  ({ _tag: "Pbkdf2", salt, rounds, digest: "sha256" })

/** `salt | iv | ciphertext`, as nomyo-js 0.1 wrote it under the label of an unencrypted key. */
const decodeLegacy = (der: Uint8Array): Pbes2.Encrypted => ({
  kdf: ownKdf(der.subarray(0, SALT_LENGTH), LEGACY_ROUNDS),
  cipher: CIPHER,
  iv: der.subarray(SALT_LENGTH, SALT_LENGTH + IV_LENGTH),
  ciphertext: der.subarray(SALT_LENGTH + IV_LENGTH)
})

const encrypt = Effect.fnUntraced(function*(pkcs8: Uint8Array, password: Redacted.Redacted) {
  const salt = NodeCrypto.randomBytes(SALT_LENGTH)
  const iv = NodeCrypto.randomBytes(IV_LENGTH)
  const key = yield* Pbes2.deriveKey(ownKdf(salt, ROUNDS), yield* bytesOf(password), CIPHER.keyLength)
  const cipher = NodeCrypto.createCipheriv(CIPHER.name, key, iv)
  const ciphertext = Bytes.concat([cipher.update(pkcs8), cipher.final()])
  return Pem.encode(ENCRYPTED, Pbes2.encode({ salt, rounds: ROUNDS, iv, ciphertext }))
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
      () =>
        new SecurityError({
          reason: "client-key",
          message: "The private key could not be encrypted; report this as a bug"
        })
    )

const decipher = ({ cipher, ciphertext, iv }: Pbes2.Encrypted, key: Uint8Array): Uint8Array<ArrayBuffer> => {
  const parts: Array<Buffer> = []
  try {
    const decipher = NodeCrypto.createDecipheriv(cipher.name, key, iv)
    parts.push(decipher.update(ciphertext))
    parts.push(decipher.final())
    return Bytes.concat(parts)
  } finally {
    parts.forEach((part) => part.fill(0))
  }
}

const decrypt = Effect.fnUntraced(function*(encrypted: Pbes2.Encrypted, password: Redacted.Redacted) {
  const memory = yield* SecureMemory
  const key = yield* Pbes2.deriveKey(encrypted.kdf, yield* bytesOf(password), encrypted.cipher.keyLength)
  const pkcs8 = yield* memory.guard(Effect.try(() => decipher(encrypted, key)))
  // CBC has no tag: one wrong password in 256 or so passes its padding and gives noise
  return Der.spkiOfPkcs8(pkcs8) === undefined ? yield* Effect.fail(wrongPassword()) : pkcs8
})

const refuse = (message: string) => Effect.fail(new SecurityError({ reason: "client-key", message }))

const CONVERT = "convert it: openssl pkcs8 -topk8 -in OLD -out NEW"

/** The encrypted key of a block, with bounds on the work of its key. */
const encryptedOf = ({ der, label }: Block): Effect.Effect<Pbes2.Encrypted, SecurityError> => {
  if (label !== ENCRYPTED) return Effect.succeed(decodeLegacy(der))
  if (Der.elements(der)?.length !== 1) return Effect.fail(wrongPassword())
  const encrypted = Pbes2.decode(der)
  if (encrypted === undefined) {
    return refuse(`The private key is encrypted with an unsupported scheme; ${CONVERT}`)
  }
  return Pbes2.isBounded(encrypted.kdf)
    ? Effect.succeed(encrypted)
    : refuse(`The private key's file demands too many rounds of key derivation; ${CONVERT}`)
}

interface Block {
  readonly der: Uint8Array<ArrayBuffer>
  readonly label: string
}

/** The format of nomyo-js 0.1 is known by not being DER. */
const isEncrypted = ({ der, label }: Block): boolean =>
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
    return yield* refuse(
      "The private key's file holds no private key in PEM; move it away, and the next start makes a new pair"
    )
  }
  const { der, label } = block
  if (label === PKCS1) return yield* memory.guard(Effect.sync(() => Der.pkcs8OfPkcs1(der)))
  if (!isEncrypted(block)) {
    if (password !== undefined) {
      yield* Effect.logWarning(
        "keyRotationPassword is set, but the stored private key is not encrypted. " +
          "The next rotation encrypts it"
      )
    }
    return der
  }
  if (password === undefined) {
    return yield* Effect.fail(
      new SecurityError({
        reason: "key-password",
        message: "The private key needs a password, or its file is damaged. Set keyRotationPassword"
      })
    )
  }
  return yield* Effect.mapError(decrypt(yield* encryptedOf(block), password), wrongPassword)
})
