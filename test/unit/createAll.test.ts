import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from "vitest"
import {
  type BatchOptions,
  type BatchResult,
  type ChatCompletionRequest,
  type ChatCompletionResponse,
  DisposedError,
  InvalidRequestError,
  SecureChatCompletion
} from "../../src/index.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import { fromStatus } from "../../src/internal/errors.js"
import * as Node from "../../src/platform/node/index.js"
import * as Model from "../../src/router/Model.js"
import { makeRateLimit } from "../../src/router/rateLimit.js"
import * as Hostile from "../support/hostile.js"
import * as Mocks from "../support/mocks.js"
import * as Servers from "../support/servers.js"

/** What became of a request: the text of the answer, or the name of the error. */
interface Result {
  readonly index: number
  readonly came: string | null | undefined
}

type Requests = Iterable<ChatCompletionRequest> | AsyncIterable<ChatCompletionRequest>

/** One client, whichever the API. */
interface Client {
  readonly createAll: (requests: Requests, options?: Omit<BatchOptions, "signal">) => AsyncIterable<Result>
  readonly dispose: () => Promise<void>
}

interface Options {
  readonly baseUrl: string
  readonly throttle: boolean
}

const defaults = { allowHttp: true, keyDir: false, keySize: 2048, maxRetries: 0 } as const

const textOf = ({ choices }: ChatCompletionResponse) => choices[0]?.message.content

const resultOf = (result: BatchResult): Result => ({
  index: result.index,
  came: result.status === "fulfilled" ? textOf(result.value) : result.reason.name
})

const makePromise = (options: Options): Client => {
  const client = new SecureChatCompletion({ ...defaults, ...options })
  return {
    createAll: async function*(requests, options) {
      for await (const result of client.createAll(requests, options)) yield resultOf(result)
    },
    dispose: () => client[Symbol.asyncDispose]()
  }
}

const makeEffect = (options: Options): Client => {
  const runtime = ManagedRuntime.make(Layer.provide(Node.layer({ ...defaults, ...options }), Logger.remove(Logger.defaultLogger)))
  return {
    createAll: async function*(requests, options) {
      const input = Stream.fromAsyncIterable((async function*() {
        yield* requests
      })(), identity)
      const results = Stream.map(
        NomyoClient.createAll(input, options),
        ({ index, result }): Result => ({ index, came: Either.match(result, { onLeft: ({ name }) => name, onRight: textOf }) })
      )
      const scope = Effect.runSync(Scope.make())
      try {
        const pull = await runtime.runPromise(Scope.extend(Stream.toPull(results), scope))
        for (;;) {
          const taken = await runtime.runPromise(Effect.either(pull))
          if (Either.isRight(taken)) yield* taken.right
          else if (Option.isSome(taken.left)) throw taken.left.value
          else return
        }
      } finally {
        await Effect.runPromise(Scope.close(scope, Exit.void))
      }
    },
    dispose: () => runtime.dispose()
  }
}

const apis = [["Promise", makePromise], ["Effect", makeEffect]] as const

const say = (content: string, model = "m"): ChatCompletionRequest => ({ model, messages: [{ role: "user", content }] })

/** Requests without an end, that count how many of them were read and whether they were closed. */
const endless = (model?: string) => {
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

const collect = async <A>(results: AsyncIterable<A>): Promise<ReadonlyArray<A>> => {
  const collected: Array<A> = []
  for await (const result of results) collected.push(result)
  return collected
}

const error = (promise: Promise<unknown>) => promise.then(() => expect.fail("it did not fail"), (error: unknown) => error)

const until = (isSo: () => boolean) => vi.waitUntil(isSo, { timeout: 20_000 })

const fresh = () => ({ asked: 0, now: 0, most: 0, gate: Effect.runSync(Deferred.make<void>()) })

/** What the model sees, and `gate`: the model `held` answers when it is opened. */
let seen = fresh()

const model = Effect.map(Model.makeEcho, (echo): Model.Model => (request) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      seen.asked++
      seen.most = Math.max(seen.most, ++seen.now)
      return seen
    }),
    ({ gate }) => Effect.zipRight(request.payload.model === "held" ? Deferred.await(gate) : Effect.sleep("20 millis"), echo(request)),
    (seen) => Effect.sync(() => seen.now--)
  ))

