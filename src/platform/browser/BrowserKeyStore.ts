/**
 * A key pair in IndexedDB, which survives reloads. The tabs and workers of an origin share one pair. The
 * store holds the `CryptoKey` itself, which cannot be exported: a script injected into the page can use the
 * private key, but cannot copy it.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { KeyPair } from "../../Crypto.js"
import { isNewer } from "../../internal/keyAge.js"
import * as RsaKeys from "../../internal/rsaKeys.js"
import * as KeyStore from "../../KeyStore.js"
import { SecurityError } from "../../NomyoError.js"

const DATABASE = "nomyo-js"
const STORE = "keys"
const CURRENT = "current"
const LOCK = "nomyo-js/keys"
/** Many times what a pair takes to make, in milliseconds. */
const LONGEST_WAIT = 30_000

interface Stored {
  readonly publicKey: CryptoKey
  readonly privateKey: CryptoKey
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

const failure = (message: string) => () => new SecurityError({ reason: "client-key", message })

const result = <A>(request: IDBRequest<A>): Promise<A> =>
  new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result))
    request.addEventListener("error", () => reject(request.error))
  })

/**
 * Runs one transaction, which is all or nothing for every tab, and closes the database, so that none stands
 * in the way of a deletion.
 */
const transaction = async <A>(
  mode: IDBTransactionMode,
  f: (keys: IDBObjectStore) => Promise<A>
): Promise<A> => {
  const opening = indexedDB.open(DATABASE)
  opening.addEventListener("upgradeneeded", () => opening.result.createObjectStore(STORE))
  const database = await result(opening)
  try {
    // a pair that is reported as kept is on the disk
    const running = database.transaction(STORE, mode, { durability: "strict" })
    const done = new Promise<void>((resolve, reject) => {
      running.addEventListener("complete", () => resolve())
      running.addEventListener("abort", () => reject(running.error))
    })
    const [value] = await Promise.all([f(running.objectStore(STORE)), done])
    return value
  } finally {
    database.close()
  }
}

const isKey = (key: unknown, type: KeyType): boolean =>
  key instanceof CryptoKey && key.type === type && key.algorithm.name === "RSA-OAEP" &&
  (key.algorithm as RsaHashedKeyAlgorithm).hash.name === "SHA-256" && key.extractable === (type === "public")

/** The stored pair; rejects if something else is stored, so that nothing unknown is ever overwritten. */
const read = async (keys: IDBObjectStore): Promise<Stored | undefined> => {
  const stored: Partial<Stored> | undefined = await result(keys.get(CURRENT))
  if (stored === undefined) return undefined
  const { createdAt, privateKey, publicKey } = stored
  const isPair = isKey(publicKey, "public") && isKey(privateKey, "private") && Number.isFinite(createdAt)
  if (isPair) return stored as Stored
  throw new TypeError("no key pair")
}

/** Whether the stored pair stays, rather than one that is made to replace `replacing`. */
const isKept = ({ createdAt }: Stored, replacing: KeyPair | undefined): boolean =>
  replacing === undefined || isNewer(createdAt, replacing.createdAt, Date.now())

const pairOf = ({ createdAt, privateKey, publicKey }: Stored): Promise<KeyPair> =>
  RsaKeys.keyPairOf(publicKey, privateKey, createdAt)

/**
 * `KeyStore` in the IndexedDB of the page's origin. It needs the keys of `WebCrypto.layer`, which are
 * `CryptoKey`s. Fails with reason `unsupported` if there is no IndexedDB.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerIndexedDb: Layer.Layer<KeyStore.KeyStore, SecurityError> = Layer.effect(
  KeyStore.KeyStore,
  Effect.suspend(() =>
    globalThis.indexedDB === undefined
      ? Effect.fail(
        new SecurityError({
          reason: "unsupported",
          message: "This platform has no IndexedDB. Set keyPersistence: \"memory\""
        })
      )
      : Effect.succeed(store)
  )
)

/**
 * Asks for the lock of the origin's pages and workers. `granted` settles when it is held, or after the
 * longest wait.
 */
const requestLock = () => {
  let release!: () => void
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const granted = new Promise<void>((resolve) => {
    navigator.locks.request(LOCK, { signal: AbortSignal.timeout(LONGEST_WAIT) }, () => {
      resolve()
      return released
    }).catch(() => resolve())
  })
  return { granted, release }
}

const store: KeyStore.Service = {
  load: Effect.tryPromise({
    try: async () => {
      const stored = await transaction("readonly", read)
      return stored === undefined ? Option.none() : Option.some(await pairOf(stored))
    },
    catch: failure("The key pair in IndexedDB cannot be read. Reload; if that fails, call forgetKeys()")
  }),

  save: (pair, replacing) =>
    Effect.tryPromise({
      try: async () => {
        const handles = RsaKeys.handlesOf(pair)
        if (handles === undefined) throw new TypeError("no key pair")
        const { privateKey, publicKey } = handles
        const kept = await transaction("readwrite", async (keys): Promise<Stored> => {
          const other = await read(keys)
          if (other !== undefined && isKept(other, replacing)) return other
          const stored: Stored = { publicKey, privateKey, createdAt: pair.createdAt }
          await result(keys.put(stored, CURRENT))
          return stored
        })
        return kept.privateKey === privateKey ? pair : await pairOf(kept)
      },
      catch: failure("The key pair cannot be stored in IndexedDB. Set keyPersistence: \"memory\"")
    }),

  // without locks, or while a suspended tab holds it, `save` still keeps one pair: the others are in vain
  exclusively: (effect) =>
    navigator.locks === undefined ? effect : Effect.acquireUseRelease(
      Effect.sync(requestLock),
      ({ granted }) => Effect.zipRight(Effect.promise(() => granted), effect),
      // a lock that is granted only now is released at once
      ({ release }) => Effect.sync(release)
    ),

  remove: Effect.tryPromise({
    try: () => transaction("readwrite", (keys) => result(keys.delete(CURRENT))),
    catch: failure("The key pair cannot be removed from IndexedDB. Clear the site's data")
  })
}
