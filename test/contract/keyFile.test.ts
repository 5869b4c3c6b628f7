import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Der from "../../src/internal/codecs/der.js"
import * as Pem from "../../src/internal/codecs/pem.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import * as KeyFiles from "../support/keyFiles.js"
import * as Servers from "../support/servers.js"
import * as Vectors from "../support/vectors.js"

const { generate, load, openssl, password, put, temporaryDirectory } = KeyFiles

it.layer(Servers.platform)("a private key file", (it) => {
  it.effect.each([129, 5, 4])("refuses an encrypted key whose rounds take %i bytes",
    (length) =>
      Effect.gen(function*() {
        const { element, OCTET_STRING, SEQUENCE } = Der
        const INTEGER = 0x02
        const kdf = element(SEQUENCE, element(INTEGER),
          element(SEQUENCE, element(OCTET_STRING), element(INTEGER, new Uint8Array(length).fill(0x7f))))
        const scheme = element(SEQUENCE, element(INTEGER), element(OCTET_STRING))
        const der = element(SEQUENCE, element(SEQUENCE, element(INTEGER), element(SEQUENCE, kdf, scheme)),
          element(OCTET_STRING))
        const path = Path.join(temporaryDirectory(), "key.pem")
        Fs.writeFileSync(path, Pem.encode("ENCRYPTED PRIVATE KEY", der))
        const error = yield* Effect.flip(
          NodeKeyStore.loadKeyPair(path, { password: Redacted.make("correct horse") })
        )
        assert.deepInclude(error, { _tag: "SecurityError", reason: "client-key" })
      }))

  it.effect("has one error for a missing password, a wrong one and a damaged file, and overwrites nothing", () =>
    Effect.gen(function*() {
      const dir = temporaryDirectory()
      const path = Path.join(dir, "private_key.pem")
      yield* put(dir, yield* generate, { keyRotationPassword: password })
      const good = Fs.readFileSync(path, "utf8")
      const legacy = Fs.readFileSync(Vectors.path("keys/client_4096.legacy-js-encrypted.pem"), "utf8")
      const lines = (pem: string) => pem.split("\n")
      const damage = (pem: string) => lines(pem).toSpliced(10, 1).join("\n")
      const cases = [
        [good, undefined],
        [good, Redacted.make("another horse")],
        [damage(good), password],
        [damage(legacy), password],
        [good.slice(0, 500), password],
        [good.replace("M", "*"), password]
      ] as const
      for (const [pem, keyRotationPassword] of cases) {
        Fs.writeFileSync(path, pem)
        const error = yield* Effect.flip(Effect.asVoid(load(dir, { keyRotationPassword })))
        assert.deepInclude(error, { _tag: "SecurityError", reason: "key-password" } as never)
        assert.strictEqual(Fs.readFileSync(path, "utf8"), pem)
      }
      Fs.writeFileSync(path, good)
      yield* load(dir, { keyRotationPassword: password })
    }))

  it.effect("warns of a file that is not encrypted though there is a password", () => {
    const lines: Array<unknown> = []
    return Effect.gen(function*() {
      const dir = temporaryDirectory()
      yield* put(dir, yield* generate)
      yield* load(dir, { keyRotationPassword: password })
      assert.match(String(lines), /not encrypted/)
    }).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, Logger.make(({ message }) =>
        void lines.push(message)
      )))
    )
  })

  it.effect("writes what OpenSSL reads", () =>
    Effect.gen(function*() {
      for (const keyRotationPassword of [undefined, password]) {
        const dir = temporaryDirectory()
        const pair = yield* generate
        yield* put(dir, pair, { keyRotationPassword })
        const path = Path.join(dir, "private_key.pem")
        const pass = keyRotationPassword === undefined ? [] : ["-passin", `pass:${Redacted.value(password)}`]
        assert.strictEqual(openssl("pkey", "-in", path, "-pubout", ...pass), pair.publicKey.pem)
        assert.strictEqual(openssl("pkey", "-pubin", "-in", Path.join(dir, "public_key.pem"), "-pubout"),
          pair.publicKey.pem)
        if (keyRotationPassword !== undefined) {
          const asn1 = openssl("asn1parse", "-in", path)
          assert.match(asn1, /PBES2[^]*PBKDF2[^]*0927C0[^]*hmacWithSHA256[^]*aes-256-cbc/)
        }
      }
    }))

  it.effect("reads what OpenSSL writes", () =>
    Effect.gen(function*() {
      const dir = temporaryDirectory()
      const path = (name: string) => Path.join(dir, name)
      openssl("genrsa", "-out", path("plain.pem"), "2048")
      openssl("rsa", "-in", path("plain.pem"), "-traditional", "-out", path("pkcs1.pem"))
      const pass = ["-passout", `pass:${Redacted.value(password)}`]
      openssl("pkcs8", "-topk8", "-in", path("plain.pem"), "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256",
        "-out", path("pbkdf2.pem"), ...pass)
      openssl("pkcs8", "-topk8", "-in", path("plain.pem"), "-scrypt", "-out", path("scrypt.pem"), ...pass)
      const expected = openssl("pkey", "-in", path("plain.pem"), "-pubout")
      for (const name of ["plain.pem", "pkcs1.pem", "pbkdf2.pem", "scrypt.pem"]) {
        const pair = yield* NodeKeyStore.loadKeyPair(path(name), { password })
        assert.strictEqual(pair.publicKey.pem, expected)
      }
    }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger))))
})
