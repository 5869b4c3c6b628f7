import { assert, describe, it } from "@effect/vitest"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Transport from "../../src/Transport.js"

describe("Transport.make", () => {
  const stream = async function*(chunks: number) {
    for (let n = 0; n < chunks; n++) yield Uint8Array.of(120)
  }
  const transport = (chunks: number) =>
    Transport.make(() => Effect.succeed({ status: 200, header: () => undefined, body: stream(chunks) }))
  const request = { method: "GET", url: "", headers: {}, maxResponseBytes: 300_000 } as const

  const answering = (response: Partial<Transport.Response>, options: Partial<Transport.Request> = {}) =>
    Transport.make(() =>
      Effect.succeed({ status: 200, header: () => undefined, body: stream(0), ...response })
    ).send({ ...request, ...options })

  it.effect("takes a body in as many chunks as it has bytes, and in one", () =>
    Effect.gen(function*() {
      assert.lengthOf(yield* transport(300_000).send(request), 300_000)
      const whole = new Uint8Array(300_000).fill(120)
      const atOnce = async function*() {
        yield whole
      }
      assert.deepStrictEqual(yield* answering({ body: atOnce() }), whole)
      assert.deepInclude(yield* Effect.flip(transport(300_001).send(request)), {
        reason: "response-too-large"
      })
    }))

  it.effect("takes at most twice the memory of a body, however large one may be", () =>
    Effect.gen(function*() {
      assert.isAtMost((yield* transport(1000).send(request)).buffer.byteLength, 2000)
    }))

  it.scoped("reads nothing of an opened answer before it is asked, and copies nothing", () =>
    Effect.gen(function*() {
      const reused = Uint8Array.of(0)
      const body = async function*() {
        for (;;) {
          reused[0]!++
          yield reused
        }
      }
      const { pull } = yield* Transport.make(() =>
        Effect.succeed({ status: 200, header: () => undefined, body: body() })
      ).open({ ...request, maxResponseBytes: 2 })
      assert.strictEqual(reused[0], 0)
      const first = Uint8Array.from((yield* pull)!)
      const second = yield* pull
      assert.deepStrictEqual([first, second], [Uint8Array.of(1), Uint8Array.of(2)])
      assert.strictEqual(second!.buffer, reused.buffer)
      assert.deepInclude(yield* Effect.flip(pull), { reason: "response-too-large" })
    }))

  it.effect("adds no advice to an answer whose reason has its own", () =>
    Effect.gen(function*() {
      const answer = (text: string) => async function*() {
        yield new TextEncoder().encode(text)
      }
      const messageOf = (text: string) =>
        Effect.map(Effect.flip(answering({ status: 404, body: answer(text)() })), ({ message }) => message)
      assert.strictEqual(yield* messageOf("{\"detail\":\"Choose m2\"}"),
        "The router answered 404: Choose m2. Check baseUrl")
      assert.strictEqual(yield* messageOf("{\"detail\":\"Choose m2\",\"reason\":\"model_not_found\"}"),
        "The router answered 404: Choose m2")
    }))

  it("has a name of its own among the services", () => {
    assert.strictEqual(Transport.Transport.key, "nomyo-js/Transport")
  })

  it.effect("knows a redirect for which a browser shows no status", () =>
    Effect.gen(function*() {
      assert.deepInclude(yield* Effect.flip(answering({ status: 0 })), { _tag: "SecurityError",
        reason: "redirect" })
    }))

  it.effect("reads a wait from headers with blanks around", () =>
    Effect.gen(function*() {
      const wait = (name: string, value: string) =>
        Effect.map(
          Effect.flip(answering({ status: 429, header: (header) => header === name ? value : null })),
          (error) => (error as { retryAfter?: number }).retryAfter
        )
      assert.strictEqual(yield* wait("retry-after-ms", " 250 "), 250)
      assert.strictEqual(yield* wait("retry-after", " 7\t"), 7000)
      const midnight = Effect.succeed(Date.UTC(2030, 0, 1))
      const clock: Clock.Clock = Object.assign(Object.create(yield* Effect.clock), {
        currentTimeMillis: midnight
      })
      assert.strictEqual(yield* Effect.withClock(wait("retry-after", "Tue, 01 Jan 2030 00:01:00 GMT"), clock),
        60_000)
    }))

  it.effect("puts a blank in place of control characters", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(answering({
        status: 400,
        body: (async function*() {
          yield new TextEncoder().encode(
            JSON.stringify({ detail: "a\r\n\u001b[2Jb\u007f\u0080\u009f~\u00a0 c" })
          )
        })()
      }))
      assert.strictEqual(error.message, "The router answered 400: a [2Jb ~\u00a0 c")
    }))

  it.effect("finds an API key without its scheme in what a router says", () =>
    Effect.gen(function*() {
      const body = (text: string) => (async function*() {
        yield new TextEncoder().encode(text)
      })()
      const headers = { Authorization: "Bearer sk-0123456789" }
      const error = yield* Effect.flip(
        answering({ status: 401, body: body("{\"detail\":\"sk-0123456789 is no key, sk-0123456789\"}") }, {
          headers
        })
      )
      assert.strictEqual(error.message,
        "The router answered 401: [API key] is no key, [API key]. Check apiKey")
    }))

  it.effect.each([
    ["as it is", "sk-01/2&3456789"],
    ["with an escaped slash", "sk-01\\/2&3456789"],
    ["with an escaped ampersand", "sk-01/2\\u00263456789"],
    ["escaped whole", [..."sk-01/2&3456789"].map((c) => `\\u00${c.charCodeAt(0).toString(16)}`).join("")]
  ])("finds an API key that is spelled %s", ([, spelled]) =>
    Effect.gen(function*() {
      const detail = `[{"loc":["header","${spelled}"],"msg":"${spelled} is no key","type":"${spelled}"}]`
      const body = async function*() {
        yield new TextEncoder().encode(`{"detail":${detail}}`)
      }
      const headers = { Authorization: "Bearer sk-01/2&3456789" }
      const error = yield* Effect.flip(answering({ status: 422, body: body() }, { headers }))
      assert.strictEqual(error.message, "The router answered 422: header.[API key]: [API key] is no key")
      assert.notInclude(JSON.stringify(error), "3456789")
    }))

  it.effect.each([
    ["in a URL", "sk-01%2f2%263456789"],
    ["in HTML", "sk-01&#x2F;2&amp;3456789"],
    ["in decimal HTML", "sk-01&#47;2&#0038;3456789"],
    ["in JSON within JSON", JSON.stringify("sk-01\\/2\\u00263456789").slice(1, -1)],
    ["twice in a URL", "sk-01%252F2%25263456789"],
    ["in capitals", "SK-01/2&3456789"],
    ["in base64", btoa("Bearer sk-01/2&3456789")],
    ["in base64, behind two bytes", btoa("a:sk-01/2&3456789 ")]
  ])("shows no text that holds an API key %s", ([, spelled]) =>
    Effect.gen(function*() {
      const body = async function*() {
        yield new TextEncoder().encode(`{"detail":"header ${spelled} is no key"}`)
      }
      const headers = { Authorization: "Bearer sk-01/2&3456789" }
      const error = yield* Effect.flip(answering({ status: 422, body: body() }, { headers }))
      assert.strictEqual(error.message, "The router answered 422: [API key]")
      assert.deepInclude(error, { errorDetails: { detail: "[API key]" } })
    }))

  it.effect("keeps a text that is spelled so and holds no API key", () =>
    Effect.gen(function*() {
      const body = async function*() {
        yield new TextEncoder().encode(JSON.stringify({ detail: "100%25 &amp; \\u0041 \\n" }))
      }
      const headers = { Authorization: "Bearer sk-01/2&3456789" }
      const error = yield* Effect.flip(answering({ status: 422, body: body() }, { headers }))
      assert.strictEqual(error.message, "The router answered 422: 100%25 &amp; \\u0041 \\n")
    }))

  it.effect("keeps of FastAPI's validation errors what repeats nothing of the request", () =>
    Effect.gen(function*() {
      const entry = { type: "string_type", loc: ["body", "messages", 0, "content"],
        msg: "Input should be a valid string" }
      const whole = {
        detail: [{ ...entry, input: "my prompt", ctx: { error: "my prompt" }, url: "https://x.test" }],
        body: "my prompt"
      }
      const body = async function*() {
        yield new TextEncoder().encode(JSON.stringify(whole))
      }
      const error = yield* Effect.flip(answering({ status: 422, body: body() }))
      assert.deepInclude(error, { errorDetails: { detail: [entry] } })
      assert.strictEqual(error.message,
        "The router answered 422: body.messages.0.content: Input should be a valid string")
      assert.notInclude(JSON.stringify(error), "my prompt")
    }))

  it.live("gives up an error's body that stalls, and closes what it reads in every case", () =>
    Effect.gen(function*() {
      let closed = 0
      const endless = (next: () => Promise<IteratorResult<Uint8Array>>): AsyncIterable<Uint8Array> => ({
        [Symbol.asyncIterator]: () => ({
          next,
          return: () => {
            closed++
            return Promise.reject(new Error("it cannot be closed"))
          }
        })
      })
      const stalled = endless(() => new Promise(() => undefined))
      assert.strictEqual((yield* Effect.flip(answering({ status: 500, body: stalled })))._tag, "ServerError")
      assert.strictEqual(closed, 1)
      const large = endless(() => Promise.resolve({ done: false, value: new Uint8Array(1000) }))
      assert.strictEqual((yield* Effect.flip(answering({ body: large })))._tag, "SecurityError")
      assert.strictEqual(closed, 2)
      assert.strictEqual((yield* Effect.flip(answering({ status: 302, body: large })))._tag, "SecurityError")
      assert.strictEqual(closed, 3)
      const unclosable = {
        [Symbol.asyncIterator]: () => ({ next: () =>
          Promise.resolve({ done: true as const, value: undefined }) })
      }
      assert.lengthOf(yield* answering({ body: unclosable }), 0)
    }))

  it.effect("calls it no HTTP if a parser says so within a body", () =>
    Effect.gen(function*() {
      const failing = async function*(error: unknown): AsyncGenerator<Uint8Array> {
        yield Uint8Array.of(120)
        throw error
      }
      const parser = yield* Effect.flip(
        answering({ body: failing(Object.assign(new Error("x"), { code: "HPE_INVALID_CHUNK_SIZE" })) })
      )
      assert.deepInclude(parser, { reason: "protocol",
        message: "The router's answer is not HTTP (HPE_INVALID_CHUNK_SIZE). Check the port in baseUrl" })
      for (const error of [Object.assign(new Error("x"), { code: "ECONNRESET" }), "no error", undefined]) {
        assert.deepInclude(yield* Effect.flip(answering({ body: failing(error) })), { reason: "truncated" })
      }
    }))
})

