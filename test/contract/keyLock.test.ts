import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { SecurityError } from "../../src/NomyoError.js"
import * as FileLock from "../../src/platform/node/fileLock.js"
import * as KeyFiles from "../support/keyFiles.js"
import * as Servers from "../support/servers.js"

const { generate, names, put, temporaryDirectory } = KeyFiles
const PAIR = ["private_key.pem", "public_key.pem"]
const run = <A>(f: () => Promise<A>) =>
  Effect.tryPromise({ try: f, catch: (error) => error as SecurityError })

const lockPath = (dir: string) => Path.join(dir, "key.lock")
const acquire = (dir: string, patience = FileLock.PATIENCE) => FileLock.acquire(lockPath(dir), patience, run)
const plant = (dir: string, text: string, date = new Date()) => {
  Fs.writeFileSync(lockPath(dir), text)
  Fs.utimesSync(lockPath(dir), date, date)
}
const AHEAD = new Date(Date.now() + 10 * 365 * 86_400_000)

/** A lock as this process writes it, with some fields replaced. */
const ownLock = (dir: string, replace: (fields: Array<string>) => ReadonlyArray<string>) =>
  Effect.scoped(
    Effect.map(acquire(dir), () => replace(Fs.readFileSync(lockPath(dir), "utf8").split(" ")).join(" "))
  )

const goneProcess = Effect.promise(async () => {
  const child = spawn("true")
  await once(child, "exit")
  return child.pid!
})

/** Waits for a fiber's file operations, which take real time, until it sleeps by the clock or ends. */
const untilAsleep = <A, E>(fiber: Fiber.RuntimeFiber<A, E>) =>
  Effect.gen(function*() {
    for (;;) {
      const exit = yield* fiber.poll
      if (exit._tag === "Some" || Chunk.isNonEmpty(yield* TestClock.sleeps())) return exit
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 1)))
    }
  })

/** Advances the clock until a fiber ends. */
const untilDone = <A, E>(fiber: Fiber.RuntimeFiber<A, E>, step: number, limit: number) =>
  Effect.gen(function*() {
    for (let passed = 0; passed <= limit; passed += step) {
      const exit = yield* untilAsleep(fiber)
      if (exit._tag === "Some") return { exit: exit.value, passed }
      yield* TestClock.adjust(step)
    }
    return assert.fail(`it has not ended within ${limit} ms`)
  })

describe("the lock of a key directory", () => {
  it.layer(Servers.platform)((it) => {
    it.effect("is taken over at once from a process that is gone, whatever the file's time", () =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        const pid = yield* goneProcess
        const text = yield* ownLock(dir, ([id, , ...rest]) => [id!, String(pid), ...rest])
        for (const date of [new Date(0), new Date(), AHEAD]) {
          plant(dir, text, date)
          // the clock stands still: it waits for nothing
          yield* put(dir, yield* generate)
          assert.deepStrictEqual(names(dir), PAIR)
        }
      }))

    it.effect("is taken over at once where the holder's id belongs to a later process, such as a container's 1", () =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        plant(dir, yield* ownLock(dir, ([id, pid, , where]) => [id!, pid!, "1", where!]))
        yield* put(dir, yield* generate)
        assert.deepStrictEqual(names(dir), PAIR)
      }))
  })

  it.effect.each(["", "1 otherhost", "4711 0 elsewhere", "no lock of ours"])(
    "is taken over in time from a holder that cannot be asked: %j",
    (text) =>
      Effect.gen(function*() {
        const dir = temporaryDirectory()
        plant(dir, text === "" ? " " : text, AHEAD)
        const { exit, passed } = yield* untilDone(yield* Effect.fork(Effect.scoped(acquire(dir))), 1000,
          40_000)
        assert.isTrue(Exit.isSuccess(exit), String(exit))
        assert.isAtMost(passed, 20_000)
        assert.deepStrictEqual(names(dir), [])
      })
  )

  it.effect("is waited for no longer than its patience while its holder lives, and says what to do", () =>
    Effect.gen(function*() {
      const dir = temporaryDirectory()
      const child = spawn("sleep", ["600"])
      const start = Fs.readFileSync(`/proc/${child.pid}/stat`, "utf8").replace(/^.*\)\s/s, "").split(" ")[19]!
      plant(dir, yield* ownLock(dir, ([id, , , where]) => [id!, String(child.pid), start, where!]))
      const { exit } = yield* untilDone(yield* Effect.fork(Effect.scoped(acquire(dir))), 1000, 60_000)
      child.kill()
      assert.isTrue(Exit.isFailure(exit))
      assert.match(Cause.pretty((exit as Exit.Failure<never, SecurityError>).cause),
        /Another process holds .*key\.lock.*delete that file/)
      assert.deepStrictEqual(names(dir), ["key.lock"])
    }))

  it.live("can be interrupted while it waits, and leaves nothing behind", () =>
    Effect.gen(function*() {
      const dir = temporaryDirectory()
      plant(dir, "4711 0 elsewhere")
      const fiber = yield* Effect.fork(Effect.scoped(acquire(dir)))
      yield* Effect.sleep(50)
      const exit = yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.isInterrupted(exit))
      assert.deepStrictEqual(names(dir), ["key.lock"])
    }))

  it.live("has one holder at a time, however many take over the same stale lock", () =>
    Effect.gen(function*() {
      const dir = temporaryDirectory()
      const pid = yield* goneProcess
      const stale = yield* ownLock(dir, ([id, , ...rest]) => [id!, String(pid), ...rest])
      for (let round = 0; round < 10; round++) {
        plant(dir, stale)
        let [holders, most, turns] = [0, 0, 0]
        const hold = Effect.scoped(Effect.gen(function*() {
          yield* acquire(dir)
          most = Math.max(most, ++holders)
          turns++
          yield* Effect.sleep(1)
          holders--
        }))
        yield* Effect.replicateEffect(hold, 8, { concurrency: "unbounded" })
        assert.deepStrictEqual({ most, turns }, { most: 1, turns: 8 })
        assert.deepStrictEqual(names(dir), [])
      }
    }), 120_000)
})
