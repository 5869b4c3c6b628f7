import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import { afterAll, vi } from "vitest"
import { secureMemory } from "../../src/internal/secureMemory.js"
import * as KeyStore from "../../src/KeyStore.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import * as NodeCryptoLayer from "../../src/platform/node/NodeCrypto.js"
import * as NodeSecureMemory from "../../src/platform/node/NodeSecureMemory.js"
import { fromStatus } from "../../src/internal/errors.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as Transport from "../../src/Transport.js"
import * as Lent from "../support/lent.js"
import * as Memory from "../support/memory.js"
import * as Mocks from "../support/mocks.js"
import * as Servers from "../support/servers.js"

/** Kibibytes that this process has locked. */
const locked = () => Number(/^VmLck:\s+(\d+)/m.exec(Fs.readFileSync("/proc/self/status", "utf8"))![1])

/**
 * A shared block is kept for a moment, and what libsodium has freed is unmapped in a later turn of the event
 * loop.
 */
const settled = Effect.promise(async () => {
  for (let i = 0; i < 1000 && locked() > 0; i++) await sleep(10)
  return locked()
})

/** Zero, or no longer there. */
const isGone = (bytes: Uint8Array) => Buffer.from(bytes).every((byte) => byte === 0)

const memory = Effect.provide(SecureMemory.SecureMemory, NodeSecureMemory.layer)

const temporary = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-memory-"))
afterAll(() => Fs.rmSync(temporary, { recursive: true }))

