import * as Either from "effect/Either"
import { type Body } from "../../Body.js"
import { cannotOpen, cannotSeal, NONCE_LENGTH, type Sealed, TAG_LENGTH } from "../../Crypto.js"
import type { SecurityError } from "../../NomyoError.js"
import { isObject } from "../../openai/looseJson.js"
import { CHUNK_LENGTH } from "../../Plaintext.js"
import * as Base64 from "./base64.js"
import * as Bytes from "./bytes.js"

/** The format's version. */
export const version = "1.0"
/** The scheme's name, which does not depend on the length of the RSA key. */
export const algorithm = "hybrid-aes256-rsa4096"
export const keyAlgorithm = "RSA-OAEP-SHA256"
export const payloadAlgorithm = "AES-256-GCM"

/** The fields of an envelope that are read. */
interface Fields {
  readonly encrypted_payload: { readonly ciphertext: unknown; readonly nonce: string; readonly tag: string }
  readonly encrypted_aes_key: string
  readonly processed_at?: number | null
}

/** By hand: a page would load all of `effect/Schema` for it. */
const isEnvelope = (json: unknown): json is Fields =>
  isObject(json) && json["version"] === version && json["algorithm"] === algorithm &&
  isSealed(json["encrypted_payload"]) &&
  typeof json["encrypted_aes_key"] === "string" &&
  (json["key_algorithm"] ?? keyAlgorithm) === keyAlgorithm && json["key_algorithm"] !== null &&
  (json["payload_algorithm"] ?? payloadAlgorithm) === payloadAlgorithm &&
  json["payload_algorithm"] !== null &&
  Number.isFinite(json["processed_at"] ?? 0)

const isSealed = (json: unknown): boolean =>
  isObject(json) && typeof json["nonce"] === "string" && typeof json["tag"] === "string"

const HEAD = `{"version":"${version}","algorithm":"${algorithm}","encrypted_payload":{"ciphertext":"`

/** The texts around the ciphertext and the tag. */
interface Frame {
  readonly beforeTag: string
  readonly afterTag: string
}

const frameOf = ({ encryptedKey, nonce }: Sealed, processedAt: number | undefined): Frame => {
  const time = processedAt === undefined ? "" : `,"processed_at":${processedAt}`
  return {
    beforeTag: `","nonce":"${Base64.textOf(nonce)}","tag":"`,
    afterTag: `"},"encrypted_aes_key":"${Base64.textOf(encryptedKey)}","key_algorithm":"${keyAlgorithm}"` +
      `,"payload_algorithm":"${payloadAlgorithm}"${time}}`
  }
}

/** The JSON in chunks. Throws `cannotSeal` if the ciphertext cannot be made. */
const encodeChunks = function*(
  { ciphertext, tag }: Sealed,
  { afterTag, beforeTag }: Frame
): Generator<string, void> {
  yield HEAD
  try {
    let at = 0
    for (const chunk of ciphertext) {
      // only the last may be padded
      if (at % 3 > 0) throw cannotSeal()
      at += chunk.length
      yield Base64.textOf(chunk)
    }
    yield `${beforeTag}${Base64.textOf(tag())}${afterTag}`
  } catch {
    throw cannotSeal()
  }
}

/** An envelope around sealed bytes. `processedAt` is in Unix seconds. */
export const encode = (sealed: Sealed, processedAt?: number | undefined): Body => {
  const frame = frameOf(sealed, processedAt)
  return {
    length: HEAD.length + Base64.encodedLength(sealed.length) + frame.beforeTag.length +
      Base64.encodedLength(TAG_LENGTH) + frame.afterTag.length,
    chunks: encodeChunks(sealed, frame)
  }
}

const QUOTE = 34
const BACKSLASH = 92

/**
 * The longest an envelope may be without its ciphertext, in bytes: this much is parsed before the tag is
 * checked. Its longest other field is the encrypted key, of 1 or 2 KiB.
 */
const LONGEST_REST = 64 * 1024

/** The name of the field, in quotes. */
const CIPHERTEXT = "\"ciphertext\""

/** An envelope in two parts. */
interface Parts {
  /** The base64 of the ciphertext. */
  readonly base64: Uint8Array
  /** The JSON with `mark` in place of the ciphertext. */
  readonly rest: Uint8Array
  readonly mark: string
}

/**
 * Cuts out the value of `"ciphertext"`, nearly all of an envelope. `undefined` unless there is exactly one
 * such field.
 */
const cutCiphertext = (bytes: Uint8Array): Parts | undefined => {
  const at = Bytes.indexOf(bytes.subarray(0, LONGEST_REST), CIPHERTEXT, 0)
  const start = bytes.indexOf(QUOTE, at + CIPHERTEXT.length) + 1
  const end = bytes.indexOf(QUOTE, start)
  // without such a field this cuts elsewhere, and the mark is not where it is looked for
  const restLength = bytes.length - (end - start)
  if (restLength > LONGEST_REST || Bytes.indexOf(bytes, CIPHERTEXT, end) !== -1) return undefined
  const text = bytes.subarray(start, end)
  const mark = crypto.randomUUID()
  return {
    mark,
    rest: Bytes.concat([bytes.subarray(0, start), Bytes.fromText(mark), bytes.subarray(end)]),
    // JSON may escape a slash
    base64: text.includes(BACKSLASH) ? Bytes.fromText(JSON.parse(`"${Bytes.toText(text)}"`)) : text
  }
}

/** Characters of base64 that stand for a chunk. */
const ENCODED_CHUNK_LENGTH = Base64.encodedLength(CHUNK_LENGTH)

/** The bytes of a base64 text, in chunks. Throws `cannotOpen` where it is not valid. */
const decodeChunks = function*(base64: Uint8Array): Generator<Uint8Array<ArrayBuffer>, void> {
  for (let at = 0; at < base64.length; at += ENCODED_CHUNK_LENGTH) {
    const end = at + ENCODED_CHUNK_LENGTH
    const bytes = Base64.decodePublic(base64.subarray(at, end))
    // only the last may be padded
    if (bytes === undefined || (end < base64.length && bytes.length % 3 > 0)) throw cannotOpen()
    yield bytes
  }
}

/** Fields of an envelope. */
interface Decoded {
  readonly sealed: Sealed
  readonly processedAt: number | undefined
}

/** Reads an envelope. Throws if it is none. */
const parse = (bytes: Uint8Array): Decoded => {
  const { base64, mark, rest } = cutCiphertext(bytes)!
  const json: unknown = JSON.parse(Bytes.toText(rest))
  if (!isEnvelope(json) || json.encrypted_payload.ciphertext !== mark) throw cannotOpen()
  const nonce = Base64.decodePublic(json.encrypted_payload.nonce)
  const tag = Base64.decodePublic(json.encrypted_payload.tag)
  const encryptedKey = Base64.decodePublic(json.encrypted_aes_key)
  if (encryptedKey === undefined || base64.length % 4 > 0) throw cannotOpen()
  if (nonce?.length !== NONCE_LENGTH || tag?.length !== TAG_LENGTH) throw cannotOpen()
  const length = Base64.decodedLength(base64)
  return {
    sealed: { encryptedKey, nonce, length, ciphertext: decodeChunks(base64), tag: () => tag },
    processedAt: json.processed_at ?? undefined
  }
}

/** Reads an envelope. Whatever is wrong with it, the failure is one and the same. */
export const decode = (bytes: Uint8Array): Either.Either<Decoded, SecurityError> =>
  Either.try({ try: () => parse(bytes), catch: cannotOpen })
