import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import { createPrivateKey } from "node:crypto"
import * as Fs from "node:fs"
import { afterAll } from "vitest"
import * as ChatCompletion from "../../src/ChatCompletion.js"
import * as Crypto from "../../src/Crypto.js"
import * as Envelope from "../../src/Envelope.js"
import { isVisibleAscii } from "../../src/internal/codecs/header.js"
import * as Pem from "../../src/internal/codecs/pem.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import { fromStatus } from "../../src/internal/errors.js"
import { type NomyoError, type SecurityError } from "../../src/NomyoError.js"
import * as NodeCrypto from "../../src/platform/node/NodeCrypto.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as TestCrypto from "../../src/TestCrypto.js"
import * as Transport from "../../src/Transport.js"
import * as WebCrypto from "../../src/WebCrypto.js"
import * as Lent from "../support/lent.js"
import * as Mocks from "../support/mocks.js"
import * as Report from "../support/report.js"
import * as Vectors from "../support/vectors.js"

const tried: Array<string> = []
afterAll(() => Report.write("properties", ["| property | inputs tried |", "|---|---|", ...tried].join("\n")))

/** Checks a property with as many inputs as there is time for, and keeps count of them. */
const check = async <A>(name: string, input: FastCheck.Arbitrary<A>, holds: (a: A) => void | Promise<void>,
  runs: number) => {
  const numRuns = Report.isFull ? runs * 10 : runs
  await FastCheck.assert(FastCheck.asyncProperty(input, async (a) => holds(a)), { numRuns })
  tried.push(`| ${name} | ${numRuns} |`)
}

const pkcs8 = createPrivateKey(Fs.readFileSync(Vectors.path("keys/client_2048.pem"))).export({ type: "pkcs8",
  format: "der" })
const bytes = FastCheck.uint8Array({ maxLength: 2000 })
const json = FastCheck.dictionary(FastCheck.fullUnicodeString(), FastCheck.jsonValue())

