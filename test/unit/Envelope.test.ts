import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Crypto from "../../src/Crypto.js"
import * as Envelope from "../../src/Envelope.js"
import type { SecurityError } from "../../src/NomyoError.js"
import * as TestCrypto from "../../src/TestCrypto.js"

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const bytes = (text: string) => new TextEncoder().encode(text)
const base64 = (text: string) => Buffer.from(text).toString("base64")

const pair = Effect.flatMap(Crypto.Crypto, (crypto) => crypto.generateKeyPair(2048))

/** `TestCrypto` with a `seal` that gives this. */
const sealing = (sealed: Crypto.Sealed) =>
  Effect.map(Crypto.Crypto, (crypto): Crypto.Service => ({ ...crypto, seal: (_key, _plaintext, use) =>
    use(sealed) }))

const sealed: Crypto.Sealed = {
  encryptedKey: bytes("key"),
  nonce: bytes("a nonce of 12"),
  length: 4,
  ciphertext: [bytes("abc"), bytes("d")],
  tag: () => bytes("a tag of 16 byte")
}

describe("Envelope", () => {
  it.effect("writes its fields, with a time if there is one", () =>
    Effect.gen(function*() {
      const { publicKey } = yield* pair
      const withTime = JSON.parse(text(yield* Envelope.seal(publicKey, bytes("{}"), { processedAt: 7 })))
      const without = JSON.parse(text(yield* Envelope.seal(publicKey, bytes("{}"))))
      assert.deepInclude(withTime, {
        version: "1.0",
        algorithm: "hybrid-aes256-rsa4096",
        encrypted_aes_key: base64("test key 1"),
        key_algorithm: "RSA-OAEP-SHA256",
        payload_algorithm: "AES-256-GCM",
        processed_at: 7
      })
      assert.strictEqual(withTime.encrypted_payload.ciphertext, base64("{}"))
      assert.notProperty(without, "processed_at")
    }).pipe(Effect.provide(TestCrypto.layer)))

  it.effect("opens what it seals, and says when the router answered", () =>
    Effect.gen(function*() {
      const { privateKey, publicKey } = yield* pair
      const envelope = yield* Envelope.seal(publicKey, bytes("an answer"), { processedAt: 7 })
      const opened = yield* Envelope.open(privateKey, envelope, ({ plaintext, ...rest }) =>
        Effect.sync(() => ({ ...rest, plaintext: text(plaintext) })))
      assert.deepStrictEqual(opened, {
        algorithm: "hybrid-aes256-rsa4096",
        plaintext: "an answer",
        processedAt: 7
      })
    }).pipe(Effect.provide(TestCrypto.layer)))

  it.effect("gives a body as long as it says, a chunk for each of the ciphertext's", () =>
    Effect.gen(function*() {
      const { publicKey } = yield* pair
      const body = yield* Envelope.sealWith(publicKey, bytes("1234"), ({ chunks, length }) =>
        Effect.sync(() => ({ length, chunks: [...chunks] }))).pipe(
        Effect.provideServiceEffect(Crypto.Crypto, sealing(sealed))
      )
      assert.strictEqual(body.chunks.join("").length, body.length)
      assert.deepStrictEqual(body.chunks.slice(1, -1), [base64("abc"), base64("d")])
    }).pipe(Effect.provide(TestCrypto.layer)))

  it.effect.each([
    { why: "padding within", ciphertext: [bytes("a"), bytes("bcd")], length: 4 },
    { why: "too short", ciphertext: [bytes("abc")], length: 4 },
    { why: "too long", ciphertext: [bytes("abc"), bytes("defg")], length: 4 }
  ])("never writes a ciphertext that is not right: $why", ({ ciphertext, length }) =>
    Effect.gen(function*() {
      const { publicKey } = yield* pair
      const error = yield* Envelope.seal(publicKey, bytes("1234")).pipe(
        Effect.provideServiceEffect(Crypto.Crypto, sealing({ ...sealed, ciphertext, length })),
        Effect.flip
      )
      assert.deepInclude(error, { reason: "encryption",
        message: "The request could not be encrypted. Report this as a bug in nomyo-js" })
    }).pipe(Effect.provide(TestCrypto.layer)))

  it.effect("has a schema that knows what it writes", () =>
    Effect.gen(function*() {
      const { publicKey } = yield* pair
      const json = JSON.parse(text(yield* Envelope.seal(publicKey, bytes("{}"))))
      const payload = json.encrypted_payload
      const is = Schema.is(Envelope.Envelope)
      assert.deepStrictEqual([json, { ...json, version: "1.1" },
        { ...json, encrypted_payload: { ...payload, tag: 7 } }].map((it) => is(it)), [true, false, false])
    }).pipe(Effect.provide(TestCrypto.layer)))

  const without = (name: string) => ({ [name]: undefined })
  /** An object that `Buffer.from` takes for bytes. */
  const disguised = (base64: string) => ({ buffer: [...bytes(base64)], byteOffset: 0, length: base64.length })
  it.effect.each<{ name: string; fields?: object; sealed?: object }>([
    { name: "version", fields: { version: "1.1" } },
    { name: "algorithm", fields: without("algorithm") },
    { name: "key_algorithm of another kind", fields: { key_algorithm: "RSA-OAEP-SHA1" } },
    { name: "key_algorithm null", fields: { key_algorithm: null } },
    { name: "payload_algorithm of another kind", fields: { payload_algorithm: "AES-128-GCM" } },
    { name: "payload_algorithm null", fields: { payload_algorithm: null } },
    { name: "processed_at", fields: { processed_at: "now" } },
    { name: "encrypted_payload", fields: without("encrypted_payload") },
    { name: "encrypted_payload null", fields: { encrypted_payload: null } },
    { name: "encrypted_aes_key absent", fields: without("encrypted_aes_key") },
    { name: "encrypted_aes_key of another kind", fields: { encrypted_aes_key: 7 } },
    { name: "encrypted_aes_key like bytes", fields: { encrypted_aes_key: disguised("YWJj") } },
    { name: "encrypted_aes_key with a line break", fields: { encrypted_aes_key: "YWJj\n" } },
    { name: "nonce absent", sealed: without("nonce") },
    { name: "nonce of another kind", sealed: { nonce: [base64("a nonce of 12")] } },
    { name: "nonce like bytes", sealed: { nonce: disguised(base64("nonce of 12.")) } },
    { name: "nonce too short", sealed: { nonce: base64("a nonce") } },
    { name: "tag absent", sealed: without("tag") },
    { name: "tag like bytes", sealed: { tag: disguised(base64("a tag of 16 byte")) } },
    { name: "tag too short", sealed: { tag: base64("a tag") } },
    { name: "ciphertext absent", sealed: without("ciphertext") },
    { name: "ciphertext without padding", sealed: { ciphertext: "e30" } }
  ])("refuses an envelope with a bad field, and decrypts none of it: $name", ({ fields, sealed }) =>
    Effect.gen(function*() {
      const { privateKey, publicKey } = yield* pair
      const good = JSON.parse(text(yield* Envelope.seal(publicKey, bytes("{}"))))
      const open = (json: object) => Envelope.open(privateKey, bytes(JSON.stringify(json)), () => Effect.void)
      yield* open(good)
      const crypto = yield* Crypto.Crypto
      const payload = sealed === undefined
        ? {}
        : { encrypted_payload: { ...good.encrypted_payload, ...sealed } }
      const error = yield* Effect.flip(open({ ...good, ...payload, ...fields })).pipe(
        Effect.provideService(Crypto.Crypto, { ...crypto, open: () => Effect.dieMessage("decrypted") })
      )
      assert.deepInclude(error, { reason: "envelope" })
    }).pipe(Effect.provide(TestCrypto.layer)))

  it.effect("throws in its ciphertext where that is not base64", () =>
    Effect.gen(function*() {
      const crypto = yield* Crypto.Crypto
      const { privateKey, publicKey } = yield* pair
      const json = text(yield* Envelope.seal(publicKey, bytes("{}"))).replace(base64("{}"), "e30!")
      const taking: Crypto.Service = { ...crypto, open: (_key, { ciphertext }) =>
        Effect.zipRight(Effect.try({ try: () => [...ciphertext], catch: (error) => error as SecurityError }),
          Effect.dieMessage("no chunk was refused")) }
      const error = yield* Effect.flip(Envelope.open(privateKey, bytes(json), () => Effect.void)).pipe(
        Effect.provideService(Crypto.Crypto, taking)
      )
      assert.deepInclude(error, { _tag: "SecurityError", reason: "envelope" })
    }).pipe(Effect.provide(TestCrypto.layer)))

  it.effect("reads nothing before it is run", () =>
    Effect.gen(function*() {
      const { privateKey, publicKey } = yield* pair
      const envelope = yield* Envelope.seal(publicKey, bytes("{}"))
      const open = Envelope.open(privateKey, envelope, () => Effect.void)
      envelope.fill(0)
      assert.deepInclude(yield* Effect.flip(open), { reason: "envelope" })
    }).pipe(Effect.provide(TestCrypto.layer)))
})
