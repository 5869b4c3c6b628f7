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
import { Crypto, type Plaintext, type Sealed } from "../../Crypto.js"
import { acquire, bracket } from "../../internal/acquire.js"
import { makePermits } from "../../internal/permit.js"
import { PIECE_LENGTH, windowLength } from "../../internal/plaintext.js"
import { nextTurn } from "../../internal/turn.js"
import * as webCrypto from "../../internal/webCrypto.js"
import type { SecurityError } from "../../NomyoError.js"
import { SecureMemory, type Service as Memory } from "../../SecureMemory.js"
import { asBytes } from "./buffer.js"

const { subtle } = NodeCrypto.webcrypto
const CIPHER = "aes-256-gcm"
const RANDOM_LENGTH = webCrypto.AES_KEY_LENGTH + webCrypto.NONCE_LENGTH

/** Writes the decrypted key into `aesKey`, or leaves that as it is: what was wrong turns out later, and in one way. */
const unwrap = (handle: CryptoKey, encryptedKey: Uint8Array<ArrayBuffer>, aesKey: Uint8Array): Effect.Effect<void> =>
  Effect.async((resume) => {
    let isWanted = true
    const run = async () => {
      const unwrapped = await subtle.decrypt("RSA-OAEP", handle, encryptedKey).then((buffer) => new Uint8Array(buffer), () => new Uint8Array(0))
      if (isWanted && unwrapped.length === aesKey.length) aesKey.set(unwrapped)
      unwrapped.fill(0)
      resume(Effect.void)
    }
    void run()
    return Effect.sync(() => {
      isWanted = false
    })
  })

/** Of each size. 16 found the block in two of three processes, 64 in all of 15. */
const BLOCKS = 256
/** Smaller blocks are reused by the next best allocation. */
const SMALLEST_BLOCK = 128

/**
 * OpenSSL 3.0 frees a copy of a private key's DER that it has read without clearing it (`der2key_decode`, in a buffer a third larger).
 * Buffers come from the same allocator, zeroed: those of its length, and of what is left of it when others have had a part, are likely to be
 * where that copy was.
 */
const overwriteFreed = (length: number): void => {
  const blocks: Array<Buffer> = []
  for (let size = Math.ceil(length * 4 / 3); size > SMALLEST_BLOCK; size = Math.floor(size * 3 / 4)) {
    // `new ArrayBuffer` would be dead code to a bundler
    for (let i = 0; i < BLOCKS; i++) blocks.push(Buffer.alloc(size))
  }
}

const importPkcs8: typeof webCrypto.importPkcs8 = async (pkcs8, extractable) => {
  const importing = webCrypto.importPkcs8(pkcs8, extractable)
  // Node 20 has read it by now, before anything else can take a part of the block
  overwriteFreed(pkcs8.length)
  const handle = await importing
  overwriteFreed(pkcs8.length)
  return handle
}

interface Started<Cipher> {
  readonly cipher: Cipher
  readonly isOver: () => boolean
  /** Once. OpenSSL clears its copy of the AES key then. */
  readonly end: () => void
}

const started = <Cipher extends { readonly final: () => Buffer }>(cipher: Cipher): Started<Cipher> => {
  let isOver = false
  return {
    cipher,
    isOver: () => isOver,
    end: () => {
      if (isOver) return
      isOver = true
      cipher.final()
    }
  }
}

const release = ({ end }: Started<unknown>): void => {
  try {
    end()
  } catch {
    // a tag that was never given, or is wrong: whoever wanted the end has been told
  }
}

/** Throws where a buffer has been resized by its owner meanwhile. */
const piecesOf = function*(plaintext: Plaintext, window: Uint8Array<ArrayBuffer>): Generator<Uint8Array, void> {
  if (!ArrayBuffer.isView(plaintext)) return yield* plaintext.pieces(window)
  const { length } = plaintext
  for (let at = 0; at < length; at += PIECE_LENGTH) {
    if (plaintext.length !== length) throw new RangeError("length")
    yield plaintext.subarray(at, at + PIECE_LENGTH)
  }
}

/** The ciphertext, made as it is taken. Throws if it does not come to `length`, which has been promised. */
const encrypt = function*(
  { cipher, end, isOver }: Started<NodeCrypto.CipherGCM>,
  pieces: Iterable<Uint8Array>,
  length: number
): Generator<Uint8Array<ArrayBuffer>, void> {
  const source = pieces[Symbol.iterator]()
  let at = 0
  // nothing is written into a window when the scope has closed
  while (!isOver()) {
    const next = source.next()
    if (next.done === true) break
    at += next.value.length
    if (at > length) break
    yield asBytes(cipher.update(next.value))
  }
  if (at !== length) throw new RangeError("length")
  end()
}

/**
 * Lends the handles of one private key. Node lets no two operations at a time into a handle, so that one keeps no more than one core at
 * work; more of them are made when they are wanted, up to a limit that leaves the thread pool free for others. Who waits, waits here.
 */
