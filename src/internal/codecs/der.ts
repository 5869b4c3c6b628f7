/** The little ASN.1 DER that key files need: tag, length, value (X.690). */
import * as Bytes from "./bytes.js"

const INTEGER = 0x02
const BIT_STRING = 0x03
export const OCTET_STRING = 0x04
export const NULL = 0x05
export const OBJECT_IDENTIFIER = 0x06
export const SEQUENCE = 0x30

/** The bytes of a whole number, most significant first. */
const digits = (n: number): ReadonlyArray<number> => n < 256 ? [n] : [...digits(Math.floor(n / 256)), n % 256]

const length = (n: number): ReadonlyArray<number> => n < 0x80 ? [n] : [0x80 | digits(n).length, ...digits(n)]

/** One element: its tag, its length, its value joined from `parts`. */
export const element = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> =>
  Bytes.concat([
    Uint8Array.from([tag, ...length(parts.reduce((total, part) => total + part.length, 0))]),
    ...parts
  ])

/** One element of DER. */
interface Element {
  readonly tag: number
  readonly value: Uint8Array
  readonly whole: Uint8Array
}

/**
 * The elements that stand one behind the other in `bytes`, as views into it; `whole` has tag and length,
 * `value` has not. `undefined` if the bytes are anything else.
 */
export const elements = (bytes: Uint8Array): ReadonlyArray<Element> | undefined => {
  const found: Array<Element> = []
  let at = 0
  while (at < bytes.length) {
    let size = bytes[at + 1]
    let start = at + 2
    if (size === undefined) return undefined
    if (size >= 0x80) {
      const digits = size & 0x7f
      if (digits === 0 || digits > 4 || start + digits > bytes.length) return undefined
      size = 0
      for (let i = 0; i < digits; i++) size = size * 256 + bytes[start + i]!
      start += digits
    }
    if (start + size > bytes.length) return undefined
    const end = start + size
    found.push({ tag: bytes[at]!, value: bytes.subarray(start, end), whole: bytes.subarray(at, end) })
    at = end
  }
  return found
}

/** A whole number that is not negative; a first bit that is set would make it so. */
export const integer = (n: number): Uint8Array<ArrayBuffer> =>
  element(INTEGER, Uint8Array.from(digits(n)[0]! < 0x80 ? digits(n) : [0, ...digits(n)]))

/** The elements within an element; none if there is none, or they are not DER. */
export const children = (element: { readonly value: Uint8Array } | undefined) =>
  (element === undefined ? undefined : elements(element.value)) ?? []

const rsaEncryption = element(
  SEQUENCE,
  // 1.2.840.113549.1.1.1
  element(OBJECT_IDENTIFIER, Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01)),
  element(NULL)
)

/**
 * The SPKI (RFC 5280) of the public half of a PKCS#8 RSA private key (RFC 5958, RFC 8017 A.1.2), `undefined`
 * if it is not one. WebCrypto could tell only by exporting the private key as a JWK, in strings that nobody
 * can zero.
 */
export const spkiOfPkcs8 = (pkcs8: Uint8Array): Uint8Array<ArrayBuffer> | undefined => {
  const [info] = elements(pkcs8) ?? []
  const [, algorithm, key] = children(info)
  if (algorithm === undefined || !Bytes.equals(algorithm.whole, rsaEncryption)) return undefined
  const [rsaPrivateKey] = children(key)
  const [, modulus, publicExponent] = children(rsaPrivateKey)
  if (modulus?.tag !== INTEGER || publicExponent?.tag !== INTEGER) return undefined
  return element(
    SEQUENCE,
    rsaEncryption,
    element(BIT_STRING, Uint8Array.of(0), element(SEQUENCE, modulus.whole, publicExponent.whole))
  )
}

/** A PKCS#1 RSA private key (RFC 8017 A.1.2) as PKCS#8. */
export const pkcs8OfPkcs1 = (pkcs1: Uint8Array): Uint8Array<ArrayBuffer> => {
  const key = element(OCTET_STRING, pkcs1)
  const pkcs8 = element(SEQUENCE, element(INTEGER, Uint8Array.of(0)), rsaEncryption, key)
  key.fill(0)
  return pkcs8
}
