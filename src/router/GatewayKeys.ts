/**
 * A router's keys for protocol 2: made ahead, each in use for a while, then accepted for an overlap, then
 * erased.
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
 * A key as it is stored.
 *
 * @since 0.3.0
 * @category models
 */
export interface StoredKey {
  /** 0 to 255. */
  readonly keyId: number
  /** The KEM that the key is for: 0x0020, or 0x647a after quantum computers. */
  readonly kemId: number
  /** From when on clients get it, in milliseconds since 1970. */
  readonly startsAt: number
  /** 32 bytes. */
  readonly privateKey: Uint8Array<ArrayBuffer>
}

/**
 * Where keys survive a restart of the router.
 *
 * @since 0.3.0
 * @category models
 */
export interface KeyStorage {
  /** The stored keys. The caller zeroes the private keys. */
  readonly load: Effect.Effect<ReadonlyArray<StoredKey>, SecurityError>
  /** Stores a key, which stays the caller's. */
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
 * How a router makes and keeps its keys.
 *
 * @since 0.3.0
 * @category models
 */
export interface Options {
  readonly storage?: KeyStorage | undefined
  /** How long clients get a key. A number is milliseconds. Default 7 days. */
  readonly life?: Duration.DurationInput | undefined
  /** How many keys are made before they are needed, so that clients can pin them. Default 3. */
  readonly keysAhead?: number | undefined
  /**
   * Offers a second key, of MLKEM768-X25519, to clients that want one. Default `false`: keys of that KEM in
   * the storage stay there, and are not used.
   */
  readonly postQuantum?: boolean | undefined
}

/**
 * A key as a router uses it.
 *
 * @since 0.3.0
 * @category models
 */
export interface RecipientKey {
  /** How many bytes a request has before its first chunk. */
  readonly headerLength: number
  /** Takes up the exchange of a request that begins with `header`. Fails unless it names this key. */
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
 * A router's keys: those that clients get, and those whose requests are still accepted.
 *
 * @since 0.3.0
 * @category models
 */
export interface Service {
  /** Whether all keys were made by this service: no request from before it can be sealed to them. */
  readonly areNew: boolean
  /** The list that clients fetch: the key in use, of each KEM. */
  readonly list: Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
  /** The key of an id, while requests under it are accepted. */
  readonly find: (keyId: number) => Effect.Effect<RecipientKey | undefined, SecurityError>
  /** Fingerprints for clients to pin: of the key in use first, then of those made ahead. */
  readonly fingerprints: Effect.Effect<ReadonlyArray<string>, SecurityError>
  /** The same of the keys of MLKEM768-X25519. None without `postQuantum`. */
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
 * A router's keys, made or loaded. They move on by the clock whenever they are asked for, so ask once a
 * minute for keys to be erased in time where no requests come.
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
