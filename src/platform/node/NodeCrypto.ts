/**
 * The `Crypto` service on Node: sealing and AES by `node:crypto`, which is several times faster than WebCrypto there for small
 * requests; the RSA private operation by WebCrypto, which does it off the main thread. Private keys can be exported, for key files.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as NodeCrypto from "node:crypto"
import { availableParallelism } from "node:os"
import { Crypto, type Plaintext, type Sealed } from "../../Crypto.js"
import { bracket } from "../../internal/fibers/acquire.js"
import { PIECE_LENGTH, windowLength } from "../../internal/plaintext.js"
import { yieldToEventLoop } from "../../internal/fibers/yieldToEventLoop.js"
import * as webCrypto from "../../internal/webCrypto.js"
import type { SecurityError } from "../../NomyoError.js"
import { SecureMemory, type Service as Memory } from "../../SecureMemory.js"
import { asBytes } from "./buffer.js"

const { subtle } = NodeCrypto.webcrypto
const CIPHER = "aes-256-gcm"
const RANDOM_LENGTH = webCrypto.AES_KEY_LENGTH + webCrypto.NONCE_LENGTH

/** Pieces that are decrypted without giving way: it takes half a millisecond, and to give way a tenth. */
const PIECES_A_TURN = 5

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

/** A cipher that OpenSSL keeps a copy of the AES key for until it is over. */
class Running<Cipher extends { readonly final: () => Buffer }> {
  isOver = false

  constructor(readonly cipher: Cipher) {}

  /** Once. */
  end(): void {
    if (this.isOver) return
    this.isOver = true
    this.cipher.final()
  }

