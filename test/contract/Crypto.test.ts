import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as NodeCryptoModule from "node:crypto"
import * as Fs from "node:fs"
import { vi } from "vitest"
import * as Crypto from "../../src/Crypto.js"
import * as RsaKeys from "../../src/internal/rsaKeys.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import { cryptos, isZero, load } from "../support/cryptos.js"
import * as Lent from "../support/lent.js"
import * as Vectors from "../support/vectors.js"

it("Crypto has a name of its own among the services", () => {
  assert.strictEqual(Crypto.Crypto.key, "nomyo-js/Crypto")
})

describe.each(cryptos)("Crypto, %s", (name, crypto) => {
  it.layer(Layer.provideMerge(crypto, SecureMemory.layer))((it) => {
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
          const jwk = NodeCryptoModule.createPublicKey(
            Fs.readFileSync(Vectors.path("keys/server_4096.pub.pem"))
          ).export({ format: "jwk" })
          const digits = exponent.toString(16)
          const e = Buffer.from(digits.padStart(digits.length + digits.length % 2, "0"), "hex").toString(
            "base64url"
          )
          const pem = NodeCryptoModule.createPublicKey({ format: "jwk", key: { ...jwk, e } }).export({
            type: "spki",
            format: "pem"
          })
          const imported = yield* Effect.either(crypto.importPublicKey(Buffer.from(pem)))
          if (isGood) assert.deepInclude(imported, { _tag: "Right" })
          else assert.deepInclude(yield* Effect.flip(imported), {
            reason: "router-key",
            message:
              "The router's public key is not an RSA key of at least 2048 bits, with an exponent of at least 65537, in SPKI PEM. Check that baseUrl is a NOMYO router"
          })
        })
    )

    it.effect("makes a pair as long as it is asked for, and tells when", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        yield* TestClock.setTime(1234)
        const { createdAt, privateKey, publicKey } = yield* crypto.generateKeyPair(2048)
        assert.deepStrictEqual(
          { createdAt, modulusLength: publicKey.modulusLength },
          { createdAt: 1234, modulusLength: 2048 }
        )
        const { asymmetricKeyDetails, asymmetricKeyType } = NodeCryptoModule.createPublicKey(publicKey.pem)
        assert.deepStrictEqual([asymmetricKeyType, asymmetricKeyDetails], ["rsa", { modulusLength: 2048,
          publicExponent: 65_537n }])
        assert.strictEqual(publicKey.fingerprint,
          NodeCryptoModule.createHash("sha256").update(publicKey.spki).digest("hex"))
        const sealed = yield* crypto.seal(publicKey, Uint8Array.of(1, 2, 3))
        assert.deepStrictEqual([...(yield* crypto.open(privateKey, sealed))], [1, 2, 3])
      }).pipe(Effect.scoped))

    it.effect("makes no pair that is too short", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        assert.deepInclude(yield* Effect.flip(crypto.generateKeyPair(1024)), {
          reason: "client-key",
          message: "An RSA key pair of 1024 bits could not be generated. Set keySize to 2048 or 4096"
        })
      }))

    it.effect("reads no private key that is weak", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const weak =
          NodeCryptoModule.generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 3 }).privateKey
        for (const pkcs8 of [Uint8Array.from(weak.export({ type: "pkcs8", format: "der" })),
          new Uint8Array(0), new Uint8Array(100)]) {
          assert.deepInclude(yield* Effect.flip(crypto.importKeyPair(pkcs8, 0)), {
            reason: "client-key",
            message:
              "The private key is not an RSA key of at least 2048 bits, with an exponent of at least 65537, in PKCS#8; remove it, and the client creates another"
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
          assert.deepStrictEqual(yield* exported,
            Uint8Array.from(key.export({ type: "pkcs8", format: "der" })))
        } else {
          assert.deepInclude(yield* Effect.flip(exported), { reason: "unsupported",
            message: "This platform cannot export private keys. Keep them in memory" })
        }
        yield* crypto.destroy(privateKey)
        assert.deepInclude(yield* Effect.flip(crypto.exportPrivateKey(privateKey)), {
          reason: "client-key",
          message: "The private key has been destroyed. Use the current key pair"
        })
      }))

    it.effect("finds the WebCrypto keys of its own pairs, and of those only", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const pair = yield* load("client_2048.pem")
        const handles = RsaKeys.handlesOf(pair)!
        assert.deepStrictEqual([handles.publicKey.type, handles.privateKey.type,
          handles.privateKey.extractable], ["public", "private", name === "node"])
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
          message: "The request could not be encrypted. Report this as a bug in nomyo-js"
        })
      }))

    it.scoped.each([100, 100_000])(
      "lends %i bytes for as long as they are used, and leaves what becomes of the use as it is",
      (length) =>
        Effect.gen(function*() {
          const crypto = yield* Crypto.Crypto
          const { privateKey, publicKey } = yield* load("client_2048.pem")
          const text = new Uint8Array(length).fill(7)
          const whole = (sealed: Crypto.Sealed): Crypto.Sealed => {
            const [ciphertext, tag] = [Array.from(sealed.ciphertext, (chunk) => Uint8Array.from(chunk)),
              sealed.tag()]
            return { ...sealed, ciphertext, tag: () => tag }
          }
          const sealed = yield* crypto.seal(publicKey, text, (sealed) => Effect.sync(() => whole(sealed)))
          const lent: Array<Uint8Array> = []
          // the last: the caller's scope is the use's
          const outcomes: ReadonlyArray<Effect.Effect<unknown, string, Scope.Scope>> = [
            Effect.succeed("a value"),
            Effect.fail("an error"),
            Effect.die("a defect"),
            Effect.interrupt,
            Effect.scope
          ]
          for (const outcome of outcomes) {
            const use = (bytes: Uint8Array) => {
              lent.push(bytes)
              assert.isTrue(bytes.every((byte) => byte === 7))
              return Effect.zipRight(Effect.yieldNow(), outcome)
            }
            const expected = yield* Effect.exit(outcome)
            for (const lending of [crypto.open(privateKey, sealed, use), crypto.seal(publicKey, text, () =>
              outcome)]) {
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
        })
    )

    it.scoped("does the same for a bad key as for a bad tag", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const sealed = yield* crypto.seal(publicKey, new Uint8Array(100))
        const ciphertext = [...sealed.ciphertext]
        const tag = sealed.tag()
        const good = { ...sealed, ciphertext, tag: () => tag }
        const wrapped = (length: number) =>
          Uint8Array.from(
            NodeCryptoModule.publicEncrypt({ key: publicKey.pem, oaepHash: "sha256" }, new Uint8Array(length))
          )
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
          assert.strictEqual((yield* Effect.flip(crypto.open(privateKey, bad))).message,
            "The answer could not be opened: it is damaged, altered, or sealed to another key. Send the request again")
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
        const error = yield* Effect.flip(
          Effect.provide(Effect.void, Layer.provide(crypto, SecureMemory.layer))
        )
        assert.deepInclude(error, {
          _tag: "SecurityError",
          reason: "unsupported",
          message: "WebCrypto is not available. Serve the page over HTTPS or from localhost"
        })
      }).pipe(Effect.scoped))

    it.effect("gives random version 4 UUIDs", () =>
      Effect.gen(function*() {
        const { randomId } = yield* Lent.crypto
        const ids = [yield* randomId, yield* randomId]
        for (const id of ids) assert.match(id,
          /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
        assert.notStrictEqual(ids[0], ids[1])
      }))

    it.scoped.each([0, 5, 60_000])("opens nothing that is shorter or longer than it says: %i bytes",
      (length) =>
        Effect.gen(function*() {
          const crypto = yield* Lent.crypto
          const { privateKey, publicKey } = yield* load("client_2048.pem")
          const sealed = yield* crypto.seal(publicKey, new Uint8Array(length).fill(9))
          const ciphertext = [...sealed.ciphertext]
          for (const more of [-1, 1, 3]) {
            if (length + more < 0) continue
            const opened = yield* Effect.exit(
              crypto.open(privateKey, { ...sealed, ciphertext, length: length + more })
            )
            assert.isTrue(Exit.isFailure(opened) || opened.value.length === length)
          }
        }))

    it.scoped("opens nothing whose AES key does not decrypt, whatever key it was sealed under", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const { privateKey } = yield* load("client_2048.pem")
        const nonce = new Uint8Array(12)
        const cipher = NodeCryptoModule.createCipheriv("aes-256-gcm", new Uint8Array(32), nonce)
        const ciphertext = Uint8Array.from(
          Buffer.concat([cipher.update("under a key that everybody knows"), cipher.final()])
        )
        const tag = Uint8Array.from(cipher.getAuthTag())
        const sealed = { encryptedKey: new Uint8Array(256).fill(1), nonce, length: ciphertext.length,
          ciphertext: [ciphertext], tag: () => tag }
        assert.deepInclude(yield* Effect.flip(crypto.open(privateKey, sealed)), { _tag: "SecurityError",
          reason: "envelope" })
      }))

    it.scoped.each([16, 24, 32])("opens what is sealed under an AES key of 32 bytes only: %i",
      (length) =>
        Effect.gen(function*() {
          const crypto = yield* Lent.crypto
          const { privateKey, publicKey } = yield* load("client_2048.pem")
          const [aesKey, nonce] = [NodeCryptoModule.randomBytes(length), NodeCryptoModule.randomBytes(12)]
          const cipher = NodeCryptoModule.createCipheriv(`aes-${length * 8}-gcm` as "aes-256-gcm", aesKey,
            nonce)
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

    it.scoped("takes no AES key that lacks a byte, whatever that byte would be", () =>
      Effect.gen(function*() {
        const crypto = yield* Crypto.Crypto
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const aesKey = NodeCryptoModule.randomBytes(32)
        const encryptedKey = Uint8Array.from(
          NodeCryptoModule.publicEncrypt({ key: publicKey.pem, oaepHash: "sha256" }, aesKey.subarray(0, 31))
        )
        const nonce = new Uint8Array(12)
        for (let last = 0; last < 256; last++) {
          aesKey[31] = last
          const cipher = NodeCryptoModule.createCipheriv("aes-256-gcm", aesKey, nonce)
          const ciphertext = [Uint8Array.from(Buffer.concat([cipher.update("text"), cipher.final()]))]
          const tag = Uint8Array.from(cipher.getAuthTag())
          const sealed = { encryptedKey, nonce, length: 4, ciphertext, tag: () => tag }
          const error = yield* Effect.flip(crypto.open(privateKey, sealed, () => Effect.void))
          assert.deepInclude(error, { reason: "envelope" })
        }
      }))

    it.scoped("seals each time under a fresh key and nonce", () =>
      Effect.gen(function*() {
        const crypto = yield* Lent.crypto
        const { privateKey, publicKey } = yield* load("client_2048.pem")
        const sealed = yield* Effect.all(
          Array.from({ length: 50 }, () => crypto.seal(publicKey, new Uint8Array(32)))
        )
        const distinct = (of: (sealed: Crypto.Sealed) => Uint8Array) =>
          new Set(sealed.map((s) => Buffer.from(of(s)).toString("hex"))).size
        assert.deepStrictEqual(
          [distinct((s) => s.nonce), distinct((s) => Buffer.concat([...s.ciphertext])),
            distinct((s) => s.encryptedKey)],
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
