import { assert, describe, it, layer } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SecureChatCompletion, SecurityError } from "../../src/promise/index.js"
import { NomyoClient, NomyoConfig } from "../../src/index.js"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as NodeTransport from "../../src/platform/node/NodeTransport.js"
import { activeProxy } from "../support/activeProxy.js"
import { hello } from "../support/calls.js"
import { clientOf, router } from "../support/protocol2Router.js"
import * as Servers from "../support/servers.js"

const services = Layer.merge(Layer.merge(NodeTransport.layer, NodePrimitives.layer), Servers.platform)
const create = Effect.flatMap(NomyoClient.NomyoClient, (client) => client.create(hello))
const pins = ["a".repeat(64)]

describe("the options of protocol 2", () => {
  it.effect("ask for protocol 2 by a key of it, and for 1 otherwise", () =>
    Effect.gen(function*() {
      const protocolOf = (options: NomyoConfig.Options) =>
        Effect.map(NomyoConfig.make(options), ({ protocol }) => protocol)
      assert.strictEqual(yield* protocolOf({}), 1)
      assert.strictEqual(yield* protocolOf({ protocol: 2 }), 2)
      assert.strictEqual(yield* protocolOf({ routerKeyConfigFingerprints: pins }), 2)
      assert.strictEqual(yield* protocolOf({ routerKeyConfig: "AAAA" }), 2)
      assert.strictEqual(yield* protocolOf({ postQuantum: "prefer" }), 2)
      assert.strictEqual(yield* protocolOf({ postQuantum: "off" }), 1)
      assert.strictEqual(yield* protocolOf({ protocol: 2, padding: false }), 2)
      assert.strictEqual(yield* protocolOf({ routerKeyConfig: "AAAA", padding: true }), 2)
    }))

  it.effect.each([
    { protocol: 1, routerKeyConfigFingerprints: pins },
    { protocol: 1, routerKeyConfig: "AAAA" },
    { protocol: 1, postQuantum: "prefer" },
    { protocol: 1, padding: true },
    { padding: false },
    { postQuantum: "require", routerKeyFingerprints: pins },
    { protocol: 2, routerKeyFingerprints: pins },
    { routerKeyConfig: "AAAA", routerKeyFingerprints: pins },
    { protocol: 2, routerKeyConfigFingerprints: ["ab"] }
  ] as const)("are refused where they contradict each other: %j", (options) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(NomyoConfig.make(options))
      assert.strictEqual(error._tag, "InvalidRequestError")
      assert.include(error.message, "padding" in options ? "padding" : "routerKey")
    }))
})

describe("SecureChatCompletion with protocol 2", () => {
  it("answers, and streams for a loop and for finalCompletion, as its router does", async () => {
    const started = await Servers.scoped(Effect.orDie(Effect.provide(router(), services)))
    const client = new SecureChatCompletion({ baseUrl: started.value.url, allowHttp: true, protocol: 2 })
    try {
      const answer = await client.create(hello)
      const words: Array<unknown> = []
      const stream = client.stream(hello)
      for await (const { choices } of stream) {
        words.push(choices[0]?.delta.content || "")
        if (words.length === 3) break
      }
      assert.deepStrictEqual(words, ["", "You", " said:"].slice(0, words.length))
      const isLeft = await stream.finalCompletion().catch((error: unknown) => error)
      assert.deepInclude(isLeft, { _tag: "InvalidRequestError" })
      const whole = await client.stream(hello).finalCompletion()
      assert.deepStrictEqual(whole.choices[0]?.message.content, answer.choices[0]?.message.content)
      assert.deepStrictEqual(whole.usage, answer.usage)
      assert.strictEqual(whole._metadata.is_encrypted, true)
      await client.ready().then(() => assert.fail("there is no key"), (error: unknown) => {
        assert.instanceOf(error, SecurityError)
      })
    } finally {
      client.dispose()
      await started.close()
    }
  })

  it("streams over protocol 1 what came whole", async () => {
    const started = await Servers.scoped(Effect.orDie(Servers.router()))
    const client = new SecureChatCompletion({
      baseUrl: started.value,
      allowHttp: true,
      keySize: 2048,
      keyDir: false
    })
    try {
      const stream = client.stream(hello)
      for await (const { _metadata } of stream) {
        assert.deepInclude(_metadata, { is_encrypted: true, is_streamed: false })
        break
      }
      const whole = await client.stream(hello).finalCompletion()
      assert.strictEqual(whole.choices[0]?.message.content, "You said: Hello!")
    } finally {
      client.dispose()
      await started.close()
    }
  })
})

layer(services, { excludeTestServices: true })("a client of protocol 2", (it) => {
  const shifted = (millis: number): Clock.Clock => {
    const clock = Clock.make()
    return Object.assign(Object.create(clock) as Clock.Clock, {
      unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + millis,
      currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + millis)
    })
  }

  it.scoped.each([-3_600_000, 3_600_000])("whose clock is %i ms off asks again, once, with the router's date",
    (millis) =>
      Effect.gen(function*() {
        const { url: target } = yield* router()
        let posts = 0
        const url = yield* activeProxy(target, (passing, forward) => {
          if (passing.method === "POST") posts++
          return forward(passing)
        })
        const answer = yield* Effect.withClock(Effect.provide(create, clientOf(url)), shifted(millis))
        assert.strictEqual(answer.choices[0]?.message.content, "You said: Hello!")
        assert.strictEqual(posts, 2)
      }))

  it.scoped("fetches the keys again, once, if its router has other keys now", () =>
    Effect.gen(function*() {
      const before = yield* router()
      const after = yield* router()
      let isReplaced = false
      const url = yield* activeProxy(before.url, async (passing, forward) => {
        if (!isReplaced) return forward(passing)
        const { "content-type": type = "" } = passing.headers
        const init = passing.method === "GET"
          ? {}
          : { method: "POST", headers: { "content-type": type }, body: Uint8Array.from(passing.body) }
        const response = await fetch(`${after.url}${passing.url}`, init)
        const headers = { "content-type": response.headers.get("content-type") ?? "" }
        return { status: response.status, headers, body: new Uint8Array(await response.arrayBuffer()) }
      })
      yield* Effect.gen(function*() {
        yield* create
        isReplaced = true
        const answer = yield* create
        assert.strictEqual(answer.choices[0]?.message.content, "You said: Hello!")
      }).pipe(Effect.provide(clientOf(url)))
    }))

  it.scoped("uses the key configuration that it is given, and asks for none", () =>
    Effect.gen(function*() {
      const { keys, url: target } = yield* router()
      const methods: Array<string> = []
      const url = yield* activeProxy(target, (passing, forward) => {
        methods.push(passing.method)
        return forward(passing)
      })
      const routerKeyConfig = Buffer.from(yield* keys.list).toString("base64")
      yield* Effect.provide(create, clientOf(url, { routerKeyConfig }))
      assert.deepStrictEqual(methods, ["POST"])
    }))
})
