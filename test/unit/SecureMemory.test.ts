import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { afterEach } from "vitest"
import {
  disableSecureMemory,
  DisposedError,
  enableSecureMemory,
  SecureByteContext,
  SecureMemory
} from "../../src/index.js"

const secret = () => Uint8Array.of(1, 2, 3)
const zeros = Uint8Array.of(0, 0, 0)

const hold = (bytes: Uint8Array<ArrayBuffer>) =>
  Effect.flatMap(SecureMemory.SecureMemory, (memory) => memory.guard(Effect.succeed(bytes)))

afterEach(enableSecureMemory)

describe("SecureByteContext", () => {
  it("zeroes after a callback that returns, awaits or throws", async () => {
    const [returned, awaited, thrown] = [secret(), secret(), secret()]
    assert.strictEqual(await new SecureByteContext(returned).use((bytes) => bytes[2]), 3)
    const late = new SecureByteContext(awaited.buffer).use(async (bytes) => {
      await Promise.resolve()
      return bytes[1]
    })
    assert.deepStrictEqual(awaited, secret())
    assert.strictEqual(await late, 2)
    const failure = await new SecureByteContext(thrown).use(() => {
      throw new Error("no")
    }).catch((error: Error) => error.message)
    assert.strictEqual(failure, "no")
    assert.deepStrictEqual({ returned, awaited, thrown }, { returned: zeros, awaited: zeros, thrown: zeros })
  })

  it("does not zero where that is switched off, for one buffer or for all", async () => {
    const [one, all] = [secret(), secret()]
    await new SecureByteContext(one, false).use(() => undefined)
    disableSecureMemory()
    await new SecureByteContext(all).use(() => undefined)
    assert.deepStrictEqual([one, all], [secret(), secret()])
  })

  it("zeroes after the last of overlapping or nested uses, and rejects later ones", async () => {
    const bytes = secret()
    const context = new SecureByteContext(bytes)
    let finish!: () => void
    const slow = context.use(() => new Promise<void>((resolve) => (finish = resolve)))
    const nested = await context.use((outer) => context.use((inner) => outer[0]! + inner[1]!))
    assert.strictEqual(nested, 3)
    assert.deepStrictEqual(bytes, secret())
    finish()
    await slow
    assert.deepStrictEqual(bytes, zeros)
    assert.instanceOf(await context.use(() => 1).catch((error: unknown) => error), DisposedError)
  })

  it("zeroes when the callback ends, although its caller has been interrupted", async () => {
    const bytes = secret()
    let finish!: () => void
    const use = new SecureByteContext(bytes).use(() => new Promise<void>((resolve) => (finish = resolve)))
    const exit = await Effect.runPromiseExit(Effect.promise(() => use), { signal: AbortSignal.abort() })
    assert.isTrue(Exit.isInterrupted(exit))
    assert.deepStrictEqual(bytes, secret())
    finish()
    await use
    assert.deepStrictEqual(bytes, zeros)
  })

  it("keeps the outcome of a callback that has transferred its buffer", async () => {
    const handOn = (bytes: Uint8Array) =>
      structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] })
    assert.strictEqual((await new SecureByteContext(secret()).use(handOn)).byteLength, secret().length)
    const failure = await new SecureByteContext(secret()).use((bytes) => {
      handOn(bytes)
      throw new Error("no")
    }).catch((error: Error) => error.message)
    assert.strictEqual(failure, "no")
  })

  it("shows nothing of the bytes", () => {
    assert.strictEqual(JSON.stringify(new SecureByteContext(secret())), "{}")
  })
})

