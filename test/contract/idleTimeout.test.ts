/** Silence within a streamed answer, over real sockets, and how each reader takes it. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { serve } from "../../src/cli/serve.js"
import { BASE_URL, createFetch } from "../../src/fetch/index.js"
import * as Gateway from "../../src/gateway/Gateway.js"
import { DONE, eventOf } from "../../src/openai/chunks.js"
import * as Node from "../../src/platform/node/index.js"
import { APIConnectionError, SecureChatCompletion } from "../../src/promise/index.js"
import * as Servers from "../support/servers.js"

/** Milliseconds. The first word of an answer comes within the shorter time, on a busy machine too. */
const SHORT = 1000
const LONG = 2000
/** How long the model `thinking` thinks, and the time between its signs of life. */
const THINKING = 2 * LONG
const BEAT = LONG / 20

const say = (content: string) => eventOf({ id: "c-1", choices: [{ index: 0, delta: { content } }] })
const beats = Stream.repeatValue(": thinking\n\n").pipe(
  Stream.schedule(Schedule.spaced(BEAT)),
  Stream.take(THINKING / BEAT)
)

/** `silent` says one word and nothing more; `thinking` sends comments before its second word. */
const makeModel = (onEnd: () => void) => {
  const answers: { readonly [model: string]: Stream.Stream<string> } = {
    silent: Stream.concat(Stream.make(say("one")), Stream.never),
    thinking: Stream.make(say("one")).pipe(Stream.concat(beats), Stream.concat(Stream.make(say("two"), DONE)))
  }
  const stream = ({ payload }: { readonly payload: { readonly model: string } }) =>
    Effect.succeed(Stream.ensuring(answers[payload.model]!, Effect.sync(onEnd)))
  return Object.assign(() => Effect.succeed({}), { stream })
}

const state = { ended: 0 }
const optionsFor = (baseUrl: string) =>
  ({ baseUrl, allowHttp: true, protocol: 2, maxRetries: 0 }) as const

const makeChain = Effect.gen(function*() {
  const router = yield* Servers.router({ model: makeModel(() => state.ended++), protocol: 2 })
  const scope = yield* Effect.scope
  const client = yield* Layer.buildWithScope(Node.layer(optionsFor(router)), scope)
  const app = yield* Effect.provide(Gateway.make({ idleTimeout: Duration.millis(SHORT) }), client)
  return { router, gateway: yield* serve(app, { host: "127.0.0.1", port: 0 }) }
}) satisfies Effect.Effect<unknown, unknown, Scope.Scope>

let chain: Awaited<ReturnType<typeof Servers.scoped<Effect.Effect.Success<typeof makeChain>, unknown>>>
const clients: Array<SecureChatCompletion> = []
const make = (idleTimeout?: number) => {
  const client = new SecureChatCompletion({ ...optionsFor(chain.value.router), idleTimeout })
  clients.push(client)
  return client
}
beforeAll(async () => {
  chain = await Servers.scoped(makeChain)
})
afterAll(async () => {
  for (const client of clients) client.dispose()
  await chain.close()
})

const ask = (model: string) => ({ model, messages: [{ role: "user", content: "Hello!" }] })

const post = (fetch: typeof globalThis.fetch, baseUrl: string) =>
  fetch(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...ask("silent"), stream: true })
  })

describe("idleTimeout", () => {
  it.each([
    ["a client", () => make(SHORT), undefined],
    ["a call", () => make(), { idleTimeout: SHORT }]
  ] as const)("of %s ends a silent stream after what came, and the model's work", async (_, client, options) => {
    const before = state.ended
    const stream = client().stream(ask("silent"), options)
    expect((await stream.next()).value?.choices[0]?.delta.content).toBe("one")
    const error: unknown = await stream.next().catch((error: unknown) => error)
    expect(error).toBeInstanceOf(APIConnectionError)
    expect(error).toMatchObject({ reason: "timeout", attempts: 1,
      message: "The router was silent for 1s within an answer. Try again, or raise idleTimeout" })
    await expect.poll(() => state.ended, { timeout: 30_000 }).toBe(before + 1)
  })

  it("does not end a stream that is alive, though the model thinks for longer", async () => {
    const began = performance.now()
    const { choices } = await make(LONG).stream(ask("thinking")).finalCompletion()
    expect(choices[0]?.message.content).toBe("onetwo")
    expect(performance.now() - began).toBeGreaterThan(LONG)
  })

  it("ends the body of createFetch as a timeout of fetch does", async () => {
    const response = await post(createFetch(make(), { idleTimeout: SHORT }), BASE_URL)
    const error = await response.text().catch((error: unknown) => error)
    expect(error).toMatchObject({ name: "TypeError", message: "fetch failed" })
    expect(String(((error as Error).cause as Error).cause)).toContain("raise idleTimeout")
  })

  it("ends a stream of the gateway with an event that says so", async () => {
    const events = await (await post(fetch, `${chain.value.gateway}/v1`)).text()
    expect(events).toContain("\"content\":\"one\"")
    expect(events).toContain("raise idleTimeout")
    expect(events).toMatch(/data: \[DONE\]\n\n$/)
  })
})
