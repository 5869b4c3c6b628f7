/**
 * Hybrid Public Key Encryption (RFC 9180) in base mode, without a pre-shared key: KDF HKDF-SHA256, AEAD
 * AES-GCM.
 *
 * @since 0.3.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Bytes from "../internal/codecs/bytes.js"
import { zeroing } from "../internal/zeroing.js"
import { SecurityError } from "../NomyoError.js"
import { SecureMemory } from "../SecureMemory.js"
import { type Aead, Primitives, type Service, type X25519KeyPair } from "./Primitives.js"

/**
 * A key encapsulation mechanism: DHKEM(X25519, HKDF-SHA256) or another.
 *
 * @since 0.3.0
 * @category models
 */
export interface Kem<PrivateKey> {
  /** The identifier of RFC 9180, 7.1. */
  readonly id: number
  /** The length of `enc` in bytes. */
  readonly encLength: number
  /** A fresh shared secret of 32 bytes, and `enc`, by which the owner of `publicKey` finds it too. */
  readonly encapsulate: (
    primitives: Service,
    publicKey: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<Encapsulated, SecurityError, Scope.Scope | SecureMemory>
  /** The shared secret of `enc`. */
  readonly decapsulate: (
    primitives: Service,
    keyPair: PrivateKey,
    enc: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError, Scope.Scope | SecureMemory>
  /** The pair of a private key of 32 bytes. It leaves the bytes as they are. */
  readonly importKeyPair: (
    primitives: Service,
    privateKey: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<PrivateKey & { readonly publicKey: Uint8Array<ArrayBuffer> }, SecurityError>
  /** Zeroes what JavaScript holds of a private key, which can then open nothing. */
  readonly wipe: (keyPair: PrivateKey) => void
}

/**
 * @since 0.3.0
 * @category models
 */
interface Encapsulated {
  readonly enc: Uint8Array<ArrayBuffer>
  readonly sharedSecret: Uint8Array<ArrayBuffer>
}

/** HKDF-SHA256 (RFC 9180, 7.2). */
const KDF_ID = 0x0001
/** Length of a hash, and of an exporter secret, in bytes. */
const HASH_LENGTH = 32
/**
 * The nonce length of AES-GCM, in bytes (RFC 9180, 7.3).
 *
 * @internal
 */
export const NONCE_LENGTH = 12

/**
 * The key length of an AEAD, in bytes (RFC 9180, 7.3): AES-128-GCM, which serves the RFCs' vectors only, or
 * AES-256-GCM.
 *
 * @internal
 */
export const keyLength = (aeadId: AeadId): number => aeadId === AES_256_GCM ? 32 : 16

/**
 * AES-256-GCM: the AEAD that protocol 2 uses.
 *
 * @since 0.3.0
 * @category constants
 */
export const AES_256_GCM = 0x0002 as const

/**
 * An AEAD's identifier: AES-256-GCM, or AES-128-GCM for the RFCs' vectors.
 *
 * @since 0.3.0
 * @category models
 */
export type AeadId = 0x0001 | 0x0002

const empty = new Uint8Array(0)
const versionLabel = Bytes.fromText("HPKE-v1")

const uint16 = (value: number): Uint8Array<ArrayBuffer> => Uint8Array.of(value >> 8, value & 0xff)

/** A suite's labels after the version and its id, encoded once: there are few. */
const prefixesOf = (suiteId: ReadonlyArray<Uint8Array<ArrayBuffer>>) => {
  const known = new Map<string, Uint8Array<ArrayBuffer>>()
  return (label: string): Uint8Array<ArrayBuffer> => {
    const prefix = known.get(label) ?? Bytes.concat([versionLabel, ...suiteId, Bytes.fromText(label)])
    known.set(label, prefix)
    return prefix
  }
}
type PrefixOf = ReturnType<typeof prefixesOf>

const suites = new Map<string, PrefixOf>()
/** The labels of a KEM, or of HPKE with the ids of its KEM, KDF and AEAD. */
const suiteOf = (name: "KEM" | "HPKE", ...ids: ReadonlyArray<number>): PrefixOf => {
  const key = `${name} ${ids.join(" ")}`
  const known = suites.get(key) ?? prefixesOf([Bytes.fromText(name), ...ids.map(uint16)])
  suites.set(key, known)
  return known
}

/** `LabeledExtract` and `LabeledExpand` of one suite (RFC 9180, 4). */
const labeled = ({ hmac }: Service, prefixOf: PrefixOf) => ({
  extract: (salt: Uint8Array<ArrayBuffer>, label: string, ikm: Uint8Array<ArrayBuffer>) =>
    hmac(salt, [prefixOf(label), ikm]),
  /** A block of 32 bytes, of which the first `length` count: at most all of it. */
  expand: (
    prk: Uint8Array<ArrayBuffer>,
    label: string,
    info: ReadonlyArray<Uint8Array<ArrayBuffer>>,
    length: number
  ) => hmac(prk, [uint16(length), prefixOf(label), ...info, Uint8Array.of(1)])
})

/** The secrets of an exchange live until its scope closes, and are zeroed then. */
const guard = <E, R>(secret: Effect.Effect<Uint8Array<ArrayBuffer>, E, R>) =>
  Effect.flatMap(SecureMemory, (memory) => memory.guard(secret))

type Secret = Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>

/**
 * Blocks of 32 bytes that are made of one secret, which is zeroed however that ends. They are joined and
 * guarded as one: to guard each took a tenth of a request's CPU.
 *
 * @internal
 */
export const derive = (
  prk: Secret,
  steps: ReadonlyArray<(prk: Uint8Array<ArrayBuffer>) => Secret>
): Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError, Scope.Scope | SecureMemory> =>
  guard(zeroing(Effect.fnUntraced(function*(secrets) {
    const bytes = yield* prk
    secrets.push(bytes)
    for (const step of steps) secrets.push(yield* step(bytes))
    return Bytes.concat(secrets.slice(1))
  })))

/**
 * The first bytes of a block that `derive` has made, by its place.
 *
 * @internal
 */
export const blockOf = (
  blocks: Uint8Array<ArrayBuffer>,
  place: number,
  length: number
): Uint8Array<ArrayBuffer> => blocks.subarray(place * HASH_LENGTH, place * HASH_LENGTH + length)

/** `ExtractAndExpand` (RFC 9180, 4.1). */
const extractAndExpand = (
  primitives: Service,
  kemId: number,
  dh: Uint8Array<ArrayBuffer>,
  kemContext: ReadonlyArray<Uint8Array<ArrayBuffer>>
) => {
  const { expand, extract } = labeled(primitives, suiteOf("KEM", kemId))
  return derive(extract(empty, "eae_prk", dh), [
    (prk) => expand(prk, "shared_secret", kemContext, HASH_LENGTH)
  ])
}

const X25519_ID = 0x0020

/**
 * DHKEM(X25519, HKDF-SHA256) with a given ephemeral key pair, as test vectors need it.
 *
 * @internal
 */
export const x25519With = (
  ephemeral: (primitives: Service) => Effect.Effect<X25519KeyPair, SecurityError>
): Kem<X25519KeyPair> => ({
  id: X25519_ID,
  encLength: 32,
  encapsulate: Effect.fnUntraced(function*(primitives, publicKey) {
    const { privateKey, publicKey: enc } = yield* ephemeral(primitives)
    const dh = yield* guard(primitives.diffieHellman(privateKey, publicKey))
    return { enc, sharedSecret: yield* extractAndExpand(primitives, X25519_ID, dh, [enc, publicKey]) }
  }),
  decapsulate: Effect.fnUntraced(function*(primitives, keyPair, enc) {
    const dh = yield* guard(primitives.diffieHellman(keyPair.privateKey, enc))
    return yield* extractAndExpand(primitives, X25519_ID, dh, [enc, keyPair.publicKey])
  }),
  importKeyPair: ({ importKeyPair }, privateKey) => importKeyPair(privateKey),
  // the platform holds it, and JavaScript has a handle only
  wipe: () => {}
})

/**
 * DHKEM(X25519, HKDF-SHA256), KEM 0x0020.
 *
 * @since 0.3.0
 * @category KEMs
 */
export const x25519: Kem<X25519KeyPair> = x25519With((primitives) => primitives.generateKeyPair)

/**
 * One side of an exchange. A sender seals, a receiver opens, in the same order; each chunk has a nonce of its
 * own.
 *
 * @since 0.3.0
 * @category models
 */
export interface HpkeContext {
  /** The ciphertext, after `head` in the clear. Default: no `head`. */
  readonly seal: (
    aad: Uint8Array<ArrayBuffer>,
    plaintext: Uint8Array<ArrayBuffer>,
    head?: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
  readonly open: (
    aad: Uint8Array<ArrayBuffer>,
    ciphertext: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
  /**
   * A secret of at most 32 bytes, bound to `context`, that only the two sides of the exchange can make (RFC
   * 9180, 5.3).
   */
  readonly exportSecret: (
    context: Uint8Array<ArrayBuffer>,
    length: number
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError, Scope.Scope | SecureMemory>
}

/** The most chunks of one direction: the sequence number is a counter of 32 bits here. */
const MAX_CHUNKS = 2 ** 32

/**
 * AES-GCM with a nonce that counts: `base XOR i` for the i-th chunk. Chunks run one after another.
 *
 * @param first the number of the first chunk
 *
 * @internal
 */
export const counting = (
  aead: Aead,
  baseNonce: Uint8Array<ArrayBuffer>,
  first = 0
): Pick<HpkeContext, "seal" | "open"> => {
  let sequence = first
  const nextNonce = () =>
    Effect.suspend(() => {
      if (sequence >= MAX_CHUNKS) return Effect.fail(
        new SecurityError({ reason: "envelope", message: "The message is too long. Shorten the request" })
      )
      const nonce = baseNonce.slice()
      const counter = new DataView(nonce.buffer)
      counter.setUint32(NONCE_LENGTH - 4, (counter.getUint32(NONCE_LENGTH - 4) ^ sequence++) >>> 0)
      return Effect.succeed(nonce)
    })
  return {
    seal: (aad, plaintext, head) =>
      Effect.flatMap(nextNonce(), (nonce) => aead.seal(nonce, aad, plaintext, head)),
    open: (aad, ciphertext) => Effect.flatMap(nextNonce(), (nonce) => aead.open(nonce, aad, ciphertext))
  }
}

/** `KeySchedule` in base mode (RFC 9180, 5.1). */
const keySchedule = Effect.fnUntraced(function*(
  primitives: Service,
  kemId: number,
  aeadId: AeadId,
  sharedSecret: Uint8Array<ArrayBuffer>,
  info: Uint8Array<ArrayBuffer>
) {
  const { expand, extract } = labeled(primitives, suiteOf("HPKE", kemId, KDF_ID, aeadId))
  const pskIdHash = yield* extract(empty, "psk_id_hash", empty)
  const infoHash = yield* extract(empty, "info_hash", info)
  const context = [Uint8Array.of(0), pskIdHash, infoHash]
  const secrets = yield* derive(extract(sharedSecret, "secret", empty), [
    (secret) => expand(secret, "key", context, keyLength(aeadId)),
    (secret) => expand(secret, "base_nonce", context, NONCE_LENGTH),
    (secret) => expand(secret, "exp", context, HASH_LENGTH)
  ])
  const key = blockOf(secrets, 0, keyLength(aeadId))
  const baseNonce = blockOf(secrets, 1, NONCE_LENGTH)
  const exporterSecret = blockOf(secrets, 2, HASH_LENGTH)
  return {
    ...counting(yield* primitives.aesGcm(key), baseNonce),
    exportSecret: (exporterContext, length) =>
      Effect.map(guard(expand(exporterSecret, "sec", [exporterContext], length)), (block) =>
        blockOf(block, 0, length))
  } satisfies HpkeContext
})

/**
 * Begins an exchange with the owner of a public key. Its secrets are zeroed when the scope closes.
 *
 * @since 0.3.0
 * @category constructors
 */
export const setupSender = Effect.fnUntraced(function*(
  kem: Pick<Kem<never>, "id" | "encapsulate">,
  aeadId: AeadId,
  publicKey: Uint8Array<ArrayBuffer>,
  info: Uint8Array<ArrayBuffer>
): Effect.fn.Return<
  { readonly enc: Uint8Array<ArrayBuffer>; readonly context: HpkeContext },
  SecurityError,
  Primitives | SecureMemory | Scope.Scope
> {
  const primitives = yield* Primitives
  const { enc, sharedSecret } = yield* kem.encapsulate(primitives, publicKey)
  return { enc, context: yield* keySchedule(primitives, kem.id, aeadId, sharedSecret, info) }
})

/**
 * Continues an exchange that the sender began with `enc`. Its secrets are zeroed when the scope closes.
 *
 * @since 0.3.0
 * @category constructors
 */
export const setupReceiver = Effect.fnUntraced(function*<PrivateKey>(
  kem: Kem<PrivateKey>,
  aeadId: AeadId,
  keyPair: PrivateKey,
  enc: Uint8Array<ArrayBuffer>,
  info: Uint8Array<ArrayBuffer>
): Effect.fn.Return<HpkeContext, SecurityError, Primitives | SecureMemory | Scope.Scope> {
  const primitives = yield* Primitives
  const sharedSecret = yield* kem.decapsulate(primitives, keyPair, enc)
  return yield* keySchedule(primitives, kem.id, aeadId, sharedSecret, info)
})
