/** `nomyo-js/effect4` with the real Effect 4 and the real router. */
import * as Redacted3 from "effect/Redacted"
import * as ConfigProvider from "effect4/ConfigProvider"
import * as Effect from "effect4/Effect"
import * as Exit from "effect4/Exit"
import * as Fiber from "effect4/Fiber"
import * as Layer from "effect4/Layer"
import * as Logger from "effect4/Logger"
import * as Option from "effect4/Option"
import * as Redacted from "effect4/Redacted"
import * as References from "effect4/References"
import * as Result from "effect4/Result"
import * as Scope from "effect4/Scope"
import * as Stream from "effect4/Stream"
import * as Tracer from "effect4/Tracer"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Nomyo from "../../src/effect4/index.js"
import { APIError, DisposedError, InvalidRequestError, RateLimitError } from "../../src/promise/index.js"
import * as Servers from "../support/servers.js"
import { silentRouter } from "../support/silent.js"

const API_KEY = "sk-effect4-0123456789"

let router: { readonly value: string; readonly close: () => Promise<void> }

beforeAll(async () => {
  router = await Servers.scoped(Servers.router({ apiKey: Redacted3.make(API_KEY) }))
})
afterAll(() => router.close())

const fixed = { allowHttp: true, keyDir: false, keySize: 2048, maxRetries: 0 } as const

/** Says nothing: each client warns of plain HTTP. */
const quiet = Layer.provide(Logger.layer([]))

const layer = (options: Nomyo.Options = {}) =>
  quiet(Nomyo.layer({ ...fixed, baseUrl: router.value, apiKey: Redacted.make(API_KEY), ...options }))

const say = (content: string, model = "any") => ({ model, messages: [{ role: "user" as const, content }] })

const create = (content: string, model?: string) =>
  Effect.flatMap(Nomyo.NomyoClient, (client) => client.create(say(content, model)))

const textOf = (answer: Effect.Success<ReturnType<typeof create>>) => answer.choices[0]?.message.content

const run = <A, E, E2>(
  effect: Effect.Effect<A, E, Nomyo.NomyoClient>,
  client: Layer.Layer<Nomyo.NomyoClient, E2>
) => Effect.runPromise(Effect.provide(effect, client))

