import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Crypto } from "../../src/Crypto.js"
import * as KeyFiles from "../support/keyFiles.js"
import * as Servers from "../support/servers.js"
import * as Vectors from "../support/vectors.js"

const { failure, filled, fingerprint, generate, load, names, password, privateKey, publicKey, put,
  temporaryDirectory, use } = KeyFiles
const modeOf = (path: string) => (Fs.statSync(path).mode & 0o777).toString(8)
const PAIR = ["private_key.pem", "public_key.pem"]

it.layer(Servers.platform)("a key directory", (it) => {
  it.effect("has modes of its own, whatever the umask", () =>
    Effect.gen(function*() {
      const pair = yield* generate
      for (const mask of [0, 0o077]) {
        const umask = process.umask(mask)
        const dir = Path.join(temporaryDirectory(), "keys")
        yield* use(dir, ({ save }) => save(pair, undefined))
        yield* put(dir, pair)
        process.umask(umask)
        const modes = { directory: modeOf(dir), privateKey: modeOf(privateKey(dir)),
          publicKey: modeOf(publicKey(dir)) }
        assert.deepStrictEqual(modes, { directory: "700", privateKey: "600", publicKey: "644" })
      }
    }))

  it.effect.each([0o640, 0o604, 0o644, 0o620])("refuses a private key of mode %o, and says what to run",
    (mode) =>
      Effect.gen(function*() {
        const { dir } = yield* filled()
        Fs.chmodSync(privateKey(dir), mode)
        const error = yield* failure(load(dir))
        assert.deepInclude(error, { name: "SecurityError", reason: "key-permissions" })
        assert.include(error.message, `chmod 600 ${privateKey(dir)}`)
      }))

  it.effect.each([0o777, 0o1777, 0o770, 0o702])("refuses a directory of mode %o to load from and to save to",
    (mode) =>
      Effect.gen(function*() {
        const { dir, pair } = yield* filled()
        Fs.chmodSync(dir, mode)
        for (const error of [yield* failure(load(dir)), yield* failure(put(dir, pair))]) {
          assert.deepInclude(error, { name: "SecurityError", reason: "key-permissions" })
          assert.include(error.message, `chmod go-w ${dir}`)
        }
      }))

  it.effect("makes a public key again that is missing or does not belong to the private one", () =>
    Effect.gen(function*() {
      const { dir, pair } = yield* filled()
      const path = publicKey(dir)
      const damage = [
        () => Fs.rmSync(path),
        () => Fs.copyFileSync(Vectors.path("keys/server_4096.pub.pem"), path),
        () => Fs.writeFileSync(path, "no key"),
        () => Fs.writeFileSync(path, Buffer.alloc(70_000, 65)),
        () => {
          Fs.rmSync(path)
          Fs.symlinkSync("/dev/zero", path)
        }
      ]
      for (const apply of damage) {
        apply()
        assert.strictEqual(fingerprint(yield* load(dir)), fingerprint(pair))
        assert.isTrue(Fs.lstatSync(path).isFile())
        assert.strictEqual(Fs.readFileSync(path, "utf8"), pair.publicKey.pem)
      }
    }))

  it.effect("loads the newest of two directories", () =>
    Effect.gen(function*() {
      const [keyDir, keyRotationDir] = [temporaryDirectory(), temporaryDirectory()]
      const [older, newer] = [{ ...(yield* generate), createdAt: 1000 }, { ...(yield* generate),
        createdAt: 2000 }]
      yield* use(keyDir, ({ save }) => save(older, undefined), { keyRotationDir })
      yield* put(keyDir, newer, { keyRotationDir })
      assert.strictEqual(fingerprint(yield* load(keyDir, { keyRotationDir })), fingerprint(newer))
      assert.deepStrictEqual(names(keyDir), [])
      yield* put(keyDir, { ...older, createdAt: 3000 })
      assert.strictEqual(fingerprint(yield* load(keyDir, { keyRotationDir })), fingerprint(older))
    }))

  it.effect("keeps as many replaced keys as keyHistory says, and none by default", () =>
    Effect.gen(function*() {
      const dir = temporaryDirectory()
      for (const day of [1, 2, 3, 4])
        yield* put(dir, { ...(yield* generate), createdAt: day * 86_400_000 }, { keyHistory: 2 })
      const kept = ["private_key.19700103T000000000Z.pem", "private_key.19700104T000000000Z.pem"]
      assert.deepStrictEqual(names(dir), [...kept, ...PAIR])
      assert.strictEqual(modeOf(Path.join(dir, kept[1]!)), "600")
      yield* put(dir, yield* generate)
      assert.deepStrictEqual(names(dir), [...kept, ...PAIR])
    }))

  it.effect("keeps a replaced key through no link that waits at its name", () =>
    Effect.gen(function*() {
      const dir = temporaryDirectory()
      const elsewhere = Path.join(temporaryDirectory(), "stolen")
      const old = { ...(yield* generate), createdAt: 86_400_000 }
      yield* put(dir, old)
      const text = Fs.readFileSync(privateKey(dir), "utf8")
      const kept = Path.join(dir, "private_key.19700102T000000000Z.pem")
      Fs.symlinkSync(elsewhere, kept)
      yield* put(dir, yield* generate, { keyHistory: 1 })
      assert.isFalse(Fs.existsSync(elsewhere))
      assert.isTrue(Fs.lstatSync(kept).isFile())
      assert.strictEqual(Fs.readFileSync(kept, "utf8"), text)
    }))

  it.effect("does not save over what it cannot read", () =>
    Effect.gen(function*() {
      const { dir, pair } = yield* filled({ keyRotationPassword: password })
      const before = Fs.readFileSync(privateKey(dir), "utf8")
      assert.strictEqual((yield* failure(put(dir, pair))).reason, "key-password")
      Fs.chmodSync(privateKey(dir), 0o644)
      assert.strictEqual((yield* failure(put(dir, pair, { keyRotationPassword: password }))).reason,
        "key-permissions")
      assert.strictEqual(Fs.readFileSync(privateKey(dir), "utf8"), before)
      const away = temporaryDirectory()
      Fs.symlinkSync("/nowhere/private_key.pem", privateKey(away))
      Fs.writeFileSync(publicKey(away), "mine")
      yield* failure(use(away, ({ save }) => save(pair, undefined)))
      assert.strictEqual(Fs.readFileSync(publicKey(away), "utf8"), "mine")
    }))

  it.effect("leaves no private key aside when it cannot put it in its place", () =>
    Effect.gen(function*() {
      const { dir, pair } = yield* filled()
      Fs.rmSync(publicKey(dir))
      Fs.mkdirSync(publicKey(dir))
      assert.deepInclude(yield* failure(put(dir, pair)), { name: "SecurityError", reason: "client-key" })
      assert.deepStrictEqual(names(dir), PAIR)
    }))

  it.effect("sweeps away what a process that was killed left behind, and nothing else", () =>
    Effect.gen(function*() {
      const dir = temporaryDirectory()
      const ours = ["private_key.pem.0123456789abcdef.tmp", "key.lock.0123456789abcdef.tmp",
        "key.lock.0123456789abcdef"]
      const theirs = ["key.lock.md", "mine.tmp", "private_key.pem.bak"]
      for (const name of [...ours, ...theirs]) Fs.writeFileSync(Path.join(dir, name), "")
      const now = Date.now
      Date.now = () => now() + 61_000
      yield* Effect.ensuring(put(dir, yield* generate), Effect.sync(() => {
        Date.now = now
      }))
      assert.deepStrictEqual(names(dir), [...theirs, ...PAIR].toSorted())
    }))
})

