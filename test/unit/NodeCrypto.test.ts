import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { availableParallelism } from "node:os"
import { vi } from "vitest"
import * as Crypto from "../../src/Crypto.js"
import * as NodeCrypto from "../../src/platform/node/NodeCrypto.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import { countTurns, load } from "../support/cryptos.js"
import * as Lent from "../support/lent.js"
import * as Memory from "../support/memory.js"

describe("NodeCrypto", () => {
  const { subtle } = globalThis.crypto
  const decrypt = subtle.decrypt.bind(subtle)
  /** Has the platform's RSA operation done by `instead`, until the scope closes. */
  const mockDecrypt = (instead: typeof subtle.decrypt) =>
    Effect.acquireRelease(
      Effect.sync(() => vi.spyOn(subtle, "decrypt").mockImplementation(instead)),
      (spy) => Effect.sync(() => spy.mockRestore())
    )
  const layerWith = (options: NodeCrypto.Options) =>
    Layer.provideMerge(NodeCrypto.layerWith(options), SecureMemory.layer)

  it.scoped.each([
    [undefined, Math.min(availableParallelism() + 1, 3)],
    [1, 1],
    [2, 2],
    [2.9, 2],
    [5, 5],
    [9, 5],
    [0, 1]
  ] as const)("decrypts no more at a time than it may, each with a handle of its own, and keeps those: %s",
    ([handles, expected]) =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const used = new Set<CryptoKey>()
        let [working, most] = [0, 0]
        const exportKey = yield* Effect.acquireRelease(
          Effect.sync(() => vi.spyOn(subtle, "exportKey")),
          (spy) => Effect.sync(() => spy.mockRestore())
        )
        yield* mockDecrypt((algorithm, key, data) => {
          used.add(key)
          most = Math.max(most, ++working)
          return decrypt(algorithm, key, data).finally(() => working--)
        })
        const openFive = Effect.all(
          Array.from({ length: 5 }, (_, i) =>
            Effect.flatMap(crypto.seal(publicKey, new Uint8Array(i)), (sealed) =>
              crypto.open(privateKey, sealed))),
          { concurrency: "unbounded" }
        )
        for (let round = 0; round < 2; round++) {
          assert.deepStrictEqual((yield* openFive).map(({ length }) => length), [0, 1, 2, 3, 4])
          assert.strictEqual(used.size, expected)
          assert.lengthOf(exportKey.mock.calls, expected - 1)
          assert.isAtMost(most, expected)
        }
      }).pipe(Effect.provide(layerWith({ maxParallelDecrypts: handles }))))

  it.scopedLive("reuses no key handle that is still busy for an interrupted caller", () =>
    Effect.gen(function*() {
      const crypto = yield* Crypto.Crypto
      const { privateKey, publicKey } = yield* load("client_2048.pem")
      const started = yield* Deferred.make<void>()
      let goOn = (): void => undefined
      let [working, most, calls] = [0, 0, 0]
      yield* mockDecrypt(async (...parameters) => {
        calls++
        most = Math.max(most, ++working)
        Deferred.unsafeDone(started, Effect.void)
        await new Promise<void>((resolve) => {
          goOn = resolve
        })
        return decrypt(...parameters).finally(() => working--)
      })
      const open = crypto.seal(publicKey, new Uint8Array(9), (sealed) =>
        crypto.open(privateKey, sealed, ({ length }) => Effect.succeed(length)))
      const abandoned = yield* Effect.fork(open)
      yield* Deferred.await(started)
      const exit = yield* Fiber.interrupt(abandoned)
      assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      const waiting = yield* Effect.fork(open)
      const gone = yield* Effect.fork(open)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(gone)
      goOn()
      yield* Effect.repeat(Effect.sync(() => goOn()), { until: () => waiting.unsafePoll() !== null,
        schedule: Schedule.spaced("1 millis") })
      assert.strictEqual(yield* Fiber.join(waiting), 9)
      // no decryption for the interrupted caller
      assert.deepStrictEqual({ most, calls }, { most: 1, calls: 2 })
    }).pipe(Effect.provide(layerWith({ maxParallelDecrypts: 1 }))))

  it.scoped("leaves no AES key behind, even when its caller is interrupted", () => {
    const lent: Array<{ readonly bytes: Uint8Array; wasUsed: boolean }> = []
    const memory = Memory.spied(SecureMemory.layer,
      (bytes) => lent.push({ bytes, wasUsed: bytes.some((byte) => byte > 0) }))
    return Effect.gen(function*() {
      const crypto = yield* Crypto.Crypto
      const { privateKey, publicKey } = yield* load("client_2048.pem")
      lent.length = 0
      const unwrapped: Array<Uint8Array> = []
      let goOn: Promise<unknown> = Promise.resolve()
      yield* mockDecrypt(async (...parameters) => {
        await goOn
        const buffer = await decrypt(...parameters)
        unwrapped.push(new Uint8Array(buffer))
        return buffer
      })
      const open = crypto.seal(publicKey, new Uint8Array(100),
        (sealed) =>
          crypto.open(privateKey, sealed, ({ length }) =>
            Effect.sync(() => {
              // a key with a nonce for the seal, a key for the opening
              assert.deepStrictEqual(lent.map(({ bytes, wasUsed }) => [bytes.length, wasUsed]), [[44, true], [
                32,
                true
              ]])
              return length
            })))
      assert.strictEqual(yield* open, 100)
      let resume: (value?: unknown) => void = () => undefined
      goOn = new Promise((resolve) => {
        resume = resolve
      })
      const fiber = yield* Effect.fork(open)
      yield* Effect.promise(() => vi.waitFor(() => assert.lengthOf(vi.mocked(subtle.decrypt).mock.calls, 2)))
      yield* Fiber.interrupt(fiber)
      resume()
      yield* Effect.promise(() => vi.waitFor(() => assert.lengthOf(unwrapped, 2)))
      yield* Effect.promise(() => new Promise(setImmediate))
      assert.lengthOf(unwrapped[0]!, 32)
      // and two answers, of which one never came
      assert.deepStrictEqual(lent.map(({ bytes }) => bytes.length), [44, 32, 100, 44, 32, 100])
      for (const bytes of [...unwrapped, ...lent.map(({ bytes }) => bytes)])
        assert.isTrue(bytes.every((byte) => byte === 0))
    }).pipe(Effect.provide(Layer.provideMerge(NodeCrypto.layer, memory)))
  })

  it.scoped("keeps the promise of a length, or fails", () =>
    Effect.gen(function*() {
      const crypto = yield* Lent.crypto
      const { publicKey } = yield* load("client_2048.pem")
      const Resizable = ArrayBuffer as unknown as new(length: number, options: object) => ArrayBuffer & {
        readonly resize: (to: number) => void
      }
      const buffer = new Resizable(100_000, { maxByteLength: 200_000 })
      const sealed = yield* crypto.seal(publicKey, new Uint8Array(buffer))
      const chunks = sealed.ciphertext[Symbol.iterator]()
      assert.lengthOf(chunks.next().value!, 48 * 1024)
      buffer.resize(150_000)
      assert.throws(() => chunks.next(), "length")
      assert.strictEqual(sealed.length, 100_000)
    }).pipe(Effect.provide(layerWith({}))))

  it.scoped("writes nothing into a window that it has given back", () =>
    Effect.gen(function*() {
      const crypto = yield* Lent.crypto
      const { publicKey } = yield* load("client_2048.pem")
      const windows: Array<Uint8Array> = []
      const chunks = function*(window: Uint8Array<ArrayBuffer>) {
        windows.push(window)
        for (;;) yield window.fill(7)
      }
      const scope = yield* Scope.make()
      const sealed = yield* Scope.extend(crypto.seal(publicKey, { length: 10 * 48 * 1024, chunks }), scope)
      const ciphertext = sealed.ciphertext[Symbol.iterator]()
      assert.lengthOf(ciphertext.next().value!, 48 * 1024)
      assert.isTrue(windows[0]!.every((byte) => byte === 7))
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(windows[0]!.every((byte) => byte === 0))
      assert.throws(() => ciphertext.next(), "length")
      assert.isTrue(windows[0]!.every((byte) => byte === 0))
      assert.lengthOf(windows, 1)
    }).pipe(Effect.provide(layerWith({}))))

  it.scoped("reads the first chunks of an answer while its key is unwrapped, and fails alike for errors in them", () =>
    Effect.gen(function*() {
      const crypto = yield* Lent.crypto
      const { privateKey, publicKey } = yield* load("client_2048.pem")
      const sealed = yield* crypto.seal(publicKey, new Uint8Array(10 * 48 * 1024))
      const [ciphertext, tag] = [[...sealed.ciphertext], sealed.tag()]
      let [taken, atDecrypt] = [0, 0]
      yield* mockDecrypt(async (...parameters) => {
        await Promise.resolve()
        atDecrypt = taken
        return decrypt(...parameters)
      })
      const chunks = function*(broken: number) {
        for (const chunk of ciphertext) {
          if (++taken === broken) throw new Error("a secret")
          yield chunk
        }
      }
      assert.lengthOf(yield* crypto.open(privateKey, { ...sealed, ciphertext: chunks(0), tag: () => tag }),
        10 * 48 * 1024)
      assert.strictEqual(taken, 10)
      assert.isAbove(atDecrypt, 0)
      for (const broken of [1, 5, 6]) {
        taken = 0
        const error = yield* Effect.flip(
          crypto.open(privateKey, { ...sealed, ciphertext: chunks(broken), tag: () => tag })
        )
        assert.strictEqual(error.message,
          "The answer could not be opened: it is damaged, altered, or sealed to another key. Send the request again")
        assert.deepStrictEqual(Object.keys(error), Object.keys(Crypto.cannotOpen()))
      }
    }).pipe(Effect.provide(layerWith({}))))

  it.scoped("yields to the event loop between the chunks of a long answer", () =>
    Effect.gen(function*() {
      const crypto = yield* Lent.crypto
      const { privateKey, publicKey } = yield* load("client_2048.pem")
      const sealed = yield* crypto.seal(publicKey, new Uint8Array(15 * 48 * 1024))
      const ciphertext = [...sealed.ciphertext]
      const tag = sealed.tag()
      assert.lengthOf(ciphertext, 15)
      const turns = yield* countTurns
      const seen = new Set<number>()
      const watched = function*() {
        for (const chunk of ciphertext) {
          seen.add(turns())
          yield chunk
        }
      }
      yield* crypto.open(privateKey, { ...sealed, ciphertext: watched(), tag: () => tag })
      assert.isAbove(seen.size, 1)
    }).pipe(Effect.provide(layerWith({}))))
})
