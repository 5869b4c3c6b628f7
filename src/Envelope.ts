/**
 * The wire format: a JSON envelope around bytes sealed to a public key. Requests and answers have the same one.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { Crypto, type Plaintext, type PrivateKey, type PublicKey, type Sealed } from "./Crypto.js"
import * as Base64 from "./internal/codecs/base64.js"
import * as Bytes from "./internal/codecs/bytes.js"
import { cannotOpen, cannotSeal, NONCE_LENGTH, TAG_LENGTH } from "./internal/webCrypto.js"
import type { SecurityError } from "./NomyoError.js"
import { isObject } from "./openai/looseJson.js"
import * as Transport from "./Transport.js"

/**
 * The format's version.
 *
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
  processed_at: Schema.optional(Schema.NullOr(Schema.Finite))
})

/** By hand: a page would load all of `effect/Schema` for it. */
const isEnvelope = (json: unknown): json is typeof Envelope.Type =>
  isObject(json) && json["version"] === version && json["algorithm"] === algorithm && isSealed(json["encrypted_payload"]) &&
  typeof json["encrypted_aes_key"] === "string" &&
  (json["key_algorithm"] ?? keyAlgorithm) === keyAlgorithm && json["key_algorithm"] !== null &&
  (json["payload_algorithm"] ?? payloadAlgorithm) === payloadAlgorithm && json["payload_algorithm"] !== null &&
  Number.isFinite(json["processed_at"] ?? 0)

const isSealed = (json: unknown): boolean =>
  isObject(json) && typeof json["ciphertext"] === "string" && typeof json["nonce"] === "string" && typeof json["tag"] === "string"

const head = `{"version":"${version}","algorithm":"${algorithm}","encrypted_payload":{"ciphertext":"`

/** Throws a `SecurityError`. Not within `encode`: each generator function, made anew for a call, would keep all of the call until a major collection. */
const pieces = function*({ ciphertext, tag }: Sealed, beforeTag: string, afterTag: string): Generator<string, void> {
  yield head
  try {
    let at = 0
    for (const piece of ciphertext) {
      // padding is for the end
      if (at % 3 > 0) throw cannotSeal()
      at += piece.length
      yield Base64.textOf(piece)
    }
    yield `${beforeTag}${Base64.textOf(tag())}${afterTag}`
  } catch {
    throw cannotSeal()
  }
}

/** The JSON, piece by piece. */
const encode = (sealed: Sealed, processedAt: number | undefined): Transport.Body => {
  const beforeTag = `","nonce":"${Base64.textOf(sealed.nonce)}","tag":"`
  const afterTag = `"},"encrypted_aes_key":"${Base64.textOf(sealed.encryptedKey)}"` +
    `,"key_algorithm":"${keyAlgorithm}","payload_algorithm":"${payloadAlgorithm}"${processedAt === undefined ? "" : `,"processed_at":${processedAt}`}}`
  const length = head.length + Base64.encodedLength(sealed.length) + beforeTag.length + Base64.encodedLength(TAG_LENGTH) + afterTag.length
  return { length, pieces: pieces(sealed, beforeTag, afterTag) }
}

const QUOTE = 34
const BACKSLASH = 92

/** As much as an envelope may be without its ciphertext, in bytes: what is parsed before its tag is checked. The key is the most, 1 or 2 KiB. */
const LARGEST_REST = 64 * 1024

/**
 * The value of `"ciphertext"`, nearly all of an envelope, and the JSON with a mark in its place; `undefined` if there is not one such field.
 */
const cut = (bytes: Uint8Array) => {
  const name = "\"ciphertext\""
  const at = Bytes.indexOf(bytes.subarray(0, LARGEST_REST), name, 0)
  const start = bytes.indexOf(QUOTE, at + name.length) + 1
  const end = bytes.indexOf(QUOTE, start)
  // where there is none, this cuts what it finds, and the mark is not where it should be
  if (bytes.length - (end - start) > LARGEST_REST || Bytes.indexOf(bytes, name, end) >= 0) return undefined
  const text = bytes.subarray(start, end)
  const mark = crypto.randomUUID()
  return {
    mark,
    rest: Bytes.concat([bytes.subarray(0, start), Bytes.fromText(mark), bytes.subarray(end)]),
    // JSON may escape a slash
    base64: text.includes(BACKSLASH) ? Bytes.fromText(JSON.parse(`"${Bytes.toText(text)}"`)) : text
  }
}

