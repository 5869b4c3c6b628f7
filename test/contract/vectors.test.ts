import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import * as ChatCompletion from "../../src/ChatCompletion.js"
import * as Crypto from "../../src/Crypto.js"
import * as Envelope from "../../src/Envelope.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import { cryptos, load } from "../support/cryptos.js"
import * as Lent from "../support/lent.js"
import * as Vectors from "../support/vectors.js"

const openAnswer = (key: Crypto.PrivateKey, body: Uint8Array, payloadId: string) =>
  Envelope.open(key, body, (opened) =>
    ChatCompletion.decodeResponse(opened.plaintext, { ...opened, payloadId }))

const clientFingerprint = "65bd3bdf4fdbfeac312a7a3c89d8586d856c34813536acfb818633f36dcc14bb"

describe.each(cryptos)("vectors, %s Crypto", (_, crypto) => {
  it.layer(Layer.provideMerge(crypto, SecureMemory.layer))((it) => {
    it.scoped.each(Vectors.requests)("opens the request $name",
      ({ body, payload }) =>
        Effect.gen(function*() {
          const server = yield* load("server_4096.pem")
          const { plaintext } = yield* Lent.open(server.privateKey, Buffer.from(body))
          assert.deepStrictEqual(JSON.parse(new TextDecoder().decode(plaintext)), payload)
        }))

    it.scoped.each(Vectors.responses)("opens the response $name",
      ({ body, client_key, expected, payload_id }) =>
        Effect.gen(function*() {
          const client = yield* load(client_key)
          assert.deepStrictEqual(yield* openAnswer(client.privateKey, Buffer.from(body), payload_id),
            expected as never)
        }))

    it.scoped.each(Vectors.badResponses)("refuses $name: $why",
      ({ body_base64, name, why }) =>
        Effect.gen(function*() {
          const client = yield* load("client_4096.pem")
          const error = yield* Effect.flip(
            openAnswer(client.privateKey, Buffer.from(body_base64, "base64"), "id")
          )
          if (why.startsWith("opens, but")) {
            assert.strictEqual(error._tag, "APIError", name)
          } else {
            assert.strictEqual(error._tag, "SecurityError", name)
            assert.strictEqual(error.message,
              "The answer could not be opened: it is damaged, altered, or sealed to another key. Send the request again")
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

    it.effect.each(["rejected_1024.pem", "rejected_ec_p256.pem", "rejected_garbage.pem"])(
      "refuses the private key %s",
      (name) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(load(name))
          assert.strictEqual(error._tag, "SecurityError")
          assert.match(error.message, /2048 bits|damaged/)
        })
    )

    it.effect.each(["rejected_1024.pub.pem", "rejected_ec_p256.pub.pem", "rejected_garbage.pem"])(
      "refuses the router key %s",
      (name) =>
        Effect.gen(function*() {
          const crypto = yield* Lent.crypto
          const error = yield* Effect.flip(
            crypto.importPublicKey(Fs.readFileSync(Vectors.path(`keys/${name}`)))
          )
          assert.deepInclude(error, {
            _tag: "SecurityError",
            reason: "router-key",
            message:
              "The router's public key is not an RSA key of at least 2048 bits, with an exponent of at least 65537, in SPKI PEM. " +
              "Check that baseUrl is a NOMYO router"
          })
        })
    )

    it.effect("refuses a public key that belongs to another private key", () =>
      Effect.gen(function*() {
        const publicKeyPath = Vectors.path("keys/server_4096.pub.pem")
        const error = yield* Effect.flip(
          NodeKeyStore.loadKeyPair(Vectors.path("keys/client_4096.pem"), { publicKeyPath })
        )
        assert.match(error.message, /does not belong/)
      }))
  })
})
