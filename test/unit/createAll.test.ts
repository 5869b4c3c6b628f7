import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { afterAll, beforeAll } from "vitest"
import { type BatchOptions, type BatchResult, DisposedError, InvalidRequestError,
  SecureChatCompletion } from "../../src/index.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import * as Node from "../../src/platform/node/index.js"
import { collect, defaults, endless, error, type Requests, say, textOf, until,
  useRouter } from "../support/batches.js"
import * as Hostile from "../support/hostile.js"
import * as Servers from "../support/servers.js"

/** What became of a request: the text of the answer, or the name of the error. */
interface Result {
  readonly index: number
  readonly came: string | null | undefined
}

/** One client, whichever the API. */
interface Client {
  readonly createAll: (requests: Requests, options?: Omit<BatchOptions, "signal">) => AsyncIterable<Result>
  readonly dispose: () => Promise<void>
}

interface Options {
  readonly baseUrl: string
  readonly throttle: boolean
}

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
  const runtime = ManagedRuntime.make(
    Layer.provide(Node.layer({ ...defaults, ...options }), Logger.remove(Logger.defaultLogger))
  )
  return {
    createAll: async function*(requests, options) {
      const input = Stream.fromAsyncIterable((async function*() {
        yield* requests
      })(), identity)
      const results = Stream.map(
        NomyoClient.createAll(input, options),
        ({ index, result }): Result => ({ index,
          came: Either.match(result, { onLeft: ({ name }) => name, onRight: textOf }) })
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

const router = useRouter()

describe.each(apis)("createAll, %s", (_, makeClient) => {
  const make = (baseUrl: string, throttle = false) => makeClient({ baseUrl, throttle })
  let client: Client
  beforeAll(() => {
    client = make(router.url)
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
    for (const input of inputs)
      assert.deepStrictEqual(await collect(client.createAll(input, { ordered: true })), answers)
    assert.deepStrictEqual(await collect(client.createAll([])), [])
  })

  it("gives results as they come, or in the order of the requests", async () => {
    const requests = [say("zero", "held"), say("one"), say("two"), say("three")]
    const came: Array<number> = []
    for await (const { index } of client.createAll(requests, { concurrency: 2 })) {
      came.push(index)
      if (came.length === 3) router.open()
    }
    assert.deepStrictEqual(came, [1, 2, 3, 0])

    router.reset()
    const inOrder = collect(client.createAll(requests, { concurrency: 3, ordered: true }))
    await until(() => router.seen.asked === 3 && router.seen.now === 1)
    router.open()
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
    assert.deepStrictEqual(
      (await collect(client.createAll(requests, { ordered: true }))).map(({ came }) => came),
      [
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
      ]
    )
  })

  it("sets timeout and maxRetries for each request", async () => {
    const came = async (requests: Requests, options: BatchOptions) =>
      (await collect(client.createAll(requests, options))).map(({ came }) => came)
    assert.deepStrictEqual(await came([say("", "held"), say("", "held")], { timeout: 300 }), [
      "APIConnectionError",
      "APIConnectionError"
    ])
    const retried = await came([say("zero", "status/503/1"), say("", "status/503")], { maxRetries: 1,
      ordered: true })
    assert.deepStrictEqual(retried, ["You said: zero", "ServiceUnavailableError"])
  })

  it.each([[undefined, 4], [1, 1], [3, 3], [20, 20]])(
    "with concurrency %s has %i requests out, and never more",
    async (concurrency, most) => {
      for (const ordered of [false, true]) {
        router.reset()
        const requests = Array.from({ length: 2 * most + 2 }, (_, i) => say(String(i), "held"))
        const results = collect(client.createAll(requests, { concurrency, ordered }))
        await until(() => router.seen.now === most)
        router.open()
        assert.sameMembers((await results).map(({ index }) => index), requests.map((_, i) => i))
        assert.strictEqual(router.seen.most, most)
      }
    }
  )

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "4" as never])(
    "refuses a concurrency of %s, and reads nothing",
    async (concurrency) => {
      const { requests, state } = endless()
      const failure = await error(collect(client.createAll(requests, { concurrency })))
      assert.instanceOf(failure, InvalidRequestError)
      assert.match((failure as Error).message, /^concurrency must be a whole number, 1 or more/)
      assert.strictEqual(state.read, 0)
    }
  )

  it.each([false, true])("reads and asks no faster than results are taken (ordered: %s)", async (ordered) => {
    const { requests, state } = endless()
    const results = client.createAll(requests, { concurrency: 3, ordered })[Symbol.asyncIterator]()
    for (const taken of [1, 2, 3, 4, 5]) {
      await results.next()
      await until(() => router.seen.asked === taken + 3 && router.seen.now === 0)
      // time enough for one more
      await collect(client.createAll([say("another")]))
      router.seen.asked--
      assert.deepStrictEqual(
        { asked: router.seen.asked, read: state.read },
        { asked: taken + 3, read: taken + 3 }
      )
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
      await until(() => router.seen.asked === Math.min(concurrency, 2))
      router.open()
      assert.strictEqual(await failed, failure)
      assert.sameDeepMembers(came, answers.slice(0, 2))
    }
  )

  it("cancels what is out and closes its input when its loop is left", async () => {
    const hostile = await Servers.scoped(Hostile.make.pipe(Effect.provide(Servers.platform)))
    const client = make(hostile.value.url)
    const { requests, state } = endless()
    try {
      let asked = 0
      hostile.value.script = { completion: (ask) => void (++asked <= 1 ? Hostile.honest(ask) : undefined) }
      for await (const { came } of client.createAll(requests, { concurrency: 3 })) {
        assert.strictEqual(came, "You said: 0")
        await until(() => asked === 4)
        break
      }
      assert.isTrue(state.isClosed)
      // ends when the three connections that were not answered are closed
      await hostile.value.left
      assert.strictEqual(asked, 4)
    } finally {
      await client.dispose()
      await hostile.close()
    }
  })

  it.each([false, true])("fails with a DisposedError when its client is disposed (ordered: %s)",
    async (ordered) => {
      const client = make(router.url)
      const { requests, state } = endless("held")
      const failed = error(collect(client.createAll(requests, { ordered })))
      await until(() => router.seen.asked === 4)
      await client.dispose()
      assert.instanceOf(await failed, DisposedError)
      assert.isTrue(state.isClosed)
      assert.isAtMost(state.read, 4)
      await until(() => router.seen.now === 0)
    })

  it("passes at the pace of the throttle", async () => {
    const limited = await Servers.scoped(Servers.router({ rateLimit: true }))
    const client = make(limited.value, true)
    try {
      const requests = prompts.map((content) => say(content))
      assert.deepStrictEqual(await collect(client.createAll(requests, { concurrency: 6, ordered: true })),
        answers)
    } finally {
      await client.dispose()
      await limited.close()
    }
  })
})
