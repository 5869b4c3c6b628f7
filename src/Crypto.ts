/**
 * The cryptography of the protocol, as a service: RSA key pairs, and bytes sealed to one of them.
 *
 * The primitives are AES-256-GCM and RSA-OAEP with SHA-256, always the platform's own. Secret bytes are in
 * buffers of `SecureMemory`. The layers are `WebCrypto.layer`, `NodeCrypto.layer` and, for tests,
 * `TestCrypto.layer`.
 *
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { SecurityError } from "./NomyoError.js"
import type { Plaintext } from "./Plaintext.js"

/**
 * Length of an AES-GCM nonce in bytes (NIST SP 800-38D 8.2.1).
 *
 * @since 0.3.0
 * @category constants
 */
export const NONCE_LENGTH = 12

/**
 * Length of an AES-GCM tag in bytes (NIST SP 800-38D 5.2.1.2).
 *
 * @since 0.3.0
 * @category constants
 */
export const TAG_LENGTH = 16

/**
 * Length of an AES-256 key in bytes.
 *
 * @since 0.3.0
 * @category constants
 */
export const AES_KEY_LENGTH = 32

/**
 * An RSA public key of at least 2048 bits.
 *
 * @since 0.2.0
 * @category models
 */
export interface PublicKey {
  /** The SPKI in DER. */
  readonly spki: Uint8Array<ArrayBuffer>
  /** The SPKI in PEM. */
  readonly pem: string
  /** SHA-256 of the SPKI, 64 lower-case hexadecimal digits. */
  readonly fingerprint: string
  /** Length of the modulus in bits. */
  readonly modulusLength: number
}

/**
 * Brand of the type of private keys. Type only.
 *
 * @since 0.2.0
 * @category type ids
 */
export declare const PrivateKeyTypeId: unique symbol

/**
 * An RSA private key, as an empty object: only the `Crypto` service that made it can find its material.
 *
 * @since 0.2.0
 * @category models
 */
export interface PrivateKey {
  readonly [PrivateKeyTypeId]: typeof PrivateKeyTypeId
}

/**
 * A key pair and the time it was made, in milliseconds since 1970.
 *
 * @since 0.2.0
 * @category models
 */
export interface KeyPair {
  readonly publicKey: PublicKey
  readonly privateKey: PrivateKey
  readonly createdAt: number
}

/**
 * Bytes sealed to a public key: an AES-256-GCM ciphertext, and the AES key encrypted with RSA-OAEP.
 *
 * @since 0.2.0
 * @category models
 */
export interface Sealed {
  /** The 32-byte AES key, encrypted with RSA. It is as long as the RSA modulus. */
  readonly encryptedKey: Uint8Array<ArrayBuffer>
  /** 12 bytes. */
  readonly nonce: Uint8Array<ArrayBuffer>
  /** Length of the ciphertext, and of the plaintext, in bytes. */
  readonly length: number
  /**
   * The ciphertext in chunks. Each chunk but the last is a multiple of three bytes long. Iterate only once,
   * inside `use`: a chunk may be made when you take it.
   */
  readonly ciphertext: Iterable<Uint8Array<ArrayBuffer>>
  /** Returns the 16-byte tag, after the last chunk. */
  readonly tag: () => Uint8Array<ArrayBuffer>
}

/**
 * Makes key pairs, seals bytes and opens them.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /**
   * Makes a key pair off the main thread, in a second or two at 4096 bits. Fails with a `SecurityError` with
   * reason `client-key`, for example for fewer than 2048 bits.
   */
  readonly generateKeyPair: (modulusLength: number) => Effect.Effect<KeyPair, SecurityError>
  /**
   * Reads an SPKI in PEM. Fails with a `SecurityError` with reason `router-key` unless it is an RSA key of at
   * least 2048 bits whose exponent is odd and at least 65537.
   */
  readonly importPublicKey: (pem: Uint8Array) => Effect.Effect<PublicKey, SecurityError>
  /**
   * Reads a PKCS#8 in DER. It does not zero the bytes: do so afterwards. `createdAt` is in milliseconds since
   * 1970. Fails with a `SecurityError` with reason `client-key` unless it is an RSA key of at least 2048 bits
   * whose exponent is odd and at least 65537.
   */
  readonly importKeyPair: (
    pkcs8: Uint8Array<ArrayBuffer>,
    createdAt: number
  ) => Effect.Effect<KeyPair, SecurityError>
  /**
   * The private key's PKCS#8 in DER, for a key store, until the scope closes. Fails with a `SecurityError`
   * with reason `unsupported` if the platform does not export keys, or `client-key` if the key has been
   * destroyed.
   */
  readonly exportPrivateKey: (
    key: PrivateKey
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError, Scope.Scope>
  /** Destroys the private key's material. `open` then fails. */
  readonly destroy: (key: PrivateKey) => Effect.Effect<void>
  /**
   * Seals a plaintext under a fresh AES key and nonce, and runs `use` with the result. The plaintext stays
   * unchanged. Fails with `cannotSeal`.
   */
  readonly seal: <A, E, R>(
    key: PublicKey,
    plaintext: Plaintext,
    use: (sealed: Sealed) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SecurityError, R>
  /**
   * Opens sealed bytes, runs `use` with the plaintext, and zeroes the plaintext when that ends. Every failure
   * is `cannotOpen`, after the same steps.
   */
  readonly open: <A, E, R>(
    key: PrivateKey,
    sealed: Sealed,
    use: (plaintext: Uint8Array<ArrayBuffer>) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SecurityError, R>
  /** A random version 4 UUID. */
  readonly randomId: Effect.Effect<string>
}

/**
 * Key pairs, sealing and opening, as a service.
 *
 * @since 0.2.0
 * @category tags
 */
export class Crypto extends Context.Tag("nomyo-js/Crypto")<Crypto, Service>() {}

/**
 * The only error of `seal`: a `SecurityError` with reason `encryption`.
 *
 * @since 0.3.0
 * @category errors
 */
export const cannotSeal = (): SecurityError =>
  new SecurityError({ reason: "encryption",
    message: "The request could not be encrypted. Report this as a bug in nomyo-js" })

/**
 * The only error of `open`: a `SecurityError` with reason `envelope`. If the error said what was wrong, a
 * router could learn the key bit by bit.
 *
 * @since 0.3.0
 * @category errors
 */
export const cannotOpen = (): SecurityError =>
  new SecurityError({ reason: "envelope",
    message: "The answer could not be opened: it is damaged, altered, or sealed to another key. Send the " +
      "request again" })
