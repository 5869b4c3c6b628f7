/**
 * A router's keys for protocol 2: made ahead, each in use for a while, then accepted for an overlap, then erased.
 *
 * @since 0.3.0
 */
import * as Clock from "effect/Clock"
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
  /** What is stored. The caller zeroes the private keys. */
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
export const inMemory: KeyStorage = { load: Effect.succeed([]), save: () => Effect.void, remove: () => Effect.void }

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

/**
 * A router's keys: those that clients get, and those whose requests are still accepted.
 *
 * @since 0.3.0
 * @category models
 */
export interface Service {
  /** The list that clients fetch: the key in use. */
  readonly list: Effect.Effect<Uint8Array<ArrayBuffer>, SecurityError>
  /** The key of an id, while requests under it are accepted. */
  readonly find: (keyId: number) => Effect.Effect<ObliviousHttp.GatewayKey<X25519KeyPair> | undefined, SecurityError>
  /** Fingerprints for clients to pin: of the key in use first, then of those made ahead. */
  readonly fingerprints: Effect.Effect<ReadonlyArray<string>, SecurityError>
}

/**
 * How long clients may keep the list, in seconds: its `max-age`. From the protocol's section on the router's keys.
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
  const configuration = KeyConfiguration.encode({ keyId, kemId: Hpke.x25519.id, publicKey: keyPair.publicKey })
  const fingerprint = yield* KeyConfiguration.fingerprint(configuration)
  return { keyId, kem: Hpke.x25519, aeadId: Hpke.AES_256_GCM, keyPair, startsAt, configuration, fingerprint } satisfies Key
})

/** The key in use at a time: the last that has started. */
const inUse = (keys: ReadonlyArray<Key>, now: number): Key => keys.findLast(({ startsAt }) => startsAt <= now) ?? keys[0]!

/** Keys that no request may be sealed to any more: their successor has been out for longer than clients keep a list. */
const isOver = (keys: ReadonlyArray<Key>, key: Key, now: number): boolean => {
  const successor = keys[keys.indexOf(key) + 1]
  return successor !== undefined && now >= successor.startsAt + (MAX_AGE + GRACE) * 1000
}

/**
 * A router's keys, made or loaded. They move on by the clock whenever they are asked for.
 *
 * @since 0.3.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  { keysAhead = 3, life = "7 days", storage = inMemory }: Options = {}
): Effect.fn.Return<Service, SecurityError, Primitives | SecureMemory> {
  const context = yield* Effect.context<Primitives | SecureMemory>()
  const memory = yield* SecureMemory
  const { randomBytes } = yield* Primitives
  const lifeMillis = Duration.toMillis(life)
  /** In the order of their start. */
  let keys: ReadonlyArray<Key> = []

  const load = Effect.flatMap(storage.load, Effect.forEach((stored) =>
    Effect.ensuring(keyOf(stored), Effect.sync(() => stored.privateKey.fill(0)))))

  const makeKey = (keyId: number, startsAt: number) =>
    memory.use(KEY_LENGTH, (privateKey) => {
      const fresh = randomBytes(KEY_LENGTH)
      privateKey.set(fresh)
      fresh.fill(0)
      return Effect.zipRight(storage.save({ keyId, startsAt, privateKey }), keyOf({ keyId, startsAt, privateKey }))
    })

  const makeAhead = Effect.fnUntraced(function*(now: number) {
    while (keys.filter(({ startsAt }) => startsAt > now).length < keysAhead || keys.length === 0) {
      const last = keys.at(-1)
      const startsAt = last === undefined ? now : Math.max(last.startsAt + lifeMillis, now)
      keys = [...keys, yield* makeKey(last === undefined ? randomBytes(1)[0]! : (last.keyId + 1) & 0xff, startsAt)]
    }
  })

  const erase = Effect.fnUntraced(function*(now: number) {
    const over = keys.filter((key) => isOver(keys, key, now))
    yield* Effect.forEach(over, storage.remove, { discard: true })
    keys = keys.filter((key) => !over.includes(key))
  })

  const oneAtATime = yield* Effect.makeSemaphore(1)
  /** Brings the keys up to now. */
  const current = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.as(Effect.zipRight(makeAhead(now), erase(now)), now)).pipe(Effect.provide(context), oneAtATime.withPermits(1))

  keys = (yield* load).toSorted((a, b) => a.startsAt - b.startsAt)
  yield* current
  return {
    list: Effect.map(current, (now) => KeyConfiguration.encodeList([inUse(keys, now).configuration])),
    find: (keyId) => Effect.map(current, () => keys.find((key) => key.keyId === keyId)),
    fingerprints: Effect.map(current, (now) =>
      keys.filter(({ startsAt }) => startsAt > now || startsAt === inUse(keys, now).startsAt).map(({ fingerprint }) => fingerprint))
  }
})
