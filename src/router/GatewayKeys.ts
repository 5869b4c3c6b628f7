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
import type { SecurityError } from "../NomyoError.js"
import * as Hpke from "../protocol2/Hpke.js"
import * as KeyConfiguration from "../protocol2/KeyConfiguration.js"
import type * as ObliviousHttp from "../protocol2/ObliviousHttp.js"
import { Primitives, type X25519KeyPair } from "../protocol2/Primitives.js"
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
}

interface Key extends ObliviousHttp.GatewayKey<X25519KeyPair> {
  readonly startsAt: number
  readonly configuration: Uint8Array<ArrayBuffer>
  readonly fingerprint: string
}

/** `Options` with every default filled in. */
interface Settings {
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
  /** The list that clients fetch: the key in use. */
  readonly list: Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
  /** The key of an id, while requests under it are accepted. */
  readonly find: (
    keyId: number
  ) => Effect.Effect<ObliviousHttp.GatewayKey<X25519KeyPair> | undefined, SecurityError>
  /** Fingerprints for clients to pin: of the key in use first, then of those made ahead. */
  readonly fingerprints: Effect.Effect<ReadonlyArray<string>, SecurityError>
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

const keyOf = Effect.fnUntraced(function*({ keyId, privateKey, startsAt }: StoredKey) {
  const { importKeyPair } = yield* Primitives
  const keyPair = yield* importKeyPair(privateKey)
  const { publicKey } = keyPair
  const configuration = KeyConfiguration.encode({ keyId, kemId: Hpke.x25519.id, publicKey })
  const fingerprint = yield* KeyConfiguration.fingerprint(configuration)
  const own = { kem: Hpke.x25519, aeadId: Hpke.AES_256_GCM, keyPair }
  return { keyId, ...own, startsAt, configuration, fingerprint } satisfies Key
})

/** The stored keys, in the order of their start. */
const load = Effect.fnUntraced(function*({ load }: KeyStorage) {
  const keys = yield* Effect.forEach(yield* load, (stored) =>
    Effect.ensuring(keyOf(stored), Effect.sync(() => stored.privateKey.fill(0))))
  return keys.toSorted((a, b) => a.startsAt - b.startsAt)
})

/** A new key, which is stored before it is given. */
const makeKey = Effect.fnUntraced(function*(storage: KeyStorage, keyId: number, startsAt: number) {
  const memory = yield* SecureMemory
  const { randomBytes } = yield* Primitives
  return yield* memory.use(KEY_LENGTH, (privateKey) => {
    const fresh = randomBytes(KEY_LENGTH)
    privateKey.set(fresh)
    fresh.fill(0)
    const key = { keyId, startsAt, privateKey }
    return Effect.zipRight(storage.save(key), keyOf(key))
  })
})

/** Whether fewer keys than are wanted wait for their start. */
const isShort = (keys: ReadonlyArray<Key>, now: number, { keysAhead }: Settings): boolean =>
  keys.length === 0 || keys.filter(({ startsAt }) => startsAt > now).length < keysAhead

/** The key after the last one. */
const nextKey = Effect.fnUntraced(function*(
  last: Key | undefined,
  now: number,
  { lifeMillis, storage }: Settings
) {
  if (last !== undefined) {
    const startsAt = Math.max(last.startsAt + lifeMillis, now)
    return yield* makeKey(storage, (last.keyId + 1) & 0xff, startsAt)
  }
  const { randomBytes } = yield* Primitives
  return yield* makeKey(storage, randomBytes(1)[0]!, now)
})

/** The key in use at a time: the last that has started. */
const inUse = (keys: ReadonlyArray<Key>, now: number): Key =>
  keys.findLast(({ startsAt }) => startsAt <= now) ?? keys[0]!

/**
 * Whether no request may be sealed to a key any more: its successor has been out for longer than clients keep
 * a list.
 */
const isOver = (keys: ReadonlyArray<Key>, key: Key, now: number): boolean => {
  const successor = keys[keys.indexOf(key) + 1]
  return successor !== undefined && now >= successor.startsAt + (MAX_AGE + GRACE) * 1000
}

/** The keys without those that are over, which are erased. */
const erase = Effect.fnUntraced(function*(keys: ReadonlyArray<Key>, now: number, storage: KeyStorage) {
  const over = keys.filter((key) => isOver(keys, key, now))
  yield* Effect.forEach(over, storage.remove, { discard: true })
  return keys.filter((key) => !over.includes(key))
})

const fingerprintsOf = (keys: ReadonlyArray<Key>, now: number): ReadonlyArray<string> => {
  const current = inUse(keys, now)
  return keys.filter((key) => key === current || key.startsAt > now).map(({ fingerprint }) => fingerprint)
}

/**
 * A router's keys, made or loaded. They move on by the clock whenever they are asked for, so ask once a
 * minute for keys to be erased in time where no requests come.
 *
 * @since 0.3.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  { keysAhead = 3, life = "7 days", storage = inMemory }: Options = {}
): Effect.fn.Return<Service, SecurityError, Primitives | SecureMemory> {
  const context = Context.pick(Primitives, SecureMemory)(yield* Effect.context<Primitives | SecureMemory>())
  const settings: Settings = { keysAhead, lifeMillis: Duration.toMillis(life), storage }
  let keys: ReadonlyArray<Key> = yield* load(storage)
  const areNew = keys.length === 0
  const oneAtATime = yield* Effect.makeSemaphore(1)
  /** Brings the keys up to now. */
  const current = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    // one at a time: what is stored stays known if the next one fails
    while (isShort(keys, now, settings)) keys = [...keys, yield* nextKey(keys.at(-1), now, settings)]
    keys = yield* erase(keys, now, storage)
    return now
  }).pipe(Effect.provide(context), oneAtATime.withPermits(1))
  yield* current
  return {
    areNew,
    list: Effect.map(current, (now) => KeyConfiguration.encodeList([inUse(keys, now).configuration])),
    find: (keyId) => Effect.map(current, () => keys.find((key) => key.keyId === keyId)),
    fingerprints: Effect.map(current, (now) => fingerprintsOf(keys, now))
  }
})
