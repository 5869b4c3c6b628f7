import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { build } from "esbuild"
import { execFile, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { Crypto, type KeyPair } from "../../src/Crypto.js"
import * as Der from "../../src/internal/codecs/der.js"
import * as Pem from "../../src/internal/codecs/pem.js"
import * as KeyRing from "../../src/KeyRing.js"
import { KeyStore } from "../../src/KeyStore.js"
import { NomyoClient } from "../../src/NomyoClient.js"
import * as NomyoConfig from "../../src/NomyoConfig.js"
import * as Node from "../../src/platform/node/index.js"
import * as NodeCrypto from "../../src/platform/node/NodeCrypto.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import * as Model from "../../src/router/Model.js"
import * as SecureMemoryModule from "../../src/SecureMemory.js"
import { SecureMemory } from "../../src/SecureMemory.js"
import * as Lent from "../support/lent.js"
import * as Report from "../support/report.js"
import * as Servers from "../support/servers.js"
import * as Vectors from "../support/vectors.js"

const temporaryDirectory = () => Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))
const password = Redacted.make("correct horse battery")

/** The store of a directory, used once. */
const store = <A, E>(
  keyDir: string,
  use: (store: KeyStore["Type"]) => Effect.Effect<A, E, Crypto | SecureMemory>,
  options: Partial<NodeKeyStore.Options> = {}
) => Effect.flatMap(KeyStore, use).pipe(Effect.provide(NodeKeyStore.layer({ keyDir, ...options })))

/** Keeps a pair whatever is there. */
const put = (pair: KeyPair) => ({ save }: KeyStore["Type"]) => save(pair, { ...pair, createdAt: Number.MAX_SAFE_INTEGER })

const load = (keyDir: string, options?: Partial<NodeKeyStore.Options>) => store(keyDir, ({ load }) => Effect.flatten(load), options)

