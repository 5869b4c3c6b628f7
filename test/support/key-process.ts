/**
 * A process for the key store's tests: `first DIR` leases a pair and prints its fingerprint; `save DIR` saves
 * two pairs in turn for ever.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Crypto from "../../src/Crypto.js"
import * as KeyRing from "../../src/KeyRing.js"
import { KeyStore } from "../../src/KeyStore.js"
import * as NomyoConfig from "../../src/NomyoConfig.js"
import * as NodeCrypto from "../../src/platform/node/NodeCrypto.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import * as SecureMemory from "../../src/SecureMemory.js"

const [mode, keyDir, ...sources] = process.argv.slice(2) as [string, string, ...Array<string>]

const first = Effect.gen(function*() {
  const ring = yield* Effect.flatMap(NomyoConfig.make({ keySize: 2048, keyRotationInterval: 0 }),
    KeyRing.make)
  yield* ring.lease(({ publicKey }) => Effect.sync(() => console.log(publicKey.fingerprint)))
}).pipe(Effect.scoped)

const save = Effect.gen(function*() {
  const store = yield* KeyStore
  const pairs = yield* Effect.forEach(sources, (source) => NodeKeyStore.loadKeyPair(source))
  console.log("saving")
  yield* Effect.forever(Effect.forEach(pairs, (pair) =>
    store.save({ ...pair, createdAt: Date.now() }, { ...pair, createdAt: Date.now() + 30_000 })))
})

const program: Effect.Effect<void, unknown, Crypto.Crypto | KeyStore | SecureMemory.SecureMemory> =
  mode === "first" ? first : save

await program.pipe(
  Effect.provide(NodeKeyStore.layer({ keyDir })),
  Effect.provide(Layer.provideMerge(NodeCrypto.layer, SecureMemory.layer)),
  Effect.runPromise
)
