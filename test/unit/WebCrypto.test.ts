import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { vi } from "vitest"
import * as ChatCompletion from "../../src/ChatCompletion.js"
import * as Crypto from "../../src/Crypto.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as WebCrypto from "../../src/WebCrypto.js"
import { countTurns, load } from "../support/cryptos.js"
import * as Lent from "../support/lent.js"

describe("WebCrypto", () => {
  it.scopedLive("reads no secret memory that it has freed, when it is interrupted", () => {
    const given = new Set<ArrayBufferLike>()
    const memory = SecureMemory.make({
      allocate: (length) => {
        const bytes = new Uint8Array(new ArrayBuffer(length))
        return { bytes, free: () => given.add(bytes.buffer) }
      },
      info: () => ({ method: "mlock", canLock: true, isPlatformSecure: true })
    })
    return Effect.gen(function*() {
      const crypto = yield* Crypto.Crypto
      const { publicKey } = yield* load("client_2048.pem")
      const { subtle } = globalThis.crypto
      const encrypt = subtle.encrypt.bind(subtle)
      const read: Array<boolean> = []
      yield* Effect.acquireRelease(
        Effect.sync(() =>
          vi.spyOn(subtle, "encrypt").mockImplementation((algorithm, key, data) => {
            read.push(given.has((data as Uint8Array).buffer))
            return encrypt(algorithm, key, data)
          })
        ),
        (spy) => Effect.sync(() => spy.mockRestore())
      )
      const plaintext = yield* ChatCompletion.encodePayload({ text: "x".repeat(8000) })
      for (let turns = 0; turns < 20; turns++) {
        const fiber = yield* Effect.fork(crypto.seal(publicKey, plaintext, () => Effect.void))
        for (let i = 0; i < turns; i++) yield* Effect.promise(() => Promise.resolve())
        yield* Fiber.interrupt(fiber)
      }
      yield* crypto.seal(publicKey, plaintext, () => Effect.void)
      assert.isNotEmpty(given)
      assert.isNotEmpty(read)
      assert.notInclude(read, true)
    }).pipe(
      Effect.provide(Layer.provideMerge(WebCrypto.layer, Layer.succeed(SecureMemory.SecureMemory, memory)))
    )
  })

  it.scoped("yields to the event loop while it counts and seals a long request", () =>
    Effect.gen(function*() {
      const crypto = yield* Lent.crypto
      const { publicKey } = yield* load("client_2048.pem")
      const turns = yield* countTurns
      const before = turns()
      const plaintext = yield* ChatCompletion.encodePayload({ content: "x".repeat(10 * 48 * 1024) })
      // more than 256 KiB are counted
      assert.isAbove(turns(), before)
      if (ArrayBuffer.isView(plaintext)) return assert.fail("bytes")
      const seen = new Set<number>()
      const chunks = function*(window: Uint8Array<ArrayBuffer>) {
        for (const chunk of plaintext.chunks(window)) {
          seen.add(turns())
          yield chunk
        }
      }
      yield* crypto.seal(publicKey, { length: plaintext.length, chunks })
      assert.isAbove(seen.size, 1)
    }).pipe(Effect.provide(Layer.provideMerge(WebCrypto.layer, SecureMemory.layer))))
})