describe("layer", () => {
  it("makes a client that takes redacted and plain secrets", async () => {
    expect(textOf(await run(create("Hello!"), layer()))).toBe("You said: Hello!")
    expect(textOf(await run(create("Hello!"), layer({ apiKey: API_KEY })))).toBe("You said: Hello!")
    const refused = await run(Effect.flip(create("Hello!")), layer({ apiKey: Redacted.make("wrong") }))
    expect(refused._tag).toBe("AuthenticationError")
  })

  it("fails with an InvalidRequestError for an option that cannot be", async () => {
    const failed = await run(Effect.flip(Effect.provide(create("x"), layer({ maxRetries: -1 }))), layer())
    expect(failed).toBeInstanceOf(InvalidRequestError)
    expect(failed.message).toContain("maxRetries")
  })

  it("writes the client's warnings and debug lines to Effect's logger", async () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${String(message)}`))
    const fetch = () => Promise.reject(new TypeError("no network"))
    const client = Nomyo.layer({ ...fixed, baseUrl: "http://router.test", fetch, debug: true }).pipe(
      Layer.provide([Logger.layer([logger]), Layer.succeed(References.MinimumLogLevel, "Debug")])
    )
    await run(Effect.flip(create("x")), client)
    expect(lines).toContainEqual(expect.stringMatching(/^Warn .*http:\/\/router\.test/))
    expect(lines).toContainEqual(expect.stringMatching(/^Debug /))
  })

  it("disposes the client with its scope: what is in flight fails with a DisposedError", async () => {
    const silent = await Servers.scoped(silentRouter(router.value))
    const scope = Scope.makeUnsafe()
    const context = await Effect.runPromise(Layer.buildWithScope(layer({ baseUrl: silent.value }), scope))
    const client = Effect.runSync(Effect.provideContext(Nomyo.NomyoClient, context))
    const inFlight = Effect.runPromise(Effect.flip(client.create(say("Hello!"))))
    await fetch(`${silent.value}/arrived`)
    await Effect.runPromise(Scope.close(scope, Exit.void))
    expect(await inFlight).toBeInstanceOf(DisposedError)
    await fetch(`${silent.value}/closed`)
    expect(await Effect.runPromise(Effect.flip(client.ready))).toBeInstanceOf(DisposedError)
    await silent.close()
  })
})

describe("layerConfig", () => {
  const provided = (env: Record<string, string>) =>
    quiet(Nomyo.layerConfig().pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))))

  const env = {
    NOMYO_API_KEY: API_KEY,
    NOMYO_ALLOW_HTTP: "true",
    NOMYO_KEY_DIR: "false",
    NOMYO_KEY_SIZE: "2048",
    NOMYO_TIMEOUT: "30 seconds",
    NOMYO_MAX_RETRIES: " "
  }

  it("reads the options by the names of the environment", async () => {
    const answer = await run(create("Hello!"), provided({ ...env, NOMYO_BASE_URL: router.value }))
    expect(textOf(answer)).toBe("You said: Hello!")
  })

  it("fails with a ConfigError that names a value that it cannot read", async () => {
    const broken = provided({ ...env, NOMYO_KEY_SIZE: "1024" })
    const error = await run(Effect.flip(Effect.provide(create("x"), broken)), layer())
    expect(error).toMatchObject({ _tag: "ConfigError" })
    expect(String(error.message)).toContain("NOMYO_KEY_SIZE")
  })
})

describe("create", () => {
  it("fails with errors that catchTag tells apart, and instanceof too", async () => {
    const caught = await run(
      create("x", "status/429").pipe(
        Effect.as("an answer"),
        Effect.catchTag("RateLimitError", (error: RateLimitError) => Effect.succeed(error))
      ),
      layer()
    )
    expect(caught).toBeInstanceOf(RateLimitError)
    expect(caught).toBeInstanceOf(APIError)
    expect(caught).toMatchObject({ statusCode: 429, attempts: 1 })
  })

  it("closes its connection when it is interrupted", async () => {
    const silent = await Servers.scoped(silentRouter(router.value))
    const program = Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(create("x"))
      yield* Effect.promise(() => fetch(`${silent.value}/arrived`))
      yield* Fiber.interrupt(fiber)
      yield* Effect.promise(() => fetch(`${silent.value}/closed`))
      return yield* Fiber.await(fiber)
    })
    const exit = await run(program, layer({ baseUrl: silent.value }))
    expect(Exit.hasInterrupts(exit)).toBe(true)
    await silent.close()
  })

  it("is a span below the caller's, and holds nothing of the prompt or the answer", async () => {
    const spans: Array<Tracer.NativeSpan> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    await run(create("a secret prompt").pipe(Effect.withSpan("caller"), Effect.withTracer(tracer)), layer())
    const [caller, call] = spans
    expect(spans.map(({ name }) => name)).toEqual(["caller", "NomyoClient.create"])
    expect(Option.getOrThrow(call!.parent).spanId).toBe(caller!.spanId)
    expect(call!.status).toMatchObject({ _tag: "Ended", exit: { _tag: "Success" } })
    const plain = (_key: string, value: unknown) => typeof value === "bigint" ? String(value) : value
    expect(JSON.stringify([call!.status, call!.events], plain)).not.toContain("secret prompt")
    expect(Object.fromEntries(call!.attributes)).toEqual({
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "nomyo",
      "gen_ai.request.model": "any"
    })
  })
})

describe("createAll", () => {
  type Requests<E> = Stream.Stream<ReturnType<typeof say>, E>

  const createAll = <E>(requests: Requests<E>, options?: Nomyo.BatchOptions) =>
    Stream.unwrap(Effect.map(Nomyo.NomyoClient, (client) => client.createAll(requests, options)))

  it("gives each request's outcome with its index", async () => {
    const requests = Stream.make(say("one"), say("two", "status/403"), say("three"))
    const outcomes = await run(Stream.runCollect(createAll(requests, { ordered: true })), layer())
    const texts = outcomes.map(({ index, result }) =>
      Result.isSuccess(result) ? [index, textOf(result.success)] : [index, result.failure._tag])
    expect(texts).toEqual([[0, "You said: one"], [1, "ForbiddenError"], [2, "You said: three"]])
  })

  it("reads its input no faster than outcomes are taken", async () => {
    let read = 0
    const requests = Stream.fromAsyncIterable((async function*() {
      while (read < 100) yield say(String(++read))
    })(), (error) => error)
    const reads = Stream.map(createAll(requests, { concurrency: 2, ordered: true }), () => read)
    const counts = await run(Stream.runCollect(Stream.take(reads, 5)), layer())
    // two are in flight, or answered and not taken; one more may be read ahead on either side
    const ahead = counts.map((count, taken) => count - taken)
    expect(Math.max(...ahead)).toBeLessThanOrEqual(4)
    expect(read).toBeLessThan(100)
  })

  it("fails with the input's own error, after the outcomes before it", async () => {
    const requests = Stream.concat(Stream.make(say("one")), Stream.fail("no more input" as const))
    const seen: Array<number> = []
    const note = ({ index }: Nomyo.Outcome) => Effect.sync(() => void seen.push(index))
    const batch = Stream.runForEach(createAll(requests), note)
    const error = await run(Effect.flip(batch), layer())
    expect({ error, seen }).toEqual({ error: "no more input", seen: [0] })
  })

  it("fails with an InvalidRequestError for options that cannot be", async () => {
    const batch = Stream.runDrain(createAll(Stream.make(say("one")), { concurrency: 0 }))
    expect(await run(Effect.flip(batch), layer())).toBeInstanceOf(InvalidRequestError)
  })

  it("cancels what is in flight when it is interrupted", async () => {
    const silent = await Servers.scoped(silentRouter(router.value))
    const program = Effect.gen(function*() {
      const batch = createAll(Stream.make(say("one"), say("two")))
      const fiber = yield* Effect.forkChild(Stream.runDrain(batch))
      yield* Effect.promise(() => fetch(`${silent.value}/arrived`))
      yield* Fiber.interrupt(fiber)
      yield* Effect.promise(() => fetch(`${silent.value}/closed`))
    })
    await run(program, layer({ baseUrl: silent.value }))
    await silent.close()
  })
})

describe("the service", () => {
  it("is mocked by Layer.mock, and what is not mocked is a defect", async () => {
    const answer = await run(create("Hello!"), layer())
    const mock = Layer.mock(Nomyo.NomyoClient, { create: () => Effect.succeed(answer) })
    expect(await run(create("anything"), mock)).toBe(answer)
    const exit = await Effect.runPromiseExit(
      Effect.flatMap(Nomyo.NomyoClient, ({ rotateKeys }) => rotateKeys).pipe(Effect.provide(mock))
    )
    expect(Exit.hasDies(exit)).toBe(true)
  })

  it("makes, replaces and forgets keys", async () => {
    const fingerprints = Effect.gen(function*() {
      const client = yield* Nomyo.NomyoClient
      const first = yield* client.ready
      const rotated = yield* client.rotateKeys
      yield* client.forgetKeys
      return new Set([first, rotated, yield* client.ready].map(({ fingerprint }) => fingerprint))
    })
    expect((await run(fingerprints, layer())).size).toBe(3)
  })
})
