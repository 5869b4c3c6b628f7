import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as NodeCryptoModule from "node:crypto"
import * as Fs from "node:fs"
import { availableParallelism } from "node:os"
import { vi } from "vitest"
import * as ChatCompletion from "../../src/ChatCompletion.js"
import * as Crypto from "../../src/Crypto.js"
import * as Envelope from "../../src/Envelope.js"
import * as RsaKeys from "../../src/internal/rsaKeys.js"
import { SecurityError } from "../../src/NomyoError.js"
import * as NodeCrypto from "../../src/platform/node/NodeCrypto.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as WebCrypto from "../../src/WebCrypto.js"
import * as Lent from "../support/lent.js"
import * as Memory from "../support/memory.js"
import * as Vectors from "../support/vectors.js"

const load = (name: string, password?: string) =>
  NodeKeyStore.loadKeyPair(Vectors.path(`keys/${name}`), { password: password === undefined ? undefined : Redacted.make(password) })

const openAnswer = (key: Crypto.PrivateKey, body: Uint8Array, payloadId: string) =>
  Envelope.open(key, body, (opened) =>
    ChatCompletion.decodeResponse(opened.plaintext, { ...opened, payloadId }))

const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0)

const clientFingerprint = "65bd3bdf4fdbfeac312a7a3c89d8586d856c34813536acfb818633f36dcc14bb"

it("Crypto has a name of its own among the services", () => {
  assert.strictEqual(Crypto.Crypto.key, "nomyo-js/Crypto")
})

