import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import { afterAll } from "vitest"
import { serve } from "../../src/cli/serve.js"
import * as Crypto from "../../src/Crypto.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import type * as NomyoConfig from "../../src/NomyoConfig.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import * as NodeTransport from "../../src/platform/node/NodeTransport.js"
import * as Router from "../../src/router/Router.js"
import * as Transport from "../../src/Transport.js"
import * as Hostile from "../support/hostile.js"
import * as Report from "../support/report.js"
import * as Servers from "../support/servers.js"
import * as Vectors from "../support/vectors.js"

const lines: Array<string> = []
afterAll(() => Report.write("load", ["| load | what came of it |", "|---|---|", ...lines].join("\n")))
const report = (what: string, result: string) => lines.push(`| ${what} | ${result} |`)

const create = (content: string) =>
  Effect.flatMap(NomyoClient.NomyoClient, (client) =>
    client.create({ model: "m", messages: [{ role: "user", content }] })).pipe(
    Effect.map((answer) => answer.choices[0]?.message.content)
  )

const together = (n: number) =>
  Effect.forEach(Array.from({ length: n }, (_, i) => i), (i) => Effect.either(create(`number ${i}`)), {
    concurrency: "unbounded"
  })

const platform = Layer.merge(NodeTransport.layer, Hostile.layerKeyStore("client_2048.pem")).pipe(
  Layer.provideMerge(Servers.platform)
)

const client = (options: NomyoConfig.Options, services = platform) =>
  Layer.provide(NomyoClient.layer({ allowHttp: true, ...options }), services).pipe(
    Layer.provide(Logger.remove(Logger.defaultLogger))
  )

/** How often each outcome came. */
const tally = (
  results: ReadonlyArray<Either.Either<unknown, { readonly _tag: string }>>
): { readonly [outcome: string]: number } => {
  const counts: { [outcome: string]: number } = {}
  for (const result of results) {
    const outcome = Either.isRight(result) ? "answers" : result.left._tag
    counts[outcome] = (counts[outcome] ?? 0) + 1
  }
  return counts
}

const words = (counts: { readonly [outcome: string]: number }): string =>
  Object.entries(counts).map(([outcome, count]) => `${count} ${outcome}`).join(", ")

describe("load", () => {
  const many = Report.isFull ? 1000 : 200

  it.scopedLive(
    `${many} requests at once on one client: each has its own answer, over a bounded number of connections, in order`,
    () =>
      Effect.gen(function*() {
        const router = yield* Hostile.make
        const turns: Array<number> = []
        const watched = Layer.map(platform, (context) => {
          const crypto = Context.get(context, Crypto.Crypto)
          return Context.add(context, Crypto.Crypto, {
            ...crypto,
            seal: (key, plaintext, use) => {
              const [bytes] = ArrayBuffer.isView(plaintext)
                ? [plaintext]
                : plaintext.chunks(new Uint8Array(plaintext.length))
              const [, number] = /number (\d+)/.exec(new TextDecoder().decode(bytes)) ?? []
              if (number !== undefined) turns.push(Number(number))
              return crypto.seal(key, plaintext, use)
            }
          })
        })
        const said = yield* Effect.provide(together(many), client({ baseUrl: router.url }, watched))
        assert.deepStrictEqual(said, Array.from({ length: many }, (_, i) =>
          Either.right(`You said: number ${i}`)))
        assert.strictEqual(router.requests(), many + 1)
        const { total } = router.connections()
        assert.isAtMost(total, 64 + 1)
        assert.deepStrictEqual(turns, Array.from({ length: many }, (_, i) => i))
        report(`${many} requests at once on one client`,
          `${many} answers, each its own, over ${total} connections, sent in the order they came`)
      }).pipe(Effect.provide(Servers.platform)),
    120_000
  )

  it.scopedLive(
    "the router restarts, twice, each time with another key: every request is answered or fails for want of a connection",
    () =>
      Effect.gen(function*() {
        const keys = yield* Effect.forEach(["server_4096.pem", "client_4096.pem"], (name) =>
          NodeKeyStore.loadKeyPair(Vectors.path(`keys/${name}`)))
        let port = 0
        const start = (n: number) =>
          Effect.gen(function*() {
            const scope = yield* Scope.make()
            const app = yield* Router.make({ keyPair: keys[n % keys.length] })
            const url = yield* Scope.extend(serve(app, { host: "127.0.0.1", port }), scope)
            port = Number(new URL(url).port)
            return { url, stop: Scope.close(scope, Exit.void) }
          })
        const first = yield* start(0)
        const restarts = Effect.gen(function*() {
          let router = first
          for (const n of [1, 2]) {
            yield* Effect.sleep("150 millis")
            yield* router.stop
            yield* Effect.sleep("150 millis")
            router = yield* start(n)
          }
          return router
        })
        const [results, last] = yield* Effect.all([together(many), restarts], { concurrency: "unbounded" })
          .pipe(
            Effect.provide(client({ baseUrl: first.url, maxRetries: 3, timeout: "20 seconds" }))
          )
        const counts = tally(results)
        assert.lengthOf(results, many)
        for (const result of results) {
          if (Either.isLeft(result)) assert.strictEqual(result.left._tag, "APIConnectionError")
        }
        yield* last.stop
        report(
          `${many} requests at once while the router restarts twice, each time with another key; 3 retries`,
          words(counts)
        )
      }).pipe(Effect.provide(Servers.platform)),
    120_000
  )

  /** Counts the 429s, those that are tried again too. */
  const counting = () => {
    const seen = { refusals: 0 }
    const layer = Layer.map(platform, (context) => {
      const transport = Context.get(context, Transport.Transport)
      return Context.add(context, Transport.Transport, {
        open: () => Effect.never,
        send: (request) =>
          Effect.tapError(transport.send(request), (error) =>
            Effect.sync(() => {
              if (error._tag === "RateLimitError") seen.refusals++
            }))
      })
    })
    return { seen, layer }
  }

  const batch = Report.isFull ? 60 : 8

  it.scopedLive(`a batch of ${batch} with throttle meets no 429`, () =>
    Effect.gen(function*() {
      const url = yield* Servers.router({ rateLimit: true })
      const { layer, seen } = counting()
      const [time, results] = yield* Effect.timed(
        Effect.provide(together(batch), client({ baseUrl: url, throttle: true }, layer))
      )
      assert.deepStrictEqual(tally(results), { answers: batch })
      assert.strictEqual(seen.refusals, 0)
      report(`a batch of ${batch} with \`throttle\`, at a router with the service's limit`,
        `${batch} answers, no 429, in ${Math.round(Duration.toSeconds(time))} s`)
    }), 120_000)

  it.scopedLive("a batch of 20 without it: retries carry it through, or the error says what it was",
    () =>
      Effect.gen(function*() {
        const url = yield* Servers.router({ rateLimit: true })
        const { layer, seen } = counting()
        const results = yield* Effect.provide(together(20), client({ baseUrl: url }, layer))
        const counts = tally(results)
        assert.isAbove(seen.refusals, 0)
        assert.strictEqual((counts["answers"] ?? 0) + (counts["RateLimitError"] ?? 0), 20)
        for (const result of results) {
          if (Either.isLeft(result)) assert.deepInclude(result.left, { _tag: "RateLimitError", attempts: 3 })
        }
        report("a batch of 20 without `throttle`, at the same router; 2 retries",
          `${words(counts)}; the router sent ${seen.refusals} times a 429`)
      }), 120_000)
})