const makeHandles = (memory: Memory, read: typeof importPkcs8, key: CryptoKey, limit: number) => {
  const free = [key]
  const withPermit = makePermits(limit)
  const another = Effect.scoped(Effect.gen(function*() {
    const pkcs8 = yield* memory.guard(Effect.map(Effect.tryPromise(() => subtle.exportKey("pkcs8", key)), (der) => new Uint8Array(der)))
    return yield* Effect.tryPromise(() => read(pkcs8, true))
  }))
  return <A, E, R>(use: (handle: CryptoKey) => Effect.Effect<A, E, R>): Effect.Effect<A, unknown, R> =>
    withPermit(bracket(
      () => ({ handle: free.pop() }),
      (lent) =>
        lent.handle !== undefined ? use(lent.handle) : Effect.flatMap(another, (handle) => {
          lent.handle = handle
          return use(handle)
        }),
      ({ handle }) => {
        if (handle !== undefined) free.push(handle)
      }
    ))
}

const primitives = (read: typeof importPkcs8, limit: number) => (memory: Memory): webCrypto.Primitives => {
  // in place of a key that does not unwrap, so that this fails where a bad tag fails. Who knew it could make an envelope that opens, which
  // everybody can with the public key.
  const standIn = NodeCrypto.randomBytes(webCrypto.AES_KEY_LENGTH)
  const lenders = new WeakMap<CryptoKey, ReturnType<typeof makeHandles>>()
  const lend = (key: CryptoKey) => {
    const lender = lenders.get(key) ?? makeHandles(memory, read, key, limit)
    lenders.set(key, lender)
    return lender
  }
  /** A cipher with a fresh key, which is gone with `random`, and that key encrypted. */
  const start = (key: CryptoKey, random: Uint8Array) => {
    NodeCrypto.randomFillSync(random)
    const aesKey = random.subarray(0, webCrypto.AES_KEY_LENGTH)
    const nonce = new Uint8Array(random.subarray(webCrypto.AES_KEY_LENGTH))
    const cipher = NodeCrypto.createCipheriv(CIPHER, aesKey, nonce)
    const encryptedKey = NodeCrypto.publicEncrypt(
      { key: NodeCrypto.KeyObject.from(key), padding: NodeCrypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
      aesKey
    )
    return { ...started(cipher), encryptedKey, nonce }
  }
  const sealed = ({ cipher, encryptedKey, nonce }: ReturnType<typeof start>, length: number, ciphertext: Sealed["ciphertext"]): Sealed => ({
    encryptedKey: asBytes(encryptedKey),
    nonce,
    length,
    ciphertext,
    tag: () => asBytes(cipher.getAuthTag())
  })
  return {
    seal: (key, plaintext) => {
      const { length } = plaintext
      const window = ArrayBuffer.isView(plaintext) ? 0 : windowLength(plaintext)
      if (length <= PIECE_LENGTH) {
        return memory.use(RANDOM_LENGTH + window, (secret) =>
          Effect.try(() => {
            const cipher = start(key, secret.subarray(0, RANDOM_LENGTH))
            try {
              return sealed(cipher, length, [...encrypt(cipher, piecesOf(plaintext, secret.subarray(RANDOM_LENGTH)), length)])
            } finally {
              release(cipher)
            }
          }))
      }
      return Effect.flatMap(memory.allocate(window), (window) =>
        Effect.map(
          acquire(memory.use(RANDOM_LENGTH, (random) => Effect.try(() => start(key, random))), release),
          (cipher) => sealed(cipher, length, encrypt(cipher, piecesOf(plaintext, window), length))
        ))
    },

    open: (key, { ciphertext, encryptedKey, length, nonce, tag }) =>
      memory.use(webCrypto.AES_KEY_LENGTH, (aesKey) => {
        aesKey.set(standIn)
        return Effect.flatMap(
          Effect.zipRight(lend(key)((handle) => unwrap(handle, encryptedKey, aesKey)), memory.allocate(length)),
          (plaintext) => {
            const pieces = ciphertext[Symbol.iterator]()
            let at = 0
            let decipher: Started<NodeCrypto.DecipherGCM> | undefined
            /** Decrypts the next piece; tells whether it was the last, and the tag is right. */
            const decryptNext = () => {
              decipher ??= started(NodeCrypto.createDecipheriv(CIPHER, aesKey, nonce, { authTagLength: webCrypto.TAG_LENGTH }))
              const next = pieces.next()
              if (next.done !== true) {
                const piece = decipher.cipher.update(next.value)
                try {
                  plaintext.set(piece, at)
                } finally {
                  piece.fill(0)
                }
                at += piece.length
                if (at < length) return false
                // there may be no tag before the end of the pieces has been seen
                if (pieces.next().done !== true) throw new RangeError("length")
              }
              decipher.cipher.setAuthTag(tag())
              decipher.end()
              return true
            }
            const decrypt: Effect.Effect<Uint8Array<ArrayBuffer>, unknown> = Effect.flatMap(
              Effect.try(decryptNext),
              (isOver) => isOver ? Effect.succeed(plaintext) : Effect.zipRight(nextTurn, decrypt)
            )
            return bracket(() => undefined, () => decrypt, () => decipher === undefined ? undefined : release(decipher))
          }
        )
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
    Effect.gen(function*() {
      const { method } = yield* Effect.flatMap(SecureMemory, (memory) => memory.info)
      const read = method === "none" ? webCrypto.importPkcs8 : importPkcs8
      return yield* webCrypto.make({ extractable: true, importPkcs8: read, primitives: primitives(read, Math.max(1, Math.floor(handles))) })
    })
  )

/**
 * `Crypto` on `node:crypto`.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<Crypto, SecurityError, SecureMemory> = layerWith({})