describe("NodeSecureMemory", () => {
  it.effect("locks what it allocates, whatever the size, and gives it back", () =>
    Effect.gen(function*() {
      const { allocate } = yield* memory
      for (const length of [0, 1, 32, 4096, 4097, 10 * 1024 * 1024]) {
        const bytes = yield* Effect.scoped(Effect.gen(function*() {
          const bytes = yield* allocate(length)
          assert.isTrue(isGone(bytes))
          assert.lengthOf(bytes, length)
          assert.isAtLeast(locked() * 1024, length)
          return bytes.fill(7)
        }))
        assert.isTrue(isGone(bytes))
        assert.strictEqual(yield* settled, 0)
      }
    }))

  it.effect("moves what it is given, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const { guard } = yield* memory
      for (const length of [3, 100_000]) {
        const ordinary = new Uint8Array(length).fill(7)
        const moved = yield* Effect.scoped(Effect.gen(function*() {
          const moved = yield* guard(Effect.succeed(ordinary))
          assert.deepStrictEqual(moved, new Uint8Array(length).fill(7))
          assert.isTrue(isGone(ordinary))
          return moved
        }))
        assert.isTrue(isGone(moved))
      }
      assert.strictEqual(yield* settled, 0)
    }))

  it.effect("keeps small secrets apart, and alive for as long as their own scope is open", () =>
    Effect.gen(function*() {
      const { allocate } = yield* memory
      const held = yield* Effect.forEach(Array.from({ length: 500 }, (_, i) => i), (i) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const bytes = yield* Scope.extend(allocate(100 + i), scope)
          return { bytes: bytes.fill(i), scope, i }
        }))
      // 500 pages would be 2000 KiB
      assert.isBelow(locked(), 500)
      for (const { bytes, i, scope } of held.toSorted((a, b) => (a.i * 7) % 500 - (b.i * 7) % 500)) {
        assert.isTrue(bytes.every((byte) => byte === i % 256))
        yield* Scope.close(scope, Exit.void)
        assert.isTrue(isGone(bytes))
      }
      assert.strictEqual(yield* settled, 0)
    }))

  it("keeps a block as long as requests come one after the other, and no longer", () => {
    vi.useFakeTimers()
    try {
      let given = 0
      let freed = 0
      const memory = NodeSecureMemory.make("a library", {
        allocate: (length) => {
          given++
          return { bytes: new Uint8Array(length), free: () => freed++ }
        }
      })
      for (let i = 0; i < 10; i++) {
        Effect.runSync(memory.useSync(32, () => undefined))
        vi.advanceTimersByTime(30)
      }
      assert.deepStrictEqual({ given, freed }, { given: 1, freed: 0 })
      vi.advanceTimersByTime(50)
      assert.deepStrictEqual({ given, freed }, { given: 1, freed: 1 })
    } finally {
      vi.useRealTimers()
    }
  })

  it.effect("says what is locked now, and stops locking when that is switched off", () =>
    Effect.gen(function*() {
      const { allocate } = yield* memory
      const info = NodeSecureMemory.getMemoryProtectionInfo
      assert.deepInclude(info(), { method: "mlock", canLock: true, isPlatformSecure: true })
      assert.include(info().details, " 0 bytes are locked")
      yield* Effect.scoped(Effect.gen(function*() {
        yield* allocate(5000)
        assert.include(info().details, " 5000 bytes are locked")
        assert.match(info().details!, /the limit is (unlimited|\d+ bytes)/)
        SecureMemory.disableSecureMemory()
        yield* allocate(6000)
        assert.deepInclude(info(), { method: "none", canLock: false, isPlatformSecure: false })
        SecureMemory.enableSecureMemory()
        assert.include(info().details, " 5000 bytes are locked")
      }))
      assert.strictEqual(yield* settled, 0)
    }).pipe(Effect.ensuring(Effect.sync(SecureMemory.enableSecureMemory))))

  it.effect("may have a library that gives Buffers, whose slices share their memory", () =>
    Effect.gen(function*() {
      const crypto = yield* Lent.crypto
      const { privateKey, publicKey } = yield* crypto.generateKeyPair(2048)
      const sealed = yield* crypto.seal(publicKey, Uint8Array.of(1, 2, 3))
      assert.isFalse(isGone(sealed.nonce))
      assert.deepStrictEqual(new Uint8Array(yield* crypto.open(privateKey, sealed)), Uint8Array.of(1, 2, 3))
    }).pipe(
      Effect.scoped,
      Effect.provide(NodeCryptoLayer.layer),
      Effect.provideService(
        SecureMemory.SecureMemory,
        NodeSecureMemory.make("a library", {
          allocate: (length) => ({ bytes: Buffer.alloc(length), free: () => undefined })
        })
      )
    ))

  it.effect("gives a small secret a page where there is no room for a block, and trusts no library blindly", () =>
    Effect.gen(function*() {
      const given: Array<number> = []
      let freed = 0
      const memory = NodeSecureMemory.make("a library", {
        allocate: (length) => {
          if (length > 4096) return undefined
          if (length === 77) return { bytes: new Uint8Array(76), free: () => freed++ }
          given.push(length)
          return { bytes: new Uint8Array(length).fill(7), free: () => freed++ }
        }
      })
      const kept = yield* Effect.scoped(Effect.gen(function*() {
        const bytes = yield* memory.allocate(32)
        assert.isTrue(isGone(bytes))
        assert.lengthOf(yield* memory.allocate(77), 77)
        SecureMemory.disableSecureMemory()
        return bytes.fill(9)
      }))
      SecureMemory.enableSecureMemory()
      assert.isTrue(isGone(kept))
      // the page, and what was too short
      assert.deepStrictEqual([given, freed], [[32], 2])
    }).pipe(Effect.ensuring(Effect.sync(SecureMemory.enableSecureMemory))))

  it.live("does without a library that fails, in whatever it does", () =>
    Effect.gen(function*() {
      // a block that was shared is given back by a timer
      const lockedBytes = Effect.promise(async () => {
        for (let i = 0; i < 1000 && secureMemory.lockedBytes > 0; i++) await sleep(10)
        return secureMemory.lockedBytes
      })
      assert.strictEqual(yield* lockedBytes, 0)
      const unwritable = NodeSecureMemory.make("a library", {
        allocate: (length) => ({
          bytes: new Proxy(new Uint8Array(length), {
            get: (bytes, name) => name === "length" ? length : bytes[name as "fill"]
          }),
          free: () => undefined
        })
      })
      assert.lengthOf(yield* Effect.scoped(unwritable.allocate(32)), 32)
      assert.strictEqual(yield* lockedBytes, 0)
      const unfreeable = NodeSecureMemory.make("a library", {
        allocate: (length) => ({
          bytes: new Uint8Array(length),
          free: () => {
            throw new Error("no")
          }
        })
      })
      for (const length of [32, 5000]) assert.lengthOf(yield* Effect.scoped(unfreeable.allocate(length)),
        length)
      assert.strictEqual(yield* lockedBytes, 0)
    }))

  /** Runs a program against the built package, without the privilege to lock without limit. */
  const run = (program: string,
    options: { readonly limit?: number; readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {}) =>
    Effect.promise(async () => {
      const shell = `ulimit -l ${options.limit ?? 8192}; exec "$@"`
      const unprivileged = process.getuid!() === 0
        ? ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]
        : []
      const node = [process.execPath, "--input-type=module", "--eval",
        `import * as Nomyo from "${new URL("../../dist/index.js", import.meta.url)}"
        import { Effect, Scope } from "effect"
        import { NodeSecureMemory } from "${new URL("../../dist/platform/node/index.js", import.meta.url)}"
        const memory = Effect.runSync(Effect.provide(Nomyo.SecureMemory.SecureMemory, NodeSecureMemory.layer))
        const info = Nomyo.getMemoryProtectionInfo
        ${program}`]
      const { stdout } = await promisify(execFile)("sh", ["-c", shell, "sh", ...unprivileged, ...node], {
        cwd: options.cwd,
        env: { ...process.env, ...options.env }
      })
      return stdout.trim().split("\n")
    })

  it.live("falls back to zeroing at the process's limit, says so once, and locks again when it can", () =>
    Effect.gen(function*() {
      const lines = yield* run(
        `const { allocate } = memory
        const turn = () => new Promise((resolve) => setTimeout(resolve, 100))
        const scope = Effect.runSync(Scope.make())
        const take = (n) => Effect.runSync(Scope.extend(allocate(n), scope))
        console.log(JSON.stringify(info()))
        await turn()
        const held = [49136, 49136, 16368, 16368].map((length) => take(length).fill(7))
        console.log(JSON.stringify(info()))
        Effect.runSync(Scope.close(scope, undefined))
        console.log(held.every((bytes) => bytes.length === 0 || bytes.every((byte) => byte === 0)))
        await turn()
        console.log(JSON.stringify(info()))`,
        { limit: 64 }
      )
      const warnings = lines.filter((line) => line.includes("could not be locked"))
      assert.lengthOf(warnings, 1)
      assert.include(warnings[0], "65536 bytes")
      const [before, during, zeroed, after] = lines.filter((line) => line.startsWith("{") || line === "true")
        .map((line) => JSON.parse(line))
      assert.deepInclude(before, { method: "mlock", canLock: true, isPlatformSecure: true })
      assert.include(before.details,
        " 0 bytes are locked at the moment, the limit is 65536 bytes, and 0 buffers")
      // twelve pages and four, with libsodium's canary in each; then not one more
      assert.deepInclude(during, { method: "zero-only", canLock: false, isPlatformSecure: false })
      assert.include(during.details,
        ` ${49136 + 16368} bytes are locked at the moment, the limit is 65536 bytes, and 2 buffers`)
      assert.isTrue(zeroed)
      assert.deepInclude(after, { method: "mlock", canLock: true })
      assert.include(after.details, " 0 bytes are locked")
    }))

  const effect = Path.resolve("node_modules/effect")

  it.live("takes no library that is not the application's own", () =>
    Effect.gen(function*() {
      const home = Fs.mkdtempSync(Path.join(temporary, "home-"))
      const cwd = Path.join(home, "app")
      Fs.mkdirSync(Path.join(cwd, "node_modules"), { recursive: true })
      Fs.writeFileSync(Path.join(cwd, "package.json"), "{}")
      Fs.symlinkSync(effect, Path.join(cwd, "node_modules/effect"))
      for (const modules of ["node_modules", ".node_modules", "path"]) {
        Fs.mkdirSync(Path.join(home, modules, "nomyo-native"), { recursive: true })
        Fs.writeFileSync(Path.join(home, modules, "nomyo-native/index.js"),
          "console.log('planted'); exports.allocate = () => {}")
      }
      const lines = yield* run("console.log(info().method)", { cwd,
        env: { HOME: home, NODE_PATH: Path.join(home, "path") } })
      assert.deepStrictEqual(lines, ["zero-only"])
    }))

  it.live("uses a nomyo-native that is installed, before sodium-native", () =>
    Effect.gen(function*() {
      const cwd = Fs.mkdtempSync(Path.join(temporary, "app-"))
      const modules = Path.join(cwd, "node_modules")
      Fs.mkdirSync(Path.join(modules, "nomyo-native"), { recursive: true })
      Fs.writeFileSync(
        Path.join(modules, "nomyo-native/index.js"),
        "exports.allocate = (n) => { if (n > 1e5) throw new Error('full'); return { bytes: new Uint8Array(n), free: () => console.log('freed', n) } }"
      )
      Fs.symlinkSync(effect, Path.join(modules, "effect"))
      const lines = yield* run(
        `console.log(info().method, info().details.includes("nomyo-native"))
        Effect.runSync(Effect.scoped(memory.allocate(5000)))
        Effect.runSync(Effect.scoped(memory.allocate(500_000)))`,
        { cwd }
      )
      assert.deepStrictEqual(lines.filter((line) => !line.includes("could not")), ["freed 1", "freed 1",
        "mlock true", "freed 5000"])
    }))
})