const generate = Effect.flatMap(Crypto, (crypto) => crypto.generateKeyPair(2048))
const fingerprint = (pair: KeyPair) => pair.publicKey.fingerprint
const openssl = (...args: ReadonlyArray<string>) => execFileSync("openssl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })

describe("NodeKeyStore", () => {
  it.layer(Servers.platform)((it) => {
    it.effect("leaves no private key aside when it cannot put it in its place", () =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        const pair = yield* generate
        yield* store(dir, ({ save }) => save(pair, undefined))
        Fs.rmSync(Path.join(dir, "public_key.pem"))
        Fs.mkdirSync(Path.join(dir, "public_key.pem"))
        const error = yield* Effect.flip(store(dir, put(pair)))
        assert.deepInclude(error, { _tag: "SecurityError", reason: "client-key" })
        assert.deepStrictEqual(Fs.readdirSync(dir).filter((name) => name.endsWith(".tmp")), [])
      }))

    it.effect.each([129, 5, 4])("refuses an encrypted key whose rounds take %i bytes", (length) =>
      Effect.gen(function*() {
        const { element, OCTET_STRING, SEQUENCE } = Der
        const INTEGER = 0x02
        const kdf = element(SEQUENCE, element(INTEGER), element(SEQUENCE, element(OCTET_STRING), element(INTEGER, new Uint8Array(length).fill(0x7f))))
        const scheme = element(SEQUENCE, element(INTEGER), element(OCTET_STRING))
        const der = element(SEQUENCE, element(SEQUENCE, element(INTEGER), element(SEQUENCE, kdf, scheme)), element(OCTET_STRING))
        const path = Path.join(temporaryDirectory(), "key.pem")
        Fs.writeFileSync(path, Pem.encode("ENCRYPTED PRIVATE KEY", der))
        const error = yield* Effect.flip(NodeKeyStore.loadKeyPair(path, { password: Redacted.make("correct horse") }))
        assert.deepInclude(error, { _tag: "SecurityError", reason: "key-password" })
      }))

    it.effect("gives back what it was given, with the time it was made", () =>
      Effect.gen(function*() {
        const dir = Path.join(temporaryDirectory(), "a/b")
        const pair = { ...(yield* generate), createdAt: 1_700_000_000_123 }
        assert.isTrue(Option.isNone(yield* store(dir, ({ load }) => load)))
        assert.strictEqual(yield* store(dir, ({ save }) => save(pair, undefined)), pair)
        const loaded = yield* load(dir)
        assert.deepStrictEqual([loaded.publicKey, loaded.createdAt], [pair.publicKey, pair.createdAt])
        const other = yield* generate
        assert.strictEqual(fingerprint(yield* store(dir, ({ save }) => save(other, undefined))), fingerprint(pair))
        yield* store(dir, put(other))
        assert.strictEqual(fingerprint(yield* load(dir)), fingerprint(other))
        yield* store(dir, ({ remove }) => remove)
        assert.deepStrictEqual(Fs.readdirSync(dir), [])
      }))

    it.effect("creates files and directory with their modes, whatever the umask", () =>
      Effect.gen(function*() {
        const pair = yield* generate
        for (const mask of [0, 0o077]) {
          const umask = process.umask(mask)
          const dir = Path.join(temporaryDirectory(), "keys")
          yield* store(dir, ({ save }) => save(pair, undefined))
          yield* store(dir, put(pair))
          const mode = (name: string) => (Fs.statSync(Path.join(dir, name)).mode & 0o777).toString(8)
          process.umask(umask)
          assert.deepStrictEqual([mode(""), mode("private_key.pem"), mode("public_key.pem")], ["700", "600", "644"])
        }
      }))

    it.effect.each([0o640, 0o604, 0o644, 0o620])("refuses a private key of mode %o, and says what to run", (mode) =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        yield* store(dir, (store) => Effect.flatMap(generate, (pair) => put(pair)(store)))
        Fs.chmodSync(Path.join(dir, "private_key.pem"), mode)
        const error = yield* Effect.flip(Effect.asVoid(load(dir)))
        assert.deepInclude(error, { _tag: "SecurityError", reason: "key-permissions" } as never)
        assert.include(error.message, `chmod 600 ${Path.join(dir, "private_key.pem")}`)
      }))

    it.effect("refuses a public key that belongs to another, and makes one that is missing", () =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        const pair = yield* generate
        yield* store(dir, put(pair))
        const path = Path.join(dir, "public_key.pem")
        Fs.copyFileSync(Vectors.path("keys/server_4096.pub.pem"), path)
        const error = yield* Effect.flip(Effect.asVoid(load(dir)))
        assert.deepInclude(error, { _tag: "SecurityError", reason: "client-key" } as never)
        Fs.rmSync(path)
        yield* load(dir)
        assert.strictEqual(Fs.readFileSync(path, "utf8"), pair.publicKey.pem)
      }))

    it.effect("tells a missing password, a wrong one and a damaged file alike, and overwrites nothing", () =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        const path = Path.join(dir, "private_key.pem")
        yield* store(dir, (store) => Effect.flatMap(generate, (pair) => put(pair)(store)), { keyRotationPassword: password })
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
        yield* store(dir, (store) => Effect.flatMap(generate, (pair) => put(pair)(store)))
        yield* load(dir, { keyRotationPassword: password })
        assert.match(String(lines), /not encrypted/)
      }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, Logger.make(({ message }) => void lines.push(message)))))
    })

    it.effect("loads the newest of two directories", () =>
      Effect.gen(function*() {
        const [keyDir, keyRotationDir] = [temporaryDirectory(), temporaryDirectory()]
        const [older, newer] = [{ ...(yield* generate), createdAt: 1000 }, { ...(yield* generate), createdAt: 2000 }]
        yield* store(keyDir, ({ save }) => save(older, undefined), { keyRotationDir })
        yield* store(keyDir, put(newer), { keyRotationDir })
        assert.strictEqual(fingerprint(yield* load(keyDir, { keyRotationDir })), fingerprint(newer))
        assert.deepStrictEqual(Fs.readdirSync(keyDir), [])
        yield* store(keyDir, put({ ...older, createdAt: 3000 }))
        assert.strictEqual(fingerprint(yield* load(keyDir, { keyRotationDir })), fingerprint(older))
      }))

    it.effect("keeps as many replaced keys as it is told, and none by default", () =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        const pairs = [1, 2, 3, 4].map((day) => day * 86_400_000)
        for (const createdAt of pairs) yield* store(dir, (store) => Effect.flatMap(generate, (pair) => put({ ...pair, createdAt })(store)), { keyHistory: 2 })
        assert.deepStrictEqual(Fs.readdirSync(dir).toSorted(), [
          "private_key.19700103T000000000Z.pem",
          "private_key.19700104T000000000Z.pem",
          "private_key.pem",
          "public_key.pem"
        ])
        assert.strictEqual(Fs.statSync(Path.join(dir, "private_key.19700104T000000000Z.pem")).mode & 0o777, 0o600)
      }))

    it.effect("takes the pair of a process that was first for its own", () =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        const [old, ours, theirs] = [yield* generate, yield* generate, yield* generate]
          .map((pair, i) => ({ ...pair, createdAt: 1000 * (i + 1) })) as [KeyPair, KeyPair, KeyPair]
        yield* store(dir, ({ save }) => save(old, undefined))
        yield* store(dir, ({ save }) => save(theirs, old))
        assert.strictEqual(fingerprint(yield* store(dir, ({ save }) => save(ours, old))), fingerprint(theirs))
        assert.strictEqual(fingerprint(yield* load(dir)), fingerprint(theirs))
      }))

    it.effect("does not save over what it cannot read", () =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        const path = Path.join(dir, "private_key.pem")
        yield* store(dir, (store) => Effect.flatMap(generate, (pair) => put(pair)(store)), { keyRotationPassword: password })
        const before = Fs.readFileSync(path, "utf8")
        const wrong = yield* Effect.flip(Effect.asVoid(store(dir, (store) => Effect.flatMap(generate, (pair) => put(pair)(store)), {
          keyRotationPassword: Redacted.make("another horse")
        })))
        assert.strictEqual((wrong as { readonly reason?: string }).reason, "key-password")
        Fs.chmodSync(path, 0o644)
        yield* Effect.flip(Effect.asVoid(store(dir, (store) => Effect.flatMap(generate, (pair) => put(pair)(store)), { keyRotationPassword: password })))
        assert.strictEqual(Fs.readFileSync(path, "utf8"), before)
        const away = temporaryDirectory()
        Fs.symlinkSync("/nowhere/private_key.pem", Path.join(away, "private_key.pem"))
        Fs.writeFileSync(Path.join(away, "public_key.pem"), "mine")
        yield* Effect.flip(Effect.asVoid(store(away, (store) => Effect.flatMap(generate, (pair) => store.save(pair, undefined)))))
        assert.strictEqual(Fs.readFileSync(Path.join(away, "public_key.pem"), "utf8"), "mine")
      }))

    it.effect("keeps whole pairs with several writers and readers at once", () =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        const pairs = yield* Effect.all(Array.from({ length: 4 }, () => generate))
        const known = new Set(pairs.map(fingerprint))
        yield* store(dir, put(pairs[0]!))
        const write = Effect.forEach(Array.from({ length: 40 }, (_, i) => pairs[i % 4]!), (pair) => store(dir, put(pair)), { concurrency: 4 })
        const read = Effect.repeatN(Effect.map(load(dir), (pair) => assert.isTrue(known.has(fingerprint(pair)))), 100)
        yield* Effect.all([write, read, read], { concurrency: "unbounded" })
        yield* load(dir)
        assert.deepStrictEqual(Fs.readdirSync(dir).toSorted(), ["private_key.pem", "public_key.pem"])
      }))

    it.effect("takes over the lock of a process that is gone", () =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        const gone = spawn("true")
        yield* Effect.promise(() => once(gone, "exit"))
        Fs.writeFileSync(Path.join(dir, "key.lock"), `${gone.pid} ${Os.hostname()}`)
        yield* store(dir, (store) => Effect.flatMap(generate, (pair) => put(pair)(store)))
        assert.deepStrictEqual(Fs.readdirSync(dir).toSorted(), ["private_key.pem", "public_key.pem"])
      }))

    it.effect("sweeps away what a process that was killed left behind, and nothing else", () =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        const names = ["private_key.pem.0123456789abcdef.tmp", "mine.tmp", "private_key.pem.bak"]
        for (const name of names) Fs.writeFileSync(Path.join(dir, name), "")
        const now = Date.now
        Date.now = () => now() + 61_000
        yield* store(dir, (store) => Effect.flatMap(generate, (pair) => put(pair)(store))).pipe(Effect.ensuring(Effect.sync(() => {
          Date.now = now
        })))
        assert.deepStrictEqual(Fs.readdirSync(dir).toSorted(), ["mine.tmp", "private_key.pem", "private_key.pem.bak", "public_key.pem"])
      }))

    it.effect("ends a write that it has begun when it is interrupted", () =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        for (let i = 0; i < 20; i++) {
          const pair = yield* generate
          const fiber = yield* Effect.fork(store(dir, put(pair)))
          for (let turn = 0; turn < i; turn++) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
          yield* Fiber.interrupt(fiber)
          if (Fs.existsSync(Path.join(dir, "private_key.pem"))) yield* load(dir)
        }
        assert.deepStrictEqual(Fs.readdirSync(dir).toSorted(), ["private_key.pem", "public_key.pem"])
      }))

    it.effect("writes what OpenSSL reads", () =>
      Effect.gen(function*() {
        for (const keyRotationPassword of [undefined, password]) {
          const dir = temporaryDirectory()
          const pair = yield* generate
          yield* store(dir, put(pair), { keyRotationPassword })
          const path = Path.join(dir, "private_key.pem")
          const pass = keyRotationPassword === undefined ? [] : ["-passin", `pass:${Redacted.value(password)}`]
          assert.strictEqual(openssl("pkey", "-in", path, "-pubout", ...pass), pair.publicKey.pem)
          assert.strictEqual(openssl("pkey", "-pubin", "-in", Path.join(dir, "public_key.pem"), "-pubout"), pair.publicKey.pem)
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
        openssl("pkcs8", "-topk8", "-in", path("plain.pem"), "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-out", path("pbkdf2.pem"), ...pass)
        openssl("pkcs8", "-topk8", "-in", path("plain.pem"), "-scrypt", "-out", path("scrypt.pem"), ...pass)
        const expected = openssl("pkey", "-in", path("plain.pem"), "-pubout")
        for (const name of ["plain.pem", "pkcs1.pem", "pbkdf2.pem", "scrypt.pem"]) {
          const pair = yield* NodeKeyStore.loadKeyPair(path(name), { password })
          assert.strictEqual(pair.publicKey.pem, expected)
        }
      }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger))))
  })
})

