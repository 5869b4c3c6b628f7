import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as NodeCryptoModule from "node:crypto"
import * as Fs from "node:fs"
import * as ChatCompletion from "../src/ChatCompletion.js"
import * as Crypto from "../src/Crypto.js"
import * as Envelope from "../src/Envelope.js"
import * as NodeCrypto from "../src/platform/node/NodeCrypto.js"
import * as NodeKeyStore from "../src/platform/node/NodeKeyStore.js"
import * as SecureMemory from "../src/SecureMemory.js"
import * as Vectors from "./support/vectors.js"

const load = (name: string, password?: string) =>
  NodeKeyStore.loadKeyPair(Vectors.path(`keys/${name}`), { password: password === undefined ? undefined : Redacted.make(password) })

const openAnswer = (key: Crypto.PrivateKey, body: Uint8Array, payloadId: string) =>
  Effect.flatMap(Envelope.open(key, body), (opened) =>
    ChatCompletion.decodeResponse(opened.plaintext, { ...opened, payloadId }))

const clientFingerprint = "65bd3bdf4fdbfeac312a7a3c89d8586d856c34813536acfb818633f36dcc14bb"

describe.each([["node", NodeCrypto.layer], ["portable", Crypto.layer]] as const)("vectors, %s Crypto", (_, crypto) => {
  it.layer(Layer.provideMerge(crypto, SecureMemory.layer))((it) => {
    it.scoped.each(Vectors.requests)("opens the request $name", ({ body, payload }) =>
      Effect.gen(function*() {
        const server = yield* load("server_4096.pem")
        const { plaintext } = yield* Envelope.open(server.privateKey, Buffer.from(body))
        assert.deepStrictEqual(JSON.parse(new TextDecoder().decode(plaintext)), payload)
      }))

    it.scoped.each(Vectors.responses)("opens the response $name", ({ body, client_key, expected, payload_id }) =>
      Effect.gen(function*() {
        const client = yield* load(client_key)
        assert.deepStrictEqual(yield* openAnswer(client.privateKey, Buffer.from(body), payload_id), expected as never)
      }))

    it.scoped.each(Vectors.badResponses)("refuses $name: $why", ({ body_base64, name, why }) =>
      Effect.gen(function*() {
        const client = yield* load("client_4096.pem")
        const error = yield* Effect.flip(openAnswer(client.privateKey, Buffer.from(body_base64, "base64"), "id"))
        if (why.startsWith("opens, but")) {
          assert.strictEqual(error._tag, "APIError", name)
        } else {
          assert.strictEqual(error._tag, "SecurityError", name)
          assert.strictEqual(error.message, "The answer could not be opened with this client's key")
        }
        assert.isUndefined(({} as { polluted?: unknown }).polluted)
      }))

    it.effect("reads every key format that the protocol's clients write", () =>
      Effect.gen(function*() {
        const pairs = yield* Effect.all([
          load("client_4096.pem"),
          load("client_4096.crlf.pem"),
          load("client_4096.pkcs1.pem"),
          load("client_4096.encrypted-pkcs8.pem", Vectors.password),
          load("client_4096.legacy-js-encrypted.pem", Vectors.password)
        ])
        for (const { publicKey } of pairs) {
          assert.strictEqual(publicKey.fingerprint, clientFingerprint)
          assert.strictEqual(publicKey.modulusLength, 4096)
          assert.strictEqual(publicKey.pem, Fs.readFileSync(Vectors.path("keys/client_4096.pub.pem"), "utf8"))
        }
      }))

    it.effect.each(["client_4096.encrypted-pkcs8.pem", "client_4096.legacy-js-encrypted.pem"])(
      "tells a missing and a wrong password for %s",
      (name) =>
        Effect.gen(function*() {
          const missing = yield* Effect.flip(load(name))
          const wrong = yield* Effect.flip(load(name, "not the password"))
          assert.deepStrictEqual([missing.reason, wrong.reason], ["key-password", "key-password"])
        })
    )

    it.effect.each(["rejected_1024.pem", "rejected_ec_p256.pem", "rejected_garbage.pem"])("refuses the private key %s", (name) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(load(name))
        assert.strictEqual(error._tag, "SecurityError")
        assert.match(error.message, /2048 bits|damaged/)
      }))

    it.effect.each(["rejected_1024.pub.pem", "rejected_ec_p256.pub.pem", "rejected_garbage.pem"])("refuses the router key %s", (name) =>
      Effect.gen(function*() {
        const crypto = yield* Crypto.Crypto
        const error = yield* Effect.flip(crypto.importPublicKey(Fs.readFileSync(Vectors.path(`keys/${name}`))))
        assert.deepStrictEqual([error._tag, error.reason], ["SecurityError", "router-key"])
      }))

    it.effect("refuses a public key that belongs to another private key", () =>
      Effect.gen(function*() {
        const publicKeyPath = Vectors.path("keys/server_4096.pub.pem")
        const error = yield* Effect.flip(NodeKeyStore.loadKeyPair(Vectors.path("keys/client_4096.pem"), { publicKeyPath }))
        assert.match(error.message, /does not belong/)
      }))

    it.effect("seals what another implementation opens", () =>
      Effect.gen(function*() {
        const crypto = yield* Crypto.Crypto
        const key = yield* crypto.importPublicKey(Fs.readFileSync(Vectors.path("keys/server_4096.pub.pem")))
        const text = "Grüße, 世界 — \u0000 and 👩‍💻"
        const envelope = JSON.parse(new TextDecoder().decode(yield* Envelope.seal(key, new TextEncoder().encode(text))))
        const bytes = (base64: string) => Buffer.from(base64, "base64")
        const aesKey = NodeCryptoModule.privateDecrypt(
          { key: Fs.readFileSync(Vectors.path("keys/server_4096.pem")), oaepHash: "sha256" },
          bytes(envelope.encrypted_aes_key)
        )
        const { ciphertext, nonce, tag } = envelope.encrypted_payload
        const decipher = NodeCryptoModule.createDecipheriv("aes-256-gcm", aesKey, bytes(nonce)).setAuthTag(bytes(tag))
        assert.strictEqual(Buffer.concat([decipher.update(bytes(ciphertext)), decipher.final()]).toString(), text)
        assert.deepStrictEqual(
          [envelope.version, envelope.algorithm, envelope.key_algorithm, envelope.payload_algorithm],
          ["1.0", "hybrid-aes256-rsa4096", "RSA-OAEP-SHA256", "AES-256-GCM"]
        )
      }))

    it.effect.each([0, 1, 48 * 1024 - 1, 48 * 1024, 48 * 1024 + 1, 1_000_003])("seals and opens %i bytes", (length) =>
      Effect.gen(function*() {
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const plaintext = NodeCryptoModule.randomFillSync(new Uint8Array(length))
        const body = yield* Envelope.sealPieces(publicKey, plaintext)
        // pieces are the transport's, to clear as well
        const envelope = Buffer.concat(Array.from(body.pieces, (piece) => {
          const copy = Buffer.from(piece)
          piece.fill(0)
          return copy
        }))
        assert.lengthOf(envelope, body.length)
        const { ciphertext } = JSON.parse(envelope.toString()).encrypted_payload
        assert.strictEqual(Buffer.from(ciphertext, "base64").toString("base64"), ciphertext)
        const opened = yield* Envelope.open(privateKey, envelope)
        assert.isTrue(Buffer.from(opened.plaintext).equals(plaintext))
        // the last block of the last piece but one, if there is one, ends the text before its end
        const at = envelope.indexOf(ciphertext) + 64 * 1024 - 2
        if (length <= 48 * 1024) return
        envelope.write("==", at, "latin1")
        assert.deepInclude(yield* Effect.flip(Envelope.open(privateKey, envelope)), { reason: "envelope" })
      }).pipe(Effect.scoped))

    it.scoped("reads an envelope in any JSON, and refuses one that has two ciphertexts", () =>
      Effect.gen(function*() {
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const text = "x".repeat(300)
        const json = new TextDecoder().decode(yield* Envelope.seal(publicKey, new TextEncoder().encode(text), { processedAt: 7 }))
        const envelope = JSON.parse(json)
        const open = (json: string) =>
          Effect.scoped(Effect.map(Envelope.open(privateKey, new TextEncoder().encode(json)), ({ plaintext }) => new TextDecoder().decode(plaintext)))
        const { ciphertext, ...rest } = envelope.encrypted_payload
        for (
          const good of [
            json,
            JSON.stringify(envelope, null, 2),
            json.replace("\"ciphertext\":", "\"ciphertext\"\n : "),
            json.replaceAll("/", "\\/"),
            JSON.stringify({ ...envelope, note: "the \"ciphertext\" is above" }),
            JSON.stringify({ extra: [ciphertext], ...envelope, encrypted_payload: { ...rest, ciphertext } })
          ]
        ) assert.strictEqual(yield* open(good), text)
        const bad = [
          JSON.stringify({ ...envelope, extra: { ciphertext } }),
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

    it.scoped.each([16, 24, 32])("opens what is sealed under an AES key of 32 bytes only: %i", (length) =>
      Effect.gen(function*() {
        const crypto = yield* Crypto.Crypto
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const [aesKey, nonce] = [NodeCryptoModule.randomBytes(length), NodeCryptoModule.randomBytes(12)]
        const cipher = NodeCryptoModule.createCipheriv(`aes-${length * 8}-gcm` as "aes-256-gcm", aesKey, nonce)
        const ciphertext = Buffer.concat([cipher.update("a downgrade"), cipher.final()])
        const sealed = {
          encryptedKey: NodeCryptoModule.publicEncrypt({ key: publicKey.pem, oaepHash: "sha256" }, aesKey),
          nonce,
          ciphertext,
          tag: cipher.getAuthTag()
        }
        const bytes = (buffer: Uint8Array) => Uint8Array.from(buffer)
        const opened = yield* Effect.exit(crypto.open(privateKey, {
          encryptedKey: bytes(sealed.encryptedKey),
          nonce: bytes(nonce),
          length: ciphertext.length,
          ciphertext: [bytes(ciphertext)],
          tag: () => bytes(sealed.tag)
        }))
        assert.strictEqual(Exit.isSuccess(opened), length === 32)
      }))

    it.scoped("seals each time under a fresh key and nonce", () =>
      Effect.gen(function*() {
        const crypto = yield* Crypto.Crypto
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const sealed = yield* Effect.all(Array.from({ length: 50 }, () => crypto.seal(publicKey, new Uint8Array(32))))
        const distinct = (of: (sealed: Crypto.Sealed) => Uint8Array) => new Set(sealed.map((s) => Buffer.from(of(s)).toString("hex"))).size
        assert.deepStrictEqual(
          [distinct((s) => s.nonce), distinct((s) => Buffer.concat([...s.ciphertext])), distinct((s) => s.encryptedKey)],
          [50, 50, 50]
        )
        yield* crypto.destroy(privateKey)
        const error = yield* Effect.flip(crypto.open(privateKey, sealed[0]!))
        assert.strictEqual(error._tag, "SecurityError")
      }))

    it.effect("shows nothing of a private key", () =>
      Effect.gen(function*() {
        const { privateKey } = yield* load("client_2048.pem")
        assert.deepStrictEqual([JSON.stringify(privateKey), Reflect.ownKeys(privateKey)], ["{}", []])
      }))
  })
})
