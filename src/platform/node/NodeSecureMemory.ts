/**
 * The `SecureMemory` service on Node: pages that the operating system may not write to its swap file nor into a core dump, where a native
 * library can lock them.
 *
 * The library is `sodium-native` (libsodium's guarded allocations) or a `nomyo-native` with the interface `Native`, whichever is installed;
 * without one, and where the process may not lock any more, buffers are zeroed only.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readFileSync } from "node:fs"
import { secureMemory } from "../../internal/secureMemory.js"
import * as SecureMemory from "../../SecureMemory.js"
import { requireInstalled } from "./installed.js"

/**
 * What a native library does. A package called `nomyo-native` is used if it exports this.
 *
 * @since 0.2.0
 * @category models
 */
export interface Native {
  /** So many bytes in locked pages; `undefined` or an exception where they cannot be had. */
  readonly allocate: (length: number) => SecureMemory.Allocation | undefined
}

interface Sodium {
  readonly sodium_malloc: (length: number) => Buffer & Uint8Array<ArrayBuffer>
  readonly sodium_mlock: (bytes: Uint8Array) => void
  readonly sodium_free: (bytes: Uint8Array) => void
}

const isSodium = (library: object): library is Sodium => "sodium_malloc" in library

/** libsodium does not say whether it could lock what it allocated: locking it again, which changes nothing, does. */
const fromSodium = (sodium: Sodium): Native => ({
  allocate: (length) => {
    const buffer = sodium.sodium_malloc(length)
    const free = () => sodium.sodium_free(buffer)
    try {
      sodium.sodium_mlock(buffer)
    } catch {
      free()
      return undefined
    }
    const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, length)
    return { bytes, free }
  }
})

/** Locking and unmapping take a tenth of a millisecond and more, and at least a page of 4 KiB: what is small shares. */
const BLOCK_LENGTH = 16 * 1024
const LARGEST_SHARED = 4 * 1024
/** How long a block without a piece is kept for the next, in milliseconds: requests that come one after the other share it. */
const LINGER = 50

interface Block {
  readonly allocation: SecureMemory.Allocation
  at: number
  pieces: number
  timer: NodeJS.Timeout | undefined
}

/** Gives small pieces out of one block, one behind the other. A block that is used up is let go of when its last piece is. */
const sharing = (native: Native): Native => {
  let block: Block | undefined
  const retire = (mine: Block): void => {
    mine.at = 0
    if (block !== mine) return mine.allocation.free()
    mine.timer = mine.timer?.refresh() ?? setTimeout(() => {
      mine.timer = undefined
      if (mine.pieces > 0 || block !== mine) return
      block = undefined
      mine.allocation.free()
    }, LINGER).unref()
  }
  return {
    allocate: (length) => {
      if (length > LARGEST_SHARED) return native.allocate(length)
      if (block === undefined || block.at + length > BLOCK_LENGTH) {
        const allocation = native.allocate(BLOCK_LENGTH)
        // where there is no room for a block there may be for a page
        if (allocation === undefined) return native.allocate(length)
        block = { allocation, at: 0, pieces: 0, timer: undefined }
      }
      const mine = block
      const bytes = mine.allocation.bytes.subarray(mine.at, mine.at + length)
      mine.at += length
      mine.pieces++
      return {
        bytes,
        free: () => {
          if (--mine.pieces === 0) retire(mine)
        }
      }
    }
  }
}

const field = (file: string, pattern: RegExp): string | undefined => {
  try {
    return pattern.exec(readFileSync(file, "utf8"))?.[1]
  } catch {
    return undefined
  }
}

/** capabilities(7): a process that has it may lock what it likes. */
const CAP_IPC_LOCK = 1n << 14n

/** What setrlimit(2) lets the process lock, as Linux tells it. */
const limit = (): string => {
  const capabilities = field("/proc/self/status", /^CapEff:\s+([0-9a-f]+)/m)
  if (capabilities !== undefined && (BigInt(`0x${capabilities}`) & CAP_IPC_LOCK) !== 0n) return "unlimited (CAP_IPC_LOCK)"
  const bytes = field("/proc/self/limits", /^Max locked memory\s+(\S+)/m)
  return bytes === undefined ? "not known here" : bytes === "unlimited" ? bytes : `${bytes} bytes`
}

/**
 * A service on a native library. `info` tries to lock, so that it tells what holds now.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = (name: string, library: Native): SecureMemory.Service => {
  const attempt = (length: number): SecureMemory.Allocation | undefined => {
    try {
      const allocation = library.allocate(length)
      if (allocation?.bytes.length === length) return { bytes: allocation.bytes.fill(0), free: () => allocation.free() }
      allocation?.free()
      return undefined
    } catch {
      return undefined
    }
  }
  const shared = sharing({
    allocate: (length) => {
      const allocation = attempt(length)
      if (allocation === undefined) return undefined
      secureMemory.lockedBytes += length
      return {
        bytes: allocation.bytes,
        free: () => {
          secureMemory.lockedBytes -= length
          try {
            allocation.free()
          } catch {
            // zero by then, and nobody's: to throw from a timer would end the process
          }
        }
      }
    }
  })
  return SecureMemory.make({
    allocate: (length) => {
      // nothing to lock, and libsodium never gives back a buffer that is empty
      if (length === 0) return undefined
      const allocation = shared.allocate(length)
      if (allocation === undefined) secureMemory.refusals++
      return allocation
    },
    refused: Effect.suspend(() => {
      if (secureMemory.refusals === 0 || secureMemory.isWarned) return Effect.void
      secureMemory.isWarned = true
      return Effect.logWarning(
        `Memory could not be locked (limit: ${limit()}): secret buffers that do not fit are zeroed after use, but may reach the swap file`
      )
    }),
    info: () => {
      const probe = attempt(1)
      probe?.free()
      const canLock = probe !== undefined
      return {
        method: canLock ? "mlock" : "zero-only",
        canLock,
        isPlatformSecure: canLock,
        details: `Secret buffers are zeroed after use${canLock ? " and locked by" : ", and cannot be locked now by"} ${name}: ` +
          `${secureMemory.lockedBytes} bytes are locked at the moment, the limit is ${limit()}, and ${secureMemory.refusals} buffers so far did not fit.`
      }
    }
  })
}

const load = (name: string): Native | undefined => {
  try {
    const library = requireInstalled(name) as object
    return isSodium(library) ? fromSodium(library) : "allocate" in library ? library as Native : undefined
  } catch {
    return undefined
  }
}

let installed: SecureMemory.Service | undefined

/** One for the process: the limit and the counts are the process's too. */
const service = (): SecureMemory.Service => {
  if (installed !== undefined) return installed
  for (const name of ["nomyo-native", "sodium-native"]) {
    const native = load(name)
    if (native !== undefined) return installed = make(name, native)
  }
  return installed = SecureMemory.zeroOnly
}

/**
 * Locked memory if a native library is installed, and `SecureMemory.layer` if not.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<SecureMemory.SecureMemory> = Layer.sync(SecureMemory.SecureMemory, service)

/**
 * How this process protects secret bytes at the moment.
 *
 * @since 0.2.0
 * @category process-wide
 */
export const getMemoryProtectionInfo = (): SecureMemory.MemoryProtectionInfo => Effect.runSync(service().info)