describe("a key directory at work", () => {
  it.live("keeps whole pairs with several writers and readers at once", () =>
    Effect.gen(function*() {
      const dir = temporaryDirectory()
      const pairs = yield* Effect.all(Array.from({ length: 4 }, () => generate))
      const known = new Set(pairs.map(fingerprint))
      yield* put(dir, pairs[0]!)
      const writes = Array.from({ length: 40 }, (_, i) => pairs[i % 4]!)
      const write = Effect.forEach(writes, (pair) => put(dir, pair), { concurrency: 4 })
      const read = Effect.repeatN(
        Effect.map(load(dir), (pair) => assert.isTrue(known.has(fingerprint(pair)))),
        100
      )
      yield* Effect.all([write, read, read], { concurrency: "unbounded" })
      yield* load(dir)
      assert.deepStrictEqual(names(dir), PAIR)
    }).pipe(Effect.provide(Servers.platform)), 120_000)

  it.live("ends a write that it has begun when it is interrupted", () =>
    Effect.gen(function*() {
      const dir = temporaryDirectory()
      for (let i = 0; i < 20; i++) {
        const fiber = yield* Effect.fork(put(dir, yield* generate))
        for (let turn = 0; turn < i * 2; turn++) yield* Effect.promise(() =>
          new Promise((resolve) => setImmediate(resolve))
        )
        yield* Fiber.interrupt(fiber)
        if (Fs.existsSync(privateKey(dir))) yield* load(dir)
      }
      yield* put(dir, yield* generate)
      assert.deepStrictEqual(names(dir), PAIR)
    }).pipe(Effect.provide(Servers.platform)), 120_000)
})

