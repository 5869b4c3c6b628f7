/**
 * The `KeyStore` service on Node: a directory with `private_key.pem` and `public_key.pem`, as the other NOMYO clients have it.
 *
 * Whatever moment a process is killed at, the directory holds the old pair or the new one, and never halves of both: files are written
 * aside and renamed, and the old public key is gone before the private key changes. A public key that is missing is made again from the
 * private one. Processes that share a directory write one at a time, by a lock file, and read without it.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import type { Stats } from "node:fs"
import * as Fs from "node:fs/promises"
import { hostname } from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Crypto, type KeyPair } from "../../Crypto.js"
import * as Bytes from "../../internal/codecs/bytes.js"
import { KeyStore } from "../../KeyStore.js"
import { SecurityError } from "../../NomyoError.js"
import { SecureMemory } from "../../SecureMemory.js"
import * as KeyFile from "./keyFile.js"

const PRIVATE = "private_key.pem"
const PUBLIC = "public_key.pem"
const PRIVATE_MODE = 0o600
const PUBLIC_MODE = 0o644
const DIRECTORY_MODE = 0o700
const LOCK = "key.lock"
/** A temporary file or a lock that is older, in milliseconds, was left behind by a process that was killed. Writing takes a fraction of a second. */
const ABANDONED_AFTER = 60_000
/** How long to wait between two looks at another process's lock, in milliseconds. */
const LOCK_INTERVAL = 10
/** How often a pair is read again that another process replaces meanwhile. */
const READ_ATTEMPTS = 10

/**
 * Where and how key files are kept.
 *
 * @since 0.2.0
 * @category models
 */
export interface Options {
  /** Where the first pair is kept. */
  readonly keyDir: string
  /** Where later pairs are kept, if elsewhere. The newest of both is the one that is loaded. Default `keyDir`. */
  readonly keyRotationDir?: string | undefined
  /** Encrypts the private key files, in both directories. At least 8 characters. Default: they are not encrypted. */
  readonly keyRotationPassword?: Redacted.Redacted | undefined
  /** How many replaced private keys are kept, as `private_key.<time>.pem`. Default 0. */
  readonly keyHistory?: number | undefined
}

const io = <A>(message: string, run: () => Promise<A>): Effect.Effect<A, SecurityError> =>
  Effect.tryPromise({
    try: run,
    catch: (error) => {
      const code = codeOf(error)
      return new SecurityError({ reason: "client-key", message: code === undefined ? message : `${message} (${code})` })
    }
  })

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code
const ifCode = <A>(code: string, value: A) => (error: unknown): A => {
  if (codeOf(error) === code) return value
  throw error
}

const instead = "keyDir: false keeps keys in memory only"

/** A private key file of more bytes than this is refused. One of 16,384 bits, encrypted, takes 13 KiB. */
const LARGEST_FILE = 64 * 1024

/** The file's bytes, until the scope closes, read straight into secure memory, and when it was last written. */
const readPrivateKey = Effect.fnUntraced(function*(path: string) {
  const memory = yield* SecureMemory
  const message = `The private key ${path} cannot be read`
  const file = yield* Effect.acquireRelease(
    io(message, () => Fs.open(path)),
    (file) => Effect.promise(() => file.close())
  )
  const { mtimeMs } = yield* io(message, () => file.stat())
  const bytes = yield* memory.allocate(LARGEST_FILE)
  let length = 0
  // not interruptible: the bytes would be given back under the hands of the read
  const read = io(message, () => file.read(bytes, length, bytes.length - length, null)).pipe(
    Effect.uninterruptible,
    Effect.map(({ bytesRead }) => {
      length += bytesRead
      return bytesRead
    })
  )
  while ((yield* read) > 0);
  if (length === bytes.length) {
    return yield* Effect.fail(new SecurityError({ reason: "client-key", message: `The private key ${path} is larger than ${LARGEST_FILE} bytes` }))
  }
  return { pem: bytes.subarray(0, length), mtimeMs }
})

/**
 * Reads a private key file: PKCS#8 or PKCS#1 in PEM, encrypted or not. The pair counts as made when the file was last written.
 *
 * @since 0.2.0
 * @category operations
 */
