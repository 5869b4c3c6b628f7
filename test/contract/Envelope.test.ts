import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as NodeCryptoModule from "node:crypto"
import * as Fs from "node:fs"
import * as Envelope from "../../src/Envelope.js"
import { SecurityError } from "../../src/NomyoError.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import { cryptos, isZero, load } from "../support/cryptos.js"
import * as Lent from "../support/lent.js"
import * as Vectors from "../support/vectors.js"

describe.each(cryptos)("Envelope, %s Crypto", (_, crypto) => {
  it.layer(Layer.provideMerge(crypto, SecureMemory.layer))((it) => {
    it.effect("seals what another implementation opens", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const key = yield* crypto.importPublicKey(Fs.readFileSync(Vectors.path("keys/server_4096.pub.pem")))
        const text = "Grüße, 世界 — \u0000 and 👩‍💻"
        const envelope = JSON.parse(
          new TextDecoder().decode(yield* Envelope.seal(key, new TextEncoder().encode(text)))
        )
        const bytes = (base64: string) => Buffer.from(base64, "base64")
        const aesKey = NodeCryptoModule.privateDecrypt(
          { key: Fs.readFileSync(Vectors.path("keys/server_4096.pem")), oaepHash: "sha256" },
          bytes(envelope.encrypted_aes_key)
        )
        const { ciphertext, nonce, tag } = envelope.encrypted_payload
        const decipher = NodeCryptoModule.createDecipheriv("aes-256-gcm", aesKey, bytes(nonce)).setAuthTag(
          bytes(tag)
        )
        assert.strictEqual(Buffer.concat([decipher.update(bytes(ciphertext)), decipher.final()]).toString(),
          text)
        assert.deepStrictEqual(
          [envelope.version, envelope.algorithm, envelope.key_algorithm, envelope.payload_algorithm],
          ["1.0", "hybrid-aes256-rsa4096", "RSA-OAEP-SHA256", "AES-256-GCM"]
        )
      }))

    it.effect.each([0, 1, 48 * 1024 - 1, 48 * 1024, 48 * 1024 + 1, 1_000_003])("seals and opens %i bytes",
      (length) =>
        Effect.gen(function*() {
          const { privateKey, publicKey } = yield* load("client_2048.pem")
          const plaintext = NodeCryptoModule.randomFillSync(new Uint8Array(length))
          const body = yield* Lent.sealWith(publicKey, plaintext)
          const envelope = Buffer.from(Array.from(body.chunks).join(""))
          assert.lengthOf(envelope, body.length)
          const { ciphertext } = JSON.parse(envelope.toString()).encrypted_payload
          assert.strictEqual(Buffer.from(ciphertext, "base64").toString("base64"), ciphertext)
          const opened = yield* Lent.open(privateKey, envelope)
          assert.isTrue(Buffer.from(opened.plaintext).equals(plaintext))
          // the last block of the last piece but one, if there is one, ends the text before its end
          const at = envelope.indexOf(ciphertext) + 64 * 1024 - 2
          if (length <= 48 * 1024) return
          envelope.write("==", at, "latin1")
          assert.deepInclude(yield* Effect.flip(Lent.open(privateKey, envelope)), { reason: "envelope" })
        }).pipe(Effect.scoped))

    /** A plaintext of random chunks, so long. */
    const inChunks = (length: number, promised = length) => {
      const bytes = NodeCryptoModule.randomFillSync(new Uint8Array(length))
      const windows: Array<Uint8Array> = []
      const chunks = function*(window: Uint8Array<ArrayBuffer>) {
        windows.push(window)
        const most = window.length - window.length % 3
        for (let at = 0; at < length; at += most) {
          const part = bytes.subarray(at, at + most)
          window.set(part)
          yield window.subarray(0, part.length)
        }
      }
      return { bytes, windows, plaintext: { length: promised, chunks } }
    }

    it.effect.each([0, 1, 48 * 1024, 48 * 1024 + 1, 1_000_003])(
      "seals %i bytes that come in chunks, as often as it is asked, and zeroes them",
      (length) =>
        Effect.gen(function*() {
          const { privateKey, publicKey } = yield* load("client_2048.pem")
          const { bytes, plaintext, windows } = inChunks(length)
          for (let i = 1; i <= 2; i++) {
            const envelope = yield* Envelope.seal(publicKey, plaintext)
            assert.lengthOf(windows, i)
            assert.isTrue(windows.every((window) =>
              window.length >= Math.min(length, 48 * 1024) && window.length <= 48 * 1024
            ) && windows.every(isZero))
            const opened = yield* Lent.open(privateKey, envelope)
            assert.isTrue(Buffer.from(opened.plaintext).equals(bytes))
          }
        }).pipe(Effect.scoped)
    )

    it.scoped.each([-100_000, -1, 1, 100_000])(
      "fails where chunks come to %i bytes more than they should, and zeroes them",
      (more) =>
        Effect.gen(function*() {
          const { publicKey } = yield* load("client_2048.pem")
          const { plaintext, windows } = inChunks(200_000 + more, 200_000)
          assert.deepInclude(yield* Effect.flip(Envelope.seal(publicKey, plaintext)), { _tag: "SecurityError",
            reason: "encryption" })
          assert.lengthOf(windows, 1)
          assert.isTrue(windows.every(isZero))
        })
    )

    it.scoped.each([10, 100_000, 200_000])(
      "says nothing of what went wrong within %i bytes that come in chunks",
      (length) =>
        Effect.gen(function*() {
          const { publicKey } = yield* load("client_2048.pem")
          const plaintext = {
            length,
            chunks: function*() {
              yield new Uint8Array(3)
              throw new Error("a secret")
            }
          }
          const error = yield* Effect.flip(Envelope.seal(publicKey, plaintext))
          assert.deepInclude(error, { _tag: "SecurityError", reason: "encryption",
            message: "The request could not be encrypted. Report this as a bug in nomyo-js" })
          assert.isUndefined(error.cause)
          // the same for who takes it piece by piece
          const body = yield* Effect.either(Lent.sealWith(publicKey, plaintext))
          if (body._tag === "Left") return assert.deepStrictEqual(body.left, error)
          assert.throws(() => [...body.right.chunks], SecurityError, error.message)
        })
    )

    it.scoped("never writes more than it promised, whatever the chunks are", () =>
      Effect.gen(function*() {
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const chunks = function*() {
          for (let i = 0; i < 100_000; i++) yield new Uint8Array(1)
        }
        const exit = yield* Effect.exit(Envelope.seal(publicKey, { length: 100_000, chunks }))
        // who puts the chunks together first does not mind
        if (Exit.isSuccess(exit)) return assert.lengthOf((yield* Lent.open(privateKey, exit.value)).plaintext,
          100_000)
        assert.deepInclude(Option.getOrThrow(Cause.failureOption(exit.cause)), { _tag: "SecurityError",
          reason: "encryption" })
      }))

    it.scoped("reads an envelope in any JSON, and refuses one that has two ciphertexts", () =>
      Effect.gen(function*() {
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const text = "x".repeat(300)
        const json = new TextDecoder().decode(
          yield* Envelope.seal(publicKey, new TextEncoder().encode(text), { processedAt: 7 })
        )
        const envelope = JSON.parse(json)
        const open = (json: string) =>
          Effect.scoped(
            Effect.map(Lent.open(privateKey, new TextEncoder().encode(json)), ({ plaintext }) =>
              new TextDecoder().decode(plaintext))
          )
        const { ciphertext, ...rest } = envelope.encrypted_payload
        /** With so many bytes beside the ciphertext. */
        const padded = (length: number) =>
          JSON.stringify({ ...envelope,
            note: "x".repeat(length - (json.length - ciphertext.length) - ",\"note\":\"\"".length) })
        for (
          const good of [
            json,
            JSON.stringify(envelope, null, 2),
            json.replace("\"ciphertext\":", "\"ciphertext\"\n : "),
            json.replaceAll("/", "\\/"),
            JSON.stringify({ ...envelope, note: "the \"ciphertext\" is above" }),
            padded(64 * 1024),
            JSON.stringify({ extra: [ciphertext], ...envelope, encrypted_payload: { ...rest, ciphertext } })
          ]
        ) assert.strictEqual(yield* open(good), text)
        const bad = [
          JSON.stringify({ ...envelope, extra: { ciphertext } }),
          padded(64 * 1024 + 1),
          JSON.stringify({ ...envelope,
            encrypted_payload: { ...envelope.encrypted_payload, nonce: [rest.nonce] } }),
          JSON.stringify({ ...envelope, encrypted_aes_key: `${envelope.encrypted_aes_key}=` }),
          JSON.stringify({ extra: { ciphertext }, ...envelope }),
          json.replace("\"ciphertext\":", `"ciphertext":"AAAA","ciphertext":`),
          json.replace("\"ciphertext\":", `"ciphertext":7,"cipher":`),
          json.replace(ciphertext, `${ciphertext}\\n`),
          json.replace(ciphertext, ""),
          json.slice(0, json.indexOf(ciphertext) + 9),
          JSON.stringify({ ...envelope, note: "x".repeat(64 * 1024) }),
          JSON.stringify({ note: "x".repeat(64 * 1024), ...envelope }),
          `{"ciphertext":""${"\"".repeat(100_000)}`,
          json.replace("\"ciphertext\":", `"x":{"ciphertext":"${ciphertext}"},"c\\u0069phertext":"","y":`),
          json.replace("\"processed_at\":7", "\"processed_at\":1e999"),
          "{\"ciphertext\"",
          "\"ciphertext\"",
          ""
        ]
        for (const refused of bad) {
          const error = yield* Effect.flip(open(refused))
          assert.deepInclude(error, { _tag: "SecurityError", reason: "envelope" }, refused.slice(0, 80))
        }
      }))

    it.scoped("opens nothing that authenticates, but is not written as it should be", () =>
      Effect.gen(function*() {
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const aesKey = NodeCryptoModule.randomBytes(32)
        const encryptedKey = NodeCryptoModule.publicEncrypt({ key: publicKey.pem, oaepHash: "sha256" },
          aesKey)
        const text = Buffer.alloc(100_000, "x")
        const encrypt = (nonce: Uint8Array) => {
          const cipher = NodeCryptoModule.createCipheriv("aes-256-gcm", aesKey, nonce)
          return { nonce, ciphertext: Buffer.concat([cipher.update(text), cipher.final()]),
            tag: cipher.getAuthTag() }
        }
        const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64")
        const open = ({ ciphertext, nonce, tag }: ReturnType<typeof encrypt>, encode = base64) =>
          Effect.scoped(Lent.open(
            privateKey,
            Buffer.from(JSON.stringify({
              version: "1.0",
              algorithm: "hybrid-aes256-rsa4096",
              encrypted_payload: { ciphertext: encode(ciphertext), nonce: base64(nonce), tag: base64(tag) },
              encrypted_aes_key: base64(encryptedKey)
            }))
          ))
        const good = encrypt(NodeCryptoModule.randomBytes(12))
        assert.lengthOf((yield* open(good)).plaintext, text.length)
        // a tag that ends in a zero, which may not be left out
        let cut = good
        while (cut.tag.at(-1) !== 0) cut = encrypt(NodeCryptoModule.randomBytes(12))
        // two chunks of base64 after each other, the first with padding at its end
        const joined = (bytes: Uint8Array) =>
          base64(bytes.subarray(0, 48 * 1024 - 2)) + base64(bytes.subarray(48 * 1024 - 2))
        for (
          const bad of [
            open(encrypt(NodeCryptoModule.randomBytes(16))),
            open(encrypt(NodeCryptoModule.randomBytes(11))),
            open({ ...cut, tag: cut.tag.subarray(0, 15) }),
            open({ ...good, tag: good.tag.subarray(0, 12) }),
            open(good, joined)
          ]
        ) assert.deepInclude(yield* Effect.flip(bad), { reason: "envelope" })
      }))
  })
})
