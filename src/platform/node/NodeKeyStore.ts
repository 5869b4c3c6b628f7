/**
 * The `KeyStore` service on Node: a directory with `private_key.pem` and `public_key.pem`, as other NOMYO
 * clients use it. If a process is killed, the directory holds either the old pair or the new one: each file
 * is written under another name, then renamed. A missing or wrong public key is derived again from the
 * private key. Processes that share a directory take a lock file to write, and read without it.
 *
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Path from "node:path"
import { Crypto, type KeyPair } from "../../Crypto.js"
import * as Bytes from "../../internal/codecs/bytes.js"
import { isAhead, isNewer } from "../../internal/keyAge.js"
import { KeyStore } from "../../KeyStore.js"
import { SecurityError } from "../../NomyoError.js"
import { SecureMemory } from "../../SecureMemory.js"
import * as FileLock from "./fileLock.js"
import * as Files from "./files.js"
import * as KeyDirectory from "./keyDirectory.js"
import * as KeyFile from "./keyFile.js"

/** Number of tries to read keys that another process is moving. */
const READ_ATTEMPTS = 10
const GIVE_ACCESS = "give this user access to it"
const IN_MEMORY = `${GIVE_ACCESS}, or set keyDir: false to keep keys in memory`
const READABLE = "check that the file exists and that this user may read it"

/**
 * Options of `layer`.
 *
 * @since 0.2.0
 * @category models
 */
export interface Options {
  /** Directory of the first pair. */
  readonly keyDir: string
  /**
   * Directory of the pairs that a rotation makes. The store loads the newest pair of both directories.
   * Default `keyDir`.
   */
  readonly keyRotationDir?: string | undefined
  /**
   * Password that encrypts the private key files in both directories. At least 8 characters. Default: the
   * files are not encrypted.
   */
  readonly keyRotationPassword?: Redacted.Redacted | undefined
  /** Number of replaced private keys to keep, as `private_key.<time>.pem`. Default 0. */
  readonly keyHistory?: number | undefined
  /**
   * Leaves `keyDir` unchanged, for a secret that Kubernetes or another tool mounts. The files may be symbolic
   * links, and a group of this process may read them. The store never writes, replaces or removes them:
   * rotation needs a `keyRotationDir`. Default `false`.
   */
  readonly keyDirReadOnly?: boolean | undefined
}

const fail = (message: string) => Effect.fail(Files.refuse(message))

/** Runs file operations, whose errors become one that says `what` with the system's code, and `todo`. */
const io = (what: string, todo: string) => <A>(run: () => Promise<A>): Effect.Effect<A, SecurityError> =>
  Effect.tryPromise({
    try: run,
    catch: (error) => {
      if (error instanceof SecurityError) return error
      const code = Files.codeOf(error)
      const advice = code === "ENOTDIR"
        ? todo.replace(GIVE_ACCESS, "a part of its path is a file: correct the path")
        : todo
      return Files.refuse(`${what}${code === undefined ? "" : ` (${code})`}; ${advice}`)
    }
  })

/** The file's bytes in secure memory, until the scope closes, and the time of its last change. */
const readPrivateKey = Effect.fnUntraced(function*(path: string, access: Files.Access) {
  const memory = yield* SecureMemory
  const run = io(`The private key ${path} cannot be read`, READABLE)
  const { file, stat } = yield* Effect.acquireRelease(
    run(() => Files.openRegular(path, access)),
    ({ file }) => Effect.promise(() => file.close())
  )
  const bytes = yield* memory.allocate(KeyDirectory.LARGEST_FILE)
  let length = 0
  // not interruptible: the bytes would be given back while the read still writes to them
  const read = run(() => file.read(bytes, length, bytes.length - length, null)).pipe(
    Effect.uninterruptible,
    Effect.map(({ bytesRead }) => {
      length += bytesRead
      return bytesRead
    })
  )
  while ((yield* read) > 0);
  if (length === bytes.length) {
    return yield* fail(`The private key ${path} has more than ${KeyDirectory.LARGEST_FILE} bytes; check it`)
  }
  return { pem: bytes.subarray(0, length), createdAt: Math.round(stat.mtimeMs) }
})