describe.each(
  [["WebCrypto", WebCrypto.layer], ["node:crypto", NodeCrypto.layer], ["for tests",
    TestCrypto.layer]] as const
)("with Crypto %s", (name, layer) => {
  const runtime = Layer.provideMerge(
    layer as Layer.Layer<Crypto.Crypto, SecurityError, SecureMemory.SecureMemory>,
    SecureMemory.layer
  )
  const run = <A, E>(effect: Effect.Effect<A, E, Crypto.Crypto | SecureMemory.SecureMemory | Scope.Scope>) =>
    Effect.runPromise(Effect.scoped(Effect.provide(effect, runtime)))
  const pair = Effect.flatMap(Crypto.Crypto, (crypto) => crypto.importKeyPair(Uint8Array.from(pkcs8), 0))

  it("any JSON goes through an envelope byte for byte", () =>
    check(`any JSON payload goes through an envelope byte for byte; ${name}`, json, (payload) =>
      run(Effect.gen(function*() {
        const { privateKey, publicKey } = yield* pair
        const encoded = yield* ChatCompletion.encodePayload(payload)
        const opened = yield* Lent.open(privateKey, yield* Envelope.seal(publicKey, encoded))
        assert.lengthOf(opened.plaintext, encoded.length)
        assert.strictEqual(new TextDecoder().decode(opened.plaintext), JSON.stringify(payload))
        assert.deepStrictEqual(JSON.parse(new TextDecoder().decode(opened.plaintext)),
          JSON.parse(JSON.stringify(payload)))
      })), 50))

  it("any long text goes through an envelope byte for byte", () => {
    const text = FastCheck.string({
      unit: FastCheck.constantFrom("a", "\"", "\n", "\u0001", "é", "漢", "😀", "\ud83d"),
      minLength: 1,
      maxLength: 40
    })
    return check(`any long text goes through an envelope byte for byte; ${name}`,
      FastCheck.tuple(text, FastCheck.nat(100_000)), ([unit, more]) =>
        run(Effect.gen(function*() {
          const { privateKey, publicKey } = yield* pair
          const payload = { content: unit.repeat(50_000).slice(0, 50_000 + more) }
          const encoded = yield* ChatCompletion.encodePayload(payload)
          const opened = yield* Lent.open(privateKey, yield* Envelope.seal(publicKey, encoded))
          assert.isTrue(new TextDecoder().decode(opened.plaintext) === JSON.stringify(payload))
        })), 10)
  })

  it("refuses a change of any byte that matters", () =>
    check(`an envelope with any byte changed is refused, or opens to the same plaintext; ${name}`,
      FastCheck.tuple(FastCheck.nat(), FastCheck.integer({ min: 1, max: 255 })), ([at, change]) =>
        run(Effect.gen(function*() {
          const { privateKey, publicKey } = yield* pair
          const plaintext = new TextEncoder().encode("{\"x\":1}")
          const envelope = yield* Envelope.seal(publicKey, plaintext)
          envelope[at % envelope.length]! ^= change
          const opened = yield* Effect.either(Lent.open(privateKey, envelope))
          // the names of optional fields are not protected: a changed one is a field that nobody knows
          if (opened._tag === "Right") {
            assert.deepStrictEqual(opened.right.plaintext, plaintext)
            assert.match(
              new TextDecoder().decode(
                envelope.subarray(at % envelope.length - 20, at % envelope.length + 20)
              ),
              /algorithm|payload|key/
            )
          } else {
            assert.deepInclude(opened.left, { _tag: "SecurityError", reason: "envelope" })
          }
        })), 100))

  it("no bytes make the parsers fail with anything but their error", async () => {
    const envelopeLike = FastCheck.record({
      version: FastCheck.oneof(FastCheck.constant("1.0"), FastCheck.jsonValue()),
      algorithm: FastCheck.oneof(FastCheck.constant("hybrid-aes256-rsa4096"), FastCheck.jsonValue()),
      encrypted_payload: FastCheck.oneof(
        FastCheck.record({
          ciphertext: FastCheck.base64String(),
          nonce: FastCheck.oneof(FastCheck.base64String(), FastCheck.constant("AAAAAAAAAAAAAAAA")),
          tag: FastCheck.oneof(FastCheck.base64String(), FastCheck.constant("AAAAAAAAAAAAAAAAAAAAAA=="))
        }),
        FastCheck.jsonValue()
      ),
      encrypted_aes_key: FastCheck.oneof(FastCheck.base64String(), FastCheck.jsonValue())
    }, { requiredKeys: [] })
    const inputs = FastCheck.oneof(bytes,
      envelopeLike.map((value) => new TextEncoder().encode(JSON.stringify(value))))
    await check(`arbitrary bytes in place of an envelope fail with its one error; ${name}`, inputs,
      (input) =>
        run(Effect.gen(function*() {
          const { privateKey } = yield* pair
          const error = yield* Effect.flip(Lent.open(privateKey, input))
          assert.deepInclude(error, { _tag: "SecurityError", reason: "envelope" })
        })), 100)
    const pemLike = FastCheck.oneof(bytes, bytes.map((der) => Pem.encode("PUBLIC KEY", der)),
      bytes.map((body) =>
        Buffer.concat([Buffer.from("-----BEGIN PUBLIC KEY-----\n"), body,
          Buffer.from("\n-----END PUBLIC KEY-----")])
      ))
    if (name === "for tests") return
    await check(`arbitrary bytes in place of a PEM fail with its one error; ${name}`, pemLike,
      (input) =>
        run(Effect.gen(function*() {
          const crypto = yield* Crypto.Crypto
          assert.deepInclude(yield* Effect.flip(crypto.importPublicKey(input)), { _tag: "SecurityError",
            reason: "router-key" })
          assert.deepInclude(yield* Effect.flip(crypto.importKeyPair(Uint8Array.from(input), 0)), {
            _tag: "SecurityError",
            reason: "client-key"
          })
        })), 100)
  })
})

