import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import { inspect } from "node:util"
import * as Crypto from "../../src/Crypto.js"
import * as KeyStore from "../../src/KeyStore.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import { InvalidRequestError } from "../../src/NomyoError.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as TestCrypto from "../../src/TestCrypto.js"
import * as Transport from "../../src/Transport.js"
import { hello, create, ok, status } from "../support/calls.js"
import * as Mocks from "../support/mocks.js"

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
      assert.deepInclude(sent, { method: "POST", url: "https://router.test/v1/chat/secure_completion" })
      assert.strictEqual(sent.headers["Content-Type"], "application/octet-stream")
      assert.deepStrictEqual(Object.keys(sent.headers).toSorted(), ["Content-Type", "X-Payload-ID",
        "X-Public-Key"])
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
      if (isTaken)
        assert.strictEqual(Either.getOrThrow(exit)._metadata.payload_id,
          "00000000-0000-4000-8000-000000000001")
      else assert.deepInclude(yield* Either.flip(exit), { _tag: "SecurityError", reason: "replay",
        attempts: 1 })
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
      assert.notInclude(new TextDecoder().decode(router.state.sent[0]!.body),
        Buffer.from("mine").toString("base64"))
    }).pipe(Effect.provide(Mocks.client(router.layer, { apiKey: Redacted.make("theirs") })))
  })

  it.effect("publishes key events in a stream that ends with the client", () => {
    const router = Mocks.scripted(() => ok)
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const client = yield* Layer.buildWithScope(Mocks.client(router.layer), scope)
      const events = yield* Effect.fork(
        Stream.runCollect(Stream.provideContext(NomyoClient.keyEvents, client))
      )
      yield* TestClock.adjust(0)
      yield* Effect.provide(create(hello), client)
      const { fingerprint } = yield* Context.get(client, NomyoClient.NomyoClient).rotateKeys
      yield* Scope.close(scope, Exit.void)
      const seen = [...(yield* Fiber.join(events))]
      assert.deepStrictEqual(seen.map(({ _tag }) => _tag), ["Generated", "Rotated"])
      assert.strictEqual(seen[1]?.fingerprint, fingerprint)
    })
  })

  it.effect("refuses bad input before any key or network work", () => {
    const router = Mocks.scripted(() => ok)
    const store = Mocks.keyStore()
    const cycle: { self?: unknown } = {}
    cycle.self = cycle
    const refused: ReadonlyArray<readonly [request: object, field: RegExp]> = [
      [{ messages: hello.messages }, /^model must be a model id/],
      [{ ...hello, model: "" }, /^model must be/],
      [{ model: "m" }, /^messages must be a non-empty array/],
      [{ ...hello, messages: [] }, /^messages/],
      [{ ...hello, messages: "Hello!" }, /^messages must be a non-empty array of { role, content }$/],
      [{ ...hello, messages: ["Hello!"] }, /^messages\[0\] must be an object/],
      [{ ...hello, temperature: Number.NaN }, /^temperature/],
      [{ ...hello, security_tier: "ultra" }, /^security_tier/],
      [{ ...hello, metadata: cycle }, /^metadata cannot be written as JSON/],
      [{ ...hello, seed: 1n }, /^seed cannot be written as JSON/],
      [{ ...hello, x: [undefined] }, /^x cannot be written as JSON/],
      [{ ...hello, x: () => 1 }, /^x cannot be written as JSON/],
      [{ ...hello, x: [new Date(Number.NaN)] }, /^x cannot be written as JSON/],
      [{ ...hello, x: new Map([["a", 1]]) }, /^x cannot be written as JSON/],
      [{ ...hello, x: { y: new Set() } }, /^x cannot be written as JSON/],
      [{ ...hello, messages: [{ role: "user", get content() {
        throw new Error("a secret")
      } }] }, /^The request cannot be read/],
      [{ ...hello, get x() {
        throw new Error("a secret")
      } }, /^The request cannot be read/],
      [new Proxy(hello, { ownKeys: () => {
        throw new Error("a secret")
      } }), /^The request cannot be read/],
      [{ ...hello, x: { y: Number.POSITIVE_INFINITY } }, /^x cannot be written as JSON/],
      [{ ...hello, x: "x".repeat(10 * 1024 * 1024) }, /10 MiB/],
      [{ ...hello, x: "ü".repeat(5 * 1024 * 1024) }, /10 MiB/],
      [[], /^The request must be an object such as { model, messages }$/],
      [undefined as never, /^The request must be an object/]
    ]
    return Effect.gen(function*() {
      for (const [request, field] of refused) {
        const error = yield* Effect.flip(create(request as never))
        assert.instanceOf(error, InvalidRequestError)
        assert.match(error.message, field)
        assert.isUndefined(error.attempts)
      }
      for (const unsafe of [{ api_key: "a\nb" }, { base_url: "http://router.test" }, {
        base_url: "https://me:pw@router.test"
      }]) {
        const error = yield* Effect.flip(create({ ...hello, ...unsafe }))
        assert.strictEqual(error._tag, "SecurityError")
      }
      assert.deepStrictEqual(
        { keyFetches: router.state.keyFetches, sent: router.state.sent.length, loads: store.state.loads },
        { keyFetches: 0, sent: 0, loads: 0 }
      )
      assert.isTrue(
        Exit.isSuccess(yield* Effect.exit(create({ ...hello, user: "x".repeat(10 * 1024 * 1024 - 80) })))
      )
    }).pipe(Effect.provide(Mocks.client(router.layer, {}, store.layer)))
  })

  it.effect("refuses a 200 that is no envelope as unsafe, and never returns its body", () => {
    const layer = Layer.map(Mocks.scripted(() => ok).layer, (context) => {
      const transport = Context.get(context, Transport.Transport)
      return Context.make(Transport.Transport, {
        open: () => Effect.never,
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

  it.effect("zeroes the payload and the opened answer on every exit path", () => {
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
        open: <A, E, R>(key: Crypto.PrivateKey, sealed: Crypto.Sealed,
          use: (plaintext: Uint8Array<ArrayBuffer>) => Effect.Effect<A, E, R>) =>
          crypto.open(key, sealed, (plaintext) => {
            plaintexts.push(plaintext)
            return use(plaintext)
          })
      })
    })
    const scripts: ReadonlyArray<Mocks.Script> = [() => ok, () => status(400),
      () => Effect.succeed({ no: "choices" }), () => Effect.never]
    return Effect.gen(function*() {
      for (const script of scripts) {
        const client = NomyoClient.layer().pipe(
          Layer.provide(
            Layer.merge(Layer.provide(Mocks.scripted(script).layer, TestCrypto.layer), KeyStore.layerMemory)
          ),
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
      for (const plaintext of plaintexts)
        assert.strictEqual(Buffer.from(plaintext).toString(), "\0".repeat(plaintext.length))
    })
  })

  it.effect("keeps secrets out of errors, logs and spans", () => {
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
    const request = { model: "m", messages: [{ role: "user", content: "SENTINEL prompt" }],
      api_key: "sk-secret-1" } as const
    const calls = Effect.gen(function*() {
      for (const code of statuses) {
        const router = Mocks.scripted(() => status(code))
        const error = yield* Effect.flip(create(request, { maxRetries: 0 })).pipe(
          Effect.provide(Mocks.client(router.layer, { apiKey: "sk-secret-2" }))
        )
        shown.push(JSON.stringify(error), String(error), error.stack ?? "",
          Object.values(error).map(String).join())
      }
      yield* create(request).pipe(
        Effect.provide(Mocks.client(Mocks.scripted(() =>
          Effect.succeed(Mocks.completion("SENTINEL answer"))
        ).layer))
      )
      shown.push(
        inspect(spans.map(({ attributes, name, status }) => [name, attributes, status]), { depth: 20 })
      )
      assert.isTrue(spans.some(({ name }) => name === "NomyoClient.create"))
      assert.deepInclude([...spans.find(({ name }) => name === "NomyoClient.create")!.attributes], [
        "gen_ai.request.model",
        "m"
      ])
      assert.notMatch(shown.join("\n"), secrets)
    })
    return Effect.flatMap(Effect.tracer, (native) => Effect.withTracer(calls, watched(native))).pipe(
      Effect.provide(
        Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(LogLevel.All))
      )
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
