/** The lengths that everyone on the path sees of protocol 2, with and without padding. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as NomyoClient from "../../src/NomyoClient.js"
import type * as NomyoConfig from "../../src/NomyoConfig.js"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as NodeTransport from "../../src/platform/node/NodeTransport.js"
import { padme } from "../../src/protocol2/BinaryHttp.js"
import { NONCE_LENGTH } from "../../src/protocol2/ObliviousHttp.js"
import type * as Router from "../../src/router/Router.js"
import { activeProxy } from "../support/activeProxy.js"
import { chunkLengths } from "../support/chunkLengths.js"
import { HEADER } from "../support/protocol2.js"
import { clientOf, router } from "../support/protocol2Router.js"
import * as Servers from "../support/servers.js"

const services = Layer.merge(Layer.merge(NodeTransport.layer, NodePrimitives.layer), Servers.platform)

const ask = (content: string) => ({ model: "m", messages: [{ role: "user", content }] } as const)
const sum = (lengths: ReadonlyArray<number>) => lengths.reduce((total, length) => total + length, 0)
const padded = (length: number) => Math.max(padme(length), 1024)
const PROMPTS = [100, 101, 3000, 40_000].map((length) => "a".repeat(length))

/** A router, and the plaintexts' lengths of every request to it and every answer. */
const observed = (options: Router.Options) =>
  Effect.gen(function*() {
    const { url: target } = yield* router(options)
    const requests: Array<ReadonlyArray<number>> = []
    const answers: Array<ReadonlyArray<number>> = []
    const url = yield* activeProxy(target, async (passing, forward) => {
      const given = await forward(passing)
      if (passing.method === "POST") {
        requests.push(chunkLengths(passing.body, HEADER))
        answers.push(chunkLengths(given.body, NONCE_LENGTH))
      }
      return given
    })
    return { url, requests, answers }
  })

/** The contents of the answers to all prompts, and the lengths that were seen. */
const exchange = (options: NomyoConfig.Options, routerOptions: Router.Options) =>
  Effect.gen(function*() {
    const { answers, requests, url } = yield* observed(routerOptions)
    const create = (prompt: string) =>
      Effect.flatMap(NomyoClient.NomyoClient, (client) => client.create(ask(prompt)))
    const contents = yield* Effect.provide(Effect.forEach(PROMPTS, create), clientOf(url, options))
    const texts = contents.map(({ choices }) => choices[0]?.message.content)
    return { texts, requests: requests.map(sum), answers: answers.map(sum) }
  })

layer(services, { excludeTestServices: true })("padding", (it) => {
  it.scoped("of a client hides the length of a prompt, and without it one byte more shows", () =>
    Effect.gen(function*() {
      const hidden = yield* exchange({}, {})
      const bare = yield* exchange({ padding: false }, {})
      assert.deepStrictEqual(hidden.requests, bare.requests.map(padded))
      assert.strictEqual(hidden.requests[0], 1024)
      assert.deepStrictEqual(bare.requests.slice(1).map((length) => length - bare.requests[0]!),
        // the length of a content of 16,384 bytes or more takes four bytes in place of two
        [1, 2900, 39_902])
      assert.isBelow(bare.requests[0]!, 1024)
      assert.deepStrictEqual(bare.texts, hidden.texts)
      assert.deepStrictEqual(bare.answers, hidden.answers)
    }))

  it.scoped("of a router hides the length of an answer, and without it the exact length shows", () =>
    Effect.gen(function*() {
      const hidden = yield* exchange({}, {})
      const bare = yield* exchange({}, { padding: false })
      assert.deepStrictEqual(hidden.answers, bare.answers.map(padded))
      assert.strictEqual(bare.answers[1]! - bare.answers[0]!, 1)
      assert.deepStrictEqual(bare.texts, hidden.texts)
      assert.deepStrictEqual(bare.requests, hidden.requests)
    }))

  it.scoped("of a router hides the length of an error, which without it shows", () =>
    Effect.gen(function*() {
      for (const padding of [true, false]) {
        const { answers, url } = yield* observed({ padding })
        const error = yield* Effect.flatMap(NomyoClient.NomyoClient, (client) =>
          client.create({ ...ask("a"), model: "status/503" })).pipe(Effect.flip, Effect.provide(clientOf(url)))
        assert.deepInclude(error, { _tag: "ServiceUnavailableError", authenticated: true })
        if (padding) assert.deepStrictEqual(answers, [[1024]])
        else assert.isBelow(sum(answers[0]!), 300)
      }
    }))

  it.scoped("of a router makes chunks of a multiple of 256 bytes; without it a stream reads the same", () =>
    Effect.gen(function*() {
      const streamed = (padding: boolean) =>
        Effect.gen(function*() {
          const { answers, url } = yield* observed({ padding })
          const chunks = yield* Effect.provide(
            Stream.runCollect(NomyoClient.stream(ask("one two three"))),
            clientOf(url)
          )
          // the head and the end of a message are chunks of their own
          return { text: Array.from(chunks, ({ choices }) => choices[0]?.delta.content ?? ""),
            events: answers[0]!.slice(1, -1) }
        })
      const hidden = yield* streamed(true)
      const bare = yield* streamed(false)
      assert.deepStrictEqual(hidden.text, bare.text)
      assert.strictEqual(bare.text.join(""), "You said: one two three")
      assert.lengthOf(bare.events, hidden.events.length)
      assert.isTrue(hidden.events.every((length) => length % 256 === 0))
      assert.isTrue(bare.events.some((length) => length % 256 !== 0))
      bare.events.forEach((length, i) => assert.isAtMost(length, hidden.events[i]!))
    }))
})
