/**
 * Password-based encryption of private keys: PBES2 (RFC 8018 6.2) with PBKDF2 or scrypt (RFC 7914), and AES
 * or triple DES in CBC mode.
 *
 * A file says how much work its key takes. That is read and bounded first, and the work is done off the
 * main thread.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as NodeCrypto from "node:crypto"
import { promisify } from "node:util"
import * as Bytes from "../../internal/codecs/bytes.js"
import * as Der from "../../internal/codecs/der.js"
import { SecureMemory } from "../../SecureMemory.js"

const { element, integer, NULL, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE } = Der
const INTEGER = 0x02

/** The most rounds of PBKDF2: some five seconds. OWASP's Password Storage Cheat Sheet asks for 600,000. */
const MAX_ROUNDS = 10_000_000
/** The most memory that scrypt gets, in bytes. OpenSSL's own keys take 16 MiB. */
const MAX_SCRYPT_BYTES = 256 * 1024 * 1024
/** The most blocks of 128 bytes that scrypt mixes (N × r × p): some four seconds. */
const MAX_SCRYPT_BLOCKS = 8 * 1024 * 1024

const pbkdf2 = promisify(NodeCrypto.pbkdf2)
const scrypt = promisify<Uint8Array, Uint8Array, number, NodeCrypto.ScryptOptions, Buffer>(NodeCrypto.scrypt)

const oid = (...bytes: ReadonlyArray<number>) => element(OBJECT_IDENTIFIER, Uint8Array.from(bytes))
/** 1.2.840.113549.1.5.13 (RFC 8018 A.4) */
const pbes2Oid = oid(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d)
/** 1.2.840.113549.1.5.12 (RFC 8018 A.2) */
const pbkdf2Oid = oid(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c)
/** 1.3.6.1.4.1.11591.4.11 (RFC 7914 7) */
const scryptOid = oid(0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x04, 0x0b)
/** 1.2.840.113549.2.x (RFC 8018 B.1) */
const hmac = (last: number) => oid(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, last)
const hmacWithSha256 = hmac(9)
const digests = [
  [hmac(7), "sha1"],
  [hmac(8), "sha224"],
  [hmacWithSha256, "sha256"],
  [hmac(10), "sha384"],
  [hmac(11), "sha512"]
] as const
/** 2.16.840.1.101.3.4.1.x (RFC 3565) */
const aes = (last: number) => oid(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, last)
const aes256Cbc = aes(42)
const ciphers: ReadonlyArray<readonly [Uint8Array, Encrypted["cipher"]]> = [
  [aes(2), { name: "aes-128-cbc", keyLength: 16 }],
  [aes(22), { name: "aes-192-cbc", keyLength: 24 }],
  [aes256Cbc, { name: "aes-256-cbc", keyLength: 32 }],
  // 1.2.840.113549.3.7 (RFC 8018 B.2.2)
  [oid(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x03, 0x07), { name: "des-ede3-cbc", keyLength: 24 }]
]

/** How a password becomes a key. */
export type Kdf = Pbkdf2 | Scrypt

interface Pbkdf2 {
  readonly _tag: "Pbkdf2"
  readonly salt: Uint8Array
  readonly rounds: number
  readonly digest: string
}

/** N, r and p of RFC 7914. */
interface Scrypt {
  readonly _tag: "Scrypt"
  readonly salt: Uint8Array
  readonly cost: number
  readonly blockSize: number
  readonly lanes: number
}

/** A PKCS#8 private key under a password. */
export interface Encrypted {
  readonly kdf: Kdf
  readonly cipher: { readonly name: string; readonly keyLength: number }
  readonly iv: Uint8Array
  readonly ciphertext: Uint8Array
}

type Element = ReturnType<typeof Der.children>[number] | undefined

const lookUp = <A>(table: ReadonlyArray<readonly [Uint8Array, A]>, key: Element): A | undefined =>
  table.find(([name]) => key !== undefined && Bytes.equals(name, key.whole))?.[1]

/** A whole number; more than any bound if it is negative, larger than six bytes, or none. */
const numberOf = (element: Element): number => {
  const bytes = element?.tag === INTEGER ? element.value : new Uint8Array(0)
  const isSmall = bytes.length > 0 && bytes.length <= 6 && bytes[0]! < 0x80
  return isSmall ? bytes.reduce((n, byte) => n * 256 + byte, 0) : Number.POSITIVE_INFINITY
}

const octetsOf = (element: Element): Uint8Array | undefined =>
  element?.tag === OCTET_STRING ? element.value : undefined

