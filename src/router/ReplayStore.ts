/**
 * A router's memory of answered requests, so that it answers each once.
 *
 * @since 0.3.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/**
 * The store is full, or does not answer. The router refuses the request, because it may be a repeated one.
 *
 * @since 0.3.0
 * @category errors
 */
export class ReplayStoreUnavailable extends Data.TaggedError("ReplayStoreUnavailable")<{
  /** How long to wait before another try, in milliseconds. */
  readonly retryAfter: number
}> {}

/**
 * The operations of a `ReplayStore`.
 *
 * @since 0.3.0
 * @category models
 */
export interface Service {
  /**
   * Remembers an id for `ttl` in one atomic step. Returns `true` if the id is new, `false` if the store
   * already has it.
   *
   * @param id 16 bytes as 32 hexadecimal digits
   */
  readonly add: (id: string, ttl: Duration.Duration) => Effect.Effect<boolean, ReplayStoreUnavailable>
  /**
   * Time since which this store has remembered every id, in milliseconds since 1970. It is negative infinity
   * for a store that outlives the router. A request with an earlier date may be a repeated one.
   */
  readonly remembersSince: number
}

/**
 * A memory of answered requests, as a service. Replicas that share a key must share a store.
 *
 * @since 0.3.0
 * @category tags
 */
export class ReplayStore extends Context.Tag("nomyo-js/router/ReplayStore")<ReplayStore, Service>() {}

/**
 * How many ids the memory of one process holds: 9.4 MiB, and 1,048 requests a second for 125 s (protocol 2,
 * 7).
 */
const DEFAULT_CAPACITY = 131_072
const RETRY_AFTER = 5000

/** When each id may be forgotten, the earliest first: every id is kept for the same time. */
type Expiries = Map<string, number>

const forgetUntil = (now: number, expiries: Expiries): void => {
  for (const [id, expiry] of expiries) {
    if (expiry > now) return
    expiries.delete(id)
  }
}

/**
 * A store in this process's memory. It keeps each id for its whole time: when it is full, it refuses new ids.
 *
 * @param options.capacity the most ids. Default 131,072
 *
 * @since 0.3.0
 * @category constructors
 */
export const makeMemory = (
  { capacity = DEFAULT_CAPACITY }: { readonly capacity?: number | undefined } = {}
): Effect.Effect<Service> =>
  Effect.map(Clock.currentTimeMillis, (startedAt) => {
    const expiries: Expiries = new Map()
    const add: Service["add"] = Effect.fnUntraced(function*(id, ttl) {
      const now = yield* Clock.currentTimeMillis
      forgetUntil(now, expiries)
      if (expiries.has(id)) return false
      if (expiries.size >= capacity) {
        return yield* Effect.fail(new ReplayStoreUnavailable({ retryAfter: RETRY_AFTER }))
      }
      expiries.set(id, now + Duration.toMillis(ttl))
      return true
    })
    return { remembersSince: startedAt, add }
  })

/**
 * `makeMemory` as a layer.
 *
 * @since 0.3.0
 * @category layers
 */
export const layerMemory = (options?: { readonly capacity?: number | undefined }): Layer.Layer<ReplayStore> =>
  Layer.effect(ReplayStore, makeMemory(options))