describe("headers", () => {
  it("holds field values to the grammar", () =>
    check("a text is let into a header exactly if it is visible ASCII",
      FastCheck.oneof(FastCheck.fullUnicodeString(), FastCheck.asciiString()), (text) => {
      // RFC 9110 5.5: VCHAR, and here neither space nor tab, which would be trimmed or split
        assert.strictEqual(isVisibleAscii(text), text.length > 0 && [...text].every((char) =>
          char.codePointAt(0)! >= 0x21 && char.codePointAt(0)! <= 0x7e
        ))
      }, 1000))

  it("sends what it lets in as it is, and nothing else", () =>
    check("an API key and a payload id reach the router as they are, or are refused before anything is sent",
      FastCheck.tuple(FastCheck.asciiString({ minLength: 1 }), FastCheck.asciiString({ minLength: 1 })),
      async ([apiKey, payloadId]) => {
        const router = Mocks.scripted(() => Effect.succeed(Mocks.completion("Hi.")))
        const result = await Effect.flatMap(NomyoClient.NomyoClient, (client) =>
          client.send(new TextEncoder().encode("{}"), { apiKey, payloadId })).pipe(
          Effect.either,
          Effect.provide(Mocks.client(router.layer)),
          Effect.runPromise
        )
        if (result._tag === "Right") {
          assert.deepInclude(router.state.sent[0]?.headers, { "X-Payload-ID": payloadId,
            "Authorization": `Bearer ${apiKey}` })
          assert.isTrue(isVisibleAscii(apiKey) && isVisibleAscii(payloadId))
        } else {
          assert.deepInclude(result.left, { _tag: "SecurityError", reason: "header" })
          assert.deepStrictEqual(
            { keyFetches: router.state.keyFetches, sent: router.state.sent.length },
            { keyFetches: 0, sent: 0 }
          )
          assert.isFalse(isVisibleAscii(apiKey) && isVisibleAscii(payloadId))
        }
      }, 100))
})

const hello = { model: "m", messages: [{ role: "user", content: "Hello!" }] } as const
const answer = (content: string) => Effect.succeed(Mocks.completion(content))
const underTestClock = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  effect.pipe(Effect.scoped, Effect.withRandom(Random.make("seed")), Effect.provide(TestContext.TestContext),
    Effect.runPromise)

describe("retries", () => {
  const START = Date.UTC(2026, 0, 1)

  it("reads a wait in each of its forms", () => {
    const forms = FastCheck.oneof(
      FastCheck.nat(1e6).map((ms) => ({ headers: { "retry-after-ms": `${ms}` }, wait: ms })),
      FastCheck.nat(1e6).map((ms) => ({ headers: { "retry-after-ms": `${ms}`, "retry-after": "7" },
        wait: ms })
      ),
      FastCheck.nat(1e6).map((s) => ({ headers: { "retry-after": `${s}` }, wait: s * 1000 })),
      FastCheck.tuple(FastCheck.nat(1e4), FastCheck.nat(99)).map(([s, part]) => ({
        headers: { "retry-after": `${s}.${part}` },
        wait: Number(`${s}.${part}`) * 1000
      })),
      FastCheck.integer({ min: -1e6, max: 1e6 }).map((s) => ({
        headers: { "retry-after": new Date(START + s * 1000).toUTCString() },
        wait: Math.max(0, s * 1000)
      })),
      FastCheck.constantFrom("", "soon", "-", "1 2", "0x1f", "--1", "Infinity").map((text) => ({
        headers: { "retry-after": text },
        wait: undefined
      }))
    )
    return check("`Retry-After`, in milliseconds, in seconds, as a date or as nonsense", forms,
      ({ headers, wait }) =>
        underTestClock(Effect.gen(function*() {
          yield* TestClock.setTime(START)
          const transport = Transport.make(() =>
            Effect.succeed({ status: 429,
              header: (name) => (headers as { readonly [name: string]: string })[name],
              body: new Blob([]).stream() })
          )
          const error = yield* Effect.flip(
            transport.send({ method: "GET", url: "", headers: {}, maxResponseBytes: 1 })
          )
          assert.strictEqual((error as { readonly retryAfter?: number }).retryAfter, wait)
        })), 100)
  })

  it("follows the policy: attempts, waits, budget", () => {
    const tries = FastCheck.array(
      FastCheck.record({
        status: FastCheck.constantFrom(200, 400, 404, 429, 500, 502, 503, 504),
        retryAfter: FastCheck.option(FastCheck.nat(70_000), { nil: undefined })
      }),
      { minLength: 1, maxLength: 6 }
    )
    return check(
      "the retry policy against a reference model: which statuses, how often, how long, no longer than a minute",
      FastCheck.tuple(tries, FastCheck.nat(4)),
      ([tries, maxRetries]) => {
        const answerTo = (n: number) => tries[Math.min(n, tries.length) - 1]!
        const times: Array<number> = []
        const router = Mocks.scripted((n) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            times.push(now)
            const { retryAfter, status } = answerTo(n)
            return status === 200
              ? answer("Hi.")
              : Effect.fail(fromStatus({ statusCode: status, message: "no", retryAfter }))
          })
        )
        return underTestClock(Effect.gen(function*() {
          const call = yield* Effect.flatMap(NomyoClient.NomyoClient,
            (client) => client.create(hello, { maxRetries })).pipe(Effect.either, Effect.fork)
          yield* TestClock.adjust("1 hour")
          const result = yield* Fiber.join(call)

          const isFinal = (n: number) =>
            ![429, 500, 502, 503, 504].includes(answerTo(n).status) ||
            (answerTo(n).retryAfter ?? 0) > 60_000 || n > maxRetries
          let last = 1
          while (!isFinal(last)) last++
          assert.lengthOf(times, last)
          if (answerTo(last).status === 200) assert.strictEqual(result._tag, "Right")
          else assert.deepInclude(Either.getOrThrow(Either.flip(result)), { statusCode: answerTo(last).status,
            attempts: last })
          times.slice(1).forEach((at, i) => {
            const [waited, asked, usual] = [at - times[i]!, answerTo(i + 1).retryAfter ?? 0, 1000 * 2 ** i]
            assert.isAtLeast(waited, Math.max(usual, asked))
            assert.isAtMost(waited, Math.max(usual * 1.25, asked))
          })
        }).pipe(Effect.provide(Mocks.client(router.layer))))
      },
      50
    )
  })
})