/** The digest of PBKDF2's optional parameters, behind a key length, which says nothing new. */
const digestOf = ([first, second]: ReadonlyArray<Element>): string | undefined => {
  const prf = first?.tag === INTEGER ? second : first
  return prf === undefined ? "sha1" : lookUp(digests, Der.children(prf)[0])
}

const decodeKdf = (kdf: Element): Kdf | undefined => {
  const [name, parameters] = Der.children(kdf)
  const [salted, first, ...rest] = Der.children(parameters)
  const salt = octetsOf(salted)
  if (name === undefined || salt === undefined) return undefined
  if (Bytes.equals(name.whole, scryptOid)) {
    const [blockSize, lanes] = [numberOf(rest[0]), numberOf(rest[1])]
    return { _tag: "Scrypt", salt, cost: numberOf(first), blockSize, lanes }
  }
  const digest = digestOf(rest)
  if (!Bytes.equals(name.whole, pbkdf2Oid) || digest === undefined) return undefined
  return { _tag: "Pbkdf2", salt, rounds: numberOf(first), digest }
}

/** Reads an EncryptedPrivateKeyInfo (RFC 5958); `undefined` if it is damaged or its scheme is another. */
export const decode = (der: Uint8Array): Encrypted | undefined => {
  const [info] = Der.elements(der) ?? []
  const [algorithm, data] = Der.children(info)
  const [scheme, parameters] = Der.children(algorithm)
  if (scheme === undefined || !Bytes.equals(scheme.whole, pbes2Oid)) return undefined
  const [derivation, encryption] = Der.children(parameters)
  const [cipherName, cipherParameters] = Der.children(encryption)
  const kdf = decodeKdf(derivation)
  const cipher = lookUp(ciphers, cipherName)
  const [iv, ciphertext] = [octetsOf(cipherParameters), octetsOf(data)]
  if (kdf === undefined || cipher === undefined || iv === undefined) return undefined
  return ciphertext === undefined ? undefined : { kdf, cipher, iv, ciphertext }
}

/** Writes an EncryptedPrivateKeyInfo with PBKDF2-HMAC-SHA-256 and AES-256-CBC. */
export const encode = (parts: {
  readonly salt: Uint8Array
  readonly rounds: number
  readonly iv: Uint8Array
  readonly ciphertext: Uint8Array
}): Uint8Array<ArrayBuffer> => {
  const prf = element(SEQUENCE, hmacWithSha256, element(NULL))
  const parameters = element(SEQUENCE, element(OCTET_STRING, parts.salt), integer(parts.rounds), prf)
  const kdf = element(SEQUENCE, pbkdf2Oid, parameters)
  const encryption = element(SEQUENCE, aes256Cbc, element(OCTET_STRING, parts.iv))
  const algorithm = element(SEQUENCE, pbes2Oid, element(SEQUENCE, kdf, encryption))
  return element(SEQUENCE, algorithm, element(OCTET_STRING, parts.ciphertext))
}

/** Whether a key can be derived in seconds rather than days. */
export const isBounded = (kdf: Kdf): boolean => {
  if (kdf._tag === "Pbkdf2") return kdf.rounds >= 1 && kdf.rounds <= MAX_ROUNDS
  const { blockSize, cost, lanes } = kdf
  return cost > 1 && blockSize >= 1 && lanes >= 1 &&
    128 * blockSize * (cost + lanes) <= MAX_SCRYPT_BYTES && cost * blockSize * lanes <= MAX_SCRYPT_BLOCKS
}

const derive = (kdf: Kdf, password: Uint8Array, length: number): Promise<Buffer> =>
  kdf._tag === "Pbkdf2"
    ? pbkdf2(password, kdf.salt, kdf.rounds, length, kdf.digest)
    : scrypt(password, kdf.salt, length, {
      cost: kdf.cost,
      blockSize: kdf.blockSize,
      parallelization: kdf.lanes,
      maxmem: 2 * MAX_SCRYPT_BYTES
    })

/**
 * The key of a password, until the scope closes. Fails for impossible parameters; `isBounded` comes first.
 */
export const deriveKey = Effect.fnUntraced(function*(
  kdf: Kdf,
  password: Uint8Array,
  length: number
): Effect.fn.Return<Uint8Array<ArrayBuffer>, unknown, SecureMemory | Scope.Scope> {
  const memory = yield* SecureMemory
  return yield* memory.guard(Effect.map(Effect.tryPromise(() => derive(kdf, password, length)), Bytes.plain))
})