/** Characters of base64 to a piece of ciphertext: 48 KiB of it. */
const PIECE_LENGTH = 64 * 1024

/** The bytes of a base64 text, piece by piece. Throws where it is not valid. */
const decodePieces = function*(base64: Uint8Array): Generator<Uint8Array<ArrayBuffer>, void> {
  for (let at = 0; at < base64.length; at += PIECE_LENGTH) {
    const piece = base64.subarray(at, at + PIECE_LENGTH)
    const bytes = Base64.decodePublic(piece)
    // padding is for the end
    if (bytes === undefined || (at + PIECE_LENGTH < base64.length && bytes.length % 3 > 0)) throw cannotOpen()
    yield bytes
  }
}

const decode = (bytes: Uint8Array): Either.Either<{ readonly sealed: Sealed; readonly processedAt: number | undefined }, SecurityError> =>
  Either.try({
    try: () => {
      const { base64, mark, rest } = cut(bytes)!
      const json: unknown = JSON.parse(Bytes.toText(rest))
      if (!isEnvelope(json) || json.encrypted_payload.ciphertext !== mark) throw cannotOpen()
      const nonce = Base64.decodePublic(json.encrypted_payload.nonce)
      const tag = Base64.decodePublic(json.encrypted_payload.tag)
      const encryptedKey = Base64.decodePublic(json.encrypted_aes_key)
      if (encryptedKey === undefined || nonce?.length !== NONCE_LENGTH || tag?.length !== TAG_LENGTH || base64.length % 4 > 0) {
        throw cannotOpen()
      }
      return {
        sealed: { encryptedKey, nonce, length: Base64.decodedLength(base64), ciphertext: decodePieces(base64), tag: () => tag },
        processedAt: json.processed_at ?? undefined
      }
    },
    catch: cannotOpen
  })

/**
 * What an envelope carries beside what is sealed.
 *
 * @since 0.2.0
 * @category models
 */
export interface SealOptions {
  /** When a router answers, in Unix seconds. */
  readonly processedAt?: number | undefined
}

/**
 * Seals a plaintext to a public key, each time under a fresh AES key and nonce, and lends the envelope to `use`. Its pieces may be made as they are
 * taken: while it is lent, and `plaintext` is there. If that fails, so late, they throw a `SecurityError` with reason `encryption`.
 *
 * @since 0.2.0
 * @category operations
 */
export const sealPieces = <A, E, R>(
  key: PublicKey,
  plaintext: Plaintext,
  use: (envelope: Transport.Body) => Effect.Effect<A, E, R>,
  options?: SealOptions
): Effect.Effect<A, E | SecurityError, Crypto | R> =>
  Effect.flatMap(Crypto, (crypto) => crypto.seal(key, plaintext, (sealed) => use(encode(sealed, options?.processedAt))))

/**
 * The same, all at once.
 *
 * @since 0.2.0
 * @category operations
 */
export const seal = (
  key: PublicKey,
  plaintext: Plaintext,
  options?: SealOptions
): Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError, Crypto> =>
  sealPieces(key, plaintext, (body) => Either.try({ try: () => Transport.bytesOf(body), catch: cannotSeal }), options)

/**
 * An opened envelope.
 *
 * @since 0.2.0
 * @category models
 */
export interface Opened {
  /** Zeroed when the use of it has ended. */
  readonly plaintext: Uint8Array<ArrayBuffer>
  readonly algorithm: string
  /** Unix seconds; absent if the envelope does not say. */
  readonly processedAt: number | undefined
}

/**
 * Reads an envelope, opens it with a private key, and lends what was in it to `use`. Whatever is wrong, the failure is one and the same
 * `SecurityError` with reason `envelope`.
 *
 * @since 0.2.0
 * @category operations
 */
export const open = <A, E, R>(
  key: PrivateKey,
  bytes: Uint8Array,
  use: (opened: Opened) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SecurityError, Crypto | R> =>
  Effect.flatMap(Crypto, (crypto) =>
    Effect.flatMap(decode(bytes), ({ processedAt, sealed }) =>
      crypto.open(key, sealed, (plaintext) => use({ plaintext, algorithm, processedAt }))))
