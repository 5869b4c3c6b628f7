/** Finds the problems of a key directory, and changes nothing in it. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type * as Redacted from "effect/Redacted"
import type { Stats } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import type { Crypto } from "../Crypto.js"
import { isAhead } from "../internal/keyAge.js"
import { SecurityError } from "../NomyoError.js"
import * as FileLock from "../platform/node/fileLock.js"
import * as Files from "../platform/node/files.js"
import * as KeyDirectory from "../platform/node/keyDirectory.js"
import { loadKeyPair } from "../platform/node/NodeKeyStore.js"
import type { SecureMemory } from "../SecureMemory.js"
import { withFlags } from "./errors.js"

/** A `FAIL` keeps the client from using the directory; it can live with a `WARN`. */
export interface Problem {
  readonly status: "FAIL" | "WARN"
  readonly what: string
  readonly todo: string
}

/** How a directory is read. */
interface Reading {
  readonly password: Redacted.Redacted | undefined
  /** Whether it is a secret that something else mounts: `NOMYO_KEY_DIR_READ_ONLY`. */
  readonly isMounted: boolean
}

/** The findings. */
interface Inspection {
  readonly problems: ReadonlyArray<Problem>
  /** When the pair was made, in milliseconds since 1970; `undefined` if there is none that can be read. */
  readonly createdAt: number | undefined
}

const warn = (what: string, todo: string): Problem => ({ status: "WARN", what, todo })

export const noPair = (dir: string): Problem =>
  warn(`${KeyDirectory.privatePath(dir)} is missing`, `run: nomyo keys generate --dir ${dir}`)

const adviceOn = (error: unknown): string =>
  error instanceof SecurityError && error.reason === "key-password"
    ? "give its password: NOMYO_KEY_ROTATION_PASSWORD, or --password-stdin of nomyo keys"
    : "move it away; the next start makes a new pair"

/** Errors of the key store say what is wrong, and after a semicolon what to do. */
const problemOf = (path: string, error: unknown): Problem => {
  const message = error instanceof SecurityError
    ? withFlags(error.message)
    : `${path} cannot be read (${Files.codeOf(error) ?? "unknown"})`
  const [what = "", ...todo] = message.split(/; |\. (?=[A-Z])/)
  const advice = todo.join("; ").replace(/^[A-Z]/, (letter) => letter.toLowerCase())
  return { status: "FAIL", what, todo: advice || adviceOn(error) }
}

/** The problem that a check throws, if there is one. */
const found = (path: string, check: () => Promise<unknown>): Promise<ReadonlyArray<Problem>> =>
  check().then(() => [], (error: unknown) => [problemOf(path, error)])

const checkFiles = async (dir: string, isMounted: boolean): Promise<ReadonlyArray<Problem>> => {
  const names = await Fs.readdir(dir)
  const access = isMounted ? KeyDirectory.mountedFiles : KeyDirectory.ownFiles
  const keys = names.filter((name) => /^private_key.*\.pem$/.test(name)).map((name) => Path.join(dir, name))
  const open = (path: string) =>
    found(path, async () => (await Files.openRegular(path, access)).file.close())
  const leftBehind = names.filter((name) => name.endsWith(".tmp")).map((name) => {
    const what = `${Path.join(dir, name)} was left behind by a process that was killed`
    return warn(what, "delete it if no process is writing keys now")
  })
  return [...(await Promise.all(keys.map(open))).flat(), ...leftBehind]
}

const LOCKS = {
  alive: "A process that is running holds",
  gone: "A process that was killed has left",
  unknown: "A process of another machine or container holds"
}

const checkLock = async (dir: string): Promise<ReadonlyArray<Problem>> => {
  const path = KeyDirectory.lockPath(dir)
  const state = await FileLock.stateOf(path)
  if (state === undefined) return []
  const todo = state === "gone"
    ? "nothing: the next process that writes takes it over"
    : "wait, and look again; a lock that stays keeps the pair from being replaced"
  return [warn(`${LOCKS[state]} the lock ${path}`, todo)]
}

const checkPublicKey = (dir: string, { password }: Reading) => {
  const publicKeyPath = Path.join(dir, "public_key.pem")
  return loadKeyPair(KeyDirectory.privatePath(dir), { password, publicKeyPath }).pipe(
    // the first load has warned
    Logger.withMinimumLogLevel(LogLevel.None),
    Effect.as<ReadonlyArray<Problem>>([]),
    Effect.catchAll(({ message }) => {
      const [what = ""] = message.split("; ")
      const todo = what.endsWith(" does not exist")
        ? "nothing: the next use of the pair writes it"
        : "delete it: the client writes it again"
      return Effect.succeed([warn(what, todo)])
    })
  )
}

/** Loads the pair, with its date and its public key. */
const checkPair = Effect.fnUntraced(function*(dir: string, reading: Reading) {
  const path = KeyDirectory.privatePath(dir)
  const loaded = yield* Effect.either(loadKeyPair(path, { password: reading.password }))
  if (loaded._tag === "Left") return { createdAt: undefined, problems: [problemOf(path, loaded.left)] }
  const { createdAt } = loaded.right
  const what = `${path} is dated ahead: ${new Date(createdAt).toISOString()}`
  const ahead = isAhead(createdAt, yield* Clock.currentTimeMillis)
    ? [warn(what, `set the clock, or run: nomyo keys rotate --dir ${dir}`)]
    : []
  return { createdAt, problems: [...ahead, ...yield* checkPublicKey(dir, reading)] }
})

const fail = (what: string, todo: string): Problem => ({ status: "FAIL", what, todo })

const notDirectory = (dir: string) => (entry: Stats): Problem | undefined =>
  entry.isDirectory() ? undefined : fail(`${dir} is not a directory`, "name another")

/** The problem of a path that the system shows nothing of. */
const withoutEntry = (dir: string) => (error: unknown): Problem => {
  const code = Files.codeOf(error) ?? "unknown"
  if (code === "ENOENT") return fail(`${dir} does not exist`, `run: nomyo keys generate --dir ${dir}`)
  const todo = code === "ENOTDIR" ? "a part of its path is a file: name another" : "give this user access"
  return fail(`${dir} cannot be read (${code})`, todo)
}

/** Looks at a directory as the client does that uses it, and at what the client does not mind. */
export const inspect = Effect.fnUntraced(function*(
  dir: string,
  reading: Reading
): Effect.fn.Return<Inspection, never, Crypto | SecureMemory> {
  const check = (run: () => Promise<ReadonlyArray<Problem>>) =>
    Effect.promise(() => run().catch((error: unknown) => [problemOf(dir, error)]))
  const noDirectory = yield* Effect.promise(() => Fs.stat(dir).then(notDirectory(dir), withoutEntry(dir)))
  if (noDirectory !== undefined) return { createdAt: undefined, problems: [noDirectory] }
  const own = reading.isMounted ? [] : yield* check(() => found(dir, () => KeyDirectory.check(dir)))
  const files = yield* check(() => checkFiles(dir, reading.isMounted))
  const lock = yield* check(() => checkLock(dir))
  const isThere = yield* Effect.promise(() =>
    KeyDirectory.findPrivateKey(dir).then((key) => key !== undefined, () => false))
  const pair = isThere ? yield* checkPair(dir, reading) : { createdAt: undefined, problems: [] }
  return { createdAt: pair.createdAt, problems: [...own, ...files, ...lock, ...pair.problems] }
})
