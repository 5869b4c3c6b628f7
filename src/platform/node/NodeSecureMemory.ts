/**
 * The `SecureMemory` service on Node. A native library locks pages, which keeps them out of swap and core
 * dumps. The library is a `nomyo-native` with the interface `Native`, or `sodium-native` (libsodium's guarded
 * allocations), whichever is installed. Without a library, and beyond the process's limit, buffers are only
 * zeroed.
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
 * The interface of a native library. The client uses a package `nomyo-native` that exports it.
 *
 * @since 0.2.0
 * @category models
 */
export interface Native {
  /** Allocates `length` bytes in locked pages. Returns `undefined`, or throws, if that is not possible. */
  readonly allocate: (length: number) => SecureMemory.Allocation | undefined
}

interface Sodium {
  readonly sodium_malloc: (length: number) => Buffer & Uint8Array<ArrayBuffer>
  readonly sodium_mlock: (bytes: Uint8Array) => void
  readonly sodium_free: (bytes: Uint8Array) => void
}

const isSodium = (library: object): library is Sodium => "sodium_malloc" in library

/**
 * libsodium does not say whether it could lock an allocation. To lock it again changes nothing and fails if
 * it could not.
 */
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

/**
 * The length of a block in bytes. To lock and unmap one takes a tenth of a millisecond and more, and at least
 * a page of 4 KiB. So small allocations share a block.
 */
const BLOCK_LENGTH = 16 * 1024
/** The largest allocation that shares a block, in bytes. */
const LARGEST_SHARED = 4 * 1024
/** How long an unused block is kept, in milliseconds: consecutive requests share it. */
const LINGER = 50

/** One locked block that small allocations share. */
class Block {
  #end = 0
  #uses = 0
  #timer: NodeJS.Timeout | undefined
  /** Whether new allocations may still come. */
  isCurrent = true

  constructor(readonly allocation: SecureMemory.Allocation) {}

