/** The post-quantum KEM of protocol 2: its bytes, a router's keys, and what a client makes of an offer. */
import { assert, describe, it, layer } from "@effect/vitest"
import { ml_kem768_x25519 as noble } from "@noble/post-quantum/hybrid.js"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { NomyoClient, type NomyoConfig } from "../../src/index.js"
import * as GatewayKeyFiles from "../../src/platform/node/gatewayKeyFiles.js"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as NodeTransport from "../../src/platform/node/NodeTransport.js"
import * as KeyConfiguration from "../../src/protocol2/KeyConfiguration.js"
import { Primitives } from "../../src/protocol2/Primitives.js"
import * as WebPrimitives from "../../src/protocol2/WebPrimitives.js"
import { xWing, xWingWith } from "../../src/protocol2/XWing.js"
import * as GatewayKeys from "../../src/router/GatewayKeys.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import { activeProxy } from "../support/activeProxy.js"
import { hello } from "../support/calls.js"
import { clientOf, router } from "../support/protocol2Router.js"
import * as Servers from "../support/servers.js"

const ALGORITHM = "hpke-mlkem768-x25519-hkdf-sha256-aes256-gcm"
const bytes = (from: Uint8Array) => Uint8Array.from(from)
const seed = bytes(Buffer.alloc(32, 7))
const flipped = (message: Uint8Array, at: number) =>
  message.map((byte, i) => i === at ? byte ^ 1 << (at & 7) : byte)

/** The arrays of bytes that an effect writes others into, or cuts. */
const bytesTouched = <E, R>(effect: Effect.Effect<void, E, R>) =>
  Effect.gen(function*() {
    const touched = new Set<Uint8Array>()
    const { set, slice } = Uint8Array.prototype
    const noting = <F extends (...args: Array<never>) => unknown>(method: F) =>
      function(this: Uint8Array, ...args: Parameters<F>) {
        touched.add(this)
        return method.apply(this, args)
      }
    Object.assign(Uint8Array.prototype, { set: noting(set), slice: noting(slice) })
    yield* Effect.ensuring(effect, Effect.sync(() => {
      Reflect.deleteProperty(Uint8Array.prototype, "set")
      Reflect.deleteProperty(Uint8Array.prototype, "slice")
    }))
    return [...touched]
  })

describe.each([["node:crypto", NodePrimitives.layer], ["WebCrypto", WebPrimitives.layer]] as const)(
  "MLKEM768-X25519 on %s",
  (_, primitives) => {
    layer(Layer.merge(primitives, SecureMemory.layer))((it) => {
      const pair = Effect.flatMap(Primitives, (service) => xWing.importKeyPair(service, seed))

      it.scoped("agrees with another implementation, both ways", () =>
        Effect.gen(function*() {
          const service = yield* Primitives
          const keyPair = yield* pair
          const theirs = noble.keygen(seed)
          assert.deepStrictEqual(keyPair.publicKey, bytes(theirs.publicKey))
          assert.lengthOf(keyPair.publicKey, 1216)
          const ours = yield* xWing.encapsulate(service, keyPair.publicKey)
          assert.lengthOf(ours.enc, xWing.encLength)
          assert.deepStrictEqual(bytes(noble.decapsulate(ours.enc, theirs.secretKey)), ours.sharedSecret)
          const { cipherText, sharedSecret } = noble.encapsulate(theirs.publicKey)
          const opened = yield* xWing.decapsulate(service, keyPair, bytes(cipherText))
          assert.deepStrictEqual(opened, bytes(sharedSecret))
          const randomness = service.randomBytes(64)
          const known = yield* xWingWith(randomness).encapsulate(service, keyPair.publicKey)
          assert.deepStrictEqual(known.enc, bytes(noble.encapsulate(theirs.publicKey, randomness).cipherText))
        }))

      it.scoped("leaves no copy of X25519's secrets in what it joins and cuts", () =>
        Effect.gen(function*() {
          const service = yield* Primitives
          const secrets: Array<Buffer> = []
          const keep = (bytes: Uint8Array) => Effect.sync(() => secrets.push(Buffer.from(bytes)))
          const spied: Primitives["Type"] = {
            ...service,
            importKeyPair: (bytes) => Effect.zipRight(keep(bytes), service.importKeyPair(bytes)),
            diffieHellman: (...keys) => Effect.tap(service.diffieHellman(...keys), keep)
          }
          const buffers = yield* bytesTouched(Effect.scoped(Effect.gen(function*() {
            const keyPair = yield* xWing.importKeyPair(spied, seed)
            const { enc } = yield* xWing.encapsulate(spied, keyPair.publicKey)
            yield* xWing.decapsulate(spied, keyPair, enc)
          })))
          assert.lengthOf(secrets, 3)
          assert.isNotEmpty(buffers)
          for (const secret of secrets) {
            assert.isFalse(buffers.some((buffer) => Buffer.from(buffer).includes(secret)))
          }
        }))

      it.scoped("gives another secret, or fails, for an encapsulation with a bit changed", () =>
        Effect.gen(function*() {
          const service = yield* Primitives
          const keyPair = yield* pair
          const { enc, sharedSecret } = yield* xWing.encapsulate(service, keyPair.publicKey)
          // each takes a millisecond: some bytes of ML-KEM's part, and some of X25519's
          const places = Array.from(enc.keys()).filter((at) => at % 64 === 0 || at % 8 === 0 && at >= 1088)
          for (const at of places) {
            const opened = yield* Effect.either(xWing.decapsulate(service, keyPair, flipped(enc, at)))
            assert.notDeepEqual(opened._tag === "Right" ? opened.right : undefined, sharedSecret, `byte ${at}`)
          }
        }))

      it.scoped("refuses public keys and encapsulations that the standards refuse", () =>
        Effect.gen(function*() {
          const service = yield* Primitives
          const keyPair = yield* pair
          const { publicKey } = keyPair
          const { enc } = yield* xWing.encapsulate(service, publicKey)
          const tooLarge = publicKey.map((byte, i) => i < 3 ? 0xff : byte)
          const smallOrder = publicKey.map((byte, i) => i < 1184 ? byte : 0)
          type Needs = SecureMemory.SecureMemory | Scope.Scope
          const refused: ReadonlyArray<Effect.Effect<unknown, unknown, Needs>> = [
            xWing.encapsulate(service, tooLarge),
            xWing.encapsulate(service, smallOrder),
            xWing.encapsulate(service, publicKey.slice(1)),
            xWing.encapsulate(service, new Uint8Array(0)),
            xWing.decapsulate(service, keyPair, enc.map((byte, i) => i < 1088 ? byte : 0)),
            xWing.decapsulate(service, keyPair, enc.slice(1)),
            xWing.importKeyPair(service, seed.slice(1))
          ]
          for (const attempt of refused) {
            assert.deepInclude(yield* Effect.flip(attempt), { _tag: "SecurityError", reason: "envelope" })
          }
          assert.deepInclude(yield* Effect.flip(xWing.importKeyPair(service, seed.slice(1))), {
            message: "The message could not be opened or sealed. Send the request again"
          })
        }))

      it.scoped("shows nothing of a private key, and opens nothing once that is wiped", () =>
        Effect.gen(function*() {
          const service = yield* Primitives
          const keyPair = yield* pair
          const { enc, sharedSecret } = yield* xWing.encapsulate(service, keyPair.publicKey)
          assert.deepStrictEqual(Object.keys(keyPair).toSorted(), ["publicKey", "x25519"])
          xWing.wipe(keyPair)
          const opened = yield* Effect.either(xWing.decapsulate(service, keyPair, enc))
          assert.notDeepEqual(opened._tag === "Right" ? opened.right : undefined, sharedSecret)
        }))
    })
  }
)

