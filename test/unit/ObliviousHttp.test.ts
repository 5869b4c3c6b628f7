import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import { varint } from "../../src/protocol2/BinaryHttp.js"
import * as Hpke from "../../src/protocol2/Hpke.js"
import * as ObliviousHttp from "../../src/protocol2/ObliviousHttp.js"
import { Primitives } from "../../src/protocol2/Primitives.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import { HEADER, makeExchange } from "../support/protocol2.js"

const layer = Layer.merge(NodePrimitives.layer, SecureMemory.layer)
const scoped = <A, E>(effect: Effect.Effect<A, E, Primitives | SecureMemory.SecureMemory | Scope.Scope>) =>
  Effect.provide(Effect.scoped(effect), layer)

const refusal = {
  _tag: "SecurityError",
  reason: "envelope",
  message: "The answer could not be opened: it is damaged, altered or cut short. Send the request again"
} as const

/** The most plaintext of a chunk that a receiver takes: 64 KiB. */
const MOST = 65_536
const TAG = 16

/** Both sides of a request, and how many chunks its receiver has tried to decrypt. */
const exchange = Effect.gen(function*() {
  const primitives = yield* Primitives
  const state = { decrypted: 0 }
  const counting: Primitives["Type"] = { ...primitives, aesGcm: (key) =>
    Effect.map(primitives.aesGcm(key), (aead) => ({ ...aead, open: (...sealed) =>
      Effect.sync(() => state.decrypted++).pipe(
        Effect.zipRight(Effect.yieldNow()),
        Effect.zipRight(aead.open(...sealed))
      ) })) }
  const { client, gatewayFor } = yield* makeExchange
  const { request } = yield* Effect.provideService(gatewayFor(client.header), Primitives, counting)
  return { sealer: client.request, opener: request, state }
})

describe("a receiver of chunks", () => {
  it.effect("takes chunks of no plaintext and of 64 KiB, and the same for the last", () =>
    scoped(Effect.gen(function*() {
      const { opener, sealer } = yield* exchange
      const chunks = [new Uint8Array(0), new Uint8Array(MOST)]
      for (const chunk of chunks) {
        const [opened] = yield* opener.push(yield* sealer.chunk(chunk))
        assert.deepStrictEqual(opened, chunk)
      }
      yield* opener.push(yield* sealer.final(chunks[1]!))
      assert.deepStrictEqual(yield* opener.end, chunks[1])
      const empty = yield* exchange
      yield* empty.opener.push(yield* empty.sealer.final(chunks[0]!))
      assert.deepStrictEqual(yield* empty.opener.end, chunks[0])
    })))

  it.effect.each([TAG - 1, MOST + TAG + 1])(
    "refuses a chunk of %i bytes by its length alone",
    (length) =>
      scoped(Effect.gen(function*() {
        const { opener } = yield* exchange
        assert.deepInclude(yield* Effect.flip(opener.push(varint(length))), refusal)
      }))
  )

  it.effect("refuses a last chunk of more than 64 KiB before its end", () =>
    scoped(Effect.gen(function*() {
      const { opener, sealer } = yield* exchange
      const last = yield* sealer.final(new Uint8Array(MOST + 1))
      yield* opener.push(last.slice(0, -1))
      assert.deepInclude(yield* Effect.flip(opener.push(last.slice(-1))), refusal)
    })))

  for (const lost of ["does not open", "was interrupted"] as const) {
    it.effect(`opens nothing after a chunk that ${lost}, so that nobody takes the rest for the whole`, () =>
      scoped(Effect.gen(function*() {
        const { opener, sealer } = yield* exchange
        const first = yield* sealer.chunk(new Uint8Array(5))
        const last = yield* sealer.final(new Uint8Array(5))
        if (lost === "does not open") first[first.length - 1]! ^= 1
        const opening = yield* Effect.fork(opener.push(first))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(opening)
        assert.deepInclude(yield* Effect.flip(opener.push(last)), refusal)
        assert.deepInclude(yield* Effect.flip(opener.end), refusal)
      })))
  }

  it.effect.each([
    { why: "nothing", message: new Uint8Array(0) },
    { why: "half a chunk", message: new Uint8Array([40, ...new Uint8Array(30)]) },
    { why: "no length of 0", message: varint(40) },
    { why: "a last chunk shorter than its tag", message: new Uint8Array(TAG) }
  ])("decrypts nothing of a message that ends with $why", ({ message }) =>
    scoped(Effect.gen(function*() {
      const { opener, state } = yield* exchange
      yield* opener.push(message)
      assert.deepInclude(yield* Effect.flip(opener.end), refusal)
      assert.strictEqual(state.decrypted, 0)
    })))
})

describe("a gateway", () => {
  it.effect.each([HEADER - 1, HEADER + 1])("finds no secret for a header of %i bytes", (length) =>
    scoped(Effect.gen(function*() {
      const { generateKeyPair } = yield* Primitives
      const keyPair = yield* generateKeyPair
      const suite = { keyId: 1, kem: Hpke.x25519, aeadId: Hpke.AES_256_GCM } as const
      const { header } = yield* ObliviousHttp.client({ ...suite, publicKey: keyPair.publicKey })
      const kem = { ...Hpke.x25519, decapsulate: () => Effect.dieMessage("decapsulated") }
      const changed = new Uint8Array(length)
      changed.set(header.subarray(0, length))
      assert.deepInclude(yield* Effect.flip(ObliviousHttp.gateway({ ...suite, kem, keyPair }, changed)),
        refusal)
    })))
})
