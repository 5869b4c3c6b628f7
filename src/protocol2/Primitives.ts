/**
 * The primitives of protocol 2, as a service: X25519, HMAC-SHA-256, SHA-256 and AES-GCM, always the
 * platform's own.
 *
 * @since 0.3.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { SecurityError } from "../NomyoError.js"

/**
 * Brands the type of an X25519 private key. No value has it.
 *
 * @since 0.3.0
 * @category type ids
 */
export declare const X25519PrivateKeyTypeId: unique symbol

/**
 * An X25519 private key, as an empty object: only the service that made it can find its material.
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
 * AES-GCM under one key. The last 16 bytes of the ciphertext are the tag.
 *
 * @since 0.3.0
 * @category models
 */
export interface Aead {
  /** Returns `head` in the clear, followed by the ciphertext, in one buffer. Default: no `head`. */
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
  /** HMAC-SHA-256 of the joined parts, 32 bytes. The key may be empty. */
  readonly hmac: (
    key: Uint8Array<ArrayBuffer>,
    parts: ReadonlyArray<Uint8Array<ArrayBuffer>>
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
  readonly generateKeyPair: Effect.Effect<X25519KeyPair, SecurityError>
  /** Makes the pair of a 32-byte private key. It does not zero the bytes: do so afterwards. */
  readonly importKeyPair: (privateKey: Uint8Array<ArrayBuffer>) => Effect.Effect<X25519KeyPair, SecurityError>
  /**
   * The Diffie-Hellman result, 32 bytes. Fails if the result is all zero, as for a public key of small order
   * (RFC 9180, 7.1.4).
   */
  readonly diffieHellman: (
    privateKey: X25519PrivateKey,
    publicKey: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
  /** AES-GCM under a key of 16 or 32 bytes. Do not change or zero the key while you use the result. */
  readonly aesGcm: (key: Uint8Array<ArrayBuffer>) => Effect.Effect<Aead, SecurityError>
}

/**
 * The primitives of protocol 2, as a service.
 *
 * @since 0.3.0
 * @category tags
 */
export class Primitives extends Context.Tag("nomyo-js/protocol2/Primitives")<Primitives, Service>() {}

/**
 * One failure for whatever is wrong with a primitive's input.
 *
 * @internal
 */
export const failed = (): SecurityError =>
  new SecurityError({
    reason: "envelope",
    message: "The message could not be opened or sealed. Send the request again"
  })