describe("a router's post-quantum keys", () => {
  const services = Layer.merge(NodePrimitives.layer, SecureMemory.layer)
  const directory = Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-gateway-"))),
    (dir) => Effect.sync(() => Fs.rmSync(dir, { recursive: true }))
  )
  const makeIn = (dir: string, postQuantum: boolean) =>
    GatewayKeys.make({ storage: GatewayKeyFiles.make(dir), keysAhead: 1, life: "7 days", postQuantum })
  const offered = (keys: GatewayKeys.Service) =>
    Effect.flatMap(keys.list, (list) =>
      Effect.all([0x0020, 0x647a].map((kemId) => KeyConfiguration.choose(list, [kemId], []))))

  it.scoped("rotate beside the others, under ids that no two keys share, and are erased from the disk", () =>
    Effect.gen(function*() {
      const dir = yield* directory
      const keys = yield* makeIn(dir, true)
      const before = yield* offered(keys)
      const next = [yield* keys.fingerprints, yield* keys.postQuantumFingerprints].map((pins) => pins[1])
      yield* TestClock.adjust("7 days")
      const after = yield* offered(keys)
      assert.deepStrictEqual(after.map(({ fingerprint }) => fingerprint), next as Array<string>)
      assert.strictEqual(new Set([...before, ...after].map(({ keyId }) => keyId)).size, 4)
      const ids = Fs.readdirSync(dir).map((name) => name.split(".")[1])
      assert.deepStrictEqual([ids.length, new Set(ids).size], [6, 6])
      yield* TestClock.adjust("3900 seconds")
      for (const { keyId } of before) assert.isUndefined(yield* keys.find(keyId))
      assert.lengthOf(Fs.readdirSync(dir), 4)
    }).pipe(Effect.provide(services)))

  it.scoped("survive a restart, and wait on the disk while the router does not offer them", () =>
    Effect.gen(function*() {
      const dir = yield* directory
      const before = yield* makeIn(dir, true)
      const without = yield* makeIn(dir, false)
      assert.deepStrictEqual(yield* without.postQuantumFingerprints, [])
      assert.deepStrictEqual(yield* without.fingerprints, yield* before.fingerprints)
      const after = yield* makeIn(dir, true)
      assert.deepStrictEqual(yield* after.postQuantumFingerprints, yield* before.postQuantumFingerprints)
      assert.lengthOf(yield* after.postQuantumFingerprints, 2)
    }).pipe(Effect.provide(services)))
})

