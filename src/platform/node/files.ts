/**
 * Small files, read and written without trust in their path: a link, a pipe, a device, another
 * user's file.
 */
import { randomBytes } from "node:crypto"
import { constants, type Stats } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { SecurityError } from "../../NomyoError.js"

/** Windows has neither of the two optional flags. */
const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants as Partial<typeof constants>
const { O_CREAT, O_EXCL, O_RDONLY, O_WRONLY } = constants

const DIRECTORY_MODE = 0o700

export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

/** For `catch`: returns `value` for an error of this code, and throws any other. */
export const ifCode = <A>(code: string, value: A) => (error: unknown): A => {
  if (codeOf(error) === code) return value
  throw error
}

export const refuse = (message: string): SecurityError => new SecurityError({ reason: "client-key", message })

const notPermitted = (message: string): SecurityError =>
  new SecurityError({ reason: "key-permissions", message })

/** Who may have written a file, and who may read it. */
export interface Access {
  /** Whether the path may be a symbolic link. */
  readonly mayBeLink: boolean
  /** Throws a `SecurityError` if a file's owner or mode is unsafe. */
  readonly check: (path: string, stat: Stats) => void
}

interface OpenFile {
  readonly file: Fs.FileHandle
  readonly stat: Stats
}

const notRegular = (path: string) => refuse(`${path} is not a regular file; remove it, or name another`)

export const notFollowed = (path: string) =>
  refuse(
    `${path} is a symbolic link, which the client does not follow; put the file itself there, ` +
      "or set keyDirReadOnly for a mounted secret"
  )

/**
 * Opens a regular file for reading. Neither waits for the writer of a pipe nor reads from a device. The
 * checks are made on the open file, whatever happens to the path.
 */
