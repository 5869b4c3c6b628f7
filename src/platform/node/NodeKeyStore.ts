/**
 * The `KeyStore` service on Node: a directory with `private_key.pem` and `public_key.pem`, as the other NOMYO clients have it.
 *
 * Whatever moment a process is killed at, the directory holds the old pair or the new one, and never halves of both: files are written
 * aside and renamed, and the old public key is gone before the private key changes. A public key that is missing is made again from the
 * private one.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { randomBytes } from "node:crypto"
import type { Stats } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { Crypto, type KeyPair } from "../../Crypto.js"
import * as Bytes from "../../internal/bytes.js"
import { KeyStore } from "../../KeyStore.js"
import { SecurityError } from "../../NomyoError.js"
import { SecureMemory } from "../../SecureMemory.js"
import * as KeyFile from "./keyFile.js"

const PRIVATE = "private_key.pem"
const PUBLIC = "public_key.pem"
const PRIVATE_MODE = 0o600
const PUBLIC_MODE = 0o644
const DIRECTORY_MODE = 0o700
/** A temporary file that is older, in milliseconds, was left behind by a process that was killed. */
const ABANDONED_AFTER = 60_000
/** How often a pair is read again that another process replaces meanwhile. */
const READ_ATTEMPTS = 10

/**
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
  const memory = yield* SecureMemory
  const publicKeyPath = options?.publicKeyPath
  return yield* Effect.scoped(Effect.gen(function*() {
    const message = `The private key ${privateKeyPath} cannot be read`
    const { mtimeMs } = yield* io(message, () => Fs.stat(privateKeyPath))
    const pem = yield* memory.guard(io(message, () => Fs.readFile(privateKeyPath)))
    const pkcs8 = yield* memory.guard(KeyFile.decode(pem, options?.password))
    const pair = yield* crypto.importKeyPair(pkcs8, Math.round(mtimeMs))
    if (publicKeyPath === undefined) return pair
    const file = yield* io(`The public key ${publicKeyPath} cannot be read`, () => Fs.readFile(publicKeyPath))
    const publicKey = yield* Effect.option(crypto.importPublicKey(file))
    if (Option.isSome(publicKey) && Bytes.equals(publicKey.value.spki, pair.publicKey.spki)) return pair
    return yield* new SecurityError({
      reason: "client-key",
      message: `The public key ${publicKeyPath} does not belong to the private key ${privateKeyPath}`
    })
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

/** Writes a file aside, with its mode from the start and safely on disk; gives the path it has for the time being. */
const stage = async (path: string, bytes: Uint8Array, mode: number, time: number): Promise<string> => {
  const temporary = `${path}.${randomBytes(8).toString("hex")}.tmp`
  const file = await Fs.open(temporary, "wx", mode)
  try {
    await file.writeFile(bytes)
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

/** Keeps the private key that is about to be replaced, and no more than `limit` of its kind. */
const keepHistory = async (dir: string, limit: number): Promise<void> => {
  if (limit === 0) return
  const path = Path.join(dir, PRIVATE)
  const stat = await Fs.stat(path).catch(ifCode("ENOENT", undefined))
  if (stat === undefined) return
  const time = stat.mtime.toISOString().replace(/[-:.]/g, "")
  await Fs.link(path, Path.join(dir, `private_key.${time}.pem`)).catch(ifCode("EEXIST", undefined))
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
      const memory = yield* SecureMemory
      const { keyDir, keyHistory = 0, keyRotationDir = keyDir, keyRotationPassword: password } = options
      yield* KeyFile.checkPassword(password)
      const directories = keyRotationDir === keyDir ? [keyDir] : [keyDir, keyRotationDir]

      const statPrivateKey = (dir: string) =>
        io(`The key directory ${dir} cannot be read; ${instead}`, () =>
          Fs.stat(Path.join(dir, PRIVATE)).catch(ifCode("ENOENT", undefined)))

      const loadFrom = (dir: string, attempts = READ_ATTEMPTS): Effect.Effect<KeyPair, SecurityError, Crypto | SecureMemory> =>
        Effect.gen(function*() {
          const path = Path.join(dir, PRIVATE)
          const publicKeyPath = Path.join(dir, PUBLIC)
          const before = yield* statPrivateKey(dir)
          if (before !== undefined && isReadableByOthers(before)) {
            return yield* new SecurityError({
              reason: "key-permissions",
              message: `The private key ${path} can be read by others than its owner; run: chmod 600 ${path}`
            })
          }
          const hasPublicKey = yield* io(`The key directory ${dir} cannot be read`, () =>
            Fs.access(publicKeyPath).then(() => true, ifCode("ENOENT", false)))
          const loaded = yield* Effect.either(loadKeyPair(path, { password, ...(hasPublicKey ? { publicKeyPath } : {}) }))
          const after = yield* statPrivateKey(dir)
          // another process put its pair in place of this one while it was read: what was read may be halves of both
          const isReplaced = before?.ino !== after?.ino || before?.mtimeMs !== after?.mtimeMs
          if (isReplaced && attempts > 1) return yield* loadFrom(dir, attempts - 1)
          const pair = yield* loaded
          // a directory that is not ours to write to is as good without it
          if (!hasPublicKey) yield* Effect.ignore(io("", () => writePublicKey(dir, pair)))
          return pair
        })

      const load = Effect.gen(function*() {
        const found = yield* Effect.forEach(directories, (dir) =>
          Effect.map(statPrivateKey(dir), (stat) => stat === undefined ? [] : [{ dir, mtimeMs: stat.mtimeMs }]))
        const [newest] = found.flat().toSorted((a, b) => b.mtimeMs - a.mtimeMs)
        return newest === undefined ? Option.none() : Option.some(yield* loadFrom(newest.dir))
      }).pipe(Effect.provide(context))

      /** The bytes stay until the write has ended: an interruption would zero them under its hands. */
      const write = <A>(dir: string, pair: KeyPair, commit: (pem: Uint8Array) => Promise<A>) =>
        Effect.gen(function*() {
          const pkcs8 = yield* memory.guard(crypto.exportPrivateKey(pair.privateKey))
          const pem = yield* memory.guard(KeyFile.encode(pkcs8, password))
          return yield* io(`Keys cannot be written to ${dir}; ${instead}`, async () => {
            await prepareDirectory(dir)
            return commit(pem)
          })
        }).pipe(Effect.scoped, Effect.uninterruptible)

      return {
        load,

        saveFirst: (pair) =>
          Effect.gen(function*() {
            const path = Path.join(keyDir, PRIVATE)
            const isFirst = yield* write(keyDir, pair, async (pem) => {
              const temporary = await stage(path, pem, PRIVATE_MODE, pair.createdAt)
              try {
                // a public key without its private one belongs to nobody
                if (await Fs.stat(path).then(() => false, ifCode("ENOENT", true))) {
                  await Fs.rm(Path.join(keyDir, PUBLIC), { force: true })
                }
                // unlike a rename, a link fails where a file is already
                if (!(await Fs.link(temporary, path).then(() => true, ifCode("EEXIST", false)))) return false
              } finally {
                await Fs.rm(temporary, { force: true })
              }
              await writePublicKey(keyDir, pair)
              return true
            })
            return isFirst ? pair : Option.getOrElse(yield* load, () => pair)
          }),

        save: (pair) =>
          write(keyRotationDir, pair, async (pem) => {
            const path = Path.join(keyRotationDir, PRIVATE)
            const temporary = await stage(path, pem, PRIVATE_MODE, pair.createdAt)
            await keepHistory(keyRotationDir, keyHistory)
            await Fs.rm(Path.join(keyRotationDir, PUBLIC), { force: true })
            await syncDirectory(keyRotationDir)
            await Fs.rename(temporary, path)
            await writePublicKey(keyRotationDir, pair)
          }),

        remove: io(`Keys cannot be removed from ${directories.join(" and ")}`, async () => {
          for (const dir of directories) {
            for (const name of [PUBLIC, PRIVATE]) await Fs.rm(Path.join(dir, name), { force: true })
          }
        })
      }
    })
  )