  /** The next `length` bytes; `undefined` if there is no room. */
  take(length: number): Uint8Array<ArrayBuffer> | undefined {
    if (!this.isCurrent || this.#end + length > BLOCK_LENGTH) return undefined
    const bytes = this.allocation.bytes.subarray(this.#end, this.#end + length)
    this.#end += length
    this.#uses++
    return bytes
  }

  /**
   * Releases an allocation. The last one starts the timer that frees the block, or frees a block that is
   * replaced.
   */
  release(): void {
    if (--this.#uses > 0) return
    this.#end = 0
    if (!this.isCurrent) return this.allocation.free()
    this.#timer = this.#timer?.refresh() ?? setTimeout(() => this.#expire(), LINGER).unref()
  }

  /** Another block takes its place: it is freed with its last allocation. */
  replace(): void {
    this.isCurrent = false
  }

  #expire(): void {
    this.#timer = undefined
    if (this.#uses > 0 || !this.isCurrent) return
    this.isCurrent = false
    this.allocation.free()
  }
}

/** A library whose small allocations share a block, one behind the other. */
const sharing = (native: Native): Native => {
  let current: Block | undefined
  const share = (length: number): SecureMemory.Allocation | undefined => {
    const block = current
    const bytes = block?.take(length)
    return bytes === undefined ? undefined : { bytes, free: () => block!.release() }
  }
  const shareNew = (length: number): SecureMemory.Allocation | undefined => {
    const allocation = native.allocate(BLOCK_LENGTH)
    // where there is no room for a block there may be room for a page
    if (allocation === undefined) return native.allocate(length)
    current?.replace()
    current = new Block(allocation)
    return share(length)
  }
  return {
    allocate: (length) =>
      length > LARGEST_SHARED ? native.allocate(length) : share(length) ?? shareNew(length)
  }
}

const field = (file: string, pattern: RegExp): string | undefined => {
  try {
    return pattern.exec(readFileSync(file, "utf8"))?.[1]
  } catch {
    return undefined
  }
}

/** The bit of capabilities(7) that lets a process lock without a limit. */
const CAP_IPC_LOCK = 1n << 14n

/** How much setrlimit(2) lets the process lock, by Linux's `/proc`. */
const limit = (): string => {
  const capabilities = BigInt(`0x${field("/proc/self/status", /^CapEff:\s+([0-9a-f]+)/m) ?? "0"}`)
  if ((capabilities & CAP_IPC_LOCK) !== 0n) return "unlimited (CAP_IPC_LOCK)"
  const bytes = field("/proc/self/limits", /^Max locked memory\s+(\S+)/m)
  if (bytes === undefined) return "not known here"
  return bytes === "unlimited" ? bytes : `${bytes} bytes`
}

/**
 * The library, trusted no further than needed: an allocation is zeroed and as long as it should be, or there
 * is none.
 */
const checked = (library: Native): Native => ({
  allocate: (length) => {
    try {
      const allocation = library.allocate(length)
      if (allocation?.bytes.length === length) {
        return { bytes: allocation.bytes.fill(0), free: () => allocation.free() }
      }
      allocation?.free()
    } catch {
      // no memory, then
    }
    return undefined
  }
})

/**
 * Counts the locked bytes. A `free` that throws is ignored: the bytes are zero, and from a timer it would end
 * the process.
 */
const counted = (library: Native): Native => ({
  allocate: (length) => {
    const allocation = library.allocate(length)
    if (allocation === undefined) return undefined
    secureMemory.lockedBytes += length
    const free = () => {
      secureMemory.lockedBytes -= length
      try {
        allocation.free()
      } catch {
        // see above
      }
    }
    return { bytes: allocation.bytes, free }
  }
})

/** Logs once in a process that memory could not be locked. */
const warnOnce = Effect.suspend(() => {
  if (secureMemory.refusals === 0 || secureMemory.isWarned) return Effect.void
  secureMemory.isWarned = true
  return Effect.logWarning(
    `Memory could not be locked (limit: ${limit()}): secret buffers that do not fit are zeroed after use, ` +
      "but may reach the swap file; raise ulimit -l"
  )
})

/** Whether a byte can be locked now. */
const probe = (library: Native): boolean => {
  const allocation = library.allocate(1)
  allocation?.free()
  return allocation !== undefined
}

const describe = (name: string, canLock: boolean): SecureMemory.MemoryProtectionInfo => {
  const { lockedBytes, refusals } = secureMemory
  const locking = canLock ? " and locked by" : ", and cannot be locked now by"
  return {
    method: canLock ? "mlock" : "zero-only",
    canLock,
    isPlatformSecure: canLock,
    details: `Secret buffers are zeroed after use${locking} ${name}: ` +
      `${lockedBytes} bytes are locked at the moment, the limit is ${limit()}, ` +
      `and ${refusals} buffers so far did not fit.`
  }
}

/**
 * Makes a service of a native library. `info` tries to lock a byte, so that it describes the present.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = (name: string, library: Native): SecureMemory.Service => {
  const trusted = checked(library)
  const shared = sharing(counted(trusted))
  return SecureMemory.make({
    allocate: (length) => {
      // nothing to lock, and libsodium never gives back an empty buffer
      if (length === 0) return undefined
      const allocation = shared.allocate(length)
      if (allocation === undefined) secureMemory.refusals++
      return allocation
    },
    onRefused: warnOnce,
    info: () => describe(name, probe(trusted))
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

/** One service for the process, as the limit and the counts are the process's. */
const service = (): SecureMemory.Service => {
  if (installed !== undefined) return installed
  for (const name of ["nomyo-native", "sodium-native"]) {
    const native = load(name)
    if (native !== undefined) return installed = make(name, native)
  }
  return installed = SecureMemory.zeroOnly
}

/**
 * `SecureMemory` that locks buffers if a native library is installed. Without one it is `SecureMemory.layer`.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<SecureMemory.SecureMemory> = Layer.sync(SecureMemory.SecureMemory, service)

/**
 * How this process protects secret bytes now.
 *
 * @since 0.2.0
 * @category process-wide
 */
export const getMemoryProtectionInfo = (): SecureMemory.MemoryProtectionInfo => Effect.runSync(service().info)