export const openRegular = async (path: string, { check, mayBeLink }: Access): Promise<OpenFile> => {
  const flags = O_RDONLY | O_NONBLOCK | (mayBeLink ? 0 : O_NOFOLLOW)
  const file = await Fs.open(path, flags).catch((error: unknown) => {
    const code = codeOf(error)
    if (code === "ELOOP" && !mayBeLink) throw notFollowed(path)
    // a socket
    throw code === "ENXIO" ? notRegular(path) : error
  })
  try {
    const stat = await file.stat()
    if (!stat.isFile()) throw notRegular(path)
    check(path, stat)
    return { file, stat }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** A regular file of at most `limit` bytes; `undefined` if there is none. For what is not secret. */
export const readSmall = async (
  path: string,
  limit: number,
  access: Access
): Promise<Uint8Array | undefined> => {
  const opened = await openRegular(path, access).catch(ifCode("ENOENT", undefined))
  if (opened === undefined) return undefined
  try {
    const bytes = new Uint8Array(limit + 1)
    let length = 0
    for (;;) {
      const { bytesRead } = await opened.file.read(bytes, length, bytes.length - length, null)
      length += bytesRead
      if (length > limit) throw refuse(`${path} is larger than ${limit} bytes; check that it is a key file`)
      if (bytesRead === 0) return bytes.subarray(0, length)
    }
  } finally {
    await opened.file.close()
  }
}

/** Where users have numbers; Windows has none. */
const userId = process.geteuid?.()

/** Throws unless the owner is this process's user or root. */
const checkOwner = (path: string, { uid }: Stats): void => {
  if (userId === undefined || uid === userId || uid === 0) return
  throw notPermitted(
    `${path} belongs to another user (${uid}), who could replace it; run: chown -h ${userId} ${path}`
  )
}

/** Throws if another user owns the directory or can write to it. */
export const checkDirectory = (path: string, stat: Stats): void => {
  if (!stat.isDirectory()) throw refuse(`${path} is not a directory; name another`)
  checkOwner(path, stat)
  if (userId !== undefined && (stat.mode & 0o022) !== 0) {
    throw notPermitted(
      `Other users can write to the directory ${path}; run: chmod go-w ${path}, ` +
        "or set keyDirReadOnly for a mounted secret"
    )
  }
}

/** Whether this process belongs to the file's group. */
const isOurGroup = ({ gid }: Stats): boolean =>
  gid === process.getegid?.() || process.getgroups?.().includes(gid) === true

/** Throws if others than the owner may read or write a private file. */
export const checkPrivate = (path: string, stat: Stats): void => {
  checkOwner(path, stat)
  if (userId === undefined || (stat.mode & 0o077) === 0) return
  const mayBeMounted = isOurGroup(stat) && (stat.mode & 0o037) === 0
  throw notPermitted(
    `Other users can read the private key ${path}; run: chmod 600 ${path}` +
      (mayBeMounted ? ", or set keyDirReadOnly for a mounted secret" : "")
  )
}

/**
 * Throws if a private file is readable by others than its owner and a group of this process, or writable by
 * any but its owner.
 */
export const checkMounted = (path: string, stat: Stats): void => {
  checkOwner(path, stat)
  if (userId === undefined) return
  if ((stat.mode & (isOurGroup(stat) ? 0o037 : 0o077)) === 0) return
  throw notPermitted(
    `Users other than its owner and a group of this process can use the private key ${path}; ` +
      `run: chmod 440 ${path}, or set defaultMode: 0440 of the Kubernetes volume`
  )
}

/**
 * Makes a directory of mode 0700, and those above it that are missing. One by one: Node 20's recursive
 * `mkdir` never ends where a parent exists and takes no directories (`/proc`).
 */
export const makeDirectory = async (path: string): Promise<void> => {
  const make = () => Fs.mkdir(path, { mode: DIRECTORY_MODE }).catch(ifCode("EEXIST", undefined))
  try {
    await make()
  } catch (error) {
    const parent = Path.dirname(path)
    if (codeOf(error) !== "ENOENT" || parent === path) throw error
    await makeDirectory(parent)
    await make()
  }
}

/** Makes the names in a directory last, should the machine lose power. */
export const syncDirectory = async (path: string): Promise<void> => {
  // Windows cannot open directories, and needs no such thing
  if (process.platform === "win32") return
  const directory = await Fs.open(path, "r")
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** A name beside `path` that nobody can foretell. `sweep` knows it by its end. */
export const temporaryName = (path: string): string => `${path}.${randomBytes(8).toString("hex")}.tmp`

/**
 * Writes a file under a temporary name, with its mode from the start, safely on disk. Returns that name.
 * `time` is when it counts as written, in milliseconds since 1970.
 */
export const stage = async (path: string, bytes: Uint8Array, mode: number, time: number): Promise<string> => {
  const temporary = temporaryName(path)
  const file = await Fs.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
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

/** Puts a staged file in its place, over whatever file or link is there. */
export const commit = async (temporary: string, path: string): Promise<void> => {
  try {
    await Fs.rename(temporary, path)
  } catch (error) {
    await Fs.rm(temporary, { force: true })
    throw error
  }
  await syncDirectory(Path.dirname(path))
}

/**
 * Links a file to a second name, or rejects with `EEXIST` if that is taken. Where the file system has
 * no hard links (FAT, some network mounts) the second is a copy.
 */
export const linkExclusively = (from: string, to: string): Promise<void> =>
  Fs.link(from, to).catch((error: unknown) => {
    if (codeOf(error) === "EEXIST") throw error
    return Fs.copyFile(from, to, constants.COPYFILE_EXCL)
  })

/**
 * Removes files that match and were last touched more than `age` milliseconds ago: their writers were
 * killed.
 */
export const sweep = async (dir: string, pattern: RegExp, age: number): Promise<void> => {
  for (const name of await Fs.readdir(dir)) {
    if (!pattern.test(name)) continue
    const path = Path.join(dir, name)
    const stat = await Fs.lstat(path).catch(ifCode("ENOENT", undefined))
    if (stat !== undefined && Date.now() - stat.ctimeMs > age) await Fs.rm(path, { force: true })
  }
}