describe("SecureMemory", () => {
  it.effect("zeroes when the scope closes, whatever closed it", () =>
    Effect.gen(function*() {
      const [done, failed, died, interrupted] = [secret(), secret(), secret(), secret()]
      yield* Effect.scoped(hold(done))
      yield* Effect.exit(Effect.scoped(Effect.zipRight(hold(failed), Effect.fail("no"))))
      yield* Effect.exit(Effect.scoped(Effect.zipRight(hold(died), Effect.die("no"))))
      const held = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(Effect.scoped(hold(interrupted).pipe(
        Effect.zipRight(Deferred.succeed(held, undefined)),
        Effect.zipRight(Effect.never)
      )))
      yield* Deferred.await(held)
      assert.deepStrictEqual(interrupted, secret())
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(
        { done, failed, died, interrupted },
        { done: zeros, failed: zeros, died: zeros, interrupted: zeros }
      )
    }).pipe(Effect.provide(SecureMemory.layer)))

  it.effect("zeroes what one effect has used, whatever ended it", () =>
    Effect.gen(function*() {
      const memory = yield* SecureMemory.SecureMemory
      const seen: Array<Uint8Array> = []
      const use = (effect: Effect.Effect<unknown, unknown>) =>
        memory.use(3, (bytes) => {
          assert.deepStrictEqual(bytes, zeros)
          bytes.set(secret())
          seen.push(bytes)
          return effect
        })
      assert.strictEqual(yield* use(Effect.succeed("yes")), "yes")
      assert.strictEqual(yield* Effect.flip(use(Effect.fail("no"))), "no")
      yield* Effect.exit(use(Effect.die("no")))
      yield* Effect.exit(memory.use(3, (bytes): Effect.Effect<void> => {
        seen.push(bytes.fill(1))
        throw new Error("no")
      }))
      const using = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(use(Effect.zipRight(Deferred.succeed(using, undefined), Effect.never)))
      yield* Deferred.await(using)
      assert.deepStrictEqual(seen[4], secret())
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(seen, [zeros, zeros, zeros, zeros, zeros])
    }).pipe(Effect.provide(SecureMemory.layer)))

  it.effect("zeroes what plain code has used, whether it throws or not", () =>
    Effect.gen(function*() {
      const memory = yield* SecureMemory.SecureMemory
      const seen: Array<Uint8Array> = []
      const use = (f: () => string) =>
        memory.useSync(3, (bytes) => {
          assert.deepStrictEqual(bytes, zeros)
          bytes.set(secret())
          seen.push(bytes)
          return f()
        })
      assert.strictEqual(yield* use(() => "yes"), "yes")
      const { error } = yield* Effect.flip(use(() => {
        throw new Error("no")
      }))
      assert.instanceOf(error, Error)
      assert.deepStrictEqual(seen, [zeros, zeros])
    }).pipe(Effect.provide(SecureMemory.layer)))

  it.effect("frees locked memory zeroed, by the allocation it came from", () =>
    Effect.gen(function*() {
      class Page {
        isFree = false
        readonly bytes = new Uint8Array(3)
        free() {
          this.isFree = true
        }
      }
      const page = new Page()
      const memory = SecureMemory.make({ allocate: () => page,
        info: () => Effect.runSync(SecureMemory.zeroOnly.info) })
      yield* memory.use(3, (bytes) => Effect.sync(() => bytes.set(secret())))
      assert.deepStrictEqual({ isFree: page.isFree, bytes: page.bytes }, { isFree: true, bytes: zeros })
      page.isFree = false
      yield* memory.useSync(3, (bytes) => bytes.set(secret()))
      assert.deepStrictEqual({ isFree: page.isFree, bytes: page.bytes }, { isFree: true, bytes: zeros })
    }))

  it.effect("does not zero when it is off", () =>
    Effect.gen(function*() {
      const bytes = secret()
      yield* Effect.scoped(hold(bytes))
      assert.deepStrictEqual(bytes, secret())
      const memory = yield* SecureMemory.SecureMemory
      const used = yield* memory.use(3, (used) => Effect.sync(() => used.fill(7)))
      assert.deepStrictEqual(used, Uint8Array.of(7, 7, 7))
      assert.deepStrictEqual(yield* memory.useSync(3, (used) => used.fill(7)), Uint8Array.of(7, 7, 7))
      assert.strictEqual((yield* memory.info).method, "none")
    }).pipe(Effect.provide(SecureMemory.layerOff)))

  it("reports the protection in force", () => {
    const info = () => Effect.runSync(SecureMemory.zeroOnly.info)
    assert.deepInclude(info(), { method: "zero-only", canLock: false, isPlatformSecure: false })
    disableSecureMemory()
    assert.deepInclude(info(), { method: "none", canLock: false })
    enableSecureMemory()
    assert.strictEqual(info().method, "zero-only")
  })
})
