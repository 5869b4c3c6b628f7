/**
 * The key pair of a router: kept in a `KeyStore`, and replaced without losing requests.
 *
 * @since 0.3.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Crypto, type KeyPair, type PrivateKey, type PublicKey } from "../Crypto.js"
import { KeyStore, type Service } from "../KeyStore.js"
import type { SecurityError } from "../NomyoError.js"

/**
 * The keys of a router now.
 *
 * @since 0.3.0
 * @category models
 */
export interface RouterKeys {
  /** The key that the router publishes. */
  readonly publicKey: () => PublicKey
  /** The keys that open requests: first the published key, then the keys that it has replaced. */
  readonly privateKeys: () => ReadonlyArray<PrivateKey>
}

/**
 * Options of `make`.
 *
 * @since 0.3.0
 * @category models
 */
export interface Options {
  /**
   * Age at which the router replaces its pair. Default: the router replaces it only when another pair appears
   * in the store.
   */
  readonly rotationInterval?: Duration.Duration | undefined
  /**
   * A second store, for the replaced pair, so that it still opens requests after a restart. Default: a
   * restart loses the replaced pair.
   */
  readonly replaced?: Service | undefined
}

/**
 * Clients keep a router's key for an hour (`routerKeyTtl`): for twice as long the old one opens their
 * requests.
 */
const OVERLAP = Duration.hours(2)
/** How often the store is looked at, and the age. */
const LOOK_EVERY = Duration.minutes(1)
const KEY_SIZE = 4096

/**
 * Makes `RouterKeys` of one key pair that never changes.
 *
 * @since 0.3.0
 * @category constructors
 */
export const fixed = ({ privateKey, publicKey }: KeyPair): RouterKeys => ({
  publicKey: () => publicKey,
  privateKeys: () => [privateKey]
})

/** A pair that has been replaced, and when it goes. */
interface Retired {
  readonly pair: KeyPair
  readonly until: number
}

interface State {
  current: KeyPair
  retired: ReadonlyArray<Retired>
  /** Holds the pair that the next restart would otherwise lose: the retired one, or else the current one. */
  readonly replaced: Service | undefined
}

/** A new pair in the store in place of `replacing`, or the one that another process has put there. */
const generate = Effect.fnUntraced(function*(replacing: KeyPair | undefined) {
  const crypto = yield* Crypto
  const store = yield* KeyStore
  const pair = yield* crypto.generateKeyPair(KEY_SIZE)
  const kept = yield* Effect.onError(store.save(pair, replacing), () => crypto.destroy(pair.privateKey))
  if (kept !== pair) yield* crypto.destroy(pair.privateKey)
  return kept
})

const first = Effect.flatMap(KeyStore, (store) =>
  store.exclusively(Effect.flatMap(store.load, Option.match({
    onNone: () => generate(undefined),
    onSome: Effect.succeed
  }))))

/** Stores a pair for the next start, in place of the stored one. If this fails, the router goes on. */
const keepForRestart = ({ replaced }: State, pair: KeyPair): Effect.Effect<void> =>
  replaced === undefined
    ? Effect.void
    : Effect.catchAll(Effect.zipRight(replaced.remove, replaced.save(pair, undefined)), (error) =>
      Effect.logWarning(`A restart would lose the replaced key: ${error.message}`))

/**
 * Takes up the pair that was published before the current one, if that was replaced within the overlap.
 * Otherwise the current pair is the one to keep for the next start.
 */
const resume = Effect.fnUntraced(function*(state: State) {
  const crypto = yield* Crypto
  const { current, replaced } = state
  const kept = replaced === undefined ? Option.none() : yield* replaced.load
  const now = yield* Clock.currentTimeMillis
  const until = current.createdAt + Duration.toMillis(OVERLAP)
  const isOther = Option.isSome(kept) && kept.value.publicKey.fingerprint !== current.publicKey.fingerprint
  if (isOther && now < until) {
    state.retired = [{ pair: kept.value, until }]
    return
  }
  if (Option.isSome(kept)) yield* crypto.destroy(kept.value.privateKey)
  if (isOther || Option.isNone(kept)) yield* keepForRestart(state, current)
})

/** Publishes another pair. The one before opens requests for the overlap. */
const adopt = Effect.fnUntraced(function*(state: State, pair: KeyPair, now: number) {
  yield* keepForRestart(state, state.current)
  state.retired = [{ pair: state.current, until: now + Duration.toMillis(OVERLAP) }, ...state.retired]
  state.current = pair
  const { fingerprint } = pair.publicKey
  yield* Effect.annotateLogs(Effect.logInfo("The router now uses a new key"), "fingerprint", fingerprint)
})

/** Takes a pair that is new in the store: `nomyo keys rotate` may have put it there. */
const takeStored = Effect.fnUntraced(function*(state: State, now: number) {
  const crypto = yield* Crypto
  const stored = yield* Effect.flatMap(KeyStore, ({ load }) => load)
  if (Option.isNone(stored)) return
  if (stored.value.publicKey.fingerprint === state.current.publicKey.fingerprint) {
    return yield* crypto.destroy(stored.value.privateKey)
  }
  yield* adopt(state, stored.value, now)
})

const dropExpired = Effect.fnUntraced(function*(state: State, now: number) {
  const crypto = yield* Crypto
  const expired = state.retired.filter(({ until }) => until <= now)
  state.retired = state.retired.filter(({ until }) => until > now)
  yield* Effect.forEach(expired, ({ pair }) => crypto.destroy(pair.privateKey), { discard: true })
  if (expired.length > 0 && state.retired.length === 0) yield* keepForRestart(state, state.current)
})

const look = Effect.fnUntraced(function*(state: State, { rotationInterval = Duration.infinity }: Options) {
  const now = yield* Clock.currentTimeMillis
  yield* dropExpired(state, now)
  yield* takeStored(state, now)
  const age = now - state.current.createdAt
  // a date in the future is no reason to keep a pair for longer
  if (age >= 0 && age < Duration.toMillis(rotationInterval)) return
  if (!Duration.isFinite(rotationInterval)) return
  const kept = yield* generate(state.current)
  if (kept.publicKey.fingerprint !== state.current.publicKey.fingerprint) yield* adopt(state, kept, now)
})

const failed = (error: SecurityError) =>
  Effect.logWarning(`The router keeps its key for now: ${error.message}`)

/**
 * Loads the stored pair, or makes and stores one. A replaced pair opens requests for two more hours. When the
 * scope closes, all keys are destroyed.
 *
 * @since 0.3.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<RouterKeys, SecurityError, Crypto | KeyStore | Scope.Scope> {
  const crypto = yield* Crypto
  const state: State = { current: yield* first, retired: [], replaced: options.replaced }
  const privateKeys = () =>
    [state.current, ...state.retired.map(({ pair }) => pair)].map(({ privateKey }) => privateKey)
  yield* Effect.addFinalizer(() => Effect.forEach(privateKeys(), crypto.destroy, { discard: true }))
  yield* Effect.uninterruptible(resume(state))
  const looking = Effect.catchAll(Effect.uninterruptible(look(state, options)), failed)
  yield* Effect.forkScoped(Effect.schedule(looking, Schedule.spaced(LOOK_EVERY)))
  return { publicKey: () => state.current.publicKey, privateKeys }
})