describe("NodeKeyStore among processes", () => {
  const script = Path.join(temporaryDirectory(), "key-process.mjs")
  beforeAll(() =>
    build({
      entryPoints: [new URL("../support/key-process.ts", import.meta.url).pathname],
      outfile: script,
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20"
    }).then(() => undefined)
  )

  it.scoped("ends with one pair when eight start at once on an empty directory", () =>
    Effect.gen(function*() {
      for (let round = 0; round < 3; round++) {
        const dir = Path.join(temporaryDirectory(), "keys")
        const outputs = yield* Effect.promise(() =>
          Promise.all(Array.from({ length: 8 }, () => promisify(execFile)(process.execPath, [script, "first", dir])))
        )
        const fingerprints = new Set(outputs.map(({ stdout }) => stdout.trim()))
        assert.strictEqual(fingerprints.size, 1)
        assert.strictEqual(fingerprint(yield* load(dir)), [...fingerprints][0])
        assert.deepStrictEqual(Fs.readdirSync(dir).toSorted(), ["private_key.pem", "public_key.pem"])
      }
    }).pipe(Effect.provide(Servers.platform)), 60_000)

  const kills = Report.isFull ? 200 : 20

  it.live(`holds a whole pair whenever its writer is killed, ${kills} times`, () =>
    Effect.gen(function*() {
      const dir = temporaryDirectory()
      const sources = yield* Effect.forEach(["one", "two"], (name) => {
        const source = temporaryDirectory()
        return Effect.as(store(source, (store) => Effect.flatMap(generate, (pair) => put(pair)(store))), Path.join(source, "private_key.pem")).pipe(Effect.annotateLogs({ name }))
      })
      const expected = new Set((yield* Effect.forEach(sources, (source) => NodeKeyStore.loadKeyPair(source))).map(fingerprint))
      let mismatches = 0
      yield* store(dir, put(yield* NodeKeyStore.loadKeyPair(sources[0]!)))
      for (let kill = 0; kill < kills; kill++) {
        const child = spawn(process.execPath, [script, "save", dir, ...sources])
        yield* Effect.promise(() => once(child.stdout, "data"))
        yield* Effect.sleep(Math.random() * 20)
        child.kill("SIGKILL")
        yield* Effect.promise(() => once(child, "exit"))
        const publicKey = Fs.existsSync(Path.join(dir, "public_key.pem")) ? Fs.readFileSync(Path.join(dir, "public_key.pem"), "utf8") : undefined
        const pair = yield* load(dir)
        assert.isTrue(expected.has(fingerprint(pair)))
        if (publicKey !== undefined && publicKey !== pair.publicKey.pem) mismatches++
      }
      assert.strictEqual(mismatches, 0)
    }).pipe(Effect.provide(Servers.platform)), 120_000)
})

