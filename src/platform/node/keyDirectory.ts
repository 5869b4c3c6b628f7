/**
 * One directory of key files: `private_key.pem`, `public_key.pem`, `private_key.<time>.pem` for replaced
 * keys.
 *
 * The private key is the truth. It is replaced by one `rename`, so that a reader finds a whole key at any
 * moment. The public key is derived from it, and written again where it does not fit.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import type { KeyPair } from "../../Crypto.js"
import * as Bytes from "../../internal/codecs/bytes.js"
import * as Files from "./files.js"

const PRIVATE = "private_key.pem"
const PUBLIC = "public_key.pem"
const LOCK = "key.lock"
/** A key file of more bytes than this is refused. A private one of 16,384 bits, encrypted, takes 13 KiB. */
export const LARGEST_FILE = 64 * 1024

const PRIVATE_MODE = 0o600
const PUBLIC_MODE = 0o644
/**
 * A temporary file that is older, in milliseconds, belonged to a process that was killed: a write takes
 * less than a second.
 */
const ABANDONED_AFTER = 60_000
/** Names that this module and the lock give to files for a moment. */
const LEFT_BEHIND = /^((private|public)_key\.pem\.[0-9a-f]+\.tmp|key\.lock\.[0-9a-f.]+(tmp)?)$/

/** The process makes its files itself, for its user alone. */
export const ownFiles: Files.Access = { mayBeLink: false, check: Files.checkPrivate }
/**
 * Something else has put the files there, as Kubernetes mounts a secret: behind links, readable by a group.
 */
export const mountedFiles: Files.Access = { mayBeLink: true, check: Files.checkMounted }
/** The caller names the very file: its owner and mode are the caller's business. */
export const namedFile: Files.Access = { mayBeLink: true, check: () => undefined }

export const privatePath = (dir: string): string => Path.join(dir, PRIVATE)
const publicPath = (dir: string): string => Path.join(dir, PUBLIC)
export const lockPath = (dir: string): string => Path.join(dir, LOCK)

/** When the private key was made, in milliseconds since 1970; `undefined` if there is none. */
export const findPrivateKey = async (dir: string): Promise<{ readonly createdAt: number } | undefined> => {
  const path = privatePath(dir)
  const entry = await Fs.lstat(path).catch(Files.ifCode("ENOENT", undefined))
  if (entry === undefined) return undefined
  // a link to nowhere is not an empty place: the volume that it leads to may be away
  const stat = entry.isSymbolicLink() ? await Fs.stat(path) : entry
  return { createdAt: Math.round(stat.mtimeMs) }
}

/** The public key's file, if it is one that can be read. */
export const readPublicKey = (dir: string): Promise<Uint8Array | undefined> =>
  Files.readSmall(publicPath(dir), LARGEST_FILE, { mayBeLink: false, check: () => undefined })
    .catch(() => undefined)

export const writePublicKey = async (dir: string, { createdAt, publicKey }: KeyPair): Promise<void> => {
  const path = publicPath(dir)
  await Files.commit(await Files.stage(path, Bytes.fromText(publicKey.pem), PUBLIC_MODE, createdAt), path)
}

export const exists = (dir: string): Promise<boolean> =>
  Fs.stat(dir).then(() => true, Files.ifCode("ENOENT", false))

/** Throws unless the directory is this process's own. One that does not exist is as good. */
export const check = async (dir: string): Promise<void> => {
  const stat = await Fs.stat(dir).catch(Files.ifCode("ENOENT", undefined))
  if (stat !== undefined) Files.checkDirectory(dir, stat)
}

/** Makes the directory if it is missing, and removes what killed processes have left in it. */
export const prepare = async (dir: string): Promise<void> => {
  await Files.makeDirectory(Path.resolve(dir))
  await check(dir)
  await Files.sweep(dir, LEFT_BEHIND, ABANDONED_AFTER)
}

/**
 * Whether a private key is there to be replaced or removed. Throws for a link: the key that it leads to
 * would stay.
 */
const isOwnFile = async (path: string): Promise<boolean> => {
  const stat = await Fs.lstat(path).catch(Files.ifCode("ENOENT", undefined))
  if (stat?.isSymbolicLink() === true) throw Files.notFollowed(path)
  return stat !== undefined
}

const replacedName = /^private_key\.\d{8}T\d{9}Z\.pem$/

/** Keeps the private key under its time, and no more than `limit` of that kind. */
const keepReplaced = async (dir: string, limit: number): Promise<void> => {
  const path = privatePath(dir)
  const { mtime } = await Fs.lstat(path)
  const kept = Path.join(dir, `private_key.${mtime.toISOString().replace(/[-:.]/g, "")}.pem`)
  // by a name that cannot be foretold: a link that waits at the other is replaced, not followed
  const temporary = Files.temporaryName(path)
  await Files.linkExclusively(path, temporary)
  await Files.commit(temporary, kept)
  // `rename` leaves both of two names of one file
  await Fs.rm(temporary, { force: true })
  const names = (await Fs.readdir(dir)).filter((name) => replacedName.test(name)).toSorted()
  for (const name of names.slice(0, -limit)) await Fs.rm(Path.join(dir, name), { force: true })
}

/** Makes way for another pair: the public key goes, and the private one is kept if `history` is not 0. */
const archive = async (dir: string, history: number): Promise<void> => {
  const isThere = await isOwnFile(privatePath(dir))
  await Fs.rm(publicPath(dir), { force: true })
  await Files.syncDirectory(dir)
  if (isThere && history > 0) await keepReplaced(dir, history)
}

/**
 * Puts a pair in place of the one that is there, of which `history` are kept. `pem` is the private key's
 * file.
 */
export const replace = async (
  dir: string,
  pem: Uint8Array,
  pair: KeyPair,
  history: number
): Promise<void> => {
  const path = privatePath(dir)
  const temporary = await Files.stage(path, pem, PRIVATE_MODE, pair.createdAt)
  try {
    await archive(dir, history)
  } catch (error) {
    await Fs.rm(temporary, { force: true })
    throw error
  }
  await Files.commit(temporary, path)
  await writePublicKey(dir, pair)
}

/** Removes the pair, of which `history` are kept. */
export const clear = async (dir: string, history: number): Promise<void> => {
  await archive(dir, history)
  await Fs.rm(privatePath(dir), { force: true })
  await Files.syncDirectory(dir)
}
