/**
 * The wire format of requests and answers: a JSON envelope around bytes sealed to a public key.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { type Body, toBytes } from "./Body.js"
import {
  cannotOpen,
  cannotSeal,
  Crypto,
  NONCE_LENGTH,
  type PrivateKey,
  type PublicKey,
  type Sealed,
  TAG_LENGTH
} from "./Crypto.js"
import * as Base64 from "./internal/codecs/base64.js"
import * as Bytes from "./internal/codecs/bytes.js"
import type { SecurityError } from "./NomyoError.js"
import { isObject } from "./openai/looseJson.js"
import { CHUNK_LENGTH, type Plaintext } from "./Plaintext.js"

/**
 * The format's version.
 *
 * @since 0.2.0
 * @category constants
 */
export const version = "1.0"

/**
 * The scheme's name, which does not depend on the length of the RSA key.
 *
 * @since 0.2.0
 * @category constants
 */
export const algorithm = "hybrid-aes256-rsa4096"

const keyAlgorithm = "RSA-OAEP-SHA256"
const payloadAlgorithm = "AES-256-GCM"

/**
 * The envelope as JSON. Base64 is standard, padded and strict. Fields that are not named here are ignored.
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

const HEAD = `{"version":"${version}","algorithm":"${algorithm}","encrypted_payload":{"ciphertext":"`

/** The texts around the ciphertext and the tag. */
interface Frame {
  readonly beforeTag: string
  readonly afterTag: string
}

const frameOf = ({ encryptedKey, nonce }: Sealed, processedAt: number | undefined): Frame => {
  const time = processedAt === undefined ? "" : `,"processed_at":${processedAt}`
  return {
    beforeTag: `","nonce":"${Base64.textOf(nonce)}","tag":"`,
    afterTag: `"},"encrypted_aes_key":"${Base64.textOf(encryptedKey)}","key_algorithm":"${keyAlgorithm}"` +
      `,"payload_algorithm":"${payloadAlgorithm}"${time}}`
  }
}

/** The JSON in chunks. Throws `cannotSeal` if the ciphertext cannot be made. */
const encodeChunks = function*(
  { ciphertext, tag }: Sealed,
  { afterTag, beforeTag }: Frame
): Generator<string, void> {
  yield HEAD
  try {
    let at = 0
    for (const chunk of ciphertext) {
      // only the last may be padded
      if (at % 3 > 0) throw cannotSeal()
      at += chunk.length
      yield Base64.textOf(chunk)
    }
    yield `${beforeTag}${Base64.textOf(tag())}${afterTag}`
  } catch {
    throw cannotSeal()
  }
}

const encode = (sealed: Sealed, processedAt: number | undefined): Body => {
  const frame = frameOf(sealed, processedAt)
  return {
    length: HEAD.length + Base64.encodedLength(sealed.length) + frame.beforeTag.length +
      Base64.encodedLength(TAG_LENGTH) + frame.afterTag.length,
    chunks: encodeChunks(sealed, frame)
  }
}

const QUOTE = 34
const BACKSLASH = 92

/**
 * The longest an envelope may be without its ciphertext, in bytes: this much is parsed before the tag is
 * checked. Its longest other field is the encrypted key, of 1 or 2 KiB.
 */
const LONGEST_REST = 64 * 1024

/** The name of the field, in quotes. */
const CIPHERTEXT = "\"ciphertext\""

/** An envelope in two parts. */
interface Parts {
  /** The base64 of the ciphertext. */
  readonly base64: Uint8Array
  /** The JSON with `mark` in place of the ciphertext. */
  readonly rest: Uint8Array
  readonly mark: string
}

/**
 * Cuts out the value of `"ciphertext"`, nearly all of an envelope. `undefined` unless there is exactly one
 * such field.
 */
const cutCiphertext = (bytes: Uint8Array): Parts | undefined => {
  const at = Bytes.indexOf(bytes.subarray(0, LONGEST_REST), CIPHERTEXT, 0)
  const start = bytes.indexOf(QUOTE, at + CIPHERTEXT.length) + 1
  const end = bytes.indexOf(QUOTE, start)
  // without such a field this cuts elsewhere, and the mark is not where it is looked for
  const restLength = bytes.length - (end - start)
  if (restLength > LONGEST_REST || Bytes.indexOf(bytes, CIPHERTEXT, end) >= 0) return undefined
  const text = bytes.subarray(start, end)
  const mark = crypto.randomUUID()
  return {
    mark,
    rest: Bytes.concat([bytes.subarray(0, start), Bytes.fromText(mark), bytes.subarray(end)]),
    // JSON may escape a slash
    base64: text.includes(BACKSLASH) ? Bytes.fromText(JSON.parse(`"${Bytes.toText(text)}"`)) : text
  }
}

/** Characters of base64 that stand for a chunk. */
const ENCODED_CHUNK_LENGTH = Base64.encodedLength(CHUNK_LENGTH)