describe.each([["node", NodeCrypto.layer], ["portable", WebCrypto.layer]] as const)("vectors, %s Crypto", (name, crypto) => {
  it.layer(Layer.provideMerge(crypto, SecureMemory.layer))((it) => {
    it.scoped.each(Vectors.requests)("opens the request $name", ({ body, payload }) =>
      Effect.gen(function*() {
        const server = yield* load("server_4096.pem")
        const { plaintext } = yield* Lent.open(server.privateKey, Buffer.from(body))
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
        const crypto = yield* Lent.crypto
        const error = yield* Effect.flip(crypto.importPublicKey(Fs.readFileSync(Vectors.path(`keys/${name}`))))
        assert.deepInclude(error, {
          _tag: "SecurityError",
          reason: "router-key",
          message: "The router's public key is not an RSA key of at least 2048 bits, with an exponent of at least 65537, in SPKI PEM"
        })
      }))

    it.effect.each([
      [1, false],
      [3, false],
      [65_535, false],
      [65_536, false],
      [65_537, true],
      [65_538, false],
      [65_539, true],
      [0x01_00_00_00_01, true]
    ] as const)(
      "takes a key with the exponent %i: %s",
      ([exponent, isGood]) =>
        Effect.gen(function*() {
          const crypto = yield* Lent.crypto
          const jwk = NodeCryptoModule.createPublicKey(Fs.readFileSync(Vectors.path("keys/server_4096.pub.pem"))).export({ format: "jwk" })
          const digits = exponent.toString(16)
          const e = Buffer.from(digits.padStart(digits.length + digits.length % 2, "0"), "hex").toString("base64url")
          const pem = NodeCryptoModule.createPublicKey({ format: "jwk", key: { ...jwk, e } }).export({ type: "spki", format: "pem" })
          const imported = yield* Effect.either(crypto.importPublicKey(Buffer.from(pem)))
          if (isGood) assert.deepInclude(imported, { _tag: "Right" })
          else assert.deepInclude(yield* Effect.flip(imported), { reason: "router-key" })
        })
    )

    it.effect("makes a pair as long as it is asked for, and tells when", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        yield* TestClock.setTime(1234)
        const { createdAt, privateKey, publicKey } = yield* crypto.generateKeyPair(2048)
        assert.deepStrictEqual([createdAt, publicKey.modulusLength], [1234, 2048])
        const { asymmetricKeyDetails, asymmetricKeyType } = NodeCryptoModule.createPublicKey(publicKey.pem)
        assert.deepStrictEqual([asymmetricKeyType, asymmetricKeyDetails], ["rsa", { modulusLength: 2048, publicExponent: 65_537n }])
        assert.strictEqual(publicKey.fingerprint, NodeCryptoModule.createHash("sha256").update(publicKey.spki).digest("hex"))
        const sealed = yield* crypto.seal(publicKey, Uint8Array.of(1, 2, 3))
        assert.deepStrictEqual([...(yield* crypto.open(privateKey, sealed))], [1, 2, 3])
      }).pipe(Effect.scoped))

    it.effect("makes no pair that is too short", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        assert.deepInclude(yield* Effect.flip(crypto.generateKeyPair(1024)), {
          reason: "client-key",
          message: "An RSA key pair of 1024 bits could not be generated"
        })
      }))

    it.effect("reads no private key that is weak", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const weak = NodeCryptoModule.generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 3 }).privateKey
        for (const pkcs8 of [Uint8Array.from(weak.export({ type: "pkcs8", format: "der" })), new Uint8Array(0), new Uint8Array(100)]) {
          assert.deepInclude(yield* Effect.flip(crypto.importKeyPair(pkcs8, 0)), {
            reason: "client-key",
            message: "The private key is not an RSA key of at least 2048 bits, with an exponent of at least 65537, in PKCS#8"
          })
        }
      }))

    it.scoped("lets a private key out for key files only, and not once it is destroyed", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const { privateKey } = yield* load("client_2048.pem")
        const exported = yield* Effect.either(crypto.exportPrivateKey(privateKey))
        if (name === "node") {
          const key = NodeCryptoModule.createPrivateKey(Fs.readFileSync(Vectors.path("keys/client_2048.pem")))
          assert.deepStrictEqual(yield* exported, Uint8Array.from(key.export({ type: "pkcs8", format: "der" })))
        } else {
          assert.deepInclude(yield* Effect.flip(exported), { reason: "unsupported", message: "Private keys cannot be exported here" })
        }
        yield* crypto.destroy(privateKey)
        assert.deepInclude(yield* Effect.flip(crypto.exportPrivateKey(privateKey)), {
          reason: "client-key",
          message: "The private key has been destroyed"
        })
      }))

    it.effect("finds the WebCrypto keys of its own pairs, and of those only", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const pair = yield* load("client_2048.pem")
        const handles = RsaKeys.handlesOf(pair)!
        assert.deepStrictEqual([handles.publicKey.type, handles.privateKey.type, handles.privateKey.extractable], ["public", "private", name === "node"])
        assert.isUndefined(RsaKeys.handlesOf({ ...pair, publicKey: { ...pair.publicKey } }))
        yield* crypto.destroy(pair.privateKey)
        assert.isUndefined(RsaKeys.handlesOf(pair))
      }))

    it.scoped("seals to no key that it has not read", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const { publicKey } = yield* load("client_2048.pem")
        assert.deepInclude(yield* Effect.flip(crypto.seal({ ...publicKey }, new Uint8Array(1))), {
          reason: "encryption",
          message: "The request could not be encrypted"
        })
      }))

    it.scoped.each([100, 100_000])("lends %i bytes for as long as they are used, and leaves what becomes of the use as it is", (length) =>
      Effect.gen(function*() {
        const crypto = yield* Crypto.Crypto
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const text = new Uint8Array(length).fill(7)
        const whole = (sealed: Crypto.Sealed): Crypto.Sealed => {
          const [ciphertext, tag] = [Array.from(sealed.ciphertext, (chunk) => Uint8Array.from(chunk)), sealed.tag()]
          return { ...sealed, ciphertext, tag: () => tag }
        }
        const sealed = yield* crypto.seal(publicKey, text, (sealed) => Effect.sync(() => whole(sealed)))
        const lent: Array<Uint8Array> = []
        // the last: the caller's scope is the use's
        const outcomes: ReadonlyArray<Effect.Effect<unknown, string, Scope.Scope>> =
          [Effect.succeed("a value"), Effect.fail("an error"), Effect.die("a defect"), Effect.interrupt, Effect.scope]
        for (const outcome of outcomes) {
          const use = (bytes: Uint8Array) => {
            lent.push(bytes)
            assert.isTrue(bytes.every((byte) => byte === 7))
            return Effect.zipRight(Effect.yieldNow(), outcome)
          }
          const expected = yield* Effect.exit(outcome)
          for (const lending of [crypto.open(privateKey, sealed, use), crypto.seal(publicKey, text, () => outcome)]) {
            const exit = yield* Effect.exit(lending)
            assert.deepStrictEqual(exit, expected)
            if (Exit.isSuccess(expected)) assert.strictEqual(yield* exit, expected.value)
          }
        }
        const waiting = yield* Effect.fork(crypto.open(privateKey, sealed, (bytes) => {
          lent.push(bytes)
          return Effect.never
        }))
        yield* Effect.promise(() => vi.waitFor(() => assert.lengthOf(lent, 6)))
        assert.isTrue(lent[5]!.every((byte) => byte === 7))
        yield* Fiber.interrupt(waiting)
        assert.isTrue(lent.every(isZero))
      }))

    it.scoped("does the same for a bad key as for a bad tag", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const sealed = yield* crypto.seal(publicKey, new Uint8Array(100))
        const ciphertext = [...sealed.ciphertext]
        const tag = sealed.tag()
        const good = { ...sealed, ciphertext, tag: () => tag }
        const wrapped = (length: number) =>
          Uint8Array.from(NodeCryptoModule.publicEncrypt({ key: publicKey.pem, oaepHash: "sha256" }, new Uint8Array(length)))
        const spy = yield* Effect.acquireRelease(
          Effect.sync(() => vi.spyOn(globalThis.crypto.subtle, "decrypt")),
          (spy) => Effect.sync(() => spy.mockRestore())
        )
        for (
          const bad of [
            { ...good, tag: () => new Uint8Array(16) },
            { ...good, encryptedKey: new Uint8Array(256) },
            { ...good, encryptedKey: new Uint8Array(7) },
            { ...good, tag: () => tag.subarray(0, 12) },
            { ...good, encryptedKey: wrapped(16) },
            { ...good, encryptedKey: wrapped(64) }
          ]
        ) {
          spy.mockClear()
          assert.strictEqual((yield* Effect.flip(crypto.open(privateKey, bad))).message, "The answer could not be opened with this client's key")
          assert.lengthOf(spy.mock.calls, 1)
          assert.instanceOf(spy.mock.calls[0]![1], CryptoKey)
        }
        assert.lengthOf(yield* crypto.open(privateKey, good), 100)
      }))

    it.effect("says where there is no WebCrypto", () =>
      Effect.gen(function*() {
        yield* Effect.acquireRelease(
          Effect.sync(() => vi.stubGlobal("crypto", undefined)),
          () => Effect.sync(() => vi.unstubAllGlobals())
        )
        const error = yield* Effect.flip(Effect.provide(Effect.void, Layer.provide(crypto, SecureMemory.layer)))
        assert.deepInclude(error, {
          _tag: "SecurityError",
          reason: "unsupported",
          message: "WebCrypto is not available: a page must be served over HTTPS or from localhost"
        })
      }).pipe(Effect.scoped))

    it.effect("gives random version 4 UUIDs", () =>
      Effect.gen(function*() {
        const { randomId } = yield* Lent.crypto
        const ids = [yield* randomId, yield* randomId]
        for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
        assert.notStrictEqual(ids[0], ids[1])
      }))

    it.effect("refuses a public key that belongs to another private key", () =>
      Effect.gen(function*() {
        const publicKeyPath = Vectors.path("keys/server_4096.pub.pem")
        const error = yield* Effect.flip(NodeKeyStore.loadKeyPair(Vectors.path("keys/client_4096.pem"), { publicKeyPath }))
        assert.match(error.message, /does not belong/)
      }))

    it.effect("seals what another implementation opens", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
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

    it.effect.each([0, 1, 48 * 1024, 48 * 1024 + 1, 1_000_003])("seals %i bytes that come in chunks, as often as it is asked, and zeroes them", (length) =>
      Effect.gen(function*() {
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const { bytes, plaintext, windows } = inChunks(length)
        for (let i = 1; i <= 2; i++) {
          const envelope = yield* Envelope.seal(publicKey, plaintext)
          assert.lengthOf(windows, i)
          assert.isTrue(windows.every((window) => window.length >= Math.min(length, 48 * 1024) && window.length <= 48 * 1024) && windows.every(isZero))
          const opened = yield* Lent.open(privateKey, envelope)
          assert.isTrue(Buffer.from(opened.plaintext).equals(bytes))
        }
      }).pipe(Effect.scoped))

    it.scoped.each([-100_000, -1, 1, 100_000])("fails where chunks come to %i bytes more than they should, and zeroes them", (more) =>
      Effect.gen(function*() {
        const { publicKey } = yield* load("client_2048.pem")
        const { plaintext, windows } = inChunks(200_000 + more, 200_000)
        assert.deepInclude(yield* Effect.flip(Envelope.seal(publicKey, plaintext)), { _tag: "SecurityError", reason: "encryption" })
        assert.lengthOf(windows, 1)
        assert.isTrue(windows.every(isZero))
      }))

    it.scoped.each([10, 100_000, 200_000])("says nothing of what went wrong within %i bytes that come in chunks", (length) =>
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
        assert.deepInclude(error, { _tag: "SecurityError", reason: "encryption", message: "The request could not be encrypted" })
        assert.isUndefined(error.cause)
        // the same for who takes it piece by piece
        const body = yield* Effect.either(Lent.sealWith(publicKey, plaintext))
        if (body._tag === "Left") return assert.deepStrictEqual(body.left, error)
        assert.throws(() => [...body.right.chunks], SecurityError, error.message)
      }))

    it.scoped("never writes more than it promised, whatever the chunks are", () =>
      Effect.gen(function*() {
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const chunks = function*() {
          for (let i = 0; i < 100_000; i++) yield new Uint8Array(1)
        }
        const exit = yield* Effect.exit(Envelope.seal(publicKey, { length: 100_000, chunks }))
        // who puts the chunks together first does not mind
        if (Exit.isSuccess(exit)) return assert.lengthOf((yield* Lent.open(privateKey, exit.value)).plaintext, 100_000)
        assert.deepInclude(Option.getOrThrow(Cause.failureOption(exit.cause)), { _tag: "SecurityError", reason: "encryption" })
      }))

    it.scoped.each([0, 5, 60_000])("opens nothing that is shorter or longer than it says: %i bytes", (length) =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const sealed = yield* crypto.seal(publicKey, new Uint8Array(length).fill(9))
        const ciphertext = [...sealed.ciphertext]
        for (const more of [-1, 1, 3]) {
          if (length + more < 0) continue
          const opened = yield* Effect.exit(crypto.open(privateKey, { ...sealed, ciphertext, length: length + more }))
          assert.isTrue(Exit.isFailure(opened) || opened.value.length === length)
        }
      }))

    it.scoped("reads an envelope in any JSON, and refuses one that has two ciphertexts", () =>
      Effect.gen(function*() {
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const text = "x".repeat(300)
        const json = new TextDecoder().decode(yield* Envelope.seal(publicKey, new TextEncoder().encode(text), { processedAt: 7 }))
        const envelope = JSON.parse(json)
        const open = (json: string) =>
          Effect.scoped(Effect.map(Lent.open(privateKey, new TextEncoder().encode(json)), ({ plaintext }) => new TextDecoder().decode(plaintext)))
        const { ciphertext, ...rest } = envelope.encrypted_payload
        /** With so many bytes beside the ciphertext. */
        const padded = (length: number) =>
          JSON.stringify({ ...envelope, note: "x".repeat(length - (json.length - ciphertext.length) - ",\"note\":\"\"".length) })
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
          JSON.stringify({ ...envelope, encrypted_payload: { ...envelope.encrypted_payload, nonce: [rest.nonce] } }),
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

    it.scoped("opens nothing whose AES key does not decrypt, whatever key it was sealed under", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const { privateKey } = yield* load("client_2048.pem")
        const nonce = new Uint8Array(12)
        const cipher = NodeCryptoModule.createCipheriv("aes-256-gcm", new Uint8Array(32), nonce)
        const ciphertext = Uint8Array.from(Buffer.concat([cipher.update("under a key that everybody knows"), cipher.final()]))
        const tag = Uint8Array.from(cipher.getAuthTag())
        const sealed = { encryptedKey: new Uint8Array(256).fill(1), nonce, length: ciphertext.length, ciphertext: [ciphertext], tag: () => tag }
        assert.deepInclude(yield* Effect.flip(crypto.open(privateKey, sealed)), { _tag: "SecurityError", reason: "envelope" })
      }))

    it.scoped.each([16, 24, 32])("opens what is sealed under an AES key of 32 bytes only: %i", (length) =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
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

    it.scoped("opens nothing that authenticates, but is not written as it should be", () =>
      Effect.gen(function*() {
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const aesKey = NodeCryptoModule.randomBytes(32)
        const encryptedKey = NodeCryptoModule.publicEncrypt({ key: publicKey.pem, oaepHash: "sha256" }, aesKey)
        const text = Buffer.alloc(100_000, "x")
        const encrypt = (nonce: Uint8Array) => {
          const cipher = NodeCryptoModule.createCipheriv("aes-256-gcm", aesKey, nonce)
          return { nonce, ciphertext: Buffer.concat([cipher.update(text), cipher.final()]), tag: cipher.getAuthTag() }
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
        const joined = (bytes: Uint8Array) => base64(bytes.subarray(0, 48 * 1024 - 2)) + base64(bytes.subarray(48 * 1024 - 2))
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

    it.scoped("seals each time under a fresh key and nonce", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
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

/** Counts the turns of the event loop, until the scope closes. */
const countTurns = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const turns = { count: 0, timer: setImmediate(() => undefined) }
      const turn = () => {
        turns.count++
        turns.timer = setImmediate(turn)
      }
      turn()
      return turns
    }),
    (turns) => Effect.sync(() => clearImmediate(turns.timer))
  ),
  (turns) => () => turns.count
)

describe("portable Crypto", () => {
  it.scopedLive("reads no secret that it has given back, when it is interrupted", () => {
    const given = new Set<ArrayBufferLike>()
    const memory = SecureMemory.make({
      allocate: (length) => {
        const bytes = new Uint8Array(new ArrayBuffer(length))
        return { bytes, free: () => given.add(bytes.buffer) }
      },
      info: () => ({ method: "mlock", canLock: true, isPlatformSecure: true })
    })
    return Effect.gen(function*() {
      const crypto = yield* Crypto.Crypto
      const { publicKey } = yield* load("client_2048.pem")
      const { subtle } = globalThis.crypto
      const encrypt = subtle.encrypt.bind(subtle)
      const read: Array<boolean> = []
      yield* Effect.acquireRelease(
        Effect.sync(() =>
          vi.spyOn(subtle, "encrypt").mockImplementation((algorithm, key, data) => {
            read.push(given.has((data as Uint8Array).buffer))
            return encrypt(algorithm, key, data)
          })
        ),
        (spy) => Effect.sync(() => spy.mockRestore())
      )
      const plaintext = yield* ChatCompletion.encodePayload({ text: "x".repeat(8000) })
      for (let turns = 0; turns < 20; turns++) {
        const fiber = yield* Effect.fork(crypto.seal(publicKey, plaintext, () => Effect.void))
        for (let i = 0; i < turns; i++) yield* Effect.promise(() => Promise.resolve())
        yield* Fiber.interrupt(fiber)
      }
      yield* crypto.seal(publicKey, plaintext, () => Effect.void)
      assert.isNotEmpty(given)
      assert.isNotEmpty(read)
      assert.notInclude(read, true)
    }).pipe(Effect.provide(Layer.provideMerge(WebCrypto.layer, Layer.succeed(SecureMemory.SecureMemory, memory))))
  })

  it.scoped("lets others have a turn between the chunks of a long request, which it counts and puts together", () =>
    Effect.gen(function*() {
      const crypto = yield* Lent.crypto
      const { publicKey } = yield* load("client_2048.pem")
      const turns = yield* countTurns
      const before = turns()
      const plaintext = yield* ChatCompletion.encodePayload({ content: "x".repeat(10 * 48 * 1024) })
      // more than 256 KiB are counted
      assert.isAbove(turns(), before)
      if (ArrayBuffer.isView(plaintext)) return assert.fail("bytes")
      const seen = new Set<number>()
      const chunks = function*(window: Uint8Array<ArrayBuffer>) {
        for (const chunk of plaintext.chunks(window)) {
          seen.add(turns())
          yield chunk
        }
      }
      yield* crypto.seal(publicKey, { length: plaintext.length, chunks })
      assert.strictEqual(seen.size, 11)
    }).pipe(Effect.provide(Layer.provideMerge(WebCrypto.layer, SecureMemory.layer))))
})

describe("NodeCrypto", () => {
  const { subtle } = globalThis.crypto
  const decrypt = subtle.decrypt.bind(subtle)
  /** Has the platform's RSA operation done by `instead`, until the scope closes. */
  const mockDecrypt = (instead: typeof subtle.decrypt) =>
    Effect.acquireRelease(
      Effect.sync(() => vi.spyOn(subtle, "decrypt").mockImplementation(instead)),
      (spy) => Effect.sync(() => spy.mockRestore())
    )
  const layerWith = (options: NodeCrypto.Options) => Layer.provideMerge(NodeCrypto.layerWith(options), SecureMemory.layer)

  it.scoped.each([
    [undefined, Math.min(availableParallelism() + 1, 3)],
    [1, 1],
    [2, 2],
    [2.9, 2],
    [5, 5],
    [9, 5],
    [0, 1]
  ] as const)("decrypts no more at a time than it may, each with a handle of its own, and keeps those: %s", ([handles, expected]) =>
    Effect.gen(function*() {
      const crypto = yield* Lent.crypto
      const { privateKey, publicKey } = yield* load("client_2048.pem")
      const used = new Set<CryptoKey>()
      let [working, most] = [0, 0]
      const exportKey = yield* Effect.acquireRelease(
        Effect.sync(() => vi.spyOn(subtle, "exportKey")),
        (spy) => Effect.sync(() => spy.mockRestore())
      )
      yield* mockDecrypt((algorithm, key, data) => {
        used.add(key)
        most = Math.max(most, ++working)
        return decrypt(algorithm, key, data).finally(() => working--)
      })
      const openFive = Effect.all(
        Array.from({ length: 5 }, (_, i) =>
          Effect.flatMap(crypto.seal(publicKey, new Uint8Array(i)), (sealed) => crypto.open(privateKey, sealed))),
        { concurrency: "unbounded" }
      )
      for (let round = 0; round < 2; round++) {
        assert.deepStrictEqual((yield* openFive).map(({ length }) => length), [0, 1, 2, 3, 4])
        assert.strictEqual(used.size, expected)
        assert.lengthOf(exportKey.mock.calls, expected - 1)
        assert.isAtMost(most, expected)
      }
    }).pipe(Effect.provide(layerWith({ maxParallelDecrypts: handles }))))

  it.scopedLive("lends a handle to nobody else while it is at work, though nobody waits for that any more", () =>
    Effect.gen(function*() {
      const crypto = yield* Crypto.Crypto
      const { privateKey, publicKey } = yield* load("client_2048.pem")
      const started = yield* Deferred.make<void>()
      let goOn = (): void => undefined
      let [working, most, calls] = [0, 0, 0]
      yield* mockDecrypt(async (...parameters) => {
        calls++
        most = Math.max(most, ++working)
        Deferred.unsafeDone(started, Effect.void)
        await new Promise<void>((resolve) => {
          goOn = resolve
        })
        return decrypt(...parameters).finally(() => working--)
      })
      const open = crypto.seal(publicKey, new Uint8Array(9), (sealed) => crypto.open(privateKey, sealed, ({ length }) => Effect.succeed(length)))
      const abandoned = yield* Effect.fork(open)
      yield* Deferred.await(started)
      const exit = yield* Fiber.interrupt(abandoned)
      assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      const waiting = yield* Effect.fork(open)
      const gone = yield* Effect.fork(open)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(gone)
      goOn()
      yield* Effect.repeat(Effect.sync(() => goOn()), { until: () => waiting.unsafePoll() !== null, schedule: Schedule.spaced("1 millis") })
      assert.strictEqual(yield* Fiber.join(waiting), 9)
      // nothing is done for who is gone
      assert.deepStrictEqual([most, calls], [1, 2])
    }).pipe(Effect.provide(layerWith({ maxParallelDecrypts: 1 }))))

  it.scoped("leaves no AES key behind, not even where the answer is given up meanwhile", () => {
    const lent: Array<{ readonly bytes: Uint8Array; wasUsed: boolean }> = []
    const memory = Memory.spied(SecureMemory.layer, (bytes) => lent.push({ bytes, wasUsed: bytes.some((byte) => byte > 0) }))
    return Effect.gen(function*() {
      const crypto = yield* Crypto.Crypto
      const { privateKey, publicKey } = yield* load("client_2048.pem")
      lent.length = 0
      const unwrapped: Array<Uint8Array> = []
      let goOn: Promise<unknown> = Promise.resolve()
      yield* mockDecrypt(async (...parameters) => {
        await goOn
        const buffer = await decrypt(...parameters)
        unwrapped.push(new Uint8Array(buffer))
        return buffer
      })
      const open = crypto.seal(publicKey, new Uint8Array(100), (sealed) =>
        crypto.open(privateKey, sealed, ({ length }) =>
          Effect.sync(() => {
            // a key with a nonce for the seal, a key for the opening
            assert.deepStrictEqual(lent.map(({ bytes, wasUsed }) => [bytes.length, wasUsed]), [[44, true], [32, true]])
            return length
          })))
      assert.strictEqual(yield* open, 100)
      let resume: (value?: unknown) => void = () => undefined
      goOn = new Promise((resolve) => {
        resume = resolve
      })
      const fiber = yield* Effect.fork(open)
      yield* Effect.promise(() => vi.waitFor(() => assert.lengthOf(vi.mocked(subtle.decrypt).mock.calls, 2)))
      yield* Fiber.interrupt(fiber)
      resume()
      yield* Effect.promise(() => vi.waitFor(() => assert.lengthOf(unwrapped, 2)))
      yield* Effect.promise(() => new Promise(setImmediate))
      assert.lengthOf(unwrapped[0]!, 32)
      // and two answers, of which one never came
      assert.deepStrictEqual(lent.map(({ bytes }) => bytes.length), [44, 32, 100, 44, 32, 100])
      for (const bytes of [...unwrapped, ...lent.map(({ bytes }) => bytes)]) assert.isTrue(bytes.every((byte) => byte === 0))
    }).pipe(Effect.provide(Layer.provideMerge(NodeCrypto.layer, memory)))
  })

  it.scoped("keeps the promise of a length, or fails", () =>
    Effect.gen(function*() {
      const crypto = yield* Lent.crypto
      const { publicKey } = yield* load("client_2048.pem")
      const Resizable = ArrayBuffer as unknown as new(length: number, options: object) => ArrayBuffer & { readonly resize: (to: number) => void }
      const buffer = new Resizable(100_000, { maxByteLength: 200_000 })
      const sealed = yield* crypto.seal(publicKey, new Uint8Array(buffer))
      const chunks = sealed.ciphertext[Symbol.iterator]()
      assert.lengthOf(chunks.next().value!, 48 * 1024)
      buffer.resize(150_000)
      assert.throws(() => chunks.next(), "length")
      assert.strictEqual(sealed.length, 100_000)
    }).pipe(Effect.provide(layerWith({}))))

  it.scoped("writes nothing into a window that it has given back", () =>
    Effect.gen(function*() {
      const crypto = yield* Lent.crypto
      const { publicKey } = yield* load("client_2048.pem")
      const windows: Array<Uint8Array> = []
      const chunks = function*(window: Uint8Array<ArrayBuffer>) {
        windows.push(window)
        for (;;) yield window.fill(7)
      }
      const scope = yield* Scope.make()
      const sealed = yield* Scope.extend(crypto.seal(publicKey, { length: 10 * 48 * 1024, chunks }), scope)
      const ciphertext = sealed.ciphertext[Symbol.iterator]()
      assert.lengthOf(ciphertext.next().value!, 48 * 1024)
      assert.isTrue(windows[0]!.every((byte) => byte === 7))
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(windows[0]!.every((byte) => byte === 0))
      assert.throws(() => ciphertext.next(), "length")
      assert.isTrue(windows[0]!.every((byte) => byte === 0))
      assert.lengthOf(windows, 1)
    }).pipe(Effect.provide(layerWith({}))))

  it.scoped("makes the first chunks of an answer while its key is unwrapped, and says what was wrong with them as it always does", () =>
    Effect.gen(function*() {
      const crypto = yield* Lent.crypto
      const { privateKey, publicKey } = yield* load("client_2048.pem")
      const sealed = yield* crypto.seal(publicKey, new Uint8Array(10 * 48 * 1024))
      const [ciphertext, tag] = [[...sealed.ciphertext], sealed.tag()]
      let [taken, atDecrypt] = [0, 0]
      yield* mockDecrypt(async (...parameters) => {
        await Promise.resolve()
        atDecrypt = taken
        return decrypt(...parameters)
      })
      const chunks = function*(broken: number) {
        for (const chunk of ciphertext) {
          if (++taken === broken) throw new Error("a secret")
          yield chunk
        }
      }
      assert.lengthOf(yield* crypto.open(privateKey, { ...sealed, ciphertext: chunks(0), tag: () => tag }), 10 * 48 * 1024)
      assert.deepStrictEqual([taken, atDecrypt], [10, 5])
      for (const broken of [1, 5, 6]) {
        taken = 0
        const error = yield* Effect.flip(crypto.open(privateKey, { ...sealed, ciphertext: chunks(broken), tag: () => tag }))
        assert.deepStrictEqual([error.message, Object.keys(error)], ["The answer could not be opened with this client's key", Object.keys(Crypto.cannotOpen())])
      }
    }).pipe(Effect.provide(layerWith({}))))

  it.scoped("lets others have a turn between the chunks of a long answer", () =>
    Effect.gen(function*() {
      const crypto = yield* Lent.crypto
      const { privateKey, publicKey } = yield* load("client_2048.pem")
      const sealed = yield* crypto.seal(publicKey, new Uint8Array(15 * 48 * 1024))
      const ciphertext = [...sealed.ciphertext]
      const tag = sealed.tag()
      assert.lengthOf(ciphertext, 15)
      const turns = yield* countTurns
      const seen = new Set<number>()
      const watched = function*() {
        for (const chunk of ciphertext) {
          seen.add(turns())
          yield chunk
        }
      }
      yield* crypto.open(privateKey, { ...sealed, ciphertext: watched(), tag: () => tag })
      // five of them at a time, the first while the key is unwrapped
      assert.strictEqual(seen.size, 3)
    }).pipe(Effect.provide(layerWith({}))))
})
