import { assert, describe, it } from "@effect/vitest"
import { Aes128Gcm, Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as Hpke from "../../src/protocol2/Hpke.js"
import type { Aead } from "../../src/protocol2/Primitives.js"
import * as SecureMemory from "../../src/SecureMemory.js"

const bytes = (text: string) => Uint8Array.from(Buffer.from(text))
const hex = (data: ArrayBuffer | Uint8Array<ArrayBuffer>) => Buffer.from(new Uint8Array(data)).toString("hex")

describe("Hpke", () => {
  it.scoped.each([[0x0001, new Aes128Gcm()], [0x0002, new Aes256Gcm()]] as const)(
    "agrees with an independent implementation under the AEAD %i",
    ([aeadId, aead]) =>
      Effect.gen(function*() {
        const peer = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead })
        const recipientKey = yield* Effect.promise(() => peer.kem.generateKeyPair())
        const publicKey = yield* Effect.promise(() => peer.kem.serializePublicKey(recipientKey.publicKey))
        const { context, enc } = yield* Hpke.setupSender(Hpke.x25519, aeadId, new Uint8Array(publicKey),
          bytes("info"))
        const receiver = yield* Effect.promise(() =>
          peer.createRecipientContext({ recipientKey, enc, info: bytes("info") }))
        for (const chunk of ["first", "second"]) {
          const sealed = yield* context.seal(bytes("aad"), bytes(chunk))
          assert.strictEqual(hex(yield* Effect.promise(() => receiver.open(sealed, bytes("aad")))),
            hex(bytes(chunk)))
        }
        for (const length of [16, 32]) {
          assert.strictEqual(hex(yield* context.exportSecret(bytes("context"), length)),
            hex(yield* Effect.promise(() => receiver.export(bytes("context"), length))))
        }
      }).pipe(Effect.provide(Layer.merge(NodePrimitives.layer, SecureMemory.layer)))
  )

  it.effect("never uses a nonce again: it fails after 2^32 chunks", () =>
    Effect.gen(function*() {
      const nonces: Array<string> = []
      const noted: Aead["seal"] = (nonce) =>
        Effect.sync(() => {
          nonces.push(hex(nonce))
          return nonce
        })
      const base = new Uint8Array(12).fill(0xff)
      const { open, seal } = Hpke.counting({ seal: noted, open: noted }, base, 2 ** 32 - 2)
      yield* seal(bytes(""), bytes(""))
      yield* open(bytes(""), bytes(""))
      assert.deepStrictEqual(nonces, ["ffffffffffffffff00000001", "ffffffffffffffff00000000"])
      for (const next of [seal, open]) {
        assert.deepInclude(yield* Effect.flip(next(bytes(""), bytes(""))), { reason: "envelope",
          message: "The message is too long. Shorten the request" })
      }
      assert.lengthOf(nonces, 2)
    }))
})
