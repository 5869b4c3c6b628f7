/**
 * Chunked Oblivious HTTP (RFC 9458, draft-ietf-ohai-chunked-ohttp-08): an HTTP exchange sealed chunk by
 * chunk.
 *
 * @since 0.3.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Bytes from "../internal/codecs/bytes.js"
import { zeroingOnError } from "../internal/zeroing.js"
import { SecurityError } from "../NomyoError.js"
import { SecureMemory } from "../SecureMemory.js"
import { varint } from "./BinaryHttp.js"
import * as Hpke from "./Hpke.js"
import { Primitives } from "./Primitives.js"

/**
 * Media types of the two messages.
 *
 * @since 0.3.0
 * @category constants
 */
export const requestType = "message/ohttp-chunked-req"

/**
 * @since 0.3.0
 * @category constants
 */
export const responseType = "message/ohttp-chunked-res"

/**
 * Where a router's keys are, and where requests go (RFC 9540).
 *
 * @since 0.3.0
 * @category constants
 */
export const gatewayPath = "/.well-known/ohttp-gateway"

/**
 * The type of the problem that a request has whose date the router does not accept (RFC 9458, 6.5.2).
 *
 * @since 0.3.0
 * @category constants
 */
export const DATE_PROBLEM = "https://iana.org/assignments/http-problem-types#date"

/**
 * The bytes that an answer begins with, under AES-256-GCM: 32.
 *
 * @since 0.3.0
 * @category constants
 */
export const NONCE_LENGTH = 32

/**
 * The most plaintext of a chunk that every receiver takes, in bytes (draft -08, 3).
 *
 * @since 0.3.0
 * @category constants
 */
export const CHUNK_LENGTH = 16_384

/** The most sealed bytes of a chunk that a receiver takes: 64 KiB and the tag (protocol 2, 5). */
const MAX_SEALED_LENGTH = 65_552
const TAG_LENGTH = 16
/** As long as the longer of the AEAD's key and nonce (RFC 9458, 4.4), in bytes. */
const responseNonceLength = Hpke.keyLength

const requestLabel = Bytes.fromText("message/bhttp chunked request")
const responseLabel = Bytes.fromText("message/bhttp chunked response")
const keyLabel = Bytes.fromText("key")
const nonceLabel = Bytes.fromText("nonce")
const finalAad = Bytes.fromText("final")
const noAad = new Uint8Array(0)

/**
 * One failure for whatever is wrong with a message.
 *
 * @internal
 */
export const cannotOpen = (): SecurityError =>
  new SecurityError({
    reason: "envelope",
    message: "The answer could not be opened: it is damaged, altered or cut short. Send the request again"
  })

interface Suite {
  readonly keyId: number
  readonly kem: Pick<Hpke.Kem<never>, "id">
  readonly aeadId: Hpke.AeadId
}

/** The header that names a request's key and suite (RFC 9458, 4.3): 7 bytes. */
const HEADER_LENGTH = 7
const encodeHeader = ({ aeadId, kem, keyId }: Suite): Uint8Array<ArrayBuffer> =>
  Uint8Array.of(keyId, kem.id >> 8, kem.id & 0xff, 0, 1, aeadId >> 8, aeadId & 0xff)

const info = (header: Uint8Array<ArrayBuffer>) => Bytes.concat([requestLabel, Uint8Array.of(0), header])

type Seal = Hpke.HpkeContext["seal"]
type Open = Hpke.HpkeContext["open"]

/**
 * Seals a message's chunks, in order. `final` is the last.
 *
 * @since 0.3.0
 * @category models
 */
