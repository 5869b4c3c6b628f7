import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Random from "effect/Random"
import * as TestClock from "effect/TestClock"
import { vi } from "vitest"
import * as ChatCompletion from "../../src/ChatCompletion.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import { fromStatus } from "../../src/internal/errors.js"
import { APIConnectionError, SecurityError } from "../../src/NomyoError.js"
import * as Transport from "../../src/Transport.js"
import { hello, create, ok, status, timed } from "../support/calls.js"
import * as Mocks from "../support/mocks.js"

describe("retry", () => {
  it.effect("tries again after 1 s, 2 s and 4 s and up to a quarter more, under one payload id, sealed afresh", () => {
    const router = Mocks.scripted((n) => n < 4 ? status(503) : ok)
    const times: Array<number> = []
    const watched = Layer.map(router.layer, (context) => {
      const transport = Context.get(context, Transport.Transport)
      return Context.make(Transport.Transport, {
        open: () => Effect.never,
        send: (request) =>
          Effect.zipRight(
            Effect.map(Clock.currentTimeMillis, (now) => request.method === "POST" && times.push(now)),
            transport.send(request)
          )
      })
    })
    return Effect.gen(function*() {
      const { exit } = yield* timed(create(hello, { maxRetries: 3 }))
      assert.isTrue(Exit.isSuccess(exit))
      const waits = times.slice(1).map((at, i) => at - times[i]!)
      assert.lengthOf(waits, 3)
      waits.forEach((wait, i) => {
        assert.isAtLeast(wait, 1000 * 2 ** i)
        assert.isAtMost(wait, 1250 * 2 ** i)
      })
      assert.strictEqual(new Set(router.state.sent.map(({ headers }) => headers["X-Payload-ID"])).size, 1)
      assert.strictEqual(new Set(router.state.sent.map(({ body }) => new TextDecoder().decode(body))).size, 4)
    }).pipe(Effect.withRandom(Random.make("seed")), Effect.provide(Mocks.client(watched)))
  })

  it.effect.each([429, 500, 502, 503, 504])("tries a %i again, twice, and reports it then", (code) => {
    const router = Mocks.scripted(() => status(code))
    return Effect.gen(function*() {
      const { exit } = yield* timed(Effect.flip(create(hello)))
      assert.deepInclude(Exit.getOrElse(exit, () => undefined), {
        statusCode: code,
        attempts: 3,
        payloadId: "00000000-0000-4000-8000-000000000001"
      })
      assert.lengthOf(router.state.sent, 3)
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect.each([400, 401, 403, 404, 413, 418])("does not try a %i again", (code) => {
    const router = Mocks.scripted(() => status(code))
    return Effect.gen(function*() {
      const error = yield* Effect.flip(create(hello))
      assert.deepInclude(error, { statusCode: code, attempts: 1 })
      assert.lengthOf(router.state.sent, 1)
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("tries network failures again, and never what is not safe", () => {
    const failures = [
      new APIConnectionError({ reason: "network", message: "gone" }),
      new SecurityError({ reason: "redirect", message: "elsewhere" })
    ]
    const router = Mocks.scripted((n) => Effect.fail(failures[n - 1]!))
    return Effect.gen(function*() {
      const { exit } = yield* timed(Effect.flip(create(hello)))
      assert.deepInclude(Exit.getOrElse(exit, () => undefined), { _tag: "SecurityError", attempts: 2 })
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("waits as long as the router asks if that is longer, and no longer than a minute", () => {
    const router = Mocks.scripted((n) => n === 1 ? status(429, 60_000) : ok)
    const patient = timed(create(hello)).pipe(Effect.provide(Mocks.client(router.layer)))
    const stern = Mocks.scripted(() => status(503, 60_001))
    return Effect.gen(function*() {
      assert.strictEqual((yield* patient).at, 60_000)
      const error = yield* Effect.flip(create(hello)).pipe(Effect.provide(Mocks.client(stern.layer)))
      assert.deepInclude(error, { _tag: "ServiceUnavailableError", retryAfter: 60_001, attempts: 1 })
    })
  })

  it.effect("refuses to send bytes again that have gone meanwhile", () => {
    const payload = new Uint8Array(Buffer.from(JSON.stringify(hello)))
    const router = Mocks.scripted(() => Effect.suspend(() => {
      structuredClone(payload.buffer, { transfer: [payload.buffer] })
      return Effect.fail(fromStatus({ statusCode: 503, message: "no", retryAfter: 0 }))
    }))
    return Effect.gen(function*() {
      const client = yield* NomyoClient.NomyoClient
      const error = yield* Effect.flip(Effect.zipLeft(
        Effect.flatMap(ChatCompletion.encodePayload(payload),
          (bytes) => client.send(bytes, { payloadId: "id" })),
        TestClock.adjust("1 minute"),
        { concurrent: true }
      ))
      assert.deepInclude(error, { _tag: "InvalidRequestError", attempts: 2 })
      assert.include(error.message, "buffer was transferred")
      assert.lengthOf(router.state.sent, 1)
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("logs the failure of an attempt with its number and the payload id", () => {
    const router = Mocks.scripted((n) => n === 1 ? status(503, 0) : ok)
    const logged: Array<unknown> = []
    const logger = Logger.make(({ annotations, message }) => logged.push([message, [...annotations]]))
    return Effect.gen(function*() {
      const { exit } = yield* timed(create(hello))
      const { _metadata } = yield* exit
      assert.deepStrictEqual(logged, [[
        ["Attempt 1 failed: ServiceUnavailableError: status 503"],
        [["payloadId", _metadata.payload_id]]
      ]])
    }).pipe(
      Effect.provide(Mocks.client(router.layer)),
      Effect.provide(
        Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(LogLevel.Debug))
      )
    )
  })

  it.effect("logs no failure but that of an attempt", () => {
    const messages: Array<unknown> = []
    const router = Mocks.scripted(() => Effect.die("a secret in a defect"))
    return Effect.gen(function*() {
      const client = yield* NomyoClient.NomyoClient
      assert.isTrue(Exit.isFailure(yield* Effect.exit(client.create(hello))))
      yield* Effect.flip(client.create(hello, { maxRetries: -1 }))
      assert.notInclude(JSON.stringify(messages), "unhandled")
      assert.notInclude(JSON.stringify(messages), "secret")
    }).pipe(
      Effect.provide(Mocks.client(router.layer)),
      Effect.provide(
        Logger.replace(Logger.defaultLogger, Logger.make(({ cause, message }) =>
          messages.push([message, String(cause)])
        ))
      ),
      Logger.withMinimumLogLevel(LogLevel.All)
    )
  })

  it.effect("seals a long request afresh for each attempt, as it was when it was given", () => {
    const router = Mocks.scripted((n) => n < 3 ? status(503) : ok)
    const message = { role: "user", content: "é\n".repeat(100_000) }
    const expected = JSON.stringify({ model: "m", messages: [message] })
    return Effect.gen(function*() {
      const call = yield* Effect.fork(create({ model: "m", messages: [message] }))
      yield* Effect.promise(() => vi.waitFor(() => assert.lengthOf(router.state.sent, 1)))
      message.content = "something else"
      while (router.state.sent.length < 3) {
        yield* TestClock.adjust("10 seconds")
        yield* Effect.promise(() => new Promise(setImmediate))
      }
      yield* Fiber.join(call)
      const sealed = router.state.sent.map(({ body }) =>
        JSON.parse(new TextDecoder().decode(body)).encrypted_payload
      )
      // the ciphertext for tests is the plaintext
      for (const { ciphertext } of sealed)
        assert.isTrue(Buffer.from(ciphertext, "base64").toString() === expected)
      assert.strictEqual(new Set(sealed.map(({ nonce }) => nonce)).size, 3)
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })
})
