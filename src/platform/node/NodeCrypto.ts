/**
 * The `Crypto` service on Node. `node:crypto` seals and does AES, several times faster than WebCrypto for
 * small requests. WebCrypto does the RSA private operation, off the main thread. Private keys can be
 * exported, for key files.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as NodeCrypto from "node:crypto"
import { availableParallelism } from "node:os"
import * as Bytes from "../../internal/codecs/bytes.js"
import { AES_KEY_LENGTH, cannotOpen, cannotSeal, Crypto, NONCE_LENGTH, type Sealed } from "../../Crypto.js"
import { bracket } from "../../internal/fibers/acquire.js"
import { yieldToEventLoop } from "../../internal/fibers/yieldToEventLoop.js"
import { importPkcs8 } from "../../internal/rsaKeys.js"
import * as webCrypto from "../../internal/webCrypto.js"
import type { SecurityError } from "../../NomyoError.js"
import { CHUNK_LENGTH, chunksOf, type Plaintext, windowLength } from "../../Plaintext.js"
import { SecureMemory, type Service as Memory } from "../../SecureMemory.js"
import { Decryption, Encryption } from "./aesGcm.js"
import { importPkcs8Cleanly } from "./freedKeyCopies.js"
import { KeyHandles } from "./keyHandles.js"

const { subtle } = NodeCrypto.webcrypto

/** An AES key and a nonce, in bytes. */
const RANDOM_LENGTH = AES_KEY_LENGTH + NONCE_LENGTH

/** Chunks decrypted before others may run: half a millisecond of work, where a yield costs a tenth. */
const CHUNKS_PER_TURN = 5

interface Sealing {
  readonly encryptedKey: Uint8Array<ArrayBuffer>
  readonly nonce: Uint8Array<ArrayBuffer>
  readonly encryption: Encryption
}

/** Begins an encryption under a fresh AES key, which is written into `random`, and wraps that key. */
const beginSealing = (key: CryptoKey, random: Uint8Array): Sealing => {
  NodeCrypto.randomFillSync(random)
  const aesKey = random.subarray(0, AES_KEY_LENGTH)
  const nonce = new Uint8Array(random.subarray(AES_KEY_LENGTH))
  const encryptedKey = NodeCrypto.publicEncrypt({
    key: NodeCrypto.KeyObject.from(key),
    padding: NodeCrypto.constants.RSA_PKCS1_OAEP_PADDING,
    oaepHash: "sha256"
  }, aesKey)
  return { encryptedKey: Bytes.plain(encryptedKey), nonce, encryption: new Encryption(aesKey, nonce) }
}

const toSealed = (sealing: Sealing, length: number, ciphertext: Sealed["ciphertext"]): Sealed => ({
  encryptedKey: sealing.encryptedKey,
  nonce: sealing.nonce,
  length,
  ciphertext,
  tag: () => sealing.encryption.tag()
})

/**
 * Seals a short plaintext in one step. `secret` is room for an AES key, a nonce and the plaintext's window.
 */
const sealAtOnce = (key: CryptoKey, plaintext: Plaintext, secret: Uint8Array<ArrayBuffer>): Sealed => {
  const { length } = plaintext
  const sealing = beginSealing(key, secret.subarray(0, RANDOM_LENGTH))
  try {
    const chunks = chunksOf(plaintext, secret.subarray(RANDOM_LENGTH))
    return toSealed(sealing, length, [...sealing.encryption.encrypt(chunks, length)])
  } finally {
    sealing.encryption.wipe()
  }
}

/** Seals a plaintext as its ciphertext is taken, through a window. */
const sealChunks = (sealing: Sealing, plaintext: Plaintext, window: Uint8Array<ArrayBuffer>): Sealed => {
  const chunks = sealing.encryption.encrypt(chunksOf(plaintext, window), plaintext.length)
  return toSealed(sealing, plaintext.length, chunks)
}

const wipe = ({ encryption }: Sealing): Effect.Effect<void> => Effect.sync(() => encryption.wipe())