type Password = Redacted.Redacted | undefined

const importPair = Effect.fnUntraced(function*(path: string, access: Files.Access, password: Password) {
  const crypto = yield* Crypto
  const { createdAt, pem } = yield* readPrivateKey(path, access)
  const imported = Effect.flatMap(KeyFile.decode(pem, password), (pkcs8) =>
    crypto.importKeyPair(pkcs8, createdAt))
  return yield* Effect.mapError(imported, withPath(path))
}, Effect.scoped)

/** Says which file an error about a private key is of. */
const withPath = (path: string) => ({ message, reason }: SecurityError): SecurityError =>
  new SecurityError({
    reason,
    message: message.replace(/(the private key)('s file)?/i, (_, key: string) => `${key} ${path}`)
  })

const isPublicKeyOf = Effect.fnUntraced(function*({ publicKey }: KeyPair, pem: Uint8Array) {
  const crypto = yield* Crypto
  const found = yield* Effect.option(crypto.importPublicKey(pem))
  return Option.isSome(found) && Bytes.equals(found.value.spki, publicKey.spki)
})

/**
 * Reads a private key file: PKCS#8 or PKCS#1 in PEM, encrypted or not. The file's last change is the pair's
 * creation time.
 *
 * @since 0.2.0
 * @category operations
 */
export const loadKeyPair = Effect.fnUntraced(function*(
  privateKeyPath: string,
  options?: {
    /** File of the public key. If it belongs to another private key, the call fails. */
    readonly publicKeyPath?: string | undefined
    readonly password?: Redacted.Redacted | undefined
  }
): Effect.fn.Return<KeyPair, SecurityError, Crypto | SecureMemory> {
  yield* KeyFile.checkPassword(options?.password)
  const pair = yield* importPair(privateKeyPath, KeyDirectory.namedFile, options?.password)
  if (options?.publicKeyPath !== undefined) {
    yield* Effect.onError(
      checkPublicKey(pair, options.publicKeyPath, privateKeyPath),
      () => Effect.flatMap(Crypto, (crypto) => crypto.destroy(pair.privateKey))
    )
  }
  return pair
})

const checkPublicKey = Effect.fnUntraced(function*(pair: KeyPair, path: string, privateKeyPath: string) {
  const read = () => Files.readSmall(path, KeyDirectory.LARGEST_FILE, KeyDirectory.namedFile)
  const pem = yield* io(`The public key ${path} cannot be read`, READABLE)(read)
  if (pem === undefined) return yield* fail(`The public key ${path} does not exist; check its path`)
  if (yield* isPublicKeyOf(pair, pem)) return
  yield* fail(
    `The public key ${path} does not belong to the private key ${privateKeyPath}; pass the right one`
  )
})

interface Store {
  readonly keyDir: string
  readonly keyRotationDir: string
  readonly keyDirReadOnly: boolean
  readonly keyHistory: number
  readonly password: Password
}

const directoriesOf = ({ keyDir, keyRotationDir }: Store): ReadonlyArray<string> =>
  Path.resolve(keyRotationDir) === Path.resolve(keyDir) ? [keyDir] : [keyDir, keyRotationDir]

const isMounted = (store: Store, dir: string): boolean => store.keyDirReadOnly && dir === store.keyDir

/** The directory with the newest key, and when that was made. */
const findNewest = (store: Store) =>
  Effect.map(
    Effect.forEach(directoriesOf(store), (dir) =>
      io(`The key directory ${dir} cannot be read`, IN_MEMORY)(async () => {
        const found = await KeyDirectory.findPrivateKey(dir)
        return found === undefined ? [] : [{ ...found, dir }]
      })),
    (found) => {
      const now = Date.now()
      const rank = ({ createdAt }: { readonly createdAt: number }) => isAhead(createdAt, now) ? -1 : createdAt
      return found.flat().toSorted((a, b) => rank(b) - rank(a))[0]
    }
  )

const importFrom = Effect.fnUntraced(function*(store: Store, dir: string) {
  const mounted = isMounted(store, dir)
  if (!mounted) yield* io(`The key directory ${dir} cannot be read`, IN_MEMORY)(() => KeyDirectory.check(dir))
  const access = mounted ? KeyDirectory.mountedFiles : KeyDirectory.ownFiles
  return { dir, pair: yield* importPair(KeyDirectory.privatePath(dir), access, store.password) }
})

interface Stored {
  readonly dir: string
  readonly pair: KeyPair
}

/** The newest pair of the directories, and the directory that it is in. */
const loadNewest = (
  store: Store,
  attempts = READ_ATTEMPTS
): Effect.Effect<Stored | undefined, SecurityError, Crypto | SecureMemory> =>
  Effect.gen(function*() {
    const newest = yield* findNewest(store)
    if (newest === undefined) return undefined
    const loaded = yield* Effect.either(importFrom(store, newest.dir))
    if (Either.isRight(loaded)) return loaded.right
    const later = yield* findNewest(store)
    const isMoved = later?.dir !== newest.dir || later.createdAt !== newest.createdAt
    return yield* isMoved && attempts > 1 ? loadNewest(store, attempts - 1) : Effect.fail(loaded.left)
  })

const isPublicKeyThere = Effect.fnUntraced(function*(dir: string, pair: KeyPair) {
  const pem = yield* Effect.promise(() => KeyDirectory.readPublicKey(dir))
  return pem !== undefined && (yield* isPublicKeyOf(pair, pem))
})

/** Writes the public key that belongs to the directory's private key. Fails if another process is writing. */
const restorePublicKey = Effect.fnUntraced(function*(store: Store, dir: string) {
  const run = io(`The public key in ${dir} cannot be written`, "give this user write access to it")
  yield* FileLock.acquire(KeyDirectory.lockPath(dir), 0, run)
  const { pair } = yield* importFrom(store, dir)
  const restore = Effect.uninterruptible(run(() => KeyDirectory.writePublicKey(dir, pair)))
  const crypto = yield* Crypto
  const restoreIfNeeded = Effect.unlessEffect(restore, isPublicKeyThere(dir, pair))
  yield* Effect.ensuring(restoreIfNeeded, crypto.destroy(pair.privateKey))
}, Effect.scoped)

const load = Effect.fnUntraced(function*(store: Store) {
  const found = yield* loadNewest(store)
  if (found === undefined) return Option.none()
  const { dir, pair } = found
  const isComplete = isMounted(store, dir) || (yield* isPublicKeyThere(dir, pair))
  // a directory that is not ours to write to is as good without it
  if (!isComplete) yield* Effect.ignore(restorePublicKey(store, dir))
  return Option.some(pair)
})

/** The stored pair, if it replaces `replacing` already. */
const findNewer = Effect.fnUntraced(function*(store: Store, replacing: KeyPair | undefined) {
  const found = yield* loadNewest(store)
  if (found === undefined) return undefined
  const { pair } = found
  if (replacing === undefined || isNewer(pair.createdAt, replacing.createdAt, Date.now())) return pair
  const crypto = yield* Crypto
  yield* crypto.destroy(pair.privateKey)
  return undefined
})

const write = async (store: Store, dir: string, pem: Uint8Array, pair: KeyPair): Promise<void> => {
  await KeyDirectory.replace(dir, pem, pair, store.keyHistory)
  for (const other of directoriesOf(store)) {
    if (other === dir || isMounted(store, other)) continue
    // it may be missing, or not ours to write to: the newest pair is the one that is loaded
    await KeyDirectory.clear(other, store.keyHistory).catch(() => undefined)
  }
}

const isReadOnly = (dir: string) =>
  fail(
    `Keys cannot be written to ${dir}, which keyDirReadOnly makes read-only; put a key pair there, and set ` +
      "keyRotationDir, or keyRotationInterval: 0"
  )

const save = Effect.fnUntraced(function*(store: Store, pair: KeyPair, replacing: KeyPair | undefined) {
  const crypto = yield* Crypto
  const dir = replacing === undefined ? store.keyDir : store.keyRotationDir
  if (isMounted(store, dir)) return (yield* findNewer(store, replacing)) ?? (yield* isReadOnly(dir))
  const run = io(`Keys cannot be written to ${dir}`, IN_MEMORY)
  // not interruptible, as long as they use bytes that are zeroed when the scope closes
  const pem = yield* Effect.uninterruptible(
    Effect.flatMap(crypto.exportPrivateKey(pair.privateKey), (pkcs8) => KeyFile.encode(pkcs8, store.password))
  )
  yield* Effect.uninterruptible(run(() => KeyDirectory.prepare(dir)))
  yield* FileLock.acquire(KeyDirectory.lockPath(dir), FileLock.PATIENCE, run)
  const newer = yield* findNewer(store, replacing)
  if (newer !== undefined) return newer
  yield* Effect.uninterruptible(run(() => write(store, dir, pem, pair)))
  return pair
}, Effect.scoped)

const removeFrom = Effect.fnUntraced(function*(dir: string) {
  const run = io(`Keys cannot be removed from ${dir}`, "delete the files yourself")
  if (!(yield* run(() => KeyDirectory.exists(dir)))) return
  yield* FileLock.acquire(KeyDirectory.lockPath(dir), FileLock.PATIENCE, run)
  yield* Effect.uninterruptible(run(() => KeyDirectory.clear(dir, 0)))
}, Effect.scoped)

const remove = (store: Store): Effect.Effect<void, SecurityError> =>
  store.keyDirReadOnly
    ? fail(
      `Keys cannot be removed from ${store.keyDir}, which keyDirReadOnly makes read-only; remove them ` +
        "there, or unset keyDirReadOnly"
    )
    : Effect.forEach(directoriesOf(store), removeFrom, { discard: true })

const isPath = (value: unknown): boolean => typeof value === "string" && value.trim() !== ""

/** Options as they come from JavaScript, too. */
const check = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<Store, SecurityError> {
  const { keyDir, keyRotationPassword: password } = options
  const { keyDirReadOnly = false, keyHistory = 0, keyRotationDir = keyDir } = options
  if (!isPath(keyDir)) return yield* fail("keyDir must be a path such as \"client_keys\", or false")
  if (!isPath(keyRotationDir)) return yield* fail("keyRotationDir must be a path such as \"new_keys\"")
  if (typeof keyDirReadOnly !== "boolean") return yield* fail("keyDirReadOnly must be true or false")
  if (!Number.isInteger(keyHistory) || keyHistory < 0) {
    return yield* fail("keyHistory must be a whole number, 0 or more")
  }
  yield* KeyFile.checkPassword(password)
  return { keyDir, keyDirReadOnly, keyHistory, keyRotationDir, password }
})

/**
 * Keeps the pair in PEM files. Only their owner can read the private key. A new directory has mode 0700.
 * Calls fail with reason `key-permissions` if another user owns a file or the directory, or can write to the
 * directory. The layer itself does not use the disk.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<KeyStore, SecurityError, Crypto | SecureMemory> =>
  Layer.effect(
    KeyStore,
    Effect.gen(function*() {
      const context = Context.pick(Crypto, SecureMemory)(yield* Effect.context<Crypto | SecureMemory>())
      const store = yield* check(options)
      return {
        load: Effect.provide(load(store), context),
        save: (pair, replacing) => Effect.provide(save(store, pair, replacing), context),
        // a lock file held for the seconds that a pair takes would keep writers waiting: `save` looks again
        exclusively: identity,
        remove: remove(store)
      }
    })
  )