export interface Sealer {
  /** One chunk, of 1 to 16,384 bytes, as it goes over the wire. */
  readonly chunk: (
    plaintext: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
  readonly final: (
    plaintext: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
}

const sealer = (seal: Seal): Sealer => ({
  chunk: (plaintext) => seal(noAad, plaintext, varint(plaintext.length + TAG_LENGTH)),
  final: (plaintext) => seal(finalAad, plaintext, varint(0))
})

/**
 * Opens a message from bytes that come in any chunks. Whatever is wrong, it fails with reason `envelope`,
 * once and for good.
 *
 * @since 0.3.0
 * @category models
 */
export interface Opener {
  /** Reads bytes. Returns the plaintexts of the chunks that are complete. */
  readonly push: (
    bytes: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<ReadonlyArray<Uint8Array<ArrayBuffer>>, SecurityError>
  /** Reads the end of the bytes. Returns the plaintext of the final chunk. */
  readonly end: Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
}

/**
 * Cuts a message into its sealed chunks, and holds no more than one. Throws for a chunk that is too long or
 * too short.
 */
class Deframer {
  #buffer: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  #isFinal = false
  /** How many bytes the chunk lacks that has begun; 0 if that is not known. */
  #lacking = 0

  push(bytes: Uint8Array<ArrayBuffer>): ReadonlyArray<Uint8Array<ArrayBuffer>> {
    const chunks: Array<Uint8Array<ArrayBuffer>> = []
    // bytes after the end of the chunk that has begun are not copied behind it
    for (const part of [bytes.subarray(0, this.#lacking), bytes.subarray(this.#lacking)]) {
      if (part.length === 0) continue
      this.#buffer = this.#buffer.length === 0 ? part : Bytes.concat([this.#buffer, part])
      while (!this.#isFinal && this.#next(chunks));
    }
    // the caller may use its buffer again
    if (this.#buffer.buffer === bytes.buffer) this.#buffer = this.#buffer.slice()
    // what the final chunk has is known at the end only
    if (this.#isFinal && this.#buffer.length > MAX_SEALED_LENGTH) throw cannotOpen()
    return chunks
  }

  /** The final chunk: all that followed its length of 0. */
  end(): Uint8Array<ArrayBuffer> {
    if (!this.#isFinal || this.#buffer.length < TAG_LENGTH) throw cannotOpen()
    return this.#buffer
  }

  /** Takes one chunk off the front, if all of it is there. */
  #next(chunks: Array<Uint8Array<ArrayBuffer>>): boolean {
    this.#lacking = 0
    const [first = 0] = this.#buffer
    const lengthOfLength = 1 << (first >> 6)
    if (this.#buffer.length < lengthOfLength) return false
    const length = this.#buffer.subarray(1, lengthOfLength).reduce((n, byte) => n * 256 + byte, first & 0x3f)
    this.#isFinal = length === 0
    if (this.#isFinal) {
      this.#buffer = this.#buffer.subarray(lengthOfLength)
      return false
    }
    // before any of it is buffered
    if (length < TAG_LENGTH || length > MAX_SEALED_LENGTH) throw cannotOpen()
    const end = lengthOfLength + length
    if (this.#buffer.length < end) {
      this.#lacking = end - this.#buffer.length
      return false
    }
    chunks.push(this.#buffer.subarray(lengthOfLength, end))
    this.#buffer = this.#buffer.subarray(end)
    return true
  }
}

const attempt = <A>(run: () => A) => Effect.try({ try: run, catch: cannotOpen })

/**
 * The plaintexts of chunks. They are zeroed if one of them does not open, or on an interruption, also those
 * that WebCrypto is still making.
 */
const openAll = (open: Open, aad: Uint8Array<ArrayBuffer>, sealed: ReadonlyArray<Uint8Array<ArrayBuffer>>) =>
  zeroingOnError(Effect.fnUntraced(function*(opened) {
    const keep = (plaintext: Uint8Array<ArrayBuffer>) => void opened.push(plaintext)
    for (const chunk of sealed) yield* Effect.uninterruptible(Effect.map(open(aad, chunk), keep))
    return opened
  }))

const opener = (open: Open): Opener => {
  const deframer = new Deframer()
  let isBroken = false
  const breakOff = Effect.sync(() => {
    isBroken = true
  })
  /** After a failure or an interruption a chunk is missing: what follows would pass for the whole. */
  const unbroken = <A>(work: Effect.Effect<A, SecurityError>) =>
    Effect.suspend(() =>
      isBroken ? Effect.fail(cannotOpen()) : Effect.onError(work, () => breakOff)
    )
  return {
    push: (bytes) =>
      unbroken(Effect.flatMap(attempt(() => deframer.push(bytes)), (sealed) =>
        openAll(open, noAad, sealed))),
    end: unbroken(Effect.flatMap(attempt(() => deframer.end()), (sealed) =>
      Effect.map(openAll(open, finalAad, [sealed]), ([last]) => last!)))
  }
}

/** The key and nonce of the answer to a request, which only its two sides can make (draft -08, 4.2). */
const responseContext = Effect.fnUntraced(function*(
  { aeadId }: Suite,
  context: Hpke.HpkeContext,
  enc: Uint8Array<ArrayBuffer>,
  nonce: Uint8Array<ArrayBuffer>
) {
  const { aesGcm, hmac } = yield* Primitives
  const secret = yield* context.exportSecret(responseLabel, responseNonceLength(aeadId))
  const expand = (label: Uint8Array<ArrayBuffer>) => (prk: Uint8Array<ArrayBuffer>) =>
    hmac(prk, [label, Uint8Array.of(1)])
  const secrets = yield* Hpke.derive(hmac(Bytes.concat([enc, nonce]), [secret]), [
    expand(keyLabel),
    expand(nonceLabel)
  ])
  const key = Hpke.blockOf(secrets, 0, Hpke.keyLength(aeadId))
  return Hpke.counting(yield* aesGcm(key), Hpke.blockOf(secrets, 1, Hpke.NONCE_LENGTH))
})

/**
 * Opens an answer, given the context of its request. A client's exchange does the same.
 *
 * @internal
 */
export const openResponse = (
  suite: Suite,
  context: Hpke.HpkeContext,
  enc: Uint8Array<ArrayBuffer>,
  nonce: Uint8Array<ArrayBuffer>
): Effect.Effect<Opener, SecurityError, Needs> =>
  Effect.map(responseContext(suite, context, enc, nonce), ({ open }) => opener(open))

type Needs = Primitives | SecureMemory | Scope.Scope

/**
 * A client's side of one exchange.
 *
 * @since 0.3.0
 * @category models
 */
export interface ClientExchange {
  /** The header before the request's chunks. */
  readonly header: Uint8Array<ArrayBuffer>
  readonly request: Sealer
  /** Opens the answer, whose first bytes, 32 of them, are `nonce`. */
  readonly response: (nonce: Uint8Array<ArrayBuffer>) => Effect.Effect<Opener, SecurityError, Needs>
}

/**
 * The public half of a router's key, and its id in requests.
 *
 * @since 0.3.0
 * @category models
 */
export interface RecipientKey {
  readonly keyId: number
  readonly kem: Pick<Hpke.Kem<never>, "id" | "encapsulate">
  readonly aeadId: Hpke.AeadId
  readonly publicKey: Uint8Array<ArrayBuffer>
}

/**
 * Begins an exchange. Its secrets are zeroed when the scope closes.
 *
 * @since 0.3.0
 * @category constructors
 */
export const client = Effect.fnUntraced(function*(
  key: RecipientKey
): Effect.fn.Return<ClientExchange, SecurityError, Needs> {
  const header = encodeHeader(key)
  const { context, enc } = yield* Hpke.setupSender(key.kem, key.aeadId, key.publicKey, info(header))
  return {
    header: Bytes.concat([header, enc]),
    request: sealer(context.seal),
    response: (nonce) => openResponse(key, context, enc, nonce)
  }
})

/**
 * A router's side of one exchange.
 *
 * @since 0.3.0
 * @category models
 */
export interface GatewayExchange {
  /** Names the exchange: no other request has the same. */
  readonly enc: Uint8Array<ArrayBuffer>
  readonly request: Opener
  /** Seals an answer, under a nonce that goes before its chunks. One exchange has one. */
  readonly response: Effect.Effect<
    { readonly nonce: Uint8Array<ArrayBuffer>; readonly sealer: Sealer },
    SecurityError,
    Needs
  >
}

/**
 * A router's key: the pair, and its id.
 *
 * @since 0.3.0
 * @category models
 */
export interface GatewayKey<PrivateKey> {
  readonly keyId: number
  readonly kem: Hpke.Kem<PrivateKey>
  readonly aeadId: Hpke.AeadId
  readonly keyPair: PrivateKey
}

/**
 * How many bytes a request has before its first chunk, for a KEM.
 *
 * @since 0.3.0
 * @category operations
 */
export const headerLength = (kem: Pick<Hpke.Kem<never>, "encLength">): number => HEADER_LENGTH + kem.encLength

/**
 * Continues the exchange of a request that begins with `header`. Fails unless it names this key.
 *
 * @since 0.3.0
 * @category constructors
 */
export const gateway = Effect.fnUntraced(function*<PrivateKey>(
  key: GatewayKey<PrivateKey>,
  header: Uint8Array<ArrayBuffer>
): Effect.fn.Return<GatewayExchange, SecurityError, Needs> {
  const expected = encodeHeader(key)
  const enc = header.slice(HEADER_LENGTH)
  if (!Bytes.equals(header.subarray(0, HEADER_LENGTH), expected) || enc.length !== key.kem.encLength) {
    return yield* Effect.fail(cannotOpen())
  }
  const context = yield* Hpke.setupReceiver(key.kem, key.aeadId, key.keyPair, enc, info(expected))
  const { randomBytes } = yield* Primitives
  return {
    enc,
    request: opener(context.open),
    response: Effect.suspend(() => {
      const nonce = randomBytes(responseNonceLength(key.aeadId))
      return Effect.map(responseContext(key, context, enc, nonce),
        ({ seal }) => ({ nonce, sealer: sealer(seal) }))
    })
  }
})