export const loadKeyPair = Effect.fnUntraced(function*(
  privateKeyPath: string,
  options?: {
    /** Fails unless this file holds the public key that belongs to the private one. */
    readonly publicKeyPath?: string | undefined
    readonly password?: Redacted.Redacted | undefined
  }
): Effect.fn.Return<KeyPair, SecurityError, Crypto | SecureMemory> {
  const crypto = yield* Crypto
  const publicKeyPath = options?.publicKeyPath
  yield* KeyFile.checkPassword(options?.password)
  return yield* Effect.scoped(Effect.gen(function*() {
    const { mtimeMs, pem } = yield* readPrivateKey(privateKeyPath)
    const pkcs8 = yield* KeyFile.decode(pem, options?.password)
    const pair = yield* crypto.importKeyPair(pkcs8, Math.round(mtimeMs))
    if (publicKeyPath !== undefined) {
      const publicKey = yield* io(`The public key ${publicKeyPath} cannot be read`, () => Fs.readFile(publicKeyPath))
      yield* checkPublicKey(pair, publicKey, publicKeyPath, privateKeyPath)
    }
    return pair
  }))
})

const checkPublicKey = Effect.fnUntraced(function*(pair: KeyPair, pem: Uint8Array, publicKeyPath: string, privateKeyPath: string) {
  const crypto = yield* Crypto
  const publicKey = yield* Effect.option(crypto.importPublicKey(pem))
  if (Option.isSome(publicKey) && Bytes.equals(publicKey.value.spki, pair.publicKey.spki)) return
  yield* crypto.destroy(pair.privateKey)
  return yield* Effect.fail(new SecurityError({
    reason: "client-key",
    message: `The public key ${publicKeyPath} does not belong to the private key ${privateKeyPath}`
  }))
})

/** Windows has no such modes. */
const isReadableByOthers = ({ mode }: Stats): boolean => process.platform !== "win32" && (mode & 0o077) !== 0

const syncDirectory = async (dir: string): Promise<void> => {
  // Windows cannot open directories, and needs no such thing
  if (process.platform === "win32") return
  const directory = await Fs.open(dir, "r")
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** Whether the process that wrote a lock is gone. One on another machine cannot be asked, and is given a minute; one that has not come to write its name, a second. */
const isAbandoned = (owner: string, age: number): boolean => {
  if (owner === "") return age > 1000
  const [pid, host] = owner.split(" ")
  if (age > ABANDONED_AFTER) return true
  if (host !== hostname()) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return codeOf(error) === "ESRCH"
  }
}

const acquireLock = async (path: string): Promise<void> => {
  const take = () =>
    Fs.writeFile(path, `${process.pid} ${hostname()}`, { flag: "wx", mode: PRIVATE_MODE }).then(() => true, ifCode("EEXIST", false))
  while (!(await take())) {
    const owner = await Fs.readFile(path, "utf8").catch(ifCode("ENOENT", undefined))
    const stat = await Fs.stat(path).catch(ifCode("ENOENT", undefined))
    if (owner === undefined || stat === undefined) continue
    if (isAbandoned(owner, Date.now() - stat.mtimeMs)) await Fs.rm(path, { force: true })
    else await sleep(LOCK_INTERVAL)
  }
}

/** No other process, and no other client of this one, writes to the directory while the scope is open. */
const lock = (dir: string, message: string): Effect.Effect<void, SecurityError, Scope.Scope> => {
  const path = Path.join(dir, LOCK)
  return Effect.acquireRelease(
    io(message, () => acquireLock(path)),
    () => Effect.ignore(io(message, () => Fs.rm(path, { force: true })))
  )
}

/** Writes a file aside, with its mode from the start and safely on disk; gives the path it has for the time being. */
const stage = async (path: string, bytes: Uint8Array, mode: number, time: number): Promise<string> => {
  const temporary = `${path}.${randomBytes(8).toString("hex")}.tmp`
  const file = await Fs.open(temporary, "wx", mode)
  try {
    await file.writeFile(bytes)
    // what the umask took away
    await file.chmod(mode)
    await file.utimes(time / 1000, time / 1000)
    await file.sync()
  } catch (error) {
    await Fs.rm(temporary, { force: true })
    throw error
  } finally {
    await file.close()
  }
  return temporary
}