describe("what stands where keys should", () => {
  it.layer(Servers.platform)((it) => {
    it.effect.each(["/proc/nomyo/keys", "/dev/null/keys", "/proc/self/keys"])(
      "%s is refused as a directory at once",
      (dir) =>
        Effect.gen(function*() {
          const { pair } = yield* filled()
          const error = yield* failure(use(dir, ({ save }) => save(pair, undefined)))
          assert.deepInclude(error, { name: "SecurityError", reason: "client-key" })
          assert.match(error.message, /keyDir: false/)
        })
    )

    const plant = {
      pipe: (path: string) => void KeyFiles.run("mkfifo", "-m", "600", path),
      device: (path: string) => Fs.symlinkSync("/dev/zero", path),
      directory: (path: string) => void Fs.mkdirSync(path)
    }
    for (const [what, make] of Object.entries(plant)) {
      for (const name of ["private_key.pem", "key.lock"]) {
        it.effect(`a ${what} under the name ${name} is refused, and not waited for`, () =>
          Effect.gen(function*() {
            const dir = temporaryDirectory()
            make(Path.join(dir, name))
            const pair = yield* generate
            const error = yield* failure(use(dir, ({ save }) => save(pair, undefined)))
            assert.deepInclude(error, { name: "SecurityError", reason: "client-key" })
            assert.match(error.message, /is not a regular file|is a symbolic link/)
          }))
      }
    }

    it.effect.each([{ keyHistory: 0 }, { keyHistory: 1 }])(
      "a private key behind a link is not taken, replaced or forgotten: %o",
      (options) =>
        Effect.gen(function*() {
          const { dir: source, pair } = yield* filled()
          const dir = temporaryDirectory()
          Fs.symlinkSync(privateKey(source), privateKey(dir))
          const failures = [
            yield* failure(load(dir, options)),
            yield* failure(put(dir, pair, options)),
            yield* failure(use(dir, ({ remove }) => remove, options))
          ]
          for (const { message } of failures) assert.match(message, /symbolic link.*keyDirReadOnly/)
          assert.deepStrictEqual([names(dir), names(source)], [["private_key.pem"], PAIR])
        })
    )
  })
})

// only root can give a file away: elsewhere a key that belongs to root is accepted
const isRoot = process.getuid?.() === 0
const OTHER = 12345

describe.runIf(isRoot)("what belongs to another user", () => {
  it.layer(Servers.platform)((it) => {
    it.effect("is refused: a private key, and a directory", () =>
      Effect.gen(function*() {
        const { dir } = yield* filled()
        Fs.chownSync(privateKey(dir), OTHER, 0)
        const file = yield* failure(load(dir))
        Fs.chownSync(privateKey(dir), 0, 0)
        Fs.chownSync(dir, OTHER, 0)
        const directory = yield* failure(load(dir))
        for (const { message, reason } of [file, directory]) {
          assert.strictEqual(reason, "key-permissions")
          assert.match(message, /belongs to another user \(12345\)/)
        }
      }))
  })
})