describe("a client's life", () => {
  type Step = { readonly do: "create"; readonly takes: number } | { readonly do: "abort"
    readonly which: number } | { readonly do: "rotate" } | { readonly do: "wait"; readonly for: number }
  const step: FastCheck.Arbitrary<Step> = FastCheck.oneof(
    // odd times to take and even ones to wait: nothing ends at the moment that something else is done
    FastCheck.nat(3000).map((n) => ({ do: "create" as const, takes: 2 * n + 1 })),
    FastCheck.nat().map((which) => ({ do: "abort" as const, which })),
    FastCheck.constant({ do: "rotate" as const }),
    FastCheck.nat(1000).map((n) => ({ do: "wait" as const, for: 2 * n }))
  )

  it("has the outcomes of a model, whatever happens at the same time", () =>
    check("schedules of concurrent create, abort, rotate and dispose against a reference model of their outcomes",
      FastCheck.array(step, { maxLength: 40 }), (steps) => {
        const delays: Array<number> = []
        const router = Mocks.scripted((n) => Effect.delay(answer(`answer ${n}`), delays[n - 1]!))
        return underTestClock(Effect.gen(function*() {
          const scope = yield* Scope.make()
          const { create, rotateKeys } = Context.get(
            yield* Layer.buildWithScope(Mocks.client(router.layer), scope),
            NomyoClient.NomyoClient
          )
          const calls: Array<
            {
              readonly fiber: Fiber.RuntimeFiber<string | null | undefined, NomyoError>
              readonly until: number
              outcome?: string
            }
          > = []
          let now = 0
          for (const step of steps) {
            switch (step.do) {
              case "create": {
                delays.push(step.takes)
                const fiber = yield* Effect.fork(
                  Effect.map(create(hello), ({ choices }) => choices[0]?.message.content)
                )
                calls.push({ fiber, until: now + step.takes })
                yield* TestClock.adjust(0)
                break
              }
              case "abort": {
                const call = calls[step.which % calls.length]
                if (call === undefined) break
                if (call.until > now) call.outcome ??= "interrupted"
                yield* Fiber.interrupt(call.fiber)
                break
              }
              case "rotate":
                yield* rotateKeys
                break
              case "wait":
                yield* TestClock.adjust(step.for)
                now += step.for
            }
          }
          for (const call of calls) if (call.until > now) call.outcome ??= "DisposedError"
          yield* Scope.close(scope, Exit.void)
          const outcomes = yield* Effect.forEach(calls, ({ fiber }) =>
            Effect.map(Fiber.await(fiber), Exit.match({
              onSuccess: String,
              onFailure: (cause) =>
              Cause.isInterruptedOnly(cause)
                ? "interrupted"
                : String(Option.getOrUndefined(Cause.failureOption(cause))?._tag)
            })))
          assert.deepStrictEqual(outcomes, calls.map(({ outcome }, i) => outcome ?? `answer ${i + 1}`))
          assert.strictEqual((yield* Effect.flip(create(hello)))._tag, "DisposedError")
          assert.strictEqual((yield* Effect.flip(rotateKeys))._tag, "DisposedError")
        }))
      }, 50))
})
