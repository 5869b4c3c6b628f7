/**
 * A router's key configurations (RFC 9458, 3): the list it serves, and how a client chooses from it.
 *
 * @since 0.3.0
 */
import * as Effect from "effect/Effect"
import * as Bytes from "../internal/codecs/bytes.js"
import { SecurityError } from "../NomyoError.js"
import * as Hpke from "./Hpke.js"
import { Primitives } from "./Primitives.js"

/**
 * The media type of a list, `application/ohttp-keys`.
 *
 * @since 0.3.0
 * @category constants
 */
export const mediaType = "application/ohttp-keys"

/**
 * The most bytes of a list that a client reads: 64 KiB.
 *
 * @since 0.3.0
 * @category constants
 */
export const MAX_LIST_LENGTH = 64 * 1024

/**
 * One configuration.
 *
 * @since 0.3.0
 * @category models
 */
export interface KeyConfiguration {
  /** 0 to 255. */
  readonly keyId: number
  readonly kemId: number
  readonly publicKey: Uint8Array<ArrayBuffer>
  /**
   * SHA-256 of the configuration, 64 lower-case hexadecimal digits. It covers the key, its id, the KEM and
   * the suites.
   */
  readonly fingerprint: string
}

/** HKDF-SHA256 with AES-256-GCM: the only suite of protocol 2. */
const SUITE = Uint8Array.of(0, 1, 0, Hpke.AES_256_GCM)
const SUITE_LENGTH = 4
/** Key id and KEM id. */
const HEAD_LENGTH = 3

/** Lengths of public keys in bytes, by KEM id. */
const publicKeyLengths: { readonly [kemId: number]: number } = { 0x0020: 32, 0x647a: 1216 }

const uint16 = (bytes: Uint8Array, at: number) => bytes[at]! << 8 | bytes[at + 1]!

/**
 * The bytes of a configuration, without the length that stands before each in a list.
 *
 * @since 0.3.0
 * @category encoding
 */
export const encode = (
  { kemId, keyId, publicKey }: Pick<KeyConfiguration, "keyId" | "kemId" | "publicKey">
): Uint8Array<ArrayBuffer> =>
  Bytes.concat([Uint8Array.of(keyId, kemId >> 8, kemId & 0xff), publicKey, Uint8Array.of(0, SUITE_LENGTH),
    SUITE])

/**
 * A list of encoded configurations.
 *
 * @since 0.3.0
 * @category encoding
 */
export const encodeList = (configurations: ReadonlyArray<Uint8Array<ArrayBuffer>>): Uint8Array<ArrayBuffer> =>
  Bytes.concat(
    configurations.flatMap((bytes) => [Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes])
  )

/**
 * The fingerprint of an encoded configuration.
 *
 * @since 0.3.0
 * @category operations
 */
export const fingerprint = (
  bytes: Uint8Array<ArrayBuffer>
): Effect.Effect<string, SecurityError, Primitives> =>
  Effect.flatMap(Primitives, ({ sha256 }) => Effect.map(sha256(bytes), Bytes.toHex))

const NO_KEY = "The router has no protocol 2 key that this client supports. Update the router"
const NO_HYBRID_KEY = "The router has no post-quantum key, and postQuantum is \"require\". " +
  "Start the router with --post-quantum"

/** More fingerprints than these do not help. */
const MOST_SHOWN = 4

const shown = (known: ReadonlyArray<KeyConfiguration>): string =>
  known.slice(0, MOST_SHOWN).map(({ fingerprint }) => fingerprint).join(" or ")

const malformed = (message: string) => new SecurityError({ reason: "router-key", message })

/** Throws where a list ends within a configuration. */
const split = (list: Uint8Array<ArrayBuffer>): ReadonlyArray<Uint8Array<ArrayBuffer>> => {
  const parts: Array<Uint8Array<ArrayBuffer>> = []
  for (let at = 0; at < list.length;) {
    const end = at + 2 + uint16(list, at)
    if (!(end <= list.length)) throw new RangeError("cut short")
    parts.push(list.subarray(at + 2, end))
    at = end
  }
  return parts
}

/**
 * Reads a configuration; `undefined` if it has another KEM or no supported suite. Throws if it is
 * malformed.
 */
const parse = (bytes: Uint8Array<ArrayBuffer>): Omit<KeyConfiguration, "fingerprint"> | undefined => {
  if (bytes.length < HEAD_LENGTH) throw new RangeError("cut short")
  const kemId = uint16(bytes, 1)
  const keyLength = publicKeyLengths[kemId]
  if (keyLength === undefined) return undefined
  const suites = bytes.subarray(HEAD_LENGTH + keyLength + 2)
  const length = uint16(bytes, HEAD_LENGTH + keyLength)
  if (suites.length !== length || length === 0 || length % SUITE_LENGTH > 0) throw new RangeError("suites")
  const hasSuite = Array.from({ length: length / SUITE_LENGTH },
    (_, i) => suites.subarray(i * SUITE_LENGTH, (i + 1) * SUITE_LENGTH))
    .some((suite) => Bytes.equals(suite, SUITE))
  return hasSuite
    ? { keyId: bytes[0]!, kemId, publicKey: bytes.subarray(HEAD_LENGTH, HEAD_LENGTH + keyLength) }
    : undefined
}

/**
 * Chooses a client's configuration: the first, in the order of `kemIds`, that the pins allow. Fails with
 * reason `router-key` if the client supports no configuration, and with `router-key-pin` if the pins allow
 * no configuration.
 *
 * @param kemIds the client's KEMs, the preferred one first
 * @param pins fingerprints. Empty: every configuration is allowed
 *
 * @since 0.3.0
 * @category operations
 */
export const choose = Effect.fnUntraced(function*(
  list: Uint8Array<ArrayBuffer>,
  kemIds: ReadonlyArray<number>,
  pins: ReadonlyArray<string>
): Effect.fn.Return<KeyConfiguration, SecurityError, Primitives> {
  const usable = yield* Effect.try({
    try: () => split(list).map((bytes) => ({ bytes, parsed: parse(bytes) })),
    catch: () => malformed("The router's key configurations are malformed. Report this to its operator")
  })
  const known = yield* Effect.forEach(
    usable.flatMap(({ bytes, parsed }) =>
      parsed !== undefined && kemIds.includes(parsed.kemId) ? [{ bytes, parsed }] : []
    ),
    ({ bytes, parsed }) =>
      Effect.map(fingerprint(bytes), (fingerprint): KeyConfiguration => ({ ...parsed, fingerprint }))
  )
  if (known.length === 0) {
    return yield* Effect.fail(malformed(kemIds.includes(Hpke.x25519.id) ? NO_KEY : NO_HYBRID_KEY))
  }
  const allowed = known.filter(({ fingerprint }) => pins.length === 0 || pins.includes(fingerprint))
  const chosen =
    kemIds.flatMap((kemId) => allowed.filter((configuration) => configuration.kemId === kemId))[0]
  return chosen ?? (yield* Effect.fail(new SecurityError({
    reason: "router-key-pin",
    message:
      `The router's key has the fingerprint ${shown(known)}, which is not in routerKeyConfigFingerprints. ` +
        "Confirm it with the router's operator before you add it"
  })))
})