const open = () => Effect.runSync(Deferred.succeed(seen.gate, undefined))

let url: string
let close: () => Promise<void>
beforeAll(async () => {
  ({ close, value: url } = await Servers.scoped(Servers.router({ model: Effect.runSync(model) })))
})
afterAll(() => close())

beforeEach(() => {
  seen = fresh()
  // every client here talks plain HTTP, and says so
  vi.spyOn(console, "warn").mockImplementation(() => undefined)
})
afterEach(() => void vi.restoreAllMocks())

describe.each(apis)("createAll, %s", (_, makeClient) => {
  const make = (baseUrl: string, throttle = false) => makeClient({ baseUrl, throttle })
  let client: Client
  beforeAll(() => {
    client = make(url)
  })
  afterAll(() => client.dispose())

  const prompts = ["zero", "one", "two", "three", "four", "five"]
  const answers = prompts.map((content, index) => ({ index, came: `You said: ${content}` }))

  it("takes an array, a generator and an async generator", async () => {
    const inputs = [
      prompts.map((content) => say(content)),
      (function*() {
        for (const content of prompts) yield say(content)
      })(),
      (async function*() {
        for (const content of prompts) yield await Promise.resolve(say(content))
      })()
    ]
    for (const input of inputs) assert.deepStrictEqual(await collect(client.createAll(input, { ordered: true })), answers)
    assert.deepStrictEqual(await collect(client.createAll([])), [])
  })

  it("gives results as they come, or in the order of the requests", async () => {
    const requests = [say("zero", "held"), say("one"), say("two"), say("three")]
    const came: Array<number> = []
    for await (const { index } of client.createAll(requests, { concurrency: 2 })) {
      came.push(index)
      if (came.length === 3) open()
    }
    assert.deepStrictEqual(came, [1, 2, 3, 0])

    seen = fresh()
    const inOrder = collect(client.createAll(requests, { concurrency: 3, ordered: true }))
    await until(() => seen.asked === 3 && seen.now === 1)
    open()
    assert.deepStrictEqual(await inOrder, answers.slice(0, 4))
  })

  it("gives each request an outcome of its own", async () => {
    const requests = [
      say("zero"),
      say("", ""),
      say("", "status/401"),
      say("three"),
      say("", "status/429"),
      say("", "status/500"),
      { ...say(""), base_url: "http://127.0.0.1:1" },
      { ...say(""), base_url: "nowhere" },
      "what is this?" as never,
      say("nine")
    ]
    assert.deepStrictEqual((await collect(client.createAll(requests, { ordered: true }))).map(({ came }) => came), [
      "You said: zero",
      "InvalidRequestError",
      "AuthenticationError",
      "You said: three",
      "RateLimitError",
      "ServerError",
      "APIConnectionError",
      "InvalidRequestError",
      "InvalidRequestError",
      "You said: nine"
    ])
  })

  it("sets timeout and maxRetries for each request", async () => {
    const came = async (requests: Requests, options: BatchOptions) => (await collect(client.createAll(requests, options))).map(({ came }) => came)
    assert.deepStrictEqual(await came([say("", "held"), say("", "held")], { timeout: 300 }), ["APIConnectionError", "APIConnectionError"])
    const retried = await came([say("zero", "status/503/1"), say("", "status/503")], { maxRetries: 1, ordered: true })
    assert.deepStrictEqual(retried, ["You said: zero", "ServiceUnavailableError"])
  })

  it.each([[undefined, 4], [1, 1], [3, 3], [20, 20]])("with concurrency %s has %i requests out, and never more", async (concurrency, most) => {
    for (const ordered of [false, true]) {
      seen = fresh()
      const requests = Array.from({ length: 2 * most + 2 }, (_, i) => say(String(i), "held"))
      const results = collect(client.createAll(requests, { concurrency, ordered }))
      await until(() => seen.now === most)
      open()
      assert.sameMembers((await results).map(({ index }) => index), requests.map((_, i) => i))
      assert.strictEqual(seen.most, most)
    }
  })

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "4" as never])("refuses a concurrency of %s, and reads nothing", async (concurrency) => {
    const { requests, state } = endless()
    const failure = await error(collect(client.createAll(requests, { concurrency })))
    assert.instanceOf(failure, InvalidRequestError)
    assert.match((failure as Error).message, /^concurrency is a whole number, 1 or more/)
    assert.strictEqual(state.read, 0)
  })

  it.each([false, true])("reads and asks no faster than results are taken (ordered: %s)", async (ordered) => {
    const { requests, state } = endless()
    const results = client.createAll(requests, { concurrency: 3, ordered })[Symbol.asyncIterator]()
    for (const taken of [1, 2, 3, 4, 5]) {
      await results.next()
      await until(() => seen.asked === taken + 3 && seen.now === 0)
      // time enough for one more
      await collect(client.createAll([say("another")]))
      seen.asked--
      assert.deepStrictEqual([seen.asked, state.read], [taken + 3, taken + 3])
    }
    await results.return!()
    assert.isTrue(state.isClosed)
  })

  it.each([[1, false], [1, true], [2, false], [2, true], [5, false], [5, true]])(
    "gives the results of what was read before its input fails, and then that failure (concurrency %i, ordered: %s)",
    async (concurrency, ordered) => {
      const failure = new Error("no more")
      const requests = function*() {
        yield say("zero", "held")
        yield say("one")
        throw failure
      }
      const came: Array<Result> = []
      const run = async () => {
        for await (const result of client.createAll(requests(), { concurrency, ordered })) came.push(result)
      }
      const failed = error(run())
      await until(() => seen.asked === Math.min(concurrency, 2))
      open()
      assert.strictEqual(await failed, failure)
      assert.sameDeepMembers(came, answers.slice(0, 2))
    }
  )

  it("cancels what is out and closes its input when its loop is left", async () => {
    const router = await Servers.scoped(Hostile.make.pipe(Effect.provide(Servers.platform)))
    const client = make(router.value.url)
    const { requests, state } = endless()
    try {
      let asked = 0
      router.value.script = { completion: (ask) => void (++asked <= 1 ? Hostile.honest(ask) : undefined) }
      for await (const { came } of client.createAll(requests, { concurrency: 3 })) {
        assert.strictEqual(came, "You said: 0")
        await until(() => asked === 4)
        break
      }
      assert.isTrue(state.isClosed)
      // ends when the three connections that were not answered are closed
      await router.value.left
      assert.strictEqual(asked, 4)
    } finally {
      await client.dispose()
      await router.close()
    }
  })

  it.each([false, true])("fails with a DisposedError when its client is disposed (ordered: %s)", async (ordered) => {
    const client = make(url)
    const { requests, state } = endless("held")
    const failed = error(collect(client.createAll(requests, { ordered })))
    await until(() => seen.asked === 4)
    await client.dispose()
    assert.instanceOf(await failed, DisposedError)
    assert.isTrue(state.isClosed)
    assert.isAtMost(state.read, 4)
    await until(() => seen.now === 0)
  })

  it("passes at the pace of the throttle", async () => {
    const router = await Servers.scoped(Servers.router({ rateLimit: true }))
    const client = make(router.value, true)
    try {
      const requests = prompts.map((content) => say(content))
      assert.deepStrictEqual(await collect(client.createAll(requests, { concurrency: 6, ordered: true })), answers)
    } finally {
      await client.dispose()
      await router.close()
    }
  })
})