it.layer(Servers.platform)("a mounted secret", (it) => {
  /** As Kubernetes mounts a secret with `defaultMode: 0440` and an `fsGroup`. */
  const mount = (mode: number) =>
    Effect.gen(function*() {
      const dir = temporaryDirectory()
      const { dir: source, pair } = yield* filled()
      const version = Path.join(dir, "..2026_01_01")
      Fs.mkdirSync(version)
      for (const name of PAIR) Fs.copyFileSync(Path.join(source, name), Path.join(version, name))
      Fs.chmodSync(Path.join(version, "private_key.pem"), mode)
      Fs.symlinkSync("..2026_01_01", Path.join(dir, "..data"))
      for (const name of PAIR) Fs.symlinkSync(Path.join("..data", name), Path.join(dir, name))
      Fs.chmodSync(dir, 0o1777)
      return { dir, pair }
    })

  it.effect("is used with keyDirReadOnly, and never written to", () =>
    Effect.gen(function*() {
      const { dir, pair } = yield* mount(0o440)
      const before = names(dir)
      const mounted = { keyDirReadOnly: true }
      assert.match((yield* failure(load(dir))).message, /keyDirReadOnly/)
      assert.strictEqual(fingerprint(yield* load(dir, mounted)), fingerprint(pair))
      const failures = [yield* failure(put(dir, pair, mounted)),
        yield* failure(use(dir, ({ remove }) => remove, mounted))]
      for (const { message } of failures) assert.match(message, /keyDirReadOnly.*read-only/)
      assert.deepStrictEqual(names(dir), before)
    }))

  it.effect("of mode 0440 without links is refused as an own key, with a word of keyDirReadOnly", () =>
    Effect.gen(function*() {
      const { dir, pair } = yield* filled()
      Fs.chmodSync(privateKey(dir), 0o440)
      const { message, reason } = yield* failure(load(dir))
      assert.strictEqual(reason, "key-permissions")
      assert.match(message, /chmod 600 .*private_key\.pem, or set keyDirReadOnly for a mounted secret/)
      assert.strictEqual(fingerprint(yield* load(dir, { keyDirReadOnly: true })), fingerprint(pair))
    }))

  it.effect("gives way to later pairs in a keyRotationDir", () =>
    Effect.gen(function*() {
      const { dir } = yield* mount(0o400)
      const options = { keyDirReadOnly: true, keyRotationDir: temporaryDirectory() }
      const next = { ...(yield* generate), createdAt: Date.now() + 5000 }
      yield* use(dir, ({ save }) => Effect.flatMap(load(dir, options), (mounted) => save(next, mounted)),
        options)
      assert.strictEqual(fingerprint(yield* load(dir, options)), fingerprint(next))
      assert.isTrue(Fs.existsSync(privateKey(dir)))
    }))

  it.effect.each([0o444, 0o460, 0o442])("is refused with mode %o", (mode) =>
    Effect.gen(function*() {
      const { dir } = yield* mount(mode)
      const { message, reason } = yield* failure(load(dir, { keyDirReadOnly: true }))
      assert.strictEqual(reason, "key-permissions")
      assert.match(message, /chmod 440 \S+, or set defaultMode: 0440 of the Kubernetes volume/)
    }))
})

it.effect("options of a key directory are checked by type", () =>
  Effect.gen(function*() {
    const wrong: ReadonlyArray<readonly [string, object]> = [
      ["keyDir", { keyDir: "" }],
      ["keyDir", { keyDir: 5 }],
      ["keyRotationDir", { keyRotationDir: " " }],
      ["keyRotationDir", { keyRotationDir: Promise.resolve("keys") }],
      ["keyHistory", { keyHistory: "2" }],
      ["keyHistory", { keyHistory: -1 }],
      ["keyDirReadOnly", { keyDirReadOnly: "false" }]
    ]
    for (const [name, options] of wrong) {
      const { message } = yield* failure(use("client_keys", () => Crypto, options))
      assert.isTrue(message.startsWith(`${name} must be`), message)
    }
  }).pipe(Effect.provide([Servers.platform, Logger.remove(Logger.defaultLogger)])))
