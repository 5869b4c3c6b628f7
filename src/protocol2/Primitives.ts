/**
 * The primitives that protocol 2 stands on, as a service: X25519, HMAC-SHA-256, SHA-256 and AES-GCM, always
 * the platform's own.
 *
 * @since 0.3.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { SecurityError } from "../NomyoError.js"

/**
 * Brands the type of an X25519 private key. No value has it.
 *
 * @since 0.3.0
 * @category type ids
 */
export declare const X25519PrivateKeyTypeId: unique symbol

/**
 * An X25519 private key. It shows nothing of itself: only the service that made it finds the key behind it.
 *
 * @since 0.3.0
 * @category models
 */
export interface X25519PrivateKey {
  readonly [X25519PrivateKeyTypeId]: typeof X25519PrivateKeyTypeId
}

/**
 * An X25519 key pair.
 *
 * @since 0.3.0
 * @category models
 */
export interface X25519KeyPair {
  /** 32 bytes. */
  readonly publicKey: Uint8Array<ArrayBuffer>
  readonly privateKey: X25519PrivateKey
}

/**
 * AES-GCM under one key. The tag, 16 bytes, is the end of the ciphertext.
 *
 * @since 0.3.0
 * @category models
 */
export interface Aead {
  /** The ciphertext, after `head` in the clear, which saves a copy of both. Default: no `head`. */
  readonly seal: (
    nonce: Uint8Array<ArrayBuffer>,
    aad: Uint8Array<ArrayBuffer>,
    plaintext: Uint8Array<ArrayBuffer>,
    head?: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
  /**
   * Fails with reason `envelope` if the ciphertext, the nonce or the additional data was changed.
   */
  readonly open: (
    nonce: Uint8Array<ArrayBuffer>,
    aad: Uint8Array<ArrayBuffer>,
    ciphertext: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
}

/**
 * Primitives of a platform. Every failure is a `SecurityError` with reason `envelope`.
 *
 * @since 0.3.0
 * @category models
 */
export interface Service {
  /** Fresh random bytes. */
  readonly randomBytes: (length: number) => Uint8Array<ArrayBuffer>
  /** 32 bytes. */
  readonly sha256: (bytes: Uint8Array<ArrayBuffer>) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
  /** 32 bytes: the code of the parts joined. The key may be empty. */
  readonly hmac: (
    key: Uint8Array<ArrayBuffer>,
    parts: ReadonlyArray<Uint8Array<ArrayBuffer>>
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
  readonly generateKeyPair: Effect.Effect<X25519KeyPair, SecurityError>
  /** The pair of a private key of 32 bytes. It leaves the bytes as they are. */
  readonly importKeyPair: (privateKey: Uint8Array<ArrayBuffer>) => Effect.Effect<X25519KeyPair, SecurityError>
  /**
   * The Diffie-Hellman result, 32 bytes. Fails where that is all zero, as for a public key of small order
   * (RFC 9180, 7.1.4).
   */
  readonly diffieHellman: (
    privateKey: X25519PrivateKey,
    publicKey: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
  /** AES-GCM under a key of 16 or 32 bytes, which must stay as it is while the result is in use. */
  readonly aesGcm: (key: Uint8Array<ArrayBuffer>) => Effect.Effect<Aead, SecurityError>
}

/**
 * The primitives of protocol 2, as a service.
 *
 * @since 0.3.0
 * @category tags
 */
export class Primitives extends Context.Tag("nomyo-js/protocol2/Primitives")<Primitives, Service>() {}