describe("createAll of SecureChatCompletion", () => {
  const make = () => new SecureChatCompletion({ ...defaults, baseUrl: url })
  let client: SecureChatCompletion
  beforeAll(() => {
    client = make()
  })
  afterAll(() => client.dispose())

  /** Its first request is there; the second never comes. */
  const stuck = () => {
    const input = { reads: 0, returns: 0 }
    const requests: AsyncIterable<ChatCompletionRequest> = {
      [Symbol.asyncIterator]: () => ({
        next: () => ++input.reads === 1 ? Promise.resolve({ done: false, value: say("zero") }) : new Promise(() => undefined),
        return: () => {
          input.returns++
          return Promise.reject(new Error("it cannot be closed either"))
        }
      })
    }
    return { input, requests }
  }

  it("settles as Promise.allSettled does", async () => {
    const [answered, failed] = await collect(client.createAll([say("zero"), say("", "status/403")], { ordered: true }))
    expect(answered).toMatchObject({ index: 0, status: "fulfilled", value: { choices: [{ message: { content: "You said: zero" } }] } })
    expect(failed).toMatchObject({ index: 1, status: "rejected", reason: { name: "ForbiddenError", statusCode: 403, attempts: 1 } })
  })

  it("does nothing until it is iterated", async () => {
    const { requests, state } = endless()
    const batch = client.createAll(requests)
    await batch.return()
    assert.deepStrictEqual([state.read, seen.asked], [0, 0])
  })

  it("is cancelled by a signal, with the signal's reason", async () => {
    const reason = new Error("enough")
    const before = endless()
    assert.strictEqual(await error(collect(client.createAll(before.requests, { signal: AbortSignal.abort(reason) }))), reason)
    assert.strictEqual(before.state.read, 0)

    const controller = new AbortController()
    const during = endless("held")
    const failed = error(collect(client.createAll(during.requests, { signal: controller.signal, concurrency: 20 })))
    await until(() => seen.asked === 20)
    controller.abort(reason)
    assert.strictEqual(await failed, reason)
    assert.deepInclude(during.state, { read: 20, isClosed: true })
    await until(() => seen.now === 0)
    assert.strictEqual(textOf(await client.create(say("still there"))), "You said: still there")
  })

  it("is not held up by an input that is: by an abort, a disposal, or when its loop is left", async () => {
    const reason = new Error("enough")
    const controller = new AbortController()
    const [aborted, disposed, left] = [stuck(), stuck(), stuck()]
    const client = make()
    for await (const { index } of client.createAll(left.requests)) {
      assert.strictEqual(index, 0)
      break
    }
    const abort = client.createAll(aborted.requests, { signal: controller.signal })
    await abort.next()
    const abortFailed = error(abort.next())
    controller.abort(reason)
    assert.strictEqual(await abortFailed, reason)

    const dispose = client.createAll(disposed.requests)
    await dispose.next()
    const disposeFailed = error(dispose.next())
    client.dispose()
    assert.instanceOf(await disposeFailed, DisposedError)
    for (const { input } of [aborted, disposed, left]) assert.deepStrictEqual(input, { reads: 2, returns: 1 })
  })

  it("fails with a DisposedError after its client was disposed, and reads nothing", async () => {
    const client = make()
    client.dispose()
    const { requests, state } = endless()
    assert.instanceOf(await error(collect(client.createAll(requests))), DisposedError)
    assert.strictEqual(state.read, 0)
  })

  it("closes its input as for await does: unless it has ended, and failing with what goes wrong", async () => {
    const failure = new Error("not closed")
    const requests = (length: number): Iterable<ChatCompletionRequest> => ({
      [Symbol.iterator]: () => ({
        next: () => ({ done: length-- === 0, value: say("x") }),
        return: () => {
          throw failure
        }
      })
    })
    const first = async (length: number) => {
      for await (const _ of client.createAll(requests(length))) break
    }
    assert.strictEqual(await error(first(Number.POSITIVE_INFINITY)), failure)
    assert.lengthOf(await collect(client.createAll(requests(1))), 1)
  })

  it("rejects with its own errors whatever it is given, and no request holds up the others", async () => {
    for (const requests of [undefined, null, 7, {}]) {
      assert.instanceOf(await error(collect(client.createAll(requests as never))), InvalidRequestError)
    }
    const trap = Object.defineProperty({ ...say("x") }, "model", { enumerable: true, get: () => { throw new Error("a trap") } })
    const [trapped, answered] = await collect(client.createAll([trap, say("one")], { ordered: true }))
    expect([trapped, answered]).toMatchObject([{ status: "rejected", reason: { _tag: "InvalidRequestError" } }, { status: "fulfilled" }])
    assert.lengthOf(await collect(client.createAll([say("x")], null as never)), 1)
  })
})