const writePublicKey = async (dir: string, { createdAt, publicKey }: KeyPair): Promise<void> => {
  const path = Path.join(dir, PUBLIC)
  await Fs.rename(await stage(path, Bytes.fromText(publicKey.pem), PUBLIC_MODE, createdAt), path)
  await syncDirectory(dir)
}

const prepareDirectory = async (dir: string): Promise<void> => {
  await Fs.mkdir(dir, { recursive: true, mode: DIRECTORY_MODE })
  for (const name of await Fs.readdir(dir)) {
    if (!/^(private|public)_key\.pem\.[0-9a-f]+\.tmp$/.test(name)) continue
    const path = Path.join(dir, name)
    const stat = await Fs.stat(path).catch(ifCode("ENOENT", undefined))
    if (stat !== undefined && Date.now() - stat.ctimeMs > ABANDONED_AFTER) await Fs.rm(path, { force: true })
  }
}

/** Makes way for another pair: the public key goes, the private one is kept if `limit` lets it, with no more than so many of its kind. */
const retire = async (dir: string, limit: number): Promise<void> => {
  const path = Path.join(dir, PRIVATE)
  await Fs.rm(Path.join(dir, PUBLIC), { force: true })
  await syncDirectory(dir)
  const stat = await Fs.stat(path).catch(ifCode("ENOENT", undefined))
  if (stat === undefined || limit === 0) return
  const time = stat.mtime.toISOString().replace(/[-:.]/g, "")
  await Fs.copyFile(path, Path.join(dir, `private_key.${time}.pem`))
  const kept = (await Fs.readdir(dir)).filter((name) => /^private_key\.\d{8}T\d{9}Z\.pem$/.test(name)).toSorted()
  for (const name of kept.slice(0, -limit)) await Fs.rm(Path.join(dir, name), { force: true })
}

