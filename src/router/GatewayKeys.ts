/**
 * A router's keys for protocol 2. Each key is made ahead, in use for a while, then accepted for an overlap,
 * then erased.
 *
 * @since 0.3.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { SecurityError } from "../NomyoError.js"
import * as Hpke from "../protocol2/Hpke.js"
import * as KeyConfiguration from "../protocol2/KeyConfiguration.js"
import { loadXWing, X_WING_ID } from "../protocol2/kems.js"
import * as ObliviousHttp from "../protocol2/ObliviousHttp.js"
import { Primitives } from "../protocol2/Primitives.js"
import { SecureMemory } from "../SecureMemory.js"

/**
 * A stored key.
 *
 * @since 0.3.0
 * @category models
 */
export interface StoredKey {
  /** 0 to 255. */
  readonly keyId: number
  /** The KEM of the key: 0x0020 (X25519), or 0x647a (MLKEM768-X25519, post-quantum). */
  readonly kemId: number
  /** When the key comes into use, in milliseconds since 1970. */
  readonly startsAt: number
  /** 32 bytes. */
  readonly privateKey: Uint8Array<ArrayBuffer>
}

/**
 * Storage in which keys survive a restart of the router.
 *
 * @since 0.3.0
 * @category models
 */
export interface KeyStorage {
  /** Returns the stored keys. The caller zeroes the private keys. */
  readonly load: Effect.Effect<ReadonlyArray<StoredKey>, SecurityError>
  /** Stores a key. The caller zeroes its private key afterwards. */
  readonly save: (key: StoredKey) => Effect.Effect<void, SecurityError>
  /** Erases a key. */
  readonly remove: (key: Pick<StoredKey, "keyId" | "startsAt">) => Effect.Effect<void, SecurityError>
}

/**
 * Keeps keys in memory only: a restart makes new ones.
 *
 * @since 0.3.0
 * @category storage
 */
export const inMemory: KeyStorage = {
  load: Effect.succeed([]),
  save: () => Effect.void,
  remove: () => Effect.void
}

/**
 * Options of `make`.
 *
 * @since 0.3.0
 * @category models
 */
export interface Options {
  readonly storage?: KeyStorage | undefined
  /** How long a key is in use. A number is milliseconds. Default 7 days. */
  readonly life?: Duration.DurationInput | undefined
  /** Number of future keys to make now, so that clients can pin them before they come into use. Default 3. */
  readonly keysAhead?: number | undefined
  /**
   * Also offers a key of MLKEM768-X25519. If `false`, stored keys of that KEM stay in the storage unused.
   * Default `false`.
   */
  readonly postQuantum?: boolean | undefined
}

/**
 * A key that a router has loaded.
 *
 * @since 0.3.0
 * @category models
 */
export interface RecipientKey {
  /** Length of a request's header, which precedes its first chunk, in bytes. */
  readonly headerLength: number
  /**
   * Begins the router's side of an exchange with the request's `header`. Fails if the header names another
   * key.
   */
  readonly takeUp: (
    header: Uint8Array<ArrayBuffer>
  ) => Effect.Effect<ObliviousHttp.GatewayExchange, SecurityError, Primitives | SecureMemory | Scope.Scope>
}

interface Key extends RecipientKey {
  readonly keyId: number
  readonly kemId: number
  readonly startsAt: number
  readonly configuration: Uint8Array<ArrayBuffer>
  readonly fingerprint: string
  readonly wipe: Effect.Effect<void>
}

/** A KEM, and what it makes of a stored key. */
interface Maker {
  readonly kemId: number
  readonly keyOf: (stored: StoredKey) => Effect.Effect<Key, SecurityError, Primitives>
}

/** `Options` with every default filled in. */
interface Settings {
  readonly makers: ReadonlyArray<Maker>
  readonly keysAhead: number
  readonly lifeMillis: number
  readonly storage: KeyStorage
}

/**
 * A router's keys: the keys that clients get, and the replaced keys whose requests it still accepts.
 *
 * @since 0.3.0
 * @category models
 */