const sealLong = Effect.fnUntraced(function*<A, E, R>(
  memory: Memory,
  key: CryptoKey,
  plaintext: Plaintext,
  window: Uint8Array<ArrayBuffer>,
  use: (sealed: Sealed) => Effect.Effect<A, E, R>
) {
  // zeroes the AES key at once: the cipher has its own copy, until `wipe`
  const begin = memory.useSync(RANDOM_LENGTH, (random) => beginSealing(key, random))
  return yield* Effect.acquireUseRelease(
    Effect.mapError(begin, cannotSeal),
    (sealing) => use(sealChunks(sealing, plaintext, window)),
    wipe
  )
})

/**
 * Seals a plaintext of at most one chunk before `use` runs, and a longer one while `use` takes the
 * ciphertext.
 */
const seal = (memory: Memory): webCrypto.Primitives["seal"] => (key, plaintext, use) => {
  if (plaintext.length > CHUNK_LENGTH) {
    return memory.use(windowLength(plaintext), (window) => sealLong(memory, key, plaintext, window, use))
  }
  // zeroes the AES key and the plaintext's window
  const sealed = memory.useSync(RANDOM_LENGTH + windowLength(plaintext), (secret) =>
    sealAtOnce(key, plaintext, secret))
  return Effect.flatMap(Effect.mapError(sealed, cannotSeal), use)
}

/** Decrypts all chunks, and lets others run in between. */
const decryptAll = (
  decryption: Decryption,
  aesKey: Uint8Array,
  plaintext: Uint8Array
): Effect.Effect<void, SecurityError> =>
  Effect.suspend(() => {
    try {
      for (let chunk = 0; chunk < CHUNKS_PER_TURN; chunk++) {
        if (decryption.step(aesKey, plaintext)) return Effect.void
      }
      return Effect.zipRight(yieldToEventLoop, decryptAll(decryption, aesKey, plaintext))
    } catch {
      return Effect.fail(cannotOpen())
    }
  })

/**
 * Decrypts the AES key and writes it into `aesKey`, if it is still wanted then. Leaves `aesKey` as it is if
 * the encrypted key is wrong: that shows later, in one way.
 */
const unwrapInto = (
  aesKey: Uint8Array,
  encryptedKey: Uint8Array<ArrayBuffer>,
  handles: KeyHandles,
  isWanted: () => boolean
): Promise<void> =>
  handles.use(async (handle) => {
    const unwrapped = new Uint8Array(
      await subtle.decrypt("RSA-OAEP", handle, encryptedKey).catch(() => new ArrayBuffer(0))
    )
    if (isWanted() && unwrapped.length === aesKey.length) aesKey.set(unwrapped)
    unwrapped.fill(0)
  }, isWanted)

/** Takes the first chunks of the ciphertext while another thread unwraps the key. */
const unwrapAndPrefetch = (
  decryption: Decryption,
  aesKey: Uint8Array<ArrayBuffer>,
  encryptedKey: Uint8Array<ArrayBuffer>,
  handles: KeyHandles
): Promise<void> => {
  const unwrapping = unwrapInto(aesKey, encryptedKey, handles, () => !decryption.isOver)
  decryption.prefetch(CHUNKS_PER_TURN)
  return unwrapping
}

/**
 * Decrypts into `plaintext` by way of `aesKey`, which holds the implicit rejection key until it is unwrapped.
 */
const decryptInto = (
  plaintext: Uint8Array<ArrayBuffer>,
  aesKey: Uint8Array<ArrayBuffer>,
  sealed: Sealed,
  handles: KeyHandles
): Effect.Effect<void, SecurityError> =>
  bracket(
    () => new Decryption(sealed),
    (decryption) => {
      const unwrapped = Effect.tryPromise({
        try: () => unwrapAndPrefetch(decryption, aesKey, sealed.encryptedKey, handles),
        catch: cannotOpen
      })
      return Effect.zipRight(unwrapped, decryptAll(decryption, aesKey, plaintext))
    },
    (decryption) => decryption.wipe()
  )