describe("the bytes of private keys", () => {
  it.scopedLive("are zeroed as soon as they are stored or loaded, and are nowhere after disposal", () =>
    Effect.gen(function*() {
      const guarded: Array<Uint8Array> = []
      const watched = Layer.map(SecureMemoryModule.layer, (context) => {
        const memory = Context.get(context, SecureMemory)
        return Context.make(SecureMemory, {
          ...memory,
          guard: <E, R>(acquire: Effect.Effect<Uint8Array<ArrayBuffer>, E, R>) =>
            memory.guard(Effect.tap(acquire, (bytes) => {
              assert.isTrue(bytes.some((byte) => byte !== 0))
              guarded.push(bytes)
            })),
          allocate: (length) => Effect.tap(memory.allocate(length), (bytes) => guarded.push(bytes))
        })
      })
      const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0)
      const dir = temporaryDirectory()
      const services = Layer.provideMerge(NodeCrypto.layer, watched)
      const ring = Layer.unwrapEffect(Effect.map(NomyoConfig.make({ keySize: 2048 }), KeyRing.layer)).pipe(
        Layer.provide(NodeKeyStore.layer({ keyDir: dir, keyRotationPassword: password })),
        Layer.provideMerge(services)
      )
      for (const expected of [3, 4]) {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(ring, scope)
        const self = Context.get(context, KeyRing.KeyRing)
        const crypto = yield* Effect.provide(Lent.crypto, context)
        guarded.length = 0
        const lease = yield* Scope.make()
        const old = yield* Scope.extend(Lent.lease(self), lease)
        assert.lengthOf(guarded, expected)
        const current = yield* self.rotate
        // the stored pair is read once more, and the new one written
        assert.lengthOf(guarded, expected + 7)
        assert.isTrue(guarded.every(isZero))
        const sealed = yield* crypto.seal(old.publicKey, new Uint8Array([1]))
        yield* crypto.open(old.privateKey, sealed)
        yield* Scope.close(lease, Exit.void)
        for (const gone of [old, current]) {
          if (gone === current) yield* Scope.close(scope, Exit.void)
          assert.isTrue(Exit.isFailure(yield* Effect.exit(crypto.open(gone.privateKey, sealed))))
          assert.isTrue(Exit.isFailure(yield* Effect.exit(crypto.exportPrivateKey(gone.privateKey))))
        }
      }
    }))

  it.live("do not stop the event loop while a pair is made", () =>
    Effect.gen(function*() {
      const crypto = yield* Crypto
      let turns = 0
      const fiber = yield* Effect.fork(Effect.forever(Effect.zipRight(
        Effect.promise(() => new Promise((resolve) => setImmediate(resolve))),
        Effect.sync(() => turns++)
      )))
      yield* crypto.generateKeyPair(4096)
      yield* Fiber.interrupt(fiber)
      assert.isAbove(turns, 10)
    }).pipe(Effect.provide(Servers.platform)))
})

