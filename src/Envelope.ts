/**
 * The wire format: a JSON envelope around bytes sealed to a public key. Requests and answers have the same one.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Crypto, type PrivateKey, type PublicKey, type Sealed } from "./Crypto.js"
import * as Base64 from "./internal/base64.js"
import * as Bytes from "./internal/bytes.js"
import { cannotOpen, NONCE_LENGTH, TAG_LENGTH } from "./internal/webCrypto.js"
import type { SecurityError } from "./NomyoError.js"

/**
 * @since 0.2.0
 * @category constants
 */
export const version = "1.0"

/**
 * Names the scheme. The same whatever the length of the RSA key.
 *
 * @since 0.2.0
 * @category constants
 */
export const algorithm = "hybrid-aes256-rsa4096"

const keyAlgorithm = "RSA-OAEP-SHA256"
const payloadAlgorithm = "AES-256-GCM"

/**
 * The envelope as JSON. Base64 is standard, padded and strict; fields that are not named here are ignored.
 *
 * @since 0.2.0
 * @category schemas
 */
export const Envelope = Schema.Struct({
  version: Schema.Literal(version),
  algorithm: Schema.Literal(algorithm),
  encrypted_payload: Schema.Struct({
    ciphertext: Schema.String,
    /** 12 bytes. */
    nonce: Schema.String,
    /** 16 bytes. */
    tag: Schema.String
  }),
  /** The 32-byte AES key, encrypted with RSA-OAEP. */
  encrypted_aes_key: Schema.String,
  key_algorithm: Schema.optional(Schema.Literal(keyAlgorithm)),
  payload_algorithm: Schema.optional(Schema.Literal(payloadAlgorithm)),
  /** When the router answered, in Unix seconds. */
  processed_at: Schema.optional(Schema.NullOr(Schema.Number))
})

const isEnvelope = Schema.is(Envelope)

/** Writes the JSON straight into its final bytes: the payload is never a string. */
const encode = (sealed: Sealed, processedAt: number | undefined): Uint8Array<ArrayBuffer> => {
  const parts = [
    `{"version":"${version}","algorithm":"${algorithm}","encrypted_payload":{"ciphertext":"`,
    sealed.ciphertext,
    `","nonce":"`,
    sealed.nonce,
    `","tag":"`,
    sealed.tag,
    `"},"encrypted_aes_key":"`,
    sealed.encryptedKey,
    `","key_algorithm":"${keyAlgorithm}","payload_algorithm":"${payloadAlgorithm}"`,
    processedAt === undefined ? "}" : `,"processed_at":${processedAt}}`
  ]
  const length = parts.reduce(
    (total, part) => total + (typeof part === "string" ? part.length : Base64.encodedLength(part.length)),
    0
  )
  const bytes = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    if (typeof part === "string") {
      bytes.set(Bytes.fromText(part), at)
      at += part.length
    } else {
      at = Base64.encodeInto(part, bytes, at)
    }
  }
  return bytes
}

const decode = Effect.fnUntraced(function*(bytes: Uint8Array) {
  const json = yield* Effect.try({ try: (): unknown => JSON.parse(Bytes.toText(bytes)), catch: cannotOpen })
  if (!isEnvelope(json)) return yield* cannotOpen()
  const ciphertext = Base64.decode(Bytes.fromText(json.encrypted_payload.ciphertext))
  const nonce = Base64.decode(Bytes.fromText(json.encrypted_payload.nonce))
  const tag = Base64.decode(Bytes.fromText(json.encrypted_payload.tag))
  const encryptedKey = Base64.decode(Bytes.fromText(json.encrypted_aes_key))
  if (ciphertext === undefined || encryptedKey === undefined || nonce?.length !== NONCE_LENGTH || tag?.length !== TAG_LENGTH) {
    return yield* cannotOpen()
  }
  return { sealed: { ciphertext, nonce, tag, encryptedKey }, processedAt: json.processed_at ?? undefined }
})

/**
 * Seals bytes to a public key, each time under a fresh AES key and nonce, and writes the envelope.
 *
 * @since 0.2.0
 * @category operations
 */
export const seal = Effect.fnUntraced(function*(
  key: PublicKey,
  plaintext: Uint8Array,
  options?: {
    /** Unix seconds, for a router's answer. */
    readonly processedAt?: number | undefined
  }
): Effect.fn.Return<Uint8Array<ArrayBuffer>, SecurityError, Crypto | Scope.Scope> {
  const crypto = yield* Crypto
  return encode(yield* crypto.seal(key, plaintext), options?.processedAt)
}, Effect.scoped)

/**
 * An opened envelope.
 *
 * @since 0.2.0
 * @category models
 */
export interface Opened {
  /** Zeroed when the scope closes. */
  readonly plaintext: Uint8Array<ArrayBuffer>
  readonly algorithm: string
  /** Unix seconds; absent if the envelope does not say. */
  readonly processedAt: number | undefined
}

/**
 * Reads an envelope and opens it with a private key. Whatever is wrong, the failure is one and the same `SecurityError` with
 * reason `envelope`.
 *
 * @since 0.2.0
 * @category operations
 */
export const open = Effect.fnUntraced(function*(
  key: PrivateKey,
  bytes: Uint8Array
): Effect.fn.Return<Opened, SecurityError, Crypto | Scope.Scope> {
  const crypto = yield* Crypto
  const { processedAt, sealed } = yield* decode(bytes)
  return { plaintext: yield* crypto.open(key, sealed), algorithm, processedAt }
})