export interface Service {
  /** Whether this service made all keys itself. Then no earlier request can be sealed to them. */
  readonly areNew: boolean
  /** Returns the list that clients fetch: for each KEM, the key in use. */
  readonly list: Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
  /** Returns the key with an id, if the router still accepts requests for it. */
  readonly find: (keyId: number) => Effect.Effect<RecipientKey | undefined, SecurityError>
  /** Returns the fingerprints for clients to pin: first of the X25519 key in use, then of the future keys. */
  readonly fingerprints: Effect.Effect<ReadonlyArray<string>, SecurityError>
  /**
   * Returns the fingerprints of the MLKEM768-X25519 keys: first of the key in use, then of the future keys.
   * Empty without `postQuantum`.
   */
  readonly postQuantumFingerprints: Effect.Effect<ReadonlyArray<string>, SecurityError>
}

/**
 * How long clients may keep the list, in seconds: its `max-age`. From the protocol's section on the router's
 * keys.
 *
 * @since 0.3.0
 * @category constants
 */
export const MAX_AGE = 3600
/** A replaced key is accepted for this long after `max-age`, in seconds (protocol 2, 3). */
const GRACE = 300
const KEY_LENGTH = 32

const makerOf = <P>(kem: Hpke.Kem<P>): Maker => ({
  kemId: kem.id,
  keyOf: Effect.fnUntraced(function*({ keyId, privateKey, startsAt }) {
    const keyPair = yield* kem.importKeyPair(yield* Primitives, privateKey)
    const { publicKey } = keyPair
    const configuration = KeyConfiguration.encode({ keyId, kemId: kem.id, publicKey })
    const key = { keyId, kem, aeadId: Hpke.AES_256_GCM, keyPair }
    return {
      keyId,
      kemId: kem.id,
      startsAt,
      configuration,
      fingerprint: yield* KeyConfiguration.fingerprint(configuration),
      headerLength: ObliviousHttp.headerLength(kem),
      takeUp: (header) => ObliviousHttp.gateway(key, header),
      wipe: Effect.sync(() => kem.wipe(keyPair))
    }
  })
})

/** The stored keys of the KEMs that are served, in the order of their start. */
const load = Effect.fnUntraced(function*({ makers, storage }: Settings) {
  const keys = yield* Effect.forEach(yield* storage.load, (stored) => {
    const maker = makers.find(({ kemId }) => kemId === stored.kemId)
    const made = maker === undefined ? Effect.succeed([]) : Effect.map(maker.keyOf(stored), (key) => [key])
    return Effect.ensuring(made, Effect.sync(() => stored.privateKey.fill(0)))
  })
  return keys.flat().toSorted((a, b) => a.startsAt - b.startsAt)
})

/** A new key, which is stored before it is given. */
const makeKey = Effect.fnUntraced(function*(
  { keyOf, kemId }: Maker,
  storage: KeyStorage,
  keyId: number,
  startsAt: number
) {
  const memory = yield* SecureMemory
  const { randomBytes } = yield* Primitives
  return yield* memory.use(KEY_LENGTH, (privateKey) => {
    const fresh = randomBytes(KEY_LENGTH)
    privateKey.set(fresh)
    fresh.fill(0)
    const key = { keyId, kemId, startsAt, privateKey }
    return Effect.zipRight(storage.save(key), keyOf(key))
  })
})

/** The keys of one KEM, in the order of their start. */
const chainOf = (keys: ReadonlyArray<Key>, kemId: number): ReadonlyArray<Key> =>
  keys.filter((key) => key.kemId === kemId)

/** Whether fewer keys of a KEM than are wanted wait for their start. */
const isShort = (chain: ReadonlyArray<Key>, now: number, { keysAhead }: Settings): boolean =>
  chain.length === 0 || chain.filter(({ startsAt }) => startsAt > now).length < keysAhead

/** The next key id: none comes again while an older bearer of it is accepted (protocol 2, 3). */
const idAfter = (last: number, keys: ReadonlyArray<Key>): number => {
  const next = (last + 1) & 0xff
  return keys.some(({ keyId }) => keyId === next) ? idAfter(next, keys) : next
}