/**
 * Keeps the pair in PEM files, the private one readable by its owner only, in a directory of mode 0700 unless there is one already.
 * Touches the disk when a key is loaded or saved, not before.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<KeyStore, SecurityError, Crypto | SecureMemory> =>
  Layer.effect(
    KeyStore,
    Effect.gen(function*() {
      const context = yield* Effect.context<Crypto | SecureMemory>()
      const crypto = yield* Crypto
      const { keyDir, keyHistory = 0, keyRotationDir = keyDir, keyRotationPassword: password } = options
      yield* KeyFile.checkPassword(password)
      if (!Number.isInteger(keyHistory) || keyHistory < 0) {
        return yield* Effect.fail(new SecurityError({ reason: "client-key", message: "keyHistory is a whole number, 0 or more" }))
      }
      const directories = keyRotationDir === keyDir ? [keyDir] : [keyDir, keyRotationDir]

      /** A link to nowhere is not an empty place: the volume it leads to may be away. */
      const statPrivateKey = (dir: string) =>
        io(`The key directory ${dir} cannot be read; ${instead}`, async () => {
          const path = Path.join(dir, PRIVATE)
          const found = await Fs.lstat(path).catch(ifCode("ENOENT", undefined))
          return found === undefined ? undefined : await Fs.stat(path)
        })

      const readPublicKey = (dir: string) =>
        io(`The public key in ${dir} cannot be read`, () =>
          Fs.readFile(Path.join(dir, PUBLIC)).catch(ifCode("ENOENT", undefined)))

      const read = (
        dir: string,
        attempts = READ_ATTEMPTS
      ): Effect.Effect<{ readonly pair: KeyPair; readonly isComplete: boolean }, SecurityError, Crypto | SecureMemory> =>
        Effect.gen(function*() {
          const path = Path.join(dir, PRIVATE)
          const before = yield* statPrivateKey(dir)
          if (before !== undefined && isReadableByOthers(before)) {
            return yield* Effect.fail(new SecurityError({
              reason: "key-permissions",
              message: `The private key ${path} can be read by others than its owner; run: chmod 600 ${path}`
            }))
          }
          const loaded = yield* Effect.either(loadKeyPair(path, { password }))
          const publicKey = yield* readPublicKey(dir)
          const after = yield* statPrivateKey(dir)
          // another process put its pair in place of this one while it was read: what was read may be halves of both
          const isReplaced = before?.ino !== after?.ino || before?.mtimeMs !== after?.mtimeMs
          if (isReplaced && attempts > 1) return yield* read(dir, attempts - 1)
          const pair = yield* loaded
          if (publicKey !== undefined) yield* checkPublicKey(pair, publicKey, Path.join(dir, PUBLIC), path)
          return { pair, isComplete: publicKey !== undefined }
        })

      /** The newest pair of the directories. */
      const stored = Effect.gen(function*() {
        const found = yield* Effect.forEach(directories, (dir) =>
          Effect.map(statPrivateKey(dir), (stat) => stat === undefined ? [] : [{ dir, mtimeMs: stat.mtimeMs }]))
        const [newest] = found.flat().toSorted((a, b) => b.mtimeMs - a.mtimeMs)
        return newest === undefined ? undefined : { dir: newest.dir, ...(yield* read(newest.dir)) }
      }).pipe(Effect.provide(context))

      /** Does what a process that was killed has not come to. */
      const restorePublicKey = (dir: string, pair: KeyPair) =>
        Effect.gen(function*() {
          yield* lock(dir, "")
          const { isComplete, pair: current } = yield* read(dir)
          if (!isComplete && current.createdAt === pair.createdAt) yield* io("", () => writePublicKey(dir, pair))
          yield* crypto.destroy(current.privateKey)
        }).pipe(Effect.scoped, Effect.uninterruptible, Effect.provide(context))

      const commit = async (dir: string, pem: Uint8Array, pair: KeyPair): Promise<void> => {
        const path = Path.join(dir, PRIVATE)
        const temporary = await stage(path, pem, PRIVATE_MODE, pair.createdAt)
        try {
          await retire(dir, keyHistory)
          await Fs.rename(temporary, path)
        } catch (error) {
          await Fs.rm(temporary, { force: true })
          throw error
        }
        await syncDirectory(dir)
        await writePublicKey(dir, pair)
        for (const other of directories.filter((each) => each !== dir)) {
          // it may be missing, or not ours to write to: the newest pair is the one that is loaded
          await retire(other, keyHistory).then(() => Fs.rm(Path.join(other, PRIVATE), { force: true })).catch(() => undefined)
        }
      }

      return {
        load: Effect.gen(function*() {
          const found = yield* stored
          if (found === undefined) return Option.none()
          // a directory that is not ours to write to is as good without it
          if (!found.isComplete) yield* Effect.ignore(restorePublicKey(found.dir, found.pair))
          return Option.some(found.pair)
        }),

        // not interruptible: the bytes would be zeroed under the hands of the write
        save: (pair, replacing) =>
          Effect.gen(function*() {
            const dir = replacing === undefined ? keyDir : keyRotationDir
            const message = `Keys cannot be written to ${dir}; ${instead}`
            const pkcs8 = yield* crypto.exportPrivateKey(pair.privateKey)
            const pem = yield* KeyFile.encode(pkcs8, password)
            yield* io(message, () => prepareDirectory(dir))
            yield* lock(dir, message)
            const other = yield* stored
            if (other !== undefined && (replacing === undefined || other.pair.createdAt > replacing.createdAt)) return other.pair
            if (other !== undefined) yield* crypto.destroy(other.pair.privateKey)
            yield* io(message, () => commit(dir, pem, pair))
            return pair
          }).pipe(Effect.scoped, Effect.uninterruptible, Effect.provide(context)),

        // a lock file held for the seconds that a pair takes would look abandoned
        exclusively: identity,

        remove: io(`Keys cannot be removed from ${directories.join(" and ")}`, async () => {
          for (const dir of directories) {
            for (const name of [PUBLIC, PRIVATE]) await Fs.rm(Path.join(dir, name), { force: true })
          }
        })
      }
    })
  )