/** Resources of opening, beside secure memory. */
interface Opening {
  readonly handlesOf: (key: CryptoKey) => KeyHandles
  /**
   * Stands in for a key that does not unwrap, so that this fails in the step where a bad tag fails. An
   * attacker who knew it could make an envelope that opens, as anybody can with the public key.
   */
  readonly implicitRejectionKey: Uint8Array
}

/** Unwraps the AES key and decrypts into `plaintext`. */
const openInto = (
  plaintext: Uint8Array<ArrayBuffer>,
  memory: Memory,
  { handlesOf, implicitRejectionKey }: Opening,
  key: CryptoKey,
  sealed: Sealed
): Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError> =>
  Effect.as(
    // zeroes the AES key
    memory.use(AES_KEY_LENGTH, (aesKey) => {
      aesKey.set(implicitRejectionKey)
      return decryptInto(plaintext, aesKey, sealed, handlesOf(key))
    }),
    plaintext
  )

const open = (memory: Memory, opening: Opening): webCrypto.Primitives["open"] => (key, sealed, use) =>
  // zeroes the plaintext when `use` has ended
  memory.use(sealed.length, (plaintext) =>
    Effect.flatMap(openInto(plaintext, memory, opening, key, sealed), use))

/** A second handle of a private key, by way of its PKCS#8 in secure memory. */
const copyKey = (memory: Memory, read: typeof importPkcs8, key: CryptoKey): Effect.Effect<CryptoKey> =>
  Effect.scoped(Effect.gen(function*() {
    const exported = Effect.promise(async () => new Uint8Array(await subtle.exportKey("pkcs8", key)))
    const pkcs8 = yield* memory.guard(exported)
    return yield* Effect.promise(() => read(pkcs8, true))
  }))

/** The handles of every private key, made when they are first wanted. */
const makeHandlesOf = (copy: (key: CryptoKey) => Promise<CryptoKey>, limit: number): Opening["handlesOf"] => {
  const pools = new WeakMap<CryptoKey, KeyHandles>()
  return (key) => {
    const pool = pools.get(key) ?? new KeyHandles(key, () => copy(key), limit)
    pools.set(key, pool)
    return pool
  }
}

/**
 * Options of `layerWith`.
 *
 * @since 0.2.0
 * @category models
 */
export interface Options {
  /**
   * Maximum number of answers decrypted at the same time under one key pair. Each takes a core and a copy of
   * the private key in memory, made on first use. Default: the number of cores plus one, at most 3. Node has
   * four threads for decryption and files.
   */
  readonly maxParallelDecrypts?: number | undefined
}

const MOST_PARALLEL = 3

/**
 * `Crypto` on `node:crypto`, with a limit on parallel decryptions. Fails with a `SecurityError` with reason
 * `unsupported` if there is no WebCrypto.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerWith = (
  { maxParallelDecrypts = Math.min(availableParallelism() + 1, MOST_PARALLEL) }: Options
): Layer.Layer<Crypto, SecurityError, SecureMemory> => {
  const limit = Math.max(1, Math.floor(maxParallelDecrypts))
  return Layer.effect(
    Crypto,
    Effect.gen(function*() {
      const memory = yield* SecureMemory
      const { method } = yield* memory.info
      const run = Runtime.runPromise(yield* Effect.runtime<never>())
      const read = method === "none" ? importPkcs8 : importPkcs8Cleanly
      const opening: Opening = {
        handlesOf: makeHandlesOf((key) => run(copyKey(memory, read, key)), limit),
        implicitRejectionKey: NodeCrypto.randomBytes(AES_KEY_LENGTH)
      }
      return yield* webCrypto.make({
        extractable: true,
        importPkcs8: read,
        primitives: (memory) => ({ seal: seal(memory), open: open(memory, opening) })
      })
    })
  )
}

/**
 * `Crypto` on `node:crypto`. Fails with a `SecurityError` with reason `unsupported` if there is no WebCrypto.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<Crypto, SecurityError, SecureMemory> = layerWith({})
