/**
 * The wire format of requests and answers: a JSON envelope around bytes sealed to a public key.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { type Body, toBytes } from "./Body.js"
import { cannotSeal, Crypto, type PrivateKey, type PublicKey } from "./Crypto.js"
import * as Codec from "./internal/codecs/envelope.js"
import type { SecurityError } from "./NomyoError.js"
import type { Plaintext } from "./Plaintext.js"

/**
 * The format's version.
 *
 * @since 0.2.0
 * @category constants
 */
export const version = Codec.version

/**
 * The scheme's name, which does not depend on the length of the RSA key.
 *
 * @since 0.2.0
 * @category constants
 */
export const algorithm = Codec.algorithm

/**
 * The envelope as JSON. Base64 is standard, padded and strict. Other fields are ignored.
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
  key_algorithm: Schema.optional(Schema.Literal(Codec.keyAlgorithm)),
  payload_algorithm: Schema.optional(Schema.Literal(Codec.payloadAlgorithm)),
  /** When the router answered, in Unix seconds. */
  processed_at: Schema.optional(Schema.NullOr(Schema.Finite))
})

/**
 * Fields of an envelope in addition to the sealed bytes.
 *
 * @since 0.2.0
 * @category models
 */
export interface SealOptions {
  /** When the router answers, in Unix seconds. Default: absent from the envelope. */
  readonly processedAt?: number | undefined
}

/**
 * Seals a plaintext to a public key, each time under a fresh AES key and nonce, and runs `use` with the
 * envelope as a body. Fails with a `SecurityError` with reason `encryption`.
 *
 * Iterate the body's chunks inside `use`: a chunk may be made from the plaintext when you take it. If that
 * fails, the iterator throws the same error.
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
    crypto.seal(key, plaintext, (sealed) => use(Codec.encode(sealed, options?.processedAt))))

/**
 * Seals a plaintext to a public key, under a fresh AES key and nonce. Returns the envelope as bytes. Fails
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
  /** When the router answered, in Unix seconds; `undefined` if absent from the envelope. */
  readonly processedAt: number | undefined
}

/**
 * Reads an envelope, opens it with a private key, and runs `use` with its plaintext. Every failure is the
 * same `SecurityError` with reason `envelope`.
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
    const { processedAt, sealed } = yield* Codec.decode(bytes)
    return yield* crypto.open(key, sealed, (plaintext) => use({ plaintext, algorithm, processedAt }))
  })