describe("Transport.fromFetch", () => {
  const request = { method: "POST", url: "https://router.test/x", headers: { a: "b" },
    maxResponseBytes: 100 } as const

  it.effect("tells fetch to follow nothing, send nothing of the user's, and keep nothing", () =>
    Effect.gen(function*() {
      const calls: Array<readonly [unknown, RequestInit]> = []
      const transport = Transport.fromFetch((url, init) => {
        calls.push([url, init!])
        return Promise.resolve(new Response("real"))
      })
      yield* transport.send({ ...request, body: { length: 2, chunks: ["a", "b"] } })
      yield* transport.send({ ...request, method: "GET" })
      const strict = { headers: { a: "b" }, redirect: "manual", credentials: "omit", cache: "no-store",
        referrerPolicy: "no-referrer" }
      assert.deepStrictEqual(calls.map(([url, { signal: _, ...init }]) => [url, init]), [
        [request.url, { method: "POST", body: Uint8Array.of(97, 98), ...strict }],
        [request.url, { method: "GET", ...strict }]
      ])
    }))

  it.effect("takes an answer that has no body", () =>
    Effect.gen(function*() {
      assert.lengthOf(yield* Transport.fromFetch(() => Promise.resolve(new Response(null))).send(request), 0)
    }))

  it.effect("cancels what it does not read, whatever comes of that", () =>
    Effect.gen(function*() {
      let cancelled = 0
      const aborted: Array<boolean> = []
      const stream = () =>
        new ReadableStream<Uint8Array>({
          pull: (controller) => controller.enqueue(new Uint8Array(60)),
          cancel: () => {
            cancelled++
            throw new Error("it cannot be cancelled")
          }
        })
      const transport = Transport.fromFetch((_, { signal } = {}) => {
        signal!.addEventListener("abort", () => aborted.push(true))
        return Promise.resolve(new Response(stream()))
      })
      assert.deepInclude(yield* Effect.flip(transport.send(request)), { reason: "response-too-large" })
      yield* Effect.promise(() => new Promise(setImmediate))
      assert.deepStrictEqual([cancelled, aborted], [1, [true]])
    }))
})
