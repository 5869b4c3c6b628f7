import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as Crypto from "../../src/Crypto.js"
import * as KeyStore from "../../src/KeyStore.js"
import { SecurityError } from "../../src/NomyoError.js"
import * as TestCrypto from "../../src/TestCrypto.js"
import * as RouterKeys from "../../src/router/RouterKeys.js"

/** A store whose pair a test can replace, as `nomyo keys rotate` does. */
const makeStore = () => {
  const state: { pair: Crypto.KeyPair | undefined; isBroken: boolean } = { pair: undefined, isBroken: false }
  const store: KeyStore.Service = {
    load: Effect.suspend(() =>
      state.isBroken
        ? Effect.fail(new SecurityError({ reason: "client-key", message: "The disk is gone" }))
        : Effect.succeed(Option.fromNullable(state.pair))
    ),
    save: (pair) => Effect.sync(() => state.pair = pair),
    exclusively: (effect) => effect,
    remove: Effect.void
  }
  return { state, layer: Layer.merge(Layer.succeed(KeyStore.KeyStore, store), TestCrypto.layer) }
}

const minute = TestClock.adjust("1 minute")

describe("the keys of a router", () => {
  it.scoped("are the stored ones, or new ones that are stored", () => {
    const { layer, state } = makeStore()
    return Effect.gen(function*() {
      const first = yield* RouterKeys.make()
      assert.strictEqual(state.pair?.publicKey, first.publicKey())
      const again = yield* RouterKeys.make()
      assert.strictEqual(again.publicKey().fingerprint, first.publicKey().fingerprint)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("are replaced when another pair is stored; the old one opens requests for two hours", () => {
    const { layer, state } = makeStore()
    return Effect.gen(function*() {
      const keys = yield* RouterKeys.make()
      const old = keys.publicKey()
      const [oldPrivate] = keys.privateKeys()
      const crypto = yield* Crypto.Crypto
      const next = state.pair = yield* crypto.generateKeyPair(4096)
      yield* minute
      assert.notStrictEqual(keys.publicKey().fingerprint, old.fingerprint)
      assert.deepStrictEqual(keys.privateKeys(), [next.privateKey, oldPrivate!])
      yield* TestClock.adjust(Duration.minutes(119))
      assert.lengthOf(keys.privateKeys(), 2)
      yield* TestClock.adjust(Duration.minutes(2))
      assert.deepStrictEqual(keys.privateKeys(), [next.privateKey])
    }).pipe(Effect.provide(layer))
  })

  it.scoped("open requests to the replaced one after a restart, until two hours after the rotation", () => {
    const { layer, state } = makeStore()
    const other = makeStore()
    return Effect.gen(function*() {
      const replaced = yield* Effect.provide(KeyStore.KeyStore, other.layer)
      const crypto = yield* Crypto.Crypto
      const restart = Effect.scoped(Effect.map(RouterKeys.make({ replaced }), (keys) => ({
        published: keys.publicKey().fingerprint,
        count: keys.privateKeys().length
      })))
      const first = yield* restart
      assert.strictEqual(first.count, 1)
      yield* TestClock.adjust("1 day")
      const next = state.pair = yield* crypto.generateKeyPair(4096)
      assert.deepStrictEqual(yield* restart, { published: next.publicKey.fingerprint, count: 2 })
      assert.strictEqual(other.state.pair?.publicKey.fingerprint, first.published)
      yield* TestClock.adjust(Duration.minutes(119))
      assert.strictEqual((yield* restart).count, 2)
      yield* TestClock.adjust(Duration.minutes(2))
      assert.strictEqual((yield* restart).count, 1)
      assert.strictEqual(other.state.pair?.publicKey.fingerprint, next.publicKey.fingerprint)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("are replaced at their age, and not before", () => {
    const { layer, state } = makeStore()
    return Effect.gen(function*() {
      const keys = yield* RouterKeys.make({ rotationInterval: Duration.hours(24) })
      const { fingerprint } = keys.publicKey()
      yield* TestClock.adjust("23 hours")
      assert.strictEqual(keys.publicKey().fingerprint, fingerprint)
      yield* TestClock.adjust("61 minutes")
      assert.notStrictEqual(keys.publicKey().fingerprint, fingerprint)
      assert.strictEqual(state.pair?.publicKey.fingerprint, keys.publicKey().fingerprint)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("outlive a store that cannot be read", () => {
    const { layer, state } = makeStore()
    return Effect.gen(function*() {
      const keys = yield* RouterKeys.make()
      const { fingerprint } = keys.publicKey()
      state.isBroken = true
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(keys.publicKey().fingerprint, fingerprint)
      state.isBroken = false
      const crypto = yield* Crypto.Crypto
      state.pair = yield* crypto.generateKeyPair(4096)
      yield* minute
      assert.notStrictEqual(keys.publicKey().fingerprint, fingerprint)
    }).pipe(Effect.provide(layer))
  })
})
