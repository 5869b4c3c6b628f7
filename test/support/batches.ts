import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from "vitest"
import type { ChatCompletionRequest, ChatCompletionResponse } from "../../src/index.js"
import * as Model from "../../src/router/Model.js"
import * as Servers from "./servers.js"

/** Options of every client in the tests of `createAll`. */
export const defaults = { allowHttp: true, keyDir: false, keySize: 2048, maxRetries: 0 } as const

export type Requests = Iterable<ChatCompletionRequest> | AsyncIterable<ChatCompletionRequest>

export const textOf = ({ choices }: ChatCompletionResponse) => choices[0]?.message.content

export const say = (content: string, model = "m"): ChatCompletionRequest => ({ model,
  messages: [{ role: "user", content }] })

/** Requests without an end, that count how many of them were read and whether they were closed. */
export const endless = (model?: string) => {
  const state = { read: 0, isClosed: false }
  const requests = function*() {
    try {
      for (;;) yield say(String(state.read++), model)
    } finally {
      state.isClosed = true
    }
  }
  return { state, requests: requests() }
}

export const collect = async <A>(results: AsyncIterable<A>): Promise<ReadonlyArray<A>> => {
  const collected: Array<A> = []
  for await (const result of results) collected.push(result)
  return collected
}

/** The error of a promise that must fail. */
export const error = (promise: Promise<unknown>) =>
  promise.then(() => expect.fail("it did not fail"), (error: unknown) => error)

/** Waits for a condition. Generous, for slow machines: a test that passes never waits this long. */
export const until = (isSo: () => boolean) => vi.waitUntil(isSo, { timeout: 100_000 })

const fresh = () => ({ asked: 0, now: 0, most: 0, gate: Effect.runSync(Deferred.make<void>()) })

/**
 * A router for the tests of a file. `seen` counts the requests its model was asked, those it is at work on,
 * and the most at once; `open` lets the model `held` answer.
 */
export const useRouter = () => {
  const router = {
    url: "",
    seen: fresh(),
    reset: () => {
      router.seen = fresh()
    },
    open: () => Effect.runSync(Deferred.succeed(router.seen.gate, undefined))
  }
  const model = Effect.map(Model.makeEcho, (echo): Model.Model => (request) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const { seen } = router
        seen.asked++
        seen.most = Math.max(seen.most, ++seen.now)
        return seen
      }),
      ({ gate }) =>
        Effect.zipRight(request.payload.model === "held" ? Deferred.await(gate) : Effect.sleep("20 millis"),
          echo(request)),
      (seen) => Effect.sync(() => seen.now--)
    ))
  let close: () => Promise<void>
  beforeAll(async () => {
    ({ close, value: router.url } = await Servers.scoped(Servers.router({ model: Effect.runSync(model) })))
  })
  afterAll(() => close())
  beforeEach(() => {
    router.reset()
    // every client here talks plain HTTP, and warns of it
    vi.spyOn(console, "warn").mockImplementation(() => undefined)
  })
  afterEach(() => void vi.restoreAllMocks())
  return router
}
