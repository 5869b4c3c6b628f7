// A memory of requests that the replicas of a router share, in Redis 6.2 or later. Set maxmemory-policy to
// noeviction, so that Redis forgets nothing early, and appendonly to yes, so that it survives its own
// restart.
import { createClient } from "@redis/client"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ReplayStore } from "nomyo-js/router"

const unavailable = () => new ReplayStore.ReplayStoreUnavailable({ retryAfter: 5000 })

/** A store in the Redis at `url`. While Redis is silent, the router refuses requests with a 503. */
export const layerRedis = (
  url: string
): Layer.Layer<ReplayStore.ReplayStore, ReplayStore.ReplayStoreUnavailable> =>
  Layer.scoped(
    ReplayStore.ReplayStore,
    Effect.gen(function*() {
      const redis = createClient({ url, disableOfflineQueue: true })
      // without a listener Node ends the process
      redis.on("error", () => undefined)
      yield* Effect.tryPromise({ try: () => redis.connect(), catch: unavailable })
      yield* Effect.addFinalizer(() => Effect.sync(() => redis.destroy()))
      // one command: two replicas that get the same request cannot both take it for new
      const add = (id: string, ttl: Duration.Duration) =>
        Effect.tryPromise({
          try: () =>
            redis.set(`nomyo:${id}`, "", { condition: "NX",
              expiration: { type: "PX", value: Duration.toMillis(ttl) } }),
          catch: unavailable
        }).pipe(Effect.timeoutFail({ duration: "1 second", onTimeout: unavailable }))
      return {
        add: (id, ttl) => Effect.map(add(id, ttl), (reply) => reply === "OK"),
        // Redis outlives the router
        remembersSince: Number.NEGATIVE_INFINITY
      }
    })
  )
