/**
 * The `Crypto` service on Node: sealing and AES by `node:crypto`, which is several times faster than WebCrypto there for small
 * requests; the RSA private operation by WebCrypto, which does it off the main thread. Private keys can be exported, for key files.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodeCrypto from "node:crypto"
import { availableParallelism } from "node:os"
import { Crypto } from "../../Crypto.js"
import { nextTurn } from "../../internal/turn.js"
import * as webCrypto from "../../internal/webCrypto.js"
import type { SecurityError } from "../../NomyoError.js"
import type { SecureMemory, Service as Memory } from "../../SecureMemory.js"
import { asBytes } from "./buffer.js"

const { subtle } = NodeCrypto.webcrypto
const CIPHER = "aes-256-gcm"
/** A piece takes OpenSSL a few hundredths of a millisecond: nothing else waits for long. A multiple of three, for base64. */
const PIECE_LENGTH = 48 * 1024

/** Writes the decrypted key into `aesKey`, or leaves that as it is: what was wrong turns out later, and in one way. */
const unwrap = (handle: CryptoKey, encryptedKey: Uint8Array<ArrayBuffer>, aesKey: Uint8Array): Effect.Effect<void> =>
  Effect.promise(async (signal) => {
    const unwrapped = await subtle.decrypt("RSA-OAEP", handle, encryptedKey).then(
      (buffer) => new Uint8Array(buffer),
      () => new Uint8Array(0)
    )
    if (!signal.aborted && unwrapped.length === aesKey.length) aesKey.set(unwrapped)
    unwrapped.fill(0)
  })

/** Enough to find that block in all of 15 processes, where 16 found it in two of three and none in one of 15. */
const BLOCKS = 256

/**
 * OpenSSL 3.0 frees a copy of a private key's DER that it has read without clearing it (`der2key_decode`). Buffers of the same length come
 * from the same allocator, zeroed: one of them is likely to be where that copy was.
 */
const overwriteFreed = (length: number): void => {
  const blocks: Array<ArrayBuffer> = []
  while (blocks.length < BLOCKS) blocks.push(new ArrayBuffer(length))
}

/** OpenSSL clears its copy of the AES key when it is told that this is the end. */
const end = (cipher: { readonly final: () => Buffer }) =>
  Effect.sync(() => {
    try {
      cipher.final()
    } catch {
      // it has been told, or there was no end to come to
    }
  })

/**
 * Lends the handles of one private key. Node lets no two operations at a time into a handle, so that one keeps no more than one core at
 * work; more of them are made when they are wanted, up to a limit that leaves the thread pool free for others. Who waits, waits here.
 */
const makeHandles = (memory: Memory, key: CryptoKey, limit: number) => {
  const free = [key]
  const semaphore = Effect.unsafeMakeSemaphore(limit)
  const another = Effect.scoped(Effect.gen(function*() {
    const pkcs8 = yield* memory.guard(Effect.map(Effect.promise(() => subtle.exportKey("pkcs8", key)), (der) => new Uint8Array(der)))
    const handle = yield* Effect.promise(() => subtle.importKey("pkcs8", pkcs8, key.algorithm, key.extractable, key.usages))
    overwriteFreed(pkcs8.length)
    return handle
  }))
  const take = Effect.suspend(() => {
    const handle = free.pop()
    if (handle !== undefined) return Effect.succeed(handle)
    return another
  })
  return <A, E, R>(use: (handle: CryptoKey) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    semaphore.withPermits(1)(Effect.acquireUseRelease(take, use, (handle) => Effect.sync(() => free.push(handle))))
}

const primitives = (limit: number) => (memory: Memory): webCrypto.Primitives => {
  const lenders = new WeakMap<CryptoKey, ReturnType<typeof makeHandles>>()
  const lend = (key: CryptoKey) => {
    const lender = lenders.get(key) ?? makeHandles(memory, key, limit)
    lenders.set(key, lender)
    return lender
  }
  /** A cipher with a fresh key, and that key encrypted: the key itself is gone then. */
  const start = (key: CryptoKey) =>
    Effect.scoped(Effect.flatMap(memory.allocate(webCrypto.AES_KEY_LENGTH), (aesKey) =>
      Effect.try(() => {
        const nonce = asBytes(NodeCrypto.randomBytes(webCrypto.NONCE_LENGTH))
        const cipher = NodeCrypto.createCipheriv(CIPHER, NodeCrypto.randomFillSync(aesKey), nonce)
        const encryptedKey = NodeCrypto.publicEncrypt(
          { key: NodeCrypto.KeyObject.from(key), padding: NodeCrypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
          aesKey
        )
        return { cipher, encryptedKey, nonce }
      })))
  return {
    seal: Effect.fnUntraced(function*(key, plaintext) {
      const { cipher, encryptedKey, nonce } = yield* Effect.acquireRelease(start(key), ({ cipher }) => end(cipher))
      const pieces = function*() {
        for (let at = 0; at < plaintext.length; at += PIECE_LENGTH) {
          yield asBytes(cipher.update(plaintext.subarray(at, at + PIECE_LENGTH)))
        }
        cipher.final()
      }
      return {
        encryptedKey: asBytes(encryptedKey),
        nonce,
        length: plaintext.length,
        ciphertext: pieces(),
        tag: () => asBytes(cipher.getAuthTag())
      }
    }),

    open: Effect.fnUntraced(function*(key, { ciphertext, encryptedKey, length, nonce, tag }) {
      // a key that does not unwrap is replaced by a random one, so that it fails where a bad tag fails
      const aesKey = NodeCrypto.randomFillSync(yield* memory.allocate(webCrypto.AES_KEY_LENGTH))
      const plaintext = yield* memory.allocate(length)
      yield* lend(key)((handle) => unwrap(handle, encryptedKey, aesKey))
      const decipher = yield* Effect.acquireRelease(
        Effect.try(() =>
          NodeCrypto.createDecipheriv(CIPHER, aesKey, nonce, { authTagLength: webCrypto.TAG_LENGTH }).setAuthTag(tag())
        ),
        end
      )
      const pieces = ciphertext[Symbol.iterator]()
      let at = 0
      const decryptNext = Effect.try(() => {
        const next = pieces.next()
        if (next.done === true) return false
        const piece = decipher.update(next.value)
        plaintext.set(piece, at)
        piece.fill(0)
        at += piece.length
        return true
      })
      while (yield* decryptNext) if (at < length) yield* nextTurn
      yield* Effect.try(() => decipher.final())
      return plaintext
    })
  }
}

/**
 * How the layer works.
 *
 * @since 0.2.0
 * @category models
 */
export interface Options {
  /**
   * How many requests may be decrypted at the same time under one key pair. Each takes a core and one more copy of the private key in
   * memory, made when it is first wanted. Default: one more than there are cores, and no more than 3: Node has four threads for this and
   * for files.
   */
  readonly handles?: number | undefined
}

/**
 * The layer with a number of handles of its own.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerWith = (
  { handles = Math.min(availableParallelism() + 1, 3) }: Options
): Layer.Layer<Crypto, SecurityError, SecureMemory> =>
  Layer.effect(
    Crypto,
    Effect.map(webCrypto.make({ extractable: true, primitives: primitives(handles) }), (crypto) => ({
      ...crypto,
      importKeyPair: (pkcs8, createdAt) =>
        Effect.tap(crypto.importKeyPair(pkcs8, createdAt), () => Effect.sync(() => overwriteFreed(pkcs8.length)))
    }))
  )

/**
 * `Crypto` on `node:crypto`.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<Crypto, SecurityError, SecureMemory> = layerWith({})