/** The bytes of a base64 text, in chunks. Throws `cannotOpen` where it is not valid. */
const decodeChunks = function*(base64: Uint8Array): Generator<Uint8Array<ArrayBuffer>, void> {
  for (let at = 0; at < base64.length; at += ENCODED_CHUNK_LENGTH) {
    const end = at + ENCODED_CHUNK_LENGTH
    const bytes = Base64.decodePublic(base64.subarray(at, end))
    // only the last may be padded
    if (bytes === undefined || (end < base64.length && bytes.length % 3 > 0)) throw cannotOpen()
    yield bytes
  }
}

interface Decoded {
  readonly sealed: Sealed
  readonly processedAt: number | undefined
}

/** Reads an envelope. Throws if it is none. */
const parse = (bytes: Uint8Array): Decoded => {
  const { base64, mark, rest } = cutCiphertext(bytes)!
  const json: unknown = JSON.parse(Bytes.toText(rest))
  if (!isEnvelope(json) || json.encrypted_payload.ciphertext !== mark) throw cannotOpen()
  const nonce = Base64.decodePublic(json.encrypted_payload.nonce)
  const tag = Base64.decodePublic(json.encrypted_payload.tag)
  const encryptedKey = Base64.decodePublic(json.encrypted_aes_key)
  if (encryptedKey === undefined || base64.length % 4 > 0) throw cannotOpen()
  if (nonce?.length !== NONCE_LENGTH || tag?.length !== TAG_LENGTH) throw cannotOpen()
  const length = Base64.decodedLength(base64)
  return {
    sealed: { encryptedKey, nonce, length, ciphertext: decodeChunks(base64), tag: () => tag },
    processedAt: json.processed_at ?? undefined
  }
}

const decode = (bytes: Uint8Array): Either.Either<Decoded, SecurityError> =>
  Either.try({ try: () => parse(bytes), catch: cannotOpen })

/**
 * What an envelope carries beside the sealed bytes.
 *
 * @since 0.2.0
 * @category models
 */
export interface SealOptions {
  /** When a router answers, in Unix seconds. Default: the envelope does not say. */
  readonly processedAt?: number | undefined
}

/**
 * Seals a plaintext to a public key, each time under a fresh AES key and nonce, and runs `use` with the
 * envelope as a body. Fails with a `SecurityError` with reason `encryption`.
 *
 * Take the body's chunks within `use`: they may be made as they are taken, from the plaintext. If that fails,
 * they throw the same error.
 *
 * @since 0.3.0
 * @category operations
 */
export const sealWith = <A, E, R>(
  key: PublicKey,
  plaintext: Plaintext,
  use: (envelope: Body) => Effect.Effect<A, E, R>,
  options?: SealOptions
): Effect.Effect<A, E | SecurityError, Crypto | R> =>
  Effect.flatMap(Crypto, (crypto) =>
    crypto.seal(key, plaintext, (sealed) => use(encode(sealed, options?.processedAt))))

/**
 * Seals a plaintext to a public key, under a fresh AES key and nonce, and gives the envelope as bytes. Fails
 * with a `SecurityError` with reason `encryption`.
 *
 * @example
 * import { Envelope, WebCrypto, Crypto, SecureMemory } from "nomyo-js/effect"
 * import { Effect, Layer } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const crypto = yield* Crypto.Crypto
 *   const { privateKey, publicKey } = yield* crypto.generateKeyPair(4096)
 *   const envelope = yield* Envelope.seal(publicKey, new TextEncoder().encode("{}"))
 *   return yield* Envelope.open(privateKey, envelope, ({ plaintext }) => Effect.succeed(plaintext.length))
 * })
 *
 * Effect.runPromise(Effect.provide(program, Layer.provideMerge(WebCrypto.layer, SecureMemory.layer)))
 *
 * @since 0.2.0
 * @category operations
 */
export const seal = (
  key: PublicKey,
  plaintext: Plaintext,
  options?: SealOptions
): Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError, Crypto> =>
  sealWith(key, plaintext, (body) => Either.try({ try: () => toBytes(body), catch: cannotSeal }), options)

/**
 * An opened envelope.
 *
 * @since 0.2.0
 * @category models
 */
export interface Opened {
  /** Zeroed when `use` has ended. */
  readonly plaintext: Uint8Array<ArrayBuffer>
  readonly algorithm: string
  /** When the router answered, in Unix seconds. `undefined` if the envelope does not say. */
  readonly processedAt: number | undefined
}

/**
 * Reads an envelope, opens it with a private key, and runs `use` with its plaintext. Whatever is wrong with
 * the envelope, the failure is the same `SecurityError` with reason `envelope`.
 *
 * @since 0.2.0
 * @category operations
 */
export const open = <A, E, R>(
  key: PrivateKey,
  bytes: Uint8Array,
  use: (opened: Opened) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SecurityError, Crypto | R> =>
  Effect.gen(function*() {
    const crypto = yield* Crypto
    const { processedAt, sealed } = yield* decode(bytes)
    return yield* crypto.open(key, sealed, (plaintext) => use({ plaintext, algorithm, processedAt }))
  })
