/**
 * The cryptography the protocol needs, as a service: RSA key pairs, and sealing bytes to one of them.
 *
 * The primitives are AES-256-GCM and RSA-OAEP with SHA-256, always the platform's own. Secret bytes are in the buffers of `SecureMemory`.
 *
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as testCrypto from "./internal/testCrypto.js"
import * as webCrypto from "./internal/webCrypto.js"
import type { SecurityError } from "./NomyoError.js"
import { type SecureMemory, zeroOnly } from "./SecureMemory.js"

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
 * Brands the type of a private key. There is no such value.
 *
 * @since 0.2.0
 * @category type ids
 */
export declare const PrivateKeyTypeId: unique symbol

/**
 * An RSA private key. It shows nothing of itself: only a `Crypto` service can find its material.
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
 * A plaintext that is never there as a whole. It can be taken more than once, each time with a window of its own.
 *
 * @since 0.2.0
 * @category models
 */
export interface PlaintextPieces {
  /** In bytes, of all pieces together. */
  readonly length: number
  /**
   * The bytes, written into `window` piece after piece: each is there until the next is taken, and all but the last are a multiple of three
   * bytes long. `window` has 6 bytes or more; who gives it zeroes it.
   */
  readonly pieces: (window: Uint8Array<ArrayBuffer>) => Iterable<Uint8Array<ArrayBuffer>>
}

/**
 * What is sealed: bytes that are there, or pieces.
 *
 * @since 0.2.0
 * @category models
 */
export type Plaintext = Uint8Array | PlaintextPieces

/**
 * Bytes sealed to a public key: an AES-256-GCM ciphertext, and the AES key encrypted with RSA-OAEP.
 *
 * @since 0.2.0
 * @category models
 */
export interface Sealed {
  /** The 32-byte AES key, encrypted: as many bytes as the RSA modulus has. */
  readonly encryptedKey: Uint8Array<ArrayBuffer>
  /** 12 bytes. */
  readonly nonce: Uint8Array<ArrayBuffer>
  /** How many bytes the ciphertext has: as many as the plaintext. */
  readonly length: number
  /**
   * The ciphertext piece by piece, each but the last a multiple of three bytes long. It may be made as it is taken: to be taken once, and
   * while it is lent.
   */
  readonly ciphertext: Iterable<Uint8Array<ArrayBuffer>>
  /** The 16-byte tag, once the ciphertext has been taken. */
  readonly tag: () => Uint8Array<ArrayBuffer>
}

/**
 * What `Crypto` does.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /** Makes a key pair. Takes a second or two at 4096 bits, off the main thread. */
  readonly generateKeyPair: (modulusLength: number) => Effect.Effect<KeyPair, SecurityError>
  /** Reads an SPKI in PEM. Fails with reason `router-key` unless it is RSA of at least 2048 bits, its exponent odd and at least 65537. */
  readonly importPublicKey: (pem: Uint8Array) => Effect.Effect<PublicKey, SecurityError>
  /** Reads a PKCS#8 in DER. Fails with reason `client-key` unless it is such a key. Leaves the bytes as they are. */
  readonly importKeyPair: (pkcs8: Uint8Array<ArrayBuffer>, createdAt: number) => Effect.Effect<KeyPair, SecurityError>
  /** The private key's PKCS#8 in DER, for a key store, until the scope closes. Fails where keys may not leave the platform. */
  readonly exportPrivateKey: (key: PrivateKey) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError, Scope.Scope>
  /** Forgets the private key's material: nothing can be opened with it any more. */
  readonly destroy: (key: PrivateKey) => Effect.Effect<void>
  /** Seals a plaintext under a fresh AES key and nonce, leaves it as it is, and lends what is sealed to `use`. */
  readonly seal: <A, E, R>(
    key: PublicKey,
    plaintext: Plaintext,
    use: (sealed: Sealed) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SecurityError, R>
  /** Opens what is sealed and lends the bytes to `use`: then they are zeroed. Fails with reason `envelope`, in the same way whatever was wrong. */
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
 * The portable layer, on WebCrypto: browsers and every server runtime. Private keys are not extractable, and AES keys
 * never enter JavaScript. Fails with reason `unsupported` where there is no WebCrypto: on a page that was not loaded over HTTPS.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<Crypto, SecurityError, SecureMemory> = Layer.effect(
  Crypto,
  webCrypto.make({ extractable: false, primitives: webCrypto.primitives })
)

/**
 * For tests only: the same calls, no secrecy at all. Keys are made at once, ids count up, nothing is random, and a sealed text
 * is the plaintext itself under a checksum, so a test that moves a `TestClock` never waits for real cryptography.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerTest: Layer.Layer<Crypto> = Layer.sync(Crypto, () => testCrypto.make(zeroOnly))