const short = "a secret"
const long = short.repeat(100_000)

describe.each([
  // a short one is sealed within one buffer, the AES key beside it
  ["zero-only", SecureMemory.layer, short, 1],
  ["locked", NodeSecureMemory.layer, short, 1],
  ["zero-only, of a long request", SecureMemory.layer, long, 2],
  ["locked, of a long request", NodeSecureMemory.layer, long, 2]
] as const)("a request's secrets, %s", (_, layer, content, sealing) => {
  const request = { model: "m", messages: [{ role: "user", content }] } as const

  /** A client on a router that answers like this, and every secret buffer it had. */
  const watched = (answer: Effect.Effect<object, Transport.TransportError>,
    options: { readonly timeout?: number } = {}) =>
    Effect.gen(function*() {
      const buffers: Array<{ readonly bytes: Uint8Array; readonly length: number; wasUsed: boolean }> = []
      const spied = Memory.spied(layer,
        (bytes) => buffers.push({ bytes, length: bytes.length, wasUsed: !isGone(bytes) }))
      const baseUrl = yield* Servers.router({ model: () => answer as never })
      const client = yield* Layer.build(
        NomyoClient.layer({ baseUrl, allowHttp: true, keySize: 2048, maxRetries: 0, ...options }).pipe(
          Layer.provide(Layer.merge(Transport.layer, KeyStore.layerMemory)),
          Layer.provide(Layer.provideMerge(NodeCryptoLayer.layer, spied))
        )
      )
      yield* Context.get(client, NomyoClient.NomyoClient).ready
      return { create: Context.get(client, NomyoClient.NomyoClient).create(request), buffers }
    })

  const outcomes: ReadonlyArray<
    readonly [string, Effect.Effect<object, Transport.TransportError>, number, string]
  > = [
    ["an answer", Effect.succeed(Mocks.completion("a secret too")), 2, "Success"],
    ["an error status", Effect.fail(fromStatus({ statusCode: 400, message: "no" })), 0,
      "InvalidRequestError"],
    ["no chat completion", Effect.succeed({ no: "choices" }), 2, "APIError"]
  ]

  it.scopedLive.each(outcomes)("are gone after %s", ([, answer, opening, outcome]) =>
    Effect.gen(function*() {
      const { buffers, create } = yield* watched(answer)
      const exit = yield* Effect.either(create)
      assert.strictEqual(exit._tag === "Right" ? "Success" : exit.left._tag, outcome)
      assert.isTrue(buffers.every(({ wasUsed }) => wasUsed))
      assert.lengthOf(buffers, sealing + opening)
      for (const { length } of buffers) assert.isAtMost(length, 48 * 1024)
      assert.isTrue(buffers.every(({ bytes }) => isGone(bytes)))
      assert.strictEqual(yield* settled, 0)
    }))

  it.scopedLive("are gone after a timeout", () =>
    Effect.gen(function*() {
      const { buffers, create } = yield* watched(Effect.never, { timeout: 2000 })
      assert.deepInclude(yield* Effect.flip(create), { _tag: "APIConnectionError", reason: "timeout" })
      assert.lengthOf(buffers, sealing)
      assert.isTrue(buffers.every(({ bytes }) => isGone(bytes)))
      assert.strictEqual(yield* settled, 0)
    }))

  it.scopedLive("are held no longer than needed while the request is in flight, and gone after an interruption", () =>
    Effect.gen(function*() {
      const arrived = yield* Deferred.make<void>()
      const { buffers, create } = yield* watched(
        Effect.zipRight(Deferred.succeed(arrived, undefined), Effect.never)
      )
      const call = yield* Effect.fork(create)
      yield* Deferred.await(arrived)
      // the AES key is gone; a long request still has its window, and a block may stay locked for a moment
      assert.lengthOf(buffers, 1)
      assert.isTrue(isGone(buffers[0]!.bytes))
      const holdsWindow = content === long && layer === NodeSecureMemory.layer
      if (holdsWindow) assert.isAtLeast(locked() * 1024, 48 * 1024)
      if (layer !== NodeSecureMemory.layer) assert.strictEqual(locked(), 0)
      yield* Fiber.interrupt(call)
      assert.lengthOf(buffers, sealing)
      assert.isTrue(buffers.every(({ bytes, wasUsed }) => wasUsed && isGone(bytes)))
      assert.strictEqual(yield* settled, 0)
    }))
})
