/** `layerFetch` of `nomyo-js/platform`: an app's `HttpClient` on the real router. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { BASE_URL } from "../../src/fetch/index.js"
import { layerFetch } from "../../src/platform/effect/index.js"
import * as Node from "../../src/platform/node/index.js"
import { gatedModel } from "../support/gatedModel.js"
import * as Servers from "../support/servers.js"

const layerOfFetch = (baseUrl: string, protocol: 1 | 2 = 1) =>
  Layer.provide(layerFetch(),
    Node.layer({ baseUrl, allowHttp: true, keyDir: false, keySize: 2048, protocol }))

const layer = (baseUrl: string, protocol: 1 | 2 = 1) =>
  Layer.provide(FetchHttpClient.layer, layerOfFetch(baseUrl, protocol))

const ask = (model: string, stream = false) =>
  HttpClientRequest.post(`${BASE_URL}/chat/completions`).pipe(
    HttpClientRequest.bodyUnsafeJson({ model, stream, messages: [{ role: "user", content: "Hi" }] }),
    HttpClient.execute
  )

describe("layerFetch", () => {
  it.scopedLive("answers an HttpClient, with the statuses of the errors", () =>
    Effect.gen(function*() {
      const url = yield* Servers.router()
      const [answer, failure] = yield* Effect.provide(
        Effect.gen(function*() {
          return [yield* (yield* ask("a/model")).json, (yield* ask("status/404")).status] as const
        }),
        layer(url)
      )
      assert.deepInclude(answer, { object: "chat.completion", model: "a/model" })
      assert.strictEqual(failure, 404)
    }))

  it.scopedLive("streams an answer of protocol 2, and ends the model's stream when its reader leaves", () =>
    Effect.gen(function*() {
      const { model, state } = gatedModel()
      const url = yield* Servers.router({ model })
      const [pieces, others] = yield* Effect.provide(
        Effect.gen(function*() {
          const events = Stream.unwrapScoped(Effect.map(ask("gated", true), ({ stream }) => stream))
          const texts = Stream.splitLines(Stream.decodeText(events))
          const pieces = yield* texts.pipe(
            Stream.filterMap((line) => Option.fromNullable(/"content":"(\w+)"/.exec(line)?.[1])),
            // the model goes on once the first piece is there
            Stream.tap((piece) => piece === "one" ? ask("open") : Effect.void),
            Stream.runCollect
          )
          return [[...pieces], [...yield* Stream.runCollect(Stream.take(texts, 1))]] as const
        }),
        layer(url, 2)
      )
      assert.deepStrictEqual(pieces, ["one", "two"])
      assert.match(others[0]!, /"content":"one"/)
      yield* Effect.repeat(Effect.sync(() => state), {
        until: ({ ended, started }) => ended === started,
        schedule: Schedule.spaced("10 millis")
      })
      assert.strictEqual(state.started, 2)
    }))

  it.scopedLive("ends a stream that is aborted at any moment, the first ones too", () =>
    Effect.gen(function*() {
      const model = Object.assign(() => Effect.succeed({}), { stream: () => Effect.succeed(Stream.never) })
      const context = yield* Layer.build(layerOfFetch(yield* Servers.router({ model }), 2))
      const fetch = Context.get(context, FetchHttpClient.Fetch)
      const body = JSON.stringify({ model: "m", stream: true, messages: [{ role: "user", content: "Hi" }] })
      const abortAfter = async (turns: number) => {
        const controller = new AbortController()
        const { signal } = controller
        const answer = fetch(`${BASE_URL}/chat/completions`, { method: "POST", body, signal })
        for (let i = 0; i < turns; i++) await undefined
        controller.abort(turns)
        return answer.then(() => undefined, (error: unknown) => error)
      }
      const turns = Array.from({ length: 10 }, (_, i) => i)
      assert.deepStrictEqual(yield* Effect.promise(() => Promise.all(turns.map(abortAfter))), turns)
    }))

  it.scopedLive("closes the router's connection when it is interrupted", () =>
    Effect.gen(function*() {
      const keys = yield* Servers.router()
      const asked = yield* Deferred.make<void>()
      const closed = yield* Deferred.make<void>()
      const url = yield* Servers.httpServer((request, response) => {
        if (request.method === "GET") {
          return void fetch(`${keys}${request.url}`).then((key) => key.text()).then((pem) =>
            response.end(pem)
          )
        }
        Deferred.unsafeDone(asked, Effect.void)
        request.socket.on("close", () => Deferred.unsafeDone(closed, Effect.void))
      })
      const fiber = yield* Effect.fork(Effect.provide(ask("a/model"), layer(url)))
      yield* Deferred.await(asked)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(closed)
    }))
})