describe("createAll of NomyoClient", () => {
  const requests = Stream.map(Stream.range(1, 12), (n) => say(String(n)))
  const answer = Effect.succeed(Mocks.completion("Hi."))

  it.effect("meets no 429 under a throttle, and does without one", () =>
    Effect.gen(function*() {
      const rights = (throttle: boolean) => {
        const limit = makeRateLimit()
        const router = Mocks.scripted(() => Effect.zipRight(limit("key"), answer))
        return Effect.gen(function*() {
          const batch = yield* Effect.fork(Stream.runCollect(NomyoClient.createAll(requests)))
          yield* TestClock.adjust("1 minute")
          return [...yield* Fiber.join(batch)].filter(({ result }) => Either.isRight(result)).length
        }).pipe(Effect.provide(Mocks.client(router.layer, { throttle, maxRetries: 0 })))
      }
      assert.deepStrictEqual([yield* rights(true), yield* rights(false)], [12, 4])
    }))

  it.effect("cancels what is out when it is interrupted, or enough was taken", () => {
    let out = 0
    const router = Mocks.scripted((n) =>
      n === 1 ? answer : Effect.acquireUseRelease(Effect.sync(() => out++), () => Effect.never, () => Effect.sync(() => out--)))
    return Effect.gen(function*() {
      const batch = yield* Effect.fork(Stream.runCollect(NomyoClient.createAll(requests, { concurrency: 5 })))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(out, 5)
      yield* Fiber.interrupt(batch)
      assert.strictEqual(out, 0)
      router.state.sent.length = 0
      const taken = yield* requests.pipe(NomyoClient.createAll({ concurrency: 5 }), Stream.take(1), Stream.runCollect)
      assert.deepStrictEqual([taken.length, out], [1, 0])
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("can be run again, from 0", () =>
    Effect.gen(function*() {
      const batch = NomyoClient.createAll(requests, { concurrency: 2 })
      for (const _ of ["once", "again"]) {
        const indices = [...yield* Stream.runCollect(batch)].map(({ index }) => index)
        assert.sameMembers(indices, Array.from({ length: 12 }, (_, i) => i))
      }
    }).pipe(Effect.provide(Mocks.client(Mocks.scripted(() => answer).layer))))

  it.effect("works with any NomyoClient", () =>
    Effect.gen(function*() {
      const create: NomyoClient.Service["create"] = ({ model }) => Effect.fail(fromStatus({ statusCode: 403, message: model }))
      const [outcome] = yield* Stream.runCollect(NomyoClient.createAll(requests)).pipe(
        Effect.provideService(NomyoClient.NomyoClient, { create } as NomyoClient.Service)
      )
      assert.deepInclude(outcome, { index: 0 })
      assert.deepInclude(Either.getOrThrow(Either.flip(outcome!.result)), { _tag: "ForbiddenError", message: "m" })
    }))
})