describe("rotation under load", () => {
  it.scopedLive("loses no answer of 200 while keys rotate every 100 ms", () =>
    Effect.gen(function*() {
      const echo = yield* Model.makeEcho
      const url = yield* Servers.router({ model: (request) => Effect.delay(echo(request), 200 + Math.random() * 600) })
      const rotations = yield* Effect.gen(function*() {
        const client = yield* NomyoClient
        const events = yield* client.keyEvents
        yield* Effect.forEach(
          Array.from({ length: 200 }, (_, i) => String(i)),
          (content) =>
            Effect.map(client.create({ model: "m", messages: [{ role: "user", content }] }, { maxRetries: 0 }), (answer) =>
              assert.strictEqual(answer.choices[0]?.message.content, `You said: ${content}`)),
          { concurrency: 20, discard: true }
        )
        return (yield* events.takeAll)
      }).pipe(Effect.provide(Node.layer({ baseUrl: url, allowHttp: true, keyDir: temporaryDirectory(), keySize: 2048, keyRotationInterval: 100 })))
      assert.isAbove([...rotations].filter(({ _tag }) => _tag === "Rotated").length, 5)
    }).pipe(Effect.provide(Layer.merge(Servers.platform, Logger.remove(Logger.defaultLogger)))), 60_000)
})
