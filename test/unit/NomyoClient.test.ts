import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Random from "effect/Random"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import { inspect } from "node:util"
import { vi } from "vitest"
import * as ChatCompletion from "../../src/ChatCompletion.js"
import * as Crypto from "../../src/Crypto.js"
import { BackgroundClock } from "../../src/internal/fibers/backgroundClock.js"
import * as KeyStore from "../../src/KeyStore.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import { fromStatus } from "../../src/internal/errors.js"
import { APIConnectionError, InvalidRequestError, SecurityError } from "../../src/NomyoError.js"
import * as RouterKey from "../../src/RouterKey.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as TestCrypto from "../../src/TestCrypto.js"
import * as Transport from "../../src/Transport.js"
import * as Mocks from "../support/mocks.js"

const hello = { model: "m", messages: [{ role: "user", content: "Hello!" }] } as const

const create = (...args: Parameters<NomyoClient.Service["create"]>) =>
  Effect.flatMap(NomyoClient.NomyoClient, (client) => client.create(...args))

const ok = Effect.succeed(Mocks.completion("Hi."))
const status = (statusCode: number, retryAfter?: number) =>
  Effect.suspend(() => Effect.fail(fromStatus({ statusCode, message: `status ${statusCode}`, retryAfter })))

/** The exit of an effect and when it came, in milliseconds of the test clock. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(Effect.flatMap(Effect.exit(effect), (exit) =>
      Effect.map(Clock.currentTimeMillis, (at) => ({ exit, at }))))
    yield* TestClock.adjust("1 hour")
    return yield* Fiber.join(fiber)
  })

describe("NomyoClient over mock layers", () => {
  it.effect("answers", () => {
    const router = Mocks.scripted(() => ok)
    return Effect.gen(function*() {
      const answer = yield* create(hello)
      assert.strictEqual(answer.choices[0]?.message.content, "Hi.")
      assert.deepStrictEqual(answer._metadata, {
        payload_id: "00000000-0000-4000-8000-000000000001",
        processed_at: 1,
        is_encrypted: true,
        encryption_algorithm: "hybrid-aes256-rsa4096"
      })
      const sent = router.state.sent[0]!
      assert.strictEqual(sent.url, "https://router.test/v1/chat/secure_completion")
      assert.deepStrictEqual(Object.keys(sent.headers).toSorted(), ["Content-Type", "X-Payload-ID", "X-Public-Key"])
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect.each<[unknown, boolean]>([
    [{ payload_id: "00000000-0000-4000-8000-000000000001", more: 1 }, true],
    [{ payload_id: "another" }, false],
    [{ payload_id: "" }, false],
    [{ payload_id: 7 }, true],
    [{}, true],
    ["payload_id", true],
    [null, true]
  ])("takes no answer to another request: %j", ([metadata, isTaken]) => {
    const router = Mocks.scripted(() => Effect.succeed({ ...Mocks.completion("Hi."), _metadata: metadata }))
    return Effect.gen(function*() {
      const exit = yield* Effect.either(create(hello))
      if (isTaken) assert.strictEqual(Either.getOrThrow(exit)._metadata.payload_id, "00000000-0000-4000-8000-000000000001")
      else assert.deepInclude(yield* Either.flip(exit), { _tag: "SecurityError", reason: "replay", attempts: 1 })
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("sends the key and the tier as headers, and nothing of them in the payload", () => {
    const router = Mocks.scripted(() => ok)
    return Effect.gen(function*() {
      yield* create({ ...hello, security_tier: "high", api_key: "mine" })
      yield* create(hello)
      assert.deepStrictEqual(
        router.state.sent.map(({ headers }) => [headers["Authorization"], headers["X-Security-Tier"]]),
        [["Bearer mine", "high"], ["Bearer theirs", undefined]]
      )
      assert.notInclude(new TextDecoder().decode(router.state.sent[0]!.body), Buffer.from("mine").toString("base64"))
    }).pipe(Effect.provide(Mocks.client(router.layer, { apiKey: Redacted.make("theirs") })))
  })

  it.effect("tries again after 1 s, 2 s and 4 s and up to a quarter more, under one payload id, sealed afresh", () => {
    const router = Mocks.scripted((n) => n < 4 ? status(503) : ok)
    const times: Array<number> = []
    const watched = Layer.map(router.layer, (context) => {
      const transport = Context.get(context, Transport.Transport)
      return Context.make(Transport.Transport, {
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
    const router = Mocks.scripted((n) => n === 1 ? status(429, 42_000) : ok)
    const patient = timed(create(hello)).pipe(Effect.provide(Mocks.client(router.layer)))
    const stern = Mocks.scripted(() => status(503, 1_800_000))
    return Effect.gen(function*() {
      assert.strictEqual((yield* patient).at, 42_000)
      const error = yield* Effect.flip(create(hello)).pipe(Effect.provide(Mocks.client(stern.layer)))
      assert.deepInclude(error, { _tag: "ServiceUnavailableError", retryAfter: 1_800_000, attempts: 1 })
    })
  })

  it.effect("bounds every attempt by the timeout, the router's key included", () => {
    const silent = Mocks.scripted(() => Effect.never)
    const mute = Layer.succeed(Transport.Transport, { send: () => Effect.never })
    return Effect.gen(function*() {
      const one = yield* timed(Effect.flip(create(hello, { timeout: "5 seconds", maxRetries: 0 }))).pipe(
        Effect.provide(Mocks.client(silent.layer))
      )
      assert.deepInclude(Exit.getOrElse(one.exit, () => undefined), { _tag: "APIConnectionError", reason: "timeout" })
      assert.strictEqual(one.at, 5000)
      const two = yield* timed(Effect.flip(create(hello))).pipe(Effect.provide(Mocks.client(mute, { timeout: 2000, maxRetries: 0 })))
      assert.deepInclude(Exit.getOrElse(two.exit, () => undefined), { reason: "timeout", attempts: 1 })
      assert.strictEqual(two.at - 3_600_000, 2000)
    })
  })

  it.effect("gives the request what the router's key has left of the timeout", () => {
    const slowKey = Mocks.scripted(() => Effect.never)
    const delayed = Layer.map(slowKey.layer, (context) => {
      const transport = Context.get(context, Transport.Transport)
      return Context.make(Transport.Transport, { send: (request) => Effect.delay(transport.send(request), "3 seconds") })
    })
    return Effect.gen(function*() {
      const { at, exit } = yield* timed(Effect.flip(create(hello, { timeout: "5 seconds", maxRetries: 0 })))
      assert.deepInclude(Exit.getOrElse(exit, () => undefined), { reason: "timeout" })
      assert.strictEqual(at, 5000)
    }).pipe(Effect.provide(Mocks.client(delayed)))
  })

  it.effect("does not count the time that the client's own key takes, and fetches the router's meanwhile", () => {
    const router = Mocks.scripted(() => ok)
    const slowCrypto = Layer.map(TestCrypto.layer, (context) => {
      const crypto = Context.get(context, Crypto.Crypto)
      return Context.make(Crypto.Crypto, {
        ...crypto,
        generateKeyPair: (bits) =>
          Effect.zipRight(
            Effect.sleep("30 seconds"),
            Effect.tap(crypto.generateKeyPair(bits), () => assert.strictEqual(router.state.keyFetches, 1))
          )
      })
    })
    const client = NomyoClient.layer({ timeout: "1 second" }).pipe(
      Layer.provide(Layer.merge(router.layer, KeyStore.layerMemory)),
      Layer.provide(Layer.merge(slowCrypto, SecureMemory.layer))
    )
    return Effect.gen(function*() {
      const { at, exit } = yield* timed(create(hello))
      assert.isTrue(Exit.isSuccess(exit))
      assert.strictEqual(at, 30_000)
    }).pipe(Effect.provide(client))
  })

  it.effect("seals again, once, for a router that has changed its key and answers 400", () => {
    const router = Mocks.scripted((n) => n === 2 ? status(400) : ok)
    return Effect.gen(function*() {
      yield* create(hello)
      yield* TestClock.adjust("1 minute")
      router.state.routerKey = "router key 2"
      yield* create(hello)
      assert.strictEqual(router.state.keyFetches, 2)
      const keys = router.state.sent.map(({ body }) => {
        const { encrypted_aes_key } = JSON.parse(new TextDecoder().decode(body)) as { encrypted_aes_key: string }
        return Buffer.from(encrypted_aes_key, "base64").toString()
      })
      assert.deepStrictEqual(keys, ["router key 1", "router key 1", "router key 2"])
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("reports a 400 as it is when the router's key is still the same, or was fresh", () => {
    const router = Mocks.scripted(() => status(400))
    return Effect.gen(function*() {
      const fresh = yield* Effect.flip(create(hello))
      assert.deepStrictEqual([fresh._tag, router.state.keyFetches, router.state.sent.length], ["InvalidRequestError", 1, 1])
      yield* TestClock.adjust("1 minute")
      const same = yield* Effect.flip(create(hello))
      assert.deepStrictEqual([same._tag, router.state.keyFetches, router.state.sent.length], ["InvalidRequestError", 2, 2])
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("looks for another key after a 400 though it fetched the key itself, if it has waited for its turn since", () => {
    const router = Mocks.scripted((n) => n === 65 ? status(400) : Effect.delay(ok, "5 seconds"))
    return Effect.gen(function*() {
      const fiber = yield* Effect.fork(Effect.forEach(Array.from({ length: 65 }), () => create(hello), { concurrency: "unbounded" }))
      yield* TestClock.adjust("2 seconds")
      router.state.routerKey = "another"
      yield* TestClock.adjust("8 seconds")
      assert.lengthOf(yield* Fiber.join(fiber), 65)
      assert.deepStrictEqual([router.state.keyFetches, router.state.sent.length], [2, 66])
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("reports a 400 as it is when the router's key cannot be had, and a new key that is not pinned as unsafe", () => {
    const router = Mocks.scripted((n) => n === 1 ? ok : status(400))
    const pin = Effect.flatMap(Effect.provide(RouterKey.make({ baseUrl: "https://router.test", routerKeyFingerprints: [], routerKeyTtl: Duration.hours(1), timeout: Duration.minutes(1) }), Layer.provideMerge(router.layer, TestCrypto.layer)), (self) => self.get)
    return Effect.gen(function*() {
      const { key } = yield* Effect.scoped(pin)
      yield* Effect.gen(function*() {
        yield* create(hello)
        yield* TestClock.adjust("1 minute")
        router.state.keyFailure = fromStatus({ statusCode: 500, message: "down" })
        assert.deepInclude(yield* Effect.flip(create(hello)), { _tag: "InvalidRequestError", attempts: 1 })
        router.state.keyFailure = undefined
        router.state.routerKey = "another"
        assert.deepInclude(yield* Effect.flip(create(hello)), { _tag: "SecurityError", reason: "router-key-pin", attempts: 1 })
      }).pipe(Effect.provide(Mocks.client(router.layer, { routerKeyFingerprints: [key.fingerprint] })))
    })
  })

  it.effect("tries again when the connection is lost while it looks for another key", () => {
    const router = Mocks.scripted((n) => {
      if (n !== 2) return ok
      router.state.keyFailure = new APIConnectionError({ reason: "network", message: "gone" })
      return status(400)
    })
    return Effect.gen(function*() {
      yield* create(hello)
      yield* TestClock.adjust("1 minute")
      const fiber = yield* Effect.fork(create(hello))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).model, "m")
      assert.deepStrictEqual([router.state.keyFetches, router.state.sent.length], [2, 3])
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("tells of its keys in a stream that ends with it", () => {
    const router = Mocks.scripted(() => ok)
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const client = yield* Layer.buildWithScope(Mocks.client(router.layer), scope)
      const events = yield* Effect.fork(Stream.runCollect(Stream.provideContext(NomyoClient.keyEvents, client)))
      yield* TestClock.adjust(0)
      yield* Effect.provide(create(hello), client)
      const { fingerprint } = yield* Context.get(client, NomyoClient.NomyoClient).rotateKeys
      yield* Scope.close(scope, Exit.void)
      const seen = [...(yield* Fiber.join(events))]
      assert.deepStrictEqual(seen.map(({ _tag }) => _tag), ["Generated", "Rotated"])
      assert.strictEqual(seen[1]?.fingerprint, fingerprint)
    })
  })

  it.effect("ends calls in flight and later ones with a DisposedError when its scope closes", () => {
    let released = 0
    const router = Mocks.scripted(() => Effect.onInterrupt(Effect.never, () => Effect.sync(() => released++)))
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Mocks.client(router.layer), scope)
      const client = Context.get(context, NomyoClient.NomyoClient)
      const call = yield* Effect.fork(Effect.flip(client.create(hello)))
      yield* Effect.yieldNow()
      while (router.state.sent.length < 1) yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(call))._tag, "DisposedError")
      assert.strictEqual(released, 1)
      for (const later of [Effect.asVoid(client.create(hello)), Effect.asVoid(client.ready), Effect.asVoid(client.rotateKeys)]) {
        assert.strictEqual((yield* Effect.flip(later))._tag, "DisposedError")
      }
    })
  })

  it.effect("can be disposed of from within a call", () => {
    let dispose: Effect.Effect<void> = Effect.void
    const router = Mocks.scripted(() => Effect.zipRight(Effect.suspend(() => dispose), Effect.never))
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      dispose = Scope.close(scope, Exit.void)
      const context = yield* Layer.buildWithScope(Mocks.client(router.layer), scope)
      const error = yield* Effect.flip(Context.get(context, NomyoClient.NomyoClient).create(hello))
      assert.strictEqual(error._tag, "DisposedError")
    })
  })

  it.effect.each(["deadline", "disposal"])("ends by its %s, though its caller may not be interrupted, and holds up no one else", (what) => {
    const router = Mocks.scripted(() => ok)
    let [isSilent, fetches] = [true, 0]
    const transport = Layer.map(router.layer, (context) => {
      const transport = Context.get(context, Transport.Transport)
      return Context.make(Transport.Transport, {
        send: (request) => request.method === "GET" && fetches++ === 0 && isSilent ? Effect.never : transport.send(request)
      })
    })
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Mocks.client(transport, { timeout: "10 seconds", maxRetries: 0 }), scope)
      const client = Context.get(context, NomyoClient.NomyoClient)
      const fiber = yield* Effect.fork(Effect.uninterruptible(Effect.flip(client.create(hello))))
      yield* TestClock.adjust("9 seconds")
      if (what === "disposal") {
        yield* Scope.close(scope, Exit.void)
        return assert.strictEqual((yield* Fiber.join(fiber))._tag, "DisposedError")
      }
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* Fiber.join(fiber), { _tag: "APIConnectionError", reason: "timeout" })
      isSilent = false
      assert.strictEqual((yield* client.create(hello)).model, "m")
      yield* Scope.close(scope, Exit.void)
    })
  })

  it.effect("is answered, though its caller is interrupted meanwhile, where that waits for it whatever comes", () => {
    const router = Mocks.scripted(() => Effect.zipRight(Effect.sleep("1 second"), ok))
    return Effect.gen(function*() {
      const client = yield* NomyoClient.NomyoClient
      const answers: Array<string | null | undefined> = []
      const fiber = yield* Effect.fork(Effect.uninterruptible(Effect.map(client.create(hello), ({ model }) => answers.push(model))))
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interruptFork(fiber)
      yield* TestClock.adjust("500 millis")
      yield* Fiber.await(fiber)
      assert.deepStrictEqual(answers, ["m"])
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.live("waits without a stop where its time is longer than a timer's", () => {
    const router = Mocks.scripted(() => Effect.zipRight(Effect.sleep("50 millis"), ok))
    const sleeps: Array<number> = []
    const clock = (clock: Clock.Clock): Clock.Clock => ({
      ...clock,
      unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
      sleep: (duration) => {
        sleeps.push(Duration.toMillis(duration))
        return clock.sleep(duration)
      }
    })
    return Effect.gen(function*() {
      const client = yield* NomyoClient.NomyoClient
      yield* client.create(hello, { timeout: Number.MAX_SAFE_INTEGER })
      assert.deepStrictEqual(sleeps, [2 ** 31 - 1])
    }).pipe(Effect.provide(Layer.provide(Mocks.client(router.layer, { keyRotationInterval: 0 }), Layer.succeed(BackgroundClock, clock))))
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
        Effect.flatMap(ChatCompletion.encodePayload(payload), (bytes) => client.send(bytes, { payloadId: "id" })),
        TestClock.adjust("1 minute"),
        { concurrent: true }
      ))
      assert.deepInclude(error, { _tag: "InvalidRequestError", attempts: 2 })
      assert.lengthOf(router.state.sent, 1)
    }).pipe(Effect.provide(Mocks.client(router.layer)))
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
      Effect.provide(Logger.replace(Logger.defaultLogger, Logger.make(({ cause, message }) => messages.push([message, String(cause)])))),
      Logger.withMinimumLogLevel(LogLevel.All)
    )
  })

  it.effect("does not take an interruption from within for its disposal", () => {
    const router = Mocks.scripted(() => Effect.interrupt)
    return Effect.gen(function*() {
      const client = yield* NomyoClient.NomyoClient
      assert.isTrue(Exit.isInterrupted(yield* Effect.exit(client.create(hello))))
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("refuses bad input before any key or network work", () => {
    const router = Mocks.scripted(() => ok)
    const store = Mocks.keyStore()
    const cycle: { self?: unknown } = {}
    cycle.self = cycle
    const refused: ReadonlyArray<readonly [request: object, field: RegExp]> = [
      [{ messages: hello.messages }, /^model is missing/],
      [{ ...hello, model: "" }, /^model is not valid/],
      [{ model: "m" }, /^messages is missing/],
      [{ ...hello, messages: [] }, /^messages/],
      [{ ...hello, messages: "Hello!" }, /^messages is not valid/],
      [{ ...hello, messages: [{ content: "x" }] }, /^messages\[0\]\.role is missing/],
      [{ ...hello, messages: [{ role: "user", content: 7 }] }, /^messages\[0\]\.content is not valid/],
      [{ ...hello, messages: [{ role: "user", content: [{ type: "text" }] }] }, /^messages\[0\]\.content\[0\]\.text is missing/],
      [{ ...hello, temperature: "hot" }, /^temperature/],
      [{ ...hello, temperature: Number.NaN }, /^temperature/],
      [{ ...hello, max_tokens: 0 }, /^max_tokens/],
      [{ ...hello, tools: [{ type: "function", function: {} }] }, /^tools\[0\]\.function\.name is missing/],
      [{ ...hello, security_tier: "ultra" }, /^security_tier/],
      [{ ...hello, metadata: cycle }, /^metadata cannot be written as JSON/],
      [{ ...hello, seed: 1n }, /^seed cannot be written as JSON/],
      [{ ...hello, x: [undefined] }, /^x cannot be written as JSON/],
      [{ ...hello, x: () => 1 }, /^x cannot be written as JSON/],
      [{ ...hello, x: [new Date(Number.NaN)] }, /^x cannot be written as JSON/],
      [{ ...hello, x: new Map([["a", 1]]) }, /^x cannot be written as JSON/],
      [{ ...hello, x: { y: new Set() } }, /^x cannot be written as JSON/],
      [{ ...hello, messages: [{ role: "user", get content() { throw new Error("a secret") } }] }, /^The request cannot be read/],
      [{ ...hello, get x() { throw new Error("a secret") } }, /^The request cannot be read/],
      [new Proxy(hello, { ownKeys: () => { throw new Error("a secret") } }), /^The request cannot be read/],
      [{ ...hello, x: { y: Number.POSITIVE_INFINITY } }, /^x cannot be written as JSON/],
      [{ ...hello, x: "x".repeat(10 * 1024 * 1024) }, /10 MiB/],
      [{ ...hello, x: "ü".repeat(5 * 1024 * 1024) }, /10 MiB/],
      [[], /is missing|not valid/],
      [undefined as never, /not valid/]
    ]
    return Effect.gen(function*() {
      for (const [request, field] of refused) {
        const error = yield* Effect.flip(create(request as never))
        assert.instanceOf(error, InvalidRequestError)
        assert.match(error.message, field)
        assert.isUndefined(error.attempts)
      }
      for (const unsafe of [{ api_key: "a\nb" }, { base_url: "http://router.test" }, { base_url: "https://me:pw@router.test" }]) {
        const error = yield* Effect.flip(create({ ...hello, ...unsafe }))
        assert.strictEqual(error._tag, "SecurityError")
      }
      assert.deepStrictEqual([router.state.keyFetches, router.state.sent.length, store.state.loads], [0, 0, 0])
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(create({ ...hello, x: "x".repeat(10 * 1024 * 1024 - 80) }))))
    }).pipe(Effect.provide(Mocks.client(router.layer, {}, store.layer)))
  })

  it.effect("treats a 200 that is no envelope as unsafe, and never hands it on", () => {
    const layer = Layer.map(Mocks.scripted(() => ok).layer, (context) => {
      const transport = Context.get(context, Transport.Transport)
      return Context.make(Transport.Transport, {
        send: (request) =>
          request.method === "GET"
            ? transport.send(request)
            : Effect.succeed(new TextEncoder().encode(JSON.stringify(Mocks.completion("in the clear"))))
      })
    })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(create(hello))
      assert.deepInclude(error, { _tag: "SecurityError", reason: "envelope", attempts: 1 })
      assert.notInclude(JSON.stringify(error), "in the clear")
    }).pipe(Effect.provide(Mocks.client(layer)))
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
      const sealed = router.state.sent.map(({ body }) => JSON.parse(new TextDecoder().decode(body)).encrypted_payload)
      // the ciphertext for tests is the plaintext
      for (const { ciphertext } of sealed) assert.isTrue(Buffer.from(ciphertext, "base64").toString() === expected)
      assert.strictEqual(new Set(sealed.map(({ nonce }) => nonce)).size, 3)
    }).pipe(Effect.provide(Mocks.client(router.layer)))
  })

  it.effect("zeroes the payload and the opened answer on every way out", () => {
    const plaintexts: Array<Uint8Array> = []
    const spied = Layer.map(TestCrypto.layer, (context) => {
      const crypto = Context.get(context, Crypto.Crypto)
      return Context.make(Crypto.Crypto, {
        ...crypto,
        seal: (key, plaintext, use) => {
          const chunks = (window: Uint8Array<ArrayBuffer>) => {
            plaintexts.push(window)
            return ArrayBuffer.isView(plaintext) ? assert.fail("bytes") : plaintext.chunks(window)
          }
          return crypto.seal(key, { length: plaintext.length, chunks }, use)
        },
        open: <A, E, R>(key: Crypto.PrivateKey, sealed: Crypto.Sealed, use: (plaintext: Uint8Array<ArrayBuffer>) => Effect.Effect<A, E, R>) =>
          crypto.open(key, sealed, (plaintext) => {
            plaintexts.push(plaintext)
            return use(plaintext)
          })
      })
    })
    const scripts: ReadonlyArray<Mocks.Script> = [() => ok, () => status(400), () => Effect.succeed({ no: "choices" }), () => Effect.never]
    return Effect.gen(function*() {
      for (const script of scripts) {
        const client = NomyoClient.layer().pipe(
          Layer.provide(Layer.merge(Layer.provide(Mocks.scripted(script).layer, TestCrypto.layer), KeyStore.layerMemory)),
          Layer.provide(Layer.merge(spied, SecureMemory.layer))
        )
        const call = yield* Effect.fork(Effect.provide(Effect.exit(create(hello, { maxRetries: 0 })), client))
        yield* TestClock.adjust("2 minutes")
        yield* Fiber.join(call)
        const interrupted = yield* Effect.fork(Effect.provide(create(hello), client))
        yield* TestClock.adjust(0)
        yield* Fiber.interrupt(interrupted)
      }
      assert.isAtLeast(plaintexts.length, 10)
      for (const plaintext of plaintexts) assert.strictEqual(Buffer.from(plaintext).toString(), "\0".repeat(plaintext.length))
    })
  })

  it.effect("keeps what it is told out of errors, logs and spans", () => {
    const secrets = /SENTINEL|c2VudGluZWw|sk-secret/
    const shown: Array<string> = []
    const logger = Logger.make((options) => void shown.push(Logger.stringLogger.log(options)))
    const spans: Array<Tracer.Span> = []
    const watched = (native: Tracer.Tracer) =>
      Tracer.make({
        span: (...args) => {
          const span = native.span(...args)
          spans.push(span)
          return span
        },
        context: (f, fiber) => native.context(f, fiber)
      })
    const statuses = [400, 401, 403, 404, 429, 500, 503]
    const request = { model: "m", messages: [{ role: "user", content: "SENTINEL prompt" }], api_key: "sk-secret-1" } as const
    const calls = Effect.gen(function*() {
      for (const code of statuses) {
        const router = Mocks.scripted(() => status(code))
        const error = yield* Effect.flip(create(request, { maxRetries: 0 })).pipe(Effect.provide(Mocks.client(router.layer, { apiKey: "sk-secret-2" })))
        shown.push(JSON.stringify(error), String(error), error.stack ?? "", Object.values(error).map(String).join())
      }
      yield* create(request).pipe(Effect.provide(Mocks.client(Mocks.scripted(() => Effect.succeed(Mocks.completion("SENTINEL answer"))).layer)))
      shown.push(inspect(spans.map(({ attributes, name, status }) => [name, attributes, status]), { depth: 20 }))
      assert.isTrue(spans.some(({ name }) => name === "NomyoClient.create"))
      assert.deepInclude([...spans.find(({ name }) => name === "NomyoClient.create")!.attributes], ["gen_ai.request.model", "m"])
      assert.notMatch(shown.join("\n"), secrets)
    })
    return Effect.flatMap(Effect.tracer, (native) => Effect.withTracer(calls, watched(native))).pipe(
      Effect.provide(Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(LogLevel.All)))
    )
  })

  it.effect("takes its options from the environment", () => {
    const router = Mocks.scripted(() => status(503))
    const environment = ConfigProvider.fromMap(
      new Map([
        ["NOMYO_BASE_URL", "https://elsewhere.test/"],
        ["NOMYO_API_KEY", "from-the-environment"],
        ["NOMYO_MAX_RETRIES", "0"],
        ["NOMYO_TIMEOUT", "1500"]
      ])
    )
    const client = NomyoClient.layerConfig().pipe(
      Layer.provide(Layer.merge(router.layer, KeyStore.layerMemory)),
      Layer.provide(Layer.merge(TestCrypto.layer, SecureMemory.layer)),
      Layer.provide(Layer.setConfigProvider(environment))
    )
    return Effect.gen(function*() {
      yield* Effect.flip(create(hello))
      assert.lengthOf(router.state.sent, 1)
      assert.strictEqual(router.state.sent[0]?.url, "https://elsewhere.test/v1/chat/secure_completion")
      assert.strictEqual(router.state.sent[0]?.headers["Authorization"], "Bearer from-the-environment")
    }).pipe(Effect.provide(client))
  })
})