/** The key after the last one of its KEM. */
const nextKey = Effect.fnUntraced(function*(
  maker: Maker,
  keys: ReadonlyArray<Key>,
  now: number,
  { lifeMillis, storage }: Settings
) {
  const { randomBytes } = yield* Primitives
  const last = chainOf(keys, maker.kemId).at(-1)
  const lastId = (last ?? keys.at(-1))?.keyId ?? randomBytes(1)[0]!
  const startsAt = last === undefined ? now : Math.max(last.startsAt + lifeMillis, now)
  return yield* makeKey(maker, storage, idAfter(lastId, keys), startsAt)
})

/** The key in use at a time: the last of its KEM that has started. */
const inUse = (chain: ReadonlyArray<Key>, now: number): Key | undefined =>
  chain.findLast(({ startsAt }) => startsAt <= now) ?? chain[0]

/**
 * Whether no request may be sealed to a key any more: its successor has been out for longer than clients keep
 * a list.
 */
const isOver = (keys: ReadonlyArray<Key>, key: Key, now: number): boolean => {
  const chain = chainOf(keys, key.kemId)
  const successor = chain[chain.indexOf(key) + 1]
  return successor !== undefined && now >= successor.startsAt + (MAX_AGE + GRACE) * 1000
}

/** The keys without those that are over, which are erased. */
const erase = Effect.fnUntraced(function*(keys: ReadonlyArray<Key>, now: number, storage: KeyStorage) {
  const over = keys.filter((key) => isOver(keys, key, now))
  yield* Effect.forEach(over, (key) => Effect.zipRight(key.wipe, storage.remove(key)), { discard: true })
  return keys.filter((key) => !over.includes(key))
})

const fingerprintsOf = (chain: ReadonlyArray<Key>, now: number): ReadonlyArray<string> => {
  const current = inUse(chain, now)
  return chain.filter((key) => key === current || key.startsAt > now).map(({ fingerprint }) => fingerprint)
}

/**
 * Loads a router's keys, or makes them. Keys come into use, and are erased, when you ask for `list` or
 * `find`. Run `list` once a minute, so that keys are erased in time without requests.
 *
 * @since 0.3.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  { keysAhead = 3, life = "7 days", postQuantum = false, storage = inMemory }: Options = {}
): Effect.fn.Return<Service, SecurityError, Primitives | SecureMemory> {
  const context = Context.pick(Primitives, SecureMemory)(yield* Effect.context<Primitives | SecureMemory>())
  const makers = [makerOf(Hpke.x25519), ...(postQuantum ? [makerOf(yield* loadXWing)] : [])]
  const settings: Settings = { makers, keysAhead, lifeMillis: Duration.toMillis(life), storage }
  let keys: ReadonlyArray<Key> = yield* load(settings)
  const areNew = keys.length === 0
  const oneAtATime = yield* Effect.makeSemaphore(1)
  /** Brings the keys up to now. */
  const current = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    for (const maker of makers) {
      // one at a time: what is stored stays known if the next one fails
      while (isShort(chainOf(keys, maker.kemId), now, settings)) {
        keys = [...keys, yield* nextKey(maker, keys, now, settings)]
      }
    }
    keys = yield* erase(keys, now, storage)
    return now
  }).pipe(Effect.provide(context), oneAtATime.withPermits(1))
  yield* current
  return {
    areNew,
    list: Effect.map(current, (now) =>
      KeyConfiguration.encodeList(
        makers.flatMap(({ kemId }) => inUse(chainOf(keys, kemId), now)?.configuration ?? [])
      )),
    find: (keyId) => Effect.map(current, () => keys.find((key) => key.keyId === keyId)),
    fingerprints: Effect.map(current, (now) => fingerprintsOf(chainOf(keys, Hpke.x25519.id), now)),
    postQuantumFingerprints: Effect.map(current, (now) => fingerprintsOf(chainOf(keys, X_WING_ID), now))
  }
})
