import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"

/** The events that a slow subscriber may fall behind; it loses older ones. */
const CAPACITY = 64

/**
 * Publishes events to all subscribers. Effect's `PubSub` does so too, for 2.5 kB more in a browser, gzipped.
 */
export interface EventHub<Event> {
  readonly publish: (event: Event) => Effect.Effect<void>
  /** The events from now on, until the scope closes. */
  readonly subscribe: Effect.Effect<Queue.Dequeue<Event>, never, Scope.Scope>
}

type Subscribers<Event> = Set<Queue.Queue<Event>>

const publishTo = <Event>(subscribers: Subscribers<Event>, event: Event): Effect.Effect<void> =>
  Effect.forEach(
    subscribers,
    // a queue that its subscriber has shut down would interrupt the publisher
    (queue) => Effect.unlessEffect(Queue.offer(queue, event), Queue.isShutdown(queue)),
    { discard: true }
  )

const addTo = <Event>(subscribers: Subscribers<Event>): Effect.Effect<Queue.Queue<Event>> =>
  Effect.tap(Queue.sliding<Event>(CAPACITY), (queue) => Effect.sync(() => subscribers.add(queue)))

const removeFrom = <Event>(subscribers: Subscribers<Event>, queue: Queue.Queue<Event>): Effect.Effect<void> =>
  Effect.zipRight(Effect.sync(() => subscribers.delete(queue)), Queue.shutdown(queue))

/** An event hub. The end of its scope shuts every subscriber's queue down. */
export const makeEventHub = <Event>(): Effect.Effect<EventHub<Event>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const subscribers: Subscribers<Event> = new Set()
    yield* Effect.addFinalizer(() => Effect.forEach(subscribers, Queue.shutdown, { discard: true }))
    return {
      publish: (event) => publishTo(subscribers, event),
      subscribe: Effect.acquireRelease(addTo(subscribers), (queue) => removeFrom(subscribers, queue))
    }
  })
