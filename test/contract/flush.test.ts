/** Streams whose events a router gathers: fewer chunks are seen on the path; their readers notice nothing. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { ChatCompletionChunk } from "../../src/ChatCompletionChunk.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import { DONE, eventOf } from "../../src/openai/chunks.js"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as NodeTransport from "../../src/platform/node/NodeTransport.js"
import { NONCE_LENGTH } from "../../src/protocol2/ObliviousHttp.js"
import * as Model from "../../src/router/Model.js"
import * as Router from "../../src/router/Router.js"
import { activeProxy } from "../support/activeProxy.js"
import { chunkLengths } from "../support/chunkLengths.js"
import { clientOf, router } from "../support/protocol2Router.js"
import * as Servers from "../support/servers.js"
import { FLOOD, streamingServer } from "../support/streamingServer.js"

const services = Layer.merge(Layer.merge(NodeTransport.layer, NodePrimitives.layer), Servers.platform)

/** Milliseconds: between two words of the model, and the time that a router gathers them. */
const SPACING = 10
const FLUSH = 200
const WORDS = Array.from({ length: 60 }, (_, i) => `word ${i} `)

const say = (content: string) => eventOf({ id: "c-1", choices: [{ index: 0, delta: { content } }] })

const spoken = Stream.fromIterable(WORDS).pipe(
  Stream.map(say),
  Stream.rechunk(1),
  Stream.schedule(Schedule.spaced(SPACING)),
  Stream.concat(Stream.make(DONE))
)

const model = Object.assign(() => Effect.succeed({}), { stream: () => Effect.succeed(spoken) })

const ask = (name: string) => ({ model: name, messages: [{ role: "user", content: "Hello!" }] } as const)

const textOf = (chunks: Iterable<ChatCompletionChunk>) =>
  Array.from(chunks, ({ choices }) => choices[0]?.delta.content ?? "")

/** The words of a stream over a router, its visible chunks, and how long it took. */
const streamed = (options: Router.Options) =>
  Effect.gen(function*() {
    const { url: target } = yield* router({ model, ...options })
    let lengths: ReadonlyArray<number> = []
    const url = yield* activeProxy(target, async (passing, forward) => {
      const given = await forward(passing)
      if (passing.method === "POST") lengths = chunkLengths(given.body, NONCE_LENGTH)
      return given
    })
    const began = performance.now()
    const chunks = yield* Effect.provide(Stream.runCollect(NomyoClient.stream(ask("m"))), clientOf(url))
    // the head and the end of a message are chunks of their own
    return { words: textOf(chunks), chunks: lengths.slice(1, -1), millis: performance.now() - began }
  })

layer(services, { excludeTestServices: true })("flush", (it) => {
  it.scoped("shows fewer chunks, and a stream reads the same with and without it and padding", () =>
    Effect.gen(function*() {
      for (const padding of [true, false]) {
        const { chunks, millis, words } = yield* streamed({ flush: FLUSH, padding })
        assert.deepStrictEqual(words, WORDS)
        assert.isAtMost(chunks.length, Math.ceil(millis / FLUSH) + 1)
        assert.isBelow(chunks.length, WORDS.length / 2)
        const plain = yield* streamed({ padding })
        assert.deepStrictEqual(plain.words, WORDS)
        assert.isAtLeast(plain.chunks.length, WORDS.length)
        assert.strictEqual([...chunks, ...plain.chunks].every((length) => length % 256 === 0), padding)
      }
    }))

  it.scoped("passes on what came before the model fails, and then fails", () =>
    Effect.gen(function*() {
      const url = yield* Servers.httpServer((_, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.write(say("one"))
        setTimeout(() => response.write(say("two"), () => response.destroy()), SPACING)
      })
      const upstream = yield* Effect.provide(Model.makeUpstream({ url }), NodeHttpClient.layer)
      // longer than this test may take
      const started = yield* router({ model: upstream, flush: "1 hour" })
      const read: Array<ChatCompletionChunk> = []
      const note = (chunk: ChatCompletionChunk) => Effect.sync(() => void read.push(chunk))
      const error = yield* Stream.runForEach(NomyoClient.stream(ask("m")), note).pipe(
        Effect.flip,
        Effect.provide(clientOf(started.url))
      )
      assert.deepStrictEqual(textOf(read), ["one", "two"])
      assert.include(["SecurityError", "APIConnectionError"], error._tag)
    }))

  it.scoped("reads the model no faster than its reader reads, and ends its work when that leaves", () =>
    Effect.gen(function*() {
      const { state, url } = yield* streamingServer
      const upstream = yield* Effect.provide(Model.makeUpstream({ url }), NodeHttpClient.layer)
      const started = yield* router({ model: upstream, flush: FLUSH })
      const settled = Effect.suspend(() => {
        const before = state.written
        return Effect.delay(Effect.sync(() => state.written === before), "250 millis")
      })
      yield* Effect.gen(function*() {
        const client = yield* NomyoClient.NomyoClient
        const { pull } = yield* client.openStream(ask("flood"))
        yield* pull
        yield* Effect.repeat(settled, { until: (isSettled) => isSettled })
        assert.isBelow(state.written, FLOOD / 2)
        assert.strictEqual(state.closed, 0)
      }).pipe(Effect.scoped, Effect.provide(clientOf(started.url)))
      const ended = Effect.sync(() => state.closed)
      yield* Effect.repeat(ended, { until: (closed) => closed === 1, schedule: Schedule.spaced(20) })
      assert.isBelow(state.written, FLOOD)
    }))

  it.effect.each<unknown>([-1, Number.NaN, "soon", "-1 second"])("of %s is refused by its name", (flush) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Router.make({ flush } as Router.Options))
      assert.strictEqual(error._tag, "InvalidRequestError")
      assert.strictEqual(error.message,
        "flush must be a time of 0 or more, such as 50 (milliseconds) or \"1 second\"")
    }))
})
