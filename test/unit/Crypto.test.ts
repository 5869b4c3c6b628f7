import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import * as Crypto from "../../src/Crypto.js"
import * as TestCrypto from "../../src/TestCrypto.js"

describe("Crypto", () => {
  it("has one failure to seal and one to open, which hold nothing else", () => {
    const shown = (error: object) => ({ ...error })
    assert.deepInclude(shown(Crypto.cannotSeal()), { _tag: "SecurityError", reason: "encryption" })
    assert.deepInclude(shown(Crypto.cannotOpen()), { _tag: "SecurityError", reason: "envelope" })
    assert.isUndefined(Crypto.cannotOpen().cause)
  })
})

describe("TestCrypto", () => {
  it.effect("makes keys at once, with the time of the clock, and counts ids", () =>
    Effect.gen(function*() {
      const crypto = yield* Crypto.Crypto
      yield* TestClock.setTime(1234)
      const [first, second] = [yield* crypto.generateKeyPair(2048), yield* crypto.generateKeyPair(4096)]
      assert.strictEqual(first.createdAt, 1234)
      assert.deepInclude(second.publicKey, { modulusLength: 4096 })
      assert.notStrictEqual(first.publicKey.fingerprint, second.publicKey.fingerprint)
      const ids = { first: yield* crypto.randomId, second: yield* crypto.randomId }
      assert.deepStrictEqual(ids, {
        first: "00000000-0000-4000-8000-000000000001",
        second: "00000000-0000-4000-8000-000000000002"
      })
    }).pipe(Effect.provide(TestCrypto.layer)))

  it.scoped("opens with the right key only, and with none that is destroyed", () =>
    Effect.gen(function*() {
      const crypto = yield* Crypto.Crypto
      const [mine, other] = [yield* crypto.generateKeyPair(2048), yield* crypto.generateKeyPair(2048)]
      const roundTrip = (key: Crypto.PrivateKey) =>
        crypto.seal(mine.publicKey, Uint8Array.of(1, 2), (sealed) =>
          crypto.open(key, sealed, (plaintext) => Effect.sync(() => [...plaintext])))
      assert.deepStrictEqual(yield* roundTrip(mine.privateKey), [1, 2])
      assert.deepInclude(yield* Effect.flip(roundTrip(other.privateKey)), { reason: "envelope" })
      yield* crypto.destroy(mine.privateKey)
      assert.deepInclude(yield* Effect.flip(roundTrip(mine.privateKey)), { reason: "envelope" })
      assert.deepInclude(yield* Effect.flip(crypto.exportPrivateKey(mine.privateKey)), {
        reason: "client-key"
      })
    }).pipe(Effect.provide(TestCrypto.layer)))
})