  release(): void {
    try {
      this.end()
    } catch {
      // a tag that was never given, or is wrong: whoever wanted the end has been told
    }
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
  running: Running<NodeCrypto.CipherGCM>,
  pieces: Iterable<Uint8Array>,
  length: number
): Generator<Uint8Array<ArrayBuffer>, void> {
  const source = pieces[Symbol.iterator]()
  let at = 0
  // nothing is written into a window that has been given back
  while (!running.isOver) {
    const next = source.next()
    if (next.done === true) break
    at += next.value.length
    if (at > length) break
    yield asBytes(running.cipher.update(next.value))
  }
  if (at !== length) throw new RangeError("length")
  running.end()
}

/**
 * Lends the handles of one private key. Node lets no two operations at a time into a handle, so that one keeps no more than one core at
 * work; more of them are made when they are wanted, up to a limit that leaves the thread pool free for others. Who waits, waits here.
 */
const makeHandles = (first: CryptoKey, another: () => Promise<CryptoKey>, limit: number) => {
  const free = [first]
  const waiting: Array<() => void> = []
  let lent = 0
  /** Nothing, if it is not wanted any more when there is a handle. Who has stopped waiting leaves the handle at work until it is done. */
  return async <A>(use: (handle: CryptoKey) => Promise<A>, isWanted: () => boolean): Promise<A | undefined> => {
    if (lent < limit) lent++
    else await new Promise<void>((resolve) => waiting.push(resolve))
    let handle: CryptoKey | undefined
    try {
      if (!isWanted()) return undefined
      handle = free.pop() ?? await another()
      return await use(handle)
    } finally {
      if (handle !== undefined) free.push(handle)
      const next = waiting.shift()
      if (next === undefined) lent--
      else next()
    }
  }
}

const primitives = (read: typeof importPkcs8, limit: number, runtime: Runtime.Runtime<never>) => (memory: Memory): webCrypto.Primitives => {
  // in place of a key that does not unwrap, so that this fails where a bad tag fails. Who knew it could make an envelope that opens, which
  // everybody can with the public key.
  const implicitRejectionKey = NodeCrypto.randomBytes(webCrypto.AES_KEY_LENGTH)
  const copy = (key: CryptoKey) =>
    Effect.scoped(Effect.gen(function*() {
      const pkcs8 = yield* memory.guard(Effect.map(Effect.promise(() => subtle.exportKey("pkcs8", key)), (der) => new Uint8Array(der)))
      return yield* Effect.promise(() => read(pkcs8, true))
    }))
  const lenders = new WeakMap<CryptoKey, ReturnType<typeof makeHandles>>()
  const lend = (key: CryptoKey) => {
    const lender = lenders.get(key) ?? makeHandles(key, () => Runtime.runPromise(runtime)(copy(key)), limit)
    lenders.set(key, lender)
    return lender
  }
  /** Writes the decrypted key into `aesKey` if it is wanted then, or leaves that as it is: what was wrong turns out later, and in one way. */
  const unwrap = (key: CryptoKey, encryptedKey: Uint8Array<ArrayBuffer>, aesKey: Uint8Array, isWanted: () => boolean) =>
    lend(key)(async (handle) => {
      const unwrapped = new Uint8Array(await subtle.decrypt("RSA-OAEP", handle, encryptedKey).catch(() => new ArrayBuffer(0)))
      if (isWanted() && unwrapped.length === aesKey.length) aesKey.set(unwrapped)
      unwrapped.fill(0)
    }, isWanted)
  /** A cipher with a fresh key, which is gone with `random`, and that key encrypted. */
  const start = (key: CryptoKey, random: Uint8Array) => {
    NodeCrypto.randomFillSync(random)
    const aesKey = random.subarray(0, webCrypto.AES_KEY_LENGTH)
    const nonce = new Uint8Array(random.subarray(webCrypto.AES_KEY_LENGTH))
    const encryptedKey = NodeCrypto.publicEncrypt(
      { key: NodeCrypto.KeyObject.from(key), padding: NodeCrypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
      aesKey
    )
    return { encryptedKey, nonce, running: new Running(NodeCrypto.createCipheriv(CIPHER, aesKey, nonce)) }
  }
  const sealed = ({ encryptedKey, nonce, running }: ReturnType<typeof start>, length: number, ciphertext: Sealed["ciphertext"]): Sealed => ({
    encryptedKey: asBytes(encryptedKey),
    nonce,
    length,
    ciphertext,
    tag: () => asBytes(running.cipher.getAuthTag())
  })
  return {
    seal: (key, plaintext, use) => {
      const { length } = plaintext
      const window = ArrayBuffer.isView(plaintext) ? 0 : windowLength(plaintext)
      if (length <= PIECE_LENGTH) {
        const whole = memory.useSync(RANDOM_LENGTH + window, (secret) => {
          const begun = start(key, secret.subarray(0, RANDOM_LENGTH))
          try {
            return sealed(begun, length, [...encrypt(begun.running, piecesOf(plaintext, secret.subarray(RANDOM_LENGTH)), length)])
          } finally {
            begun.running.release()
          }
        })
        return Effect.flatMap(Effect.mapError(whole, webCrypto.cannotSeal), use)
      }
      return memory.use(window, (window) =>
        Effect.acquireUseRelease(
          Effect.mapError(memory.useSync(RANDOM_LENGTH, (random) => start(key, random)), webCrypto.cannotSeal),
          (begun) => use(sealed(begun, length, encrypt(begun.running, piecesOf(plaintext, window), length))),
          ({ running }) => Effect.sync(() => running.release())
        ))
    },

    open: (key, { ciphertext, encryptedKey, length, nonce, tag }, use) => {
      const decryptInto = (plaintext: Uint8Array<ArrayBuffer>) => (aesKey: Uint8Array<ArrayBuffer>) => {
        let isOver = false
        let decipher: Running<NodeCrypto.DecipherGCM> | undefined
        const pieces = ciphertext[Symbol.iterator]()
        /** Pieces that were made while the key was unwrapped, or what was wrong with them. */
        const made: Array<Either.Either<IteratorResult<Uint8Array>, unknown>> = []
        const nextPiece = () => made.length > 0 ? Either.getOrThrow(made.shift()!) : pieces.next()
        let at = 0
        /** Decrypts the next piece; tells whether it was the last, and the tag is right. */
        const decryptNext = () => {
          decipher ??= new Running(NodeCrypto.createDecipheriv(CIPHER, aesKey, nonce, { authTagLength: webCrypto.TAG_LENGTH }))
          const next = nextPiece()
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
            if (nextPiece().done !== true) throw new RangeError("length")
          }
          if (at !== length) throw new RangeError("length")
          decipher.cipher.setAuthTag(tag())
          decipher.end()
          return true
        }
        const decrypt: Effect.Effect<void, SecurityError> = Effect.suspend(() => {
          try {
            for (let piece = 0; piece < PIECES_A_TURN; piece++) if (decryptNext()) return Effect.void
            return Effect.zipRight(yieldToEventLoop, decrypt)
          } catch {
            return Effect.fail(webCrypto.cannotOpen())
          }
        })
        const unwrapped = Effect.tryPromise({
          try: () => {
            const unwrapping = unwrap(key, encryptedKey, aesKey, () => !isOver)
            for (let piece = 0; piece < PIECES_A_TURN; piece++) made.push(Either.try(() => pieces.next()))
            return unwrapping
          },
          catch: webCrypto.cannotOpen
        })
        return bracket(
          () => aesKey.set(implicitRejectionKey),
          () => Effect.zipRight(unwrapped, decrypt),
          () => {
            isOver = true
            decipher?.release()
          }
        )
      }
      // the key is gone when the plaintext is used
      return memory.use(length, (plaintext) =>
        Effect.flatMap(memory.use(webCrypto.AES_KEY_LENGTH, decryptInto(plaintext)), () => use(plaintext)))
    }
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
      const runtime = yield* Effect.runtime<never>()
      const read = method === "none" ? webCrypto.importPkcs8 : importPkcs8
      return yield* webCrypto.make({ extractable: true, importPkcs8: read, primitives: primitives(read, Math.max(1, Math.floor(handles)), runtime) })
    })
  )

/**
 * `Crypto` on `node:crypto`.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<Crypto, SecurityError, SecureMemory> = layerWith({})
