/** A router's keys of protocol 2: in memory and in files, from their making to their erasure. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as NodeCrypto from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as GatewayKeyFiles from "../../src/platform/node/gatewayKeyFiles.js"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as KeyConfiguration from "../../src/protocol2/KeyConfiguration.js"
import * as GatewayKeys from "../../src/router/GatewayKeys.js"
import * as SecureMemory from "../../src/SecureMemory.js"

const services = Layer.merge(NodePrimitives.layer, SecureMemory.layer)

const directory = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-gateway-"))),
  (dir) => Effect.sync(() => Fs.rmSync(dir, { recursive: true }))
)

const advertised = (keys: GatewayKeys.Service) =>
  Effect.flatMap(keys.list, (list) => KeyConfiguration.choose(list, [0x0020], []))

describe.each([["memory", () => GatewayKeys.inMemory], ["files", GatewayKeyFiles.make]])("keys in %s",
  (_, storageIn) => {
    it.scoped("are printed ahead, follow one another, overlap, and are erased", () =>
      Effect.gen(function*() {
        const keys = yield* GatewayKeys.make({ storage: storageIn(yield* directory), keysAhead: 2,
          life: "7 days" })
        const [now, next, ...others] = yield* keys.fingerprints
        assert.lengthOf(others, 1)
        const first = yield* advertised(keys)
        assert.strictEqual(first.fingerprint, now)
        yield* TestClock.adjust("7 days")
        const second = yield* advertised(keys)
        assert.deepStrictEqual(
          { fingerprint: second.fingerprint, keyId: second.keyId },
          { fingerprint: next, keyId: (first.keyId + 1) & 0xff }
        )
        const isAccepted = Effect.map(keys.find(first.keyId), (key) => key !== undefined)
        yield* TestClock.adjust("3899 seconds")
        assert.isTrue(yield* isAccepted, "max-age and 300 s have not passed yet")
        yield* TestClock.adjust("1 second")
        assert.isFalse(yield* isAccepted)
        assert.lengthOf(yield* keys.fingerprints, 3)
      }).pipe(Effect.provide(services)))
  })

describe("keys in files", () => {
  it.scoped("survive a restart, for their user alone, and are gone from the disk with their time", () =>
    Effect.gen(function*() {
      const dir = yield* directory
      const make = GatewayKeys.make({ storage: GatewayKeyFiles.make(dir), keysAhead: 1, life: "7 days" })
      const before = yield* make
      const after = yield* make
      assert.deepStrictEqual(yield* after.fingerprints, yield* before.fingerprints)
      assert.deepStrictEqual({ before: before.areNew, after: after.areNew }, { before: true, after: false })
      const files = Fs.readdirSync(dir)
      assert.deepStrictEqual(files.map((name) => Fs.statSync(Path.join(dir, name)).mode & 0o777), [0o600,
        0o600])
      for (const name of files) {
        const { asymmetricKeyType } = NodeCrypto.createPrivateKey(Fs.readFileSync(Path.join(dir, name)))
        assert.strictEqual(asymmetricKeyType, "x25519")
      }
      yield* TestClock.adjust("8 days")
      yield* after.list
      const left = Fs.readdirSync(dir)
      assert.deepStrictEqual({ left: left.length, kept: left.filter((name) => files.includes(name)).length },
        {
          left: 2,
          kept: 1
        })
    }).pipe(Effect.provide(services)))

  it.scoped("are refused if others can read one, or one is damaged", () =>
    Effect.gen(function*() {
      const dir = yield* directory
      const make = GatewayKeys.make({ storage: GatewayKeyFiles.make(dir), keysAhead: 0 })
      yield* make
      const [name = ""] = Fs.readdirSync(dir)
      const path = Path.join(dir, name)
      Fs.chmodSync(path, 0o644)
      const readable = yield* Effect.flip(make)
      Fs.chmodSync(path, 0o600)
      Fs.writeFileSync(path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
      const damaged = yield* Effect.flip(make)
      assert.deepStrictEqual([readable.reason, damaged.reason], ["key-permissions", "client-key"])
      assert.include(damaged.message, name)
    }).pipe(Effect.provide(services)))
})
