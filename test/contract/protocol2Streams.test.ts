/**
 * Answers that stream from a model server over a router of protocol 2 to whatever reads them: each piece as
 * it comes, no faster than it is read, and not for longer.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { serve } from "../../src/cli/serve.js"
import { BASE_URL, createFetch } from "../../src/fetch/index.js"
import * as Gateway from "../../src/gateway/Gateway.js"
import * as Node from "../../src/platform/node/index.js"
import { SecureChatCompletion } from "../../src/promise/index.js"
import * as Model from "../../src/router/Model.js"
import * as Servers from "../support/servers.js"
import { FLOOD, streamingServer } from "../support/streamingServer.js"

const options = (baseUrl: string) => ({ baseUrl, allowHttp: true, protocol: 2, maxRetries: 0 }) as const

/** A model server, a router before it, and a gateway before that. */
const makeChain = Effect.gen(function*() {
  const upstream = yield* streamingServer
  const model = yield* Effect.provide(Model.makeUpstream({ url: upstream.url }), NodeHttpClient.layer)
  const router = yield* Servers.router({ model, protocol: 2 })
  const scope = yield* Effect.scope
  const client = yield* Layer.buildWithScope(Node.layer(options(router)), scope)
  const app = yield* Effect.provide(Gateway.make(), client)
  const gateway = yield* serve(app, { host: "127.0.0.1", port: 0 })
  return { upstream, router, gateway }
}) satisfies Effect.Effect<unknown, unknown, Scope.Scope>

let chain: Awaited<ReturnType<typeof Servers.scoped<Effect.Effect.Success<typeof makeChain>, unknown>>>
let client: SecureChatCompletion
beforeAll(async () => {
  chain = await Servers.scoped(makeChain)
  client = new SecureChatCompletion(options(chain.value.router))
})
afterAll(async () => {
  client.dispose()
  await chain.close()
})

const ask = (model: string) => ({ model, messages: [{ role: "user", content: "Hello!" }] })

/** The contents of the events of a body, as they come. It throws for an event that is an error. */
async function* contentsOf(body: ReadableStream<Uint8Array>) {
  let text = ""
  const decoder = new TextDecoder()
  for await (const bytes of body) {
    const events = (text + decoder.decode(bytes, { stream: true })).split("\n\n")
    text = events.pop()!
    for (const event of events) {
      if (event.startsWith(":") || event === "data: [DONE]") continue
      const { choices, error } = JSON.parse(event.slice("data: ".length))
      if (error !== undefined) throw new Error(error.code)
      yield choices[0].delta.content as string
    }
  }
}

const post = (fetch: typeof globalThis.fetch, baseUrl: string) => async function*(model: string) {
  const response = await fetch(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...ask(model), stream: true })
  })
  if (!response.ok) throw new Error(`status ${response.status}`)
  yield* contentsOf(response.body!)
}

const readers: { readonly [name: string]: (model: string) => AsyncGenerator<string> } = {
  "client.stream": async function*(model) {
    for await (const { choices } of client.stream(ask(model))) yield choices[0]!.delta.content!
  },
  createFetch: (model) => post(createFetch(client), BASE_URL)(model),
  "nomyo proxy": (model) => post(fetch, `${chain.value.gateway}/v1`)(model)
}

const settled = async (read: () => number) => {
  // what is in flight comes to rest when a quarter of a second changes nothing
  for (let last = -1; last !== read();) {
    last = read()
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  return read()
}

describe.each(Object.entries(readers))("a stream by %s", (_, read) => {
  it("comes piece by piece", async () => {
    const pieces = read("gated")
    const first = await pieces.next()
    chain.value.upstream.open()
    expect([first.value, (await pieces.next()).value, (await pieces.next()).done]).toEqual(["one", "two",
      true])
  })

  it("is read no faster than its reader reads, and ends when that leaves", async () => {
    const { state } = chain.value.upstream
    Object.assign(state, { written: 0, closed: 0 })
    const pieces = read("flood")
    await pieces.next()
    expect(await settled(() => state.written)).toBeLessThan(FLOOD / 2)
    expect(state.closed).toBe(0)
    await pieces.return(undefined)
    await expect.poll(() => state.closed, { timeout: 30_000 }).toBe(1)
    expect(state.written).toBeLessThan(FLOOD)
  })

  it("fails where the model server is lost, after what it said", async () => {
    const pieces = read("cut")
    expect((await pieces.next()).value).toBe("one")
    chain.value.upstream.cut()
    await expect(pieces.next()).rejects.toThrow()
  })

  it("fails where the model server is lost before anything was read", async () => {
    const all = async () => {
      for await (const piece of read("lost")) expect(piece).toBe("one")
    }
    await expect(all()).rejects.toThrow()
  })
})

it("breaks off with the caller's reason at an abort, and ends the model's work", async () => {
  const { state } = chain.value.upstream
  Object.assign(state, { written: 0, closed: 0 })
  const controller = new AbortController()
  const response = await createFetch(client)(`${BASE_URL}/chat/completions`, {
    method: "POST",
    body: JSON.stringify({ ...ask("flood"), stream: true }),
    signal: controller.signal
  })
  const reader = response.body!.getReader()
  expect(await reader.read()).toMatchObject({ done: false })
  const reason = new Error("The caller's own reason")
  controller.abort(reason)
  await expect(reader.read()).rejects.toBe(reason)
  await expect.poll(() => state.closed, { timeout: 30_000 }).toBe(1)
  expect(state.written).toBeLessThan(FLOOD)
})

it("asks the model server for a stream with its usage", () => {
  expect(chain.value.upstream.state.requests[0]).toMatchObject({
    stream: true,
    stream_options: { include_usage: true }
  })
})