const services = Layer.merge(Layer.merge(NodeTransport.layer, NodePrimitives.layer), Servers.platform)

layer(services, { excludeTestServices: true })("a client with postQuantum", (it) => {
  const ask = (url: string, options: NomyoConfig.Options) =>
    Effect.flatMap(NomyoClient.NomyoClient, (client) => client.create(hello)).pipe(
      Effect.provide(clientOf(url, options))
    )
  /** A proxy that takes the post-quantum key out of a router's list, and counts what is sent to it. */
  const hiding = Effect.fnUntraced(function*(target: string) {
    const counts = { posts: 0 }
    const url = yield* activeProxy(target, async (passing, forward) => {
      if (passing.method === "POST") counts.posts++
      const given = await forward(passing)
      const list = given.body
      return passing.method === "GET" ? { ...given, body: list.slice(0, 2 + list[0]! * 256 + list[1]!) } : given
    })
    return { url, counts }
  })

  it.scoped("uses the hybrid KEM where it is asked to, and says so", () =>
    Effect.gen(function*() {
      const { keys, url } = yield* router({}, { postQuantum: true })
      const pins = yield* keys.postQuantumFingerprints
      for (const postQuantum of ["prefer", "require"] as const) {
        const { _metadata, choices } = yield* ask(url, { postQuantum, routerKeyConfigFingerprints: pins })
        assert.strictEqual(choices[0]?.message.content, "You said: Hello!")
        assert.strictEqual(_metadata.encryption_algorithm, ALGORITHM)
      }
      const { _metadata } = yield* ask(url, {})
      assert.strictEqual(_metadata.encryption_algorithm, "hpke-x25519-hkdf-sha256-aes256-gcm")
    }))

  it.scoped("sends nothing without that KEM if it is required or pinned, whoever hides it", () =>
    Effect.gen(function*() {
      const { keys, url: target } = yield* router({}, { postQuantum: true })
      const { counts, url } = yield* hiding(target)
      const pins = yield* keys.postQuantumFingerprints
      const required = yield* Effect.flip(ask(url, { postQuantum: "require" }))
      const pinned = yield* Effect.flip(ask(url, { postQuantum: "prefer", routerKeyConfigFingerprints: pins }))
      assert.deepInclude(required, { _tag: "SecurityError", reason: "router-key" })
      assert.include(required.message, "--post-quantum")
      assert.deepInclude(pinned, { _tag: "SecurityError", reason: "router-key-pin" })
      assert.strictEqual(counts.posts, 0)
      const preferred = yield* ask(url, { postQuantum: "prefer" })
      assert.notStrictEqual(preferred._metadata.encryption_algorithm, ALGORITHM)
    }))

  it.scoped("seals to the pinned key if that is the other one", () =>
    Effect.gen(function*() {
      const { pin, url } = yield* router({}, { postQuantum: true })
      const { _metadata } = yield* ask(url, { postQuantum: "prefer", routerKeyConfigFingerprints: [pin] })
      assert.notStrictEqual(_metadata.encryption_algorithm, ALGORITHM)
    }))

  it.scoped("sends nothing to a key that ML-KEM refuses", () =>
    Effect.gen(function*() {
      const publicKey = new Uint8Array(1216).fill(0xff)
      const configuration = KeyConfiguration.encode({ keyId: 1, kemId: xWing.id, publicKey })
      const list = KeyConfiguration.encodeList([configuration])
      const { counts, url } = yield* hiding("http://127.0.0.1:9")
      const options = { postQuantum: "require", routerKeyConfig: Buffer.from(list).toString("base64") } as const
      const error = yield* Effect.flip(ask(url, options))
      assert.deepInclude(error, { _tag: "SecurityError", reason: "envelope" })
      assert.strictEqual(counts.posts, 0)
    }))

  it.scoped("gets the answer that every unopened message gets, whatever is wrong with the encapsulation", () =>
    Effect.gen(function*() {
      const { url: target } = yield* router({}, { postQuantum: true })
      const answers: Array<string> = []
      const url = yield* activeProxy(target, async (passing, forward) => {
        if (passing.method === "GET") return forward(passing)
        const { body } = passing
        const changed = [
          ...Array.from({ length: 12 }, (_, i) => flipped(body, Math.floor(i * (7 + 1120) / 12))),
          body.fill(0, 7 + 1088, 7 + 1120),
          ...[0, 1, 7, 8, 39, 7 + 1119, 7 + 1120].map((length) => body.subarray(0, length))
        ]
        for (const part of changed) {
          const { body: answer, status } = await forward({ ...passing, body: Buffer.from(part) })
          answers.push(`${status} ${Buffer.from(answer).toString()}`)
        }
        return { status: 502, body: new Uint8Array(0) }
      })
      yield* Effect.flip(ask(url, { postQuantum: "require" }))
      assert.lengthOf(answers, 20)
      assert.match(answers[0]!, /^400 .*#ohttp-key/)
      assert.lengthOf(new Set(answers), 1)
    }))
})
