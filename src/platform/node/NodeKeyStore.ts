/**
 * The `KeyStore` service on Node: a directory with `private_key.pem` and `public_key.pem`, as the other NOMYO clients have it.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
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

/**
 * @since 0.2.0
 * @category models
 */
export interface Options {
  /** Where the first pair is kept. */
  readonly keyDir: string
  /** Where later pairs are kept, if elsewhere. Default `keyDir`. */
  readonly keyRotationDir?: string | undefined
  /** Encrypts the private key files, in both directories. At least 8 characters. */
  readonly keyRotationPassword?: Redacted.Redacted | undefined
}

const io = <A>(message: string, run: () => Promise<A>): Effect.Effect<A, SecurityError> =>
  Effect.tryPromise({
    try: run,
    catch: (error) => {
      const code = (error as NodeJS.ErrnoException).code
      return new SecurityError({ reason: "client-key", message: code === undefined ? message : `${message} (${code})` })
    }
  })

const instead = "keyDir: false keeps keys in memory only"

const isMissing = (error: unknown) => (error as NodeJS.ErrnoException).code === "ENOENT"

/** When the private key in `dir` was made, none if there is none. */
const createdAt = (dir: string) =>
  io(`The key directory ${dir} cannot be read; ${instead}`, () =>
    Fs.stat(Path.join(dir, PRIVATE)).then(
      (stat) => Option.some({ dir, createdAt: Math.round(stat.mtimeMs) }),
      (error) => isMissing(error) ? Option.none() : Promise.reject(error)
    ))

/**
 * Reads a private key file: PKCS#8 or PKCS#1 in PEM, encrypted or not.
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
    const pem = yield* memory.guard(io(message, () => Fs.readFile(privateKeyPath)))
    const { mtimeMs } = yield* io(message, () => Fs.stat(privateKeyPath))
    const pkcs8 = yield* memory.guard(KeyFile.decode(pem, options?.password))
    const pair = yield* crypto.importKeyPair(pkcs8, Math.round(mtimeMs))
    if (publicKeyPath !== undefined) {
      const file = yield* io(`The public key ${publicKeyPath} cannot be read`, () => Fs.readFile(publicKeyPath))
      const publicKey = yield* Effect.option(crypto.importPublicKey(file))
      if (Option.isNone(publicKey) || !Bytes.equals(publicKey.value.spki, pair.publicKey.spki)) {
        return yield* new SecurityError({
          reason: "client-key",
          message: `The public key ${publicKeyPath} does not belong to the private key ${privateKeyPath}`
        })
      }
    }
    return pair
  }))
})

/** Writes a file whole or not at all, with its mode from the start. */
const writeAtomically = async (path: string, bytes: Uint8Array, mode: number, time: number): Promise<void> => {
  const temporary = `${path}.${process.pid}.tmp`
  await Fs.rm(temporary, { force: true })
  try {
    const file = await Fs.open(temporary, "wx", mode)
    try {
      await file.writeFile(bytes)
      await file.utimes(time / 1000, time / 1000)
      await file.sync()
    } finally {
      await file.close()
    }
    await Fs.rename(temporary, path)
  } catch (error) {
    await Fs.rm(temporary, { force: true })
    throw error
  }
}

/**
 * Keeps the pair in PEM files, the private one readable by its owner only. Touches the disk when a key is loaded or saved, not before.
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
      const { keyDir, keyRotationDir = keyDir, keyRotationPassword: password } = options
      yield* KeyFile.checkPassword(password)
      const directories = keyRotationDir === keyDir ? [keyDir] : [keyDir, keyRotationDir]
      const stored = Effect.map(Effect.forEach(directories, createdAt), (found) =>
        found.flatMap(Option.toArray).toSorted((a, b) => b.createdAt - a.createdAt))

      return {
        load: Effect.gen(function*() {
          const [newest] = yield* stored
          return newest === undefined
            ? Option.none()
            : Option.some(yield* loadKeyPair(Path.join(newest.dir, PRIVATE), { password }))
        }).pipe(Effect.provide(context)),

        save: (pair) =>
          Effect.gen(function*() {
            const pkcs8 = yield* memory.guard(crypto.exportPrivateKey(pair.privateKey))
            const pem = yield* memory.guard(KeyFile.encode(pkcs8, password))
            const dir = (yield* stored).length === 0 ? keyDir : keyRotationDir
            yield* io(`Keys cannot be written to ${dir}; ${instead}`, async () => {
              await Fs.mkdir(dir, { recursive: true, mode: 0o700 })
              await writeAtomically(Path.join(dir, PRIVATE), pem, 0o600, pair.createdAt)
              await writeAtomically(Path.join(dir, PUBLIC), Bytes.fromText(pair.publicKey.pem), 0o644, pair.createdAt)
            })
          }).pipe(Effect.scoped),

        remove: io(`Keys cannot be removed from ${directories.join(" and ")}`, async () => {
          for (const dir of directories) {
            for (const name of [PRIVATE, PUBLIC]) await Fs.rm(Path.join(dir, name), { force: true })
          }
        })
      }
    })
  )
