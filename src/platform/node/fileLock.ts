/**
 * A lock among the processes that share a directory: a file that names its holder.
 *
 * The file appears whole, by `link`. A lock is taken over only when its holder is known to be gone, or
 * cannot be asked and has held it for longer than any write takes. This process's own watch measures that:
 * file times, which a clock may put into the future, play no part. A process that takes a lock over first
 * locks that very lock, looks again, and then renames a lock of its own over it. So no two processes take
 * over the same lock, and none removes a lock that it has not judged.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createHash, randomBytes } from "node:crypto"
import { readFileSync, readlinkSync } from "node:fs"
import * as Fs from "node:fs/promises"
import { hostname } from "node:os"
import type { Restore } from "../../internal/fibers/restore.js"
import type { SecurityError } from "../../NomyoError.js"
import * as Files from "./files.js"

/** How long to wait between two looks at another's lock, in milliseconds. */
const INTERVAL = 10
/**
 * For how long, in milliseconds, the same lock must stand before it is taken from a holder that cannot be
 * asked. A write takes a fraction of a second.
 */
const STALE_AFTER = 10_000
/**
 * How long a lock is waited for, in milliseconds: long enough to take over a stale lock that guards a stale
 * lock.
 */
export const PATIENCE = 30_000
const MODE = 0o600
/** A holder's line has some 150 bytes. */
const LARGEST_LOCK = 1024
/** Its directory is checked already, so no other user can write a lock there. */
const access: Files.Access = { mayBeLink: false, check: () => undefined }

const tryTo = <A>(f: () => A): A | undefined => {
  try {
    return f()
  } catch {
    return undefined
  }
}

/**
 * Fields 3 and 22 of proc(5)'s `stat`: a process's state, and its start in clock ticks since the boot.
 * Linux only.
 */
const processStat = (pid: number) =>
  tryTo(() => {
    // the second field, in parentheses, is a name that may hold spaces
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\)\s/s, "").split(" ")
    return { state: fields[0]!, start: fields[19]! }
  })

const findPlace = (): string => {
  const boot = tryTo(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()) ?? hostname()
  return `${boot}/${tryTo(() => readlinkSync("/proc/self/ns/pid")) ?? "-"}`
}

let here: string | undefined
/** Where process ids mean the same: one boot of one machine, and one of its PID namespaces. */
const place = (): string => here ??= findPlace()

const describeHolder = (): string =>
  [randomBytes(16).toString("hex"), process.pid, processStat(process.pid)?.start ?? "-", place()].join(" ")

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return Files.codeOf(error) !== "ESRCH"
  }
}

/**
 * The state of the holder that a lock names. This process itself is `unknown`: the holder may be a worker,
 * or another copy of this module, that has ended.
 */
const judge = (text: string): "alive" | "gone" | "unknown" => {
  const [, id = "", start, where] = text.split(" ")
  const pid = Number(id)
  if (where !== place() || !Number.isInteger(pid) || pid < 1) return "unknown"
  if (!exists(pid)) return "gone"
  const stat = processStat(pid)
  if (stat === undefined) return "unknown"
  // the id may have been given to another process; a zombie holds no locks
  if (stat.start !== start || stat.state === "Z" || stat.state === "X") return "gone"
  return pid === process.pid ? "unknown" : "alive"
}

/** Whether a lock may be taken over that has stood for so many milliseconds. */
const isStaleAfter = (text: string, time: number): boolean => {
  const holder = judge(text)
  return holder === "gone" || (holder === "unknown" && time >= STALE_AFTER)
}

/** A lock that is ready to be put in its place. */
interface Claim {
  readonly path: string
  /** The file that becomes the lock. */
  readonly file: string
  /** Its content. No two locks have the same. */
  readonly text: string
}

const makeClaim = async (path: string): Promise<Claim> => {
  const text = describeHolder()
  const file = Files.temporaryName(path)
  await Fs.writeFile(file, text, { flag: "wx", mode: MODE })
  return { path, text, file }
}

/** The content of the lock at a path; `undefined` if there is none. */
const read = async (path: string): Promise<string | undefined> => {
  const bytes = await Files.readSmall(path, LARGEST_LOCK, access)
  return bytes === undefined ? undefined : Buffer.from(bytes).toString("latin1")
}

/** Takes the lock if it is free. Returns the lock at the path. */
const take = ({ file, path, text }: Claim): Promise<string | undefined> =>
  Files.linkExclusively(file, path).then(() => text, (error: unknown) => {
    if (Files.codeOf(error) === "EEXIST") return read(path)
    throw error
  })

/** The state of the holder of the lock at a path; `undefined` if there is no lock. */
export const stateOf = async (path: string): Promise<ReturnType<typeof judge> | undefined> => {
  const text = await read(path)
  return text === undefined ? undefined : judge(text)
}

/** Removes the lock, unless another process has taken it over. */
const release = async ({ path, text }: Claim): Promise<void> => {
  if (await read(path) === text) await Fs.rm(path, { force: true })
}

type Run = <A>(run: () => Promise<A>) => Effect.Effect<A, SecurityError>

interface Contest {
  readonly run: Run
  readonly restore: Restore
  readonly claim: Claim
  /** How long to go on, in milliseconds. */
  readonly patience: number
}

const elapsed = (since: bigint) => Effect.map(Clock.currentTimeNanos, (now) => Number(now - since) / 1e6)

/** Replaces a lock whose holder is gone by the claim. Returns whether it did. */
const takeOver = (
  { claim, patience, restore, run }: Contest,
  stale: string
): Effect.Effect<boolean, SecurityError> => {
  const gate = `${claim.path}.${createHash("sha256").update(stale).digest("hex").slice(0, 16)}`
  return restore(acquire(gate, patience, run)).pipe(
    Effect.zipRight(run(async () => {
      if (await read(claim.path) !== stale) return false
      await Fs.rename(claim.file, claim.path)
      return true
    })),
    Effect.scoped
  )
}

const isHeld = ({ path }: Claim) =>
  Effect.fail(Files.refuse(`Another process holds ${path}; if none is writing keys, delete that file`))

/** Fails if the claim has not become the lock when the patience is at an end. */
const contend = Effect.fnUntraced(function*(contest: Contest) {
  const { claim, patience, restore, run } = contest
  const begin = yield* Clock.currentTimeNanos
  let standing: string | undefined
  let since = begin
  for (;;) {
    const found = yield* run(() => take(claim))
    if (found === claim.text) return
    const left = patience - (yield* elapsed(begin))
    if (found !== standing) {
      standing = found
      since = yield* Clock.currentTimeNanos
    }
    const isStale = found !== undefined && isStaleAfter(found, yield* elapsed(since))
    if (isStale && (yield* takeOver({ ...contest, patience: left }, found))) return
    if (left <= 0) return yield* isHeld(claim)
    yield* restore(Effect.sleep(INTERVAL))
  }
})

/**
 * Holds the lock until the scope closes. Fails if another holds it for longer than `patience`, in
 * milliseconds; with 0 it waits for nobody, but still takes over from a process that is gone. The wait can
 * be interrupted, and keeps time by the fiber's clock.
 */
export const acquire = (
  path: string,
  patience: number,
  run: Run
): Effect.Effect<void, SecurityError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const claim = yield* run(() => makeClaim(path))
      const discard = Effect.ignore(run(() => Fs.rm(claim.file, { force: true })))
      yield* Effect.ensuring(contend({ claim, patience, restore, run }), discard)
      const giveBack = Effect.ignore(run(() => release(claim)))
      yield* Effect.addFinalizer(() => giveBack)
    })
  )
