import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import { Crypto } from "../../src/Crypto.js"
import * as KeyRing from "../../src/KeyRing.js"
import { NomyoClient } from "../../src/NomyoClient.js"
import * as NomyoConfig from "../../src/NomyoConfig.js"
import * as Node from "../../src/platform/node/index.js"
import * as NodeCrypto from "../../src/platform/node/NodeCrypto.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import * as Model from "../../src/router/Model.js"
import * as SecureMemoryModule from "../../src/SecureMemory.js"
import { SecureMemory } from "../../src/SecureMemory.js"
import { password, temporaryDirectory } from "../support/keyFiles.js"
import * as Lent from "../support/lent.js"
import * as Servers from "../support/servers.js"

describe("the bytes of private keys", () => {
  it.scopedLive("are zeroed as soon as they are stored or loaded, and are nowhere after disposal", () =>
    Effect.gen(function*() {
      const guarded: Array<Uint8Array> = []
      const watched = Layer.map(SecureMemoryModule.layer, (context) => {
        const memory = Context.get(context, SecureMemory)
        return Context.make(SecureMemory, {
          ...memory,
          guard: <E, R>(acquire: Effect.Effect<Uint8Array<ArrayBuffer>, E, R>) =>
            memory.guard(Effect.tap(acquire, (bytes) => {
              assert.isTrue(bytes.some((byte) => byte !== 0))
              guarded.push(bytes)
            })),
          allocate: (length) => Effect.tap(memory.allocate(length), (bytes) => guarded.push(bytes))
        })
      })
      const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0)
      const dir = temporaryDirectory()
      const services = Layer.provideMerge(NodeCrypto.layer, watched)
      const ring = Layer.unwrapEffect(Effect.map(NomyoConfig.make({ keySize: 2048 }), KeyRing.layer)).pipe(
        Layer.provide(NodeKeyStore.layer({ keyDir: dir, keyRotationPassword: password })),
        Layer.provideMerge(services)
      )
      for (const expected of [3, 4]) {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(ring, scope)
        const self = Context.get(context, KeyRing.KeyRing)
        const crypto = yield* Effect.provide(Lent.crypto, context)
        guarded.length = 0
        const lease = yield* Scope.make()
        const old = yield* Scope.extend(Lent.lease(self), lease)
        assert.lengthOf(guarded, expected)
        const current = yield* self.rotate
        // the stored pair is read once more, and the new one written
        assert.lengthOf(guarded, expected + 7)
        assert.isTrue(guarded.every(isZero))
        const sealed = yield* crypto.seal(old.publicKey, new Uint8Array([1]))
        yield* crypto.open(old.privateKey, sealed)
        yield* Scope.close(lease, Exit.void)
        for (const gone of [old, current]) {
          if (gone === current) yield* Scope.close(scope, Exit.void)
          assert.isTrue(Exit.isFailure(yield* Effect.exit(crypto.open(gone.privateKey, sealed))))
          assert.isTrue(Exit.isFailure(yield* Effect.exit(crypto.exportPrivateKey(gone.privateKey))))
        }
      }
    }))

  it.live("do not stop the event loop while a pair is made", () =>
    Effect.gen(function*() {
      const crypto = yield* Crypto
      let turns = 0
      const fiber = yield* Effect.fork(Effect.forever(Effect.zipRight(
        Effect.promise(() => new Promise((resolve) => setImmediate(resolve))),
        Effect.sync(() => turns++)
      )))
      yield* crypto.generateKeyPair(4096)
      yield* Fiber.interrupt(fiber)
      assert.isAbove(turns, 10)
    }).pipe(Effect.provide(Servers.platform)))
})

describe("rotation under load of a key directory", () => {
  it.scopedLive("loses no answer of 200, or of as many as six rotations take, while keys rotate every 100 ms",
    () =>
      Effect.gen(function*() {
        const echo = yield* Model.makeEcho
        const url = yield* Servers.router({
          model: (request) => Effect.delay(echo(request), 200 + Math.random() * 600)
        })
        const { rotations, sent } = yield* Effect.gen(function*() {
          const client = yield* NomyoClient
          const events = yield* client.keyEvents
          const seen = { sent: 0, rotations: 0 }
          const ask = Effect.gen(function*() {
            const content = String(seen.sent++)
            const request = { model: "m", messages: [{ role: "user", content }] } as const
            const answer = yield* client.create(request, { maxRetries: 0 })
            assert.strictEqual(answer.choices[0]?.message.content, `You said: ${content}`)
            seen.rotations += [...yield* events.takeAll].filter(({ _tag }) => _tag === "Rotated").length
          })
          const goOn = () => seen.sent < 200 || seen.rotations <= 5
          const askOn = Effect.whileLoop({ while: goOn, body: () => ask, step: () => undefined })
          yield* Effect.all(Array.from({ length: 20 }, () => askOn), { concurrency: 20, discard: true })
          return seen
        }).pipe(
          Effect.provide(
            Node.layer({ baseUrl: url, allowHttp: true, keyDir: temporaryDirectory(), keySize: 2048,
              keyRotationInterval: 100 })
          )
        )
        assert.isAtLeast(sent, 200)
        assert.isAbove(rotations, 5)
      }).pipe(Effect.provide(Layer.merge(Servers.platform, Logger.remove(Logger.defaultLogger)))), 120_000)
})
