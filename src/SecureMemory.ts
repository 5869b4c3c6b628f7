/**
 * Keeping secret bytes no longer than they are needed, and out of the swap file where the platform can.
 *
 * JavaScript can zero a buffer; it cannot reach the copies that strings, the garbage collector and the operating system make.
 *
 * @since 0.2.0
 */
import { UnknownException } from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { acquire, bracket } from "./internal/fibers/acquire.js"
import { secureMemory } from "./internal/secureMemory.js"
import { DisposedError } from "./NomyoError.js"

/**
 * How secret bytes are protected here and now.
 *
 * @since 0.2.0
 * @category models
 */
export interface MemoryProtectionInfo {
  /**
   * `mlock`: buffers are locked in memory and overwritten after use. `zero-only`: they are overwritten. `none`: that has been switched off.
   */
  readonly method: "mlock" | "zero-only" | "none"
  /** Whether a buffer that is made now is kept out of the swap file. */
  readonly canLock: boolean
  /** Whether both zeroing and locking are in force. */
  readonly isPlatformSecure: boolean
  /** The same in a sentence or two, with how much is locked and the limit. */
  readonly details?: string
}

/**
 * What `SecureMemory` does.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /**
   * So many zero bytes for a secret to be written into. They are zeroed again and given back when the scope closes, however it closes. Other
   * secrets may lie beside them: their `buffer` is not the caller's, and they are not to be cloned or posted, which would copy all of it.
   */
  readonly allocate: (length: number) => Effect.Effect<Uint8Array<ArrayBuffer>, never, Scope.Scope>
  /** The same for as long as one effect uses them. */
  readonly use: <A, E, R>(length: number, f: (bytes: Uint8Array<ArrayBuffer>) => Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The same for plain code. It fails if that throws. */
  readonly useSync: <A>(length: number, f: (bytes: Uint8Array<ArrayBuffer>) => A) => Effect.Effect<A, UnknownException>
  /**
   * Takes charge of secret bytes as soon as they exist: the same bytes, or their only copy in locked memory. They are acquired without
   * interruption, so that none are made and then forgotten, and zeroed when the scope closes.
   */
  readonly guard: <E, R>(
    acquire: Effect.Effect<Uint8Array<ArrayBuffer>, E, R>
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, E, R | Scope.Scope>
  /** What is in force. */
  readonly info: Effect.Effect<MemoryProtectionInfo>
}

/**
 * The protection of secret bytes, as a service.
 *
 * @since 0.2.0
 * @category tags
 */
export class SecureMemory extends Context.Tag("nomyo-js/SecureMemory")<SecureMemory, Service>() {}

/** Of a buffer that has been transferred nothing is left here to clear, and to try would throw. */
const clear = (bytes: Uint8Array): void => {
  if (bytes.length > 0) bytes.fill(0)
}

const zero = (bytes: Uint8Array): void => {
  if (secureMemory.isEnabled) clear(bytes)
}

const none: MemoryProtectionInfo = {
  method: "none",
  canLock: false,
  isPlatformSecure: false,
  details: "Zeroing has been switched off: secret buffers stay in memory until the garbage collector reuses them."
}

/**
 * Memory that a platform can give and take back.
 *
 * @since 0.2.0
 * @category models
 */
export interface Allocation {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Gives the bytes back, which are zero by then. They are not touched afterwards. */
  readonly free: () => void
}

/**
 * A service whose memory comes from `allocate`. Where that gives none, ordinary memory is used and zeroed, and `refused` run.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = (options: {
  readonly allocate: (length: number) => Allocation | undefined
  readonly refused?: Effect.Effect<void> | undefined
  readonly info: () => MemoryProtectionInfo
}): Service => {
  const special = (length: number): Allocation | undefined => secureMemory.isEnabled ? options.allocate(length) : undefined
  const zeroed = (length: number): Held => special(length) ?? { bytes: unmoved(length) }
  const { refused } = options
  const told = <A, E, R>({ free }: Held, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    free === undefined && refused !== undefined ? Effect.zipRight(refused, effect) : effect
  const hold = <E, R>(make: Effect.Effect<Held, E, R>) =>
    Effect.flatMap(acquire(make, release), (held) => told(held, Effect.succeed(held.bytes)))
  return {
    allocate: (length) => hold(Effect.sync(() => zeroed(length))),
    use: (length, f) => bracket(() => zeroed(length), (held) => told(held, f(held.bytes)), release),
    useSync: (length, f) =>
      Effect.suspend(() => {
        const held = zeroed(length)
        try {
          return told(held, Effect.succeed(f(held.bytes)))
        } catch (error) {
          return told(held, Effect.fail(new UnknownException(error)))
        } finally {
          release(held)
        }
      }),
    guard: (make) =>
      hold(Effect.map(make, (bytes): Held => {
        const allocation = special(bytes.length)
        if (allocation === undefined) return { bytes }
        allocation.bytes.set(bytes)
        zero(bytes)
        return allocation
      })),
    info: Effect.sync(() => secureMemory.isEnabled ? options.info() : none)
  }
}

/** Engines keep small arrays in the garbage collector's heap, which copies what it moves; not if they are made from a buffer. */
const unmoved = (length: number): Uint8Array<ArrayBuffer> => new Uint8Array(new ArrayBuffer(length))

/** A platform's memory, or ordinary. */
type Held = Pick<Allocation, "bytes"> & Partial<Allocation>

const release = (held: Held): void => {
  if (held.free === undefined) return zero(held.bytes)
  // it is given back, and on to others: zeroed whatever has been switched off meanwhile
  clear(held.bytes)
  held.free()
}

/**
 * Zeroes secret bytes in ordinary memory.
 *
 * @since 0.2.0
 * @category constructors
 */
export const zeroOnly: Service = make({
  allocate: () => undefined,
  info: () => ({
    method: "zero-only",
    canLock: false,
    isPlatformSecure: false,
    details: "Secret buffers are zeroed after use. They are not locked: the operating system may write them to its swap file."
  })
})

/**
 * Zeroes secret bytes, unless `disableSecureMemory` has switched that off for the whole process. Everywhere.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<SecureMemory> = Layer.succeed(SecureMemory, zeroOnly)

/**
 * Leaves secret bytes as they are.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerOff: Layer.Layer<SecureMemory> = Layer.succeed(SecureMemory, {
  allocate: (length) => Effect.sync(() => unmoved(length)),
  use: <A, E, R>(length: number, f: (bytes: Uint8Array<ArrayBuffer>) => Effect.Effect<A, E, R>) => Effect.suspend(() => f(unmoved(length))),
  useSync: (length, f) => Effect.try(() => f(unmoved(length))),
  guard: identity,
  info: Effect.succeed(none)
})

/**
 * Stops zeroing and locking in the whole process, for debugging.
 *
 * @since 0.2.0
 * @category process-wide
 */
export const disableSecureMemory = (): void => {
  secureMemory.isEnabled = false
}

/**
 * Starts zeroing and locking again after `disableSecureMemory`.
 *
 * @since 0.2.0
 * @category process-wide
 */
export const enableSecureMemory = (): void => {
  secureMemory.isEnabled = true
}

/**
 * Holds a secret buffer for the length of one callback.
 *
 * @example
 * import { SecureByteContext } from "nomyo-js"
 *
 * const secret = new TextEncoder().encode("correct horse")
 * const length = await new SecureByteContext(secret).use((bytes) => bytes.length)
 * // `secret` holds zeros now
 *
 * @since 0.2.0
 * @category process-wide
 */
export class SecureByteContext {
  readonly #bytes: Uint8Array
  readonly #secure: boolean
  #uses = 0
  #isZeroed = false

  /**
   * Takes charge of the buffer itself, not of a copy, wherever it is: it is zeroed, not locked.
   *
   * @param data the secret bytes
   * @param secure `false` leaves the buffer as it is afterwards. Default `true`.
   */
  constructor(data: Uint8Array | ArrayBuffer, secure = true) {
    this.#bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data)
    this.#secure = secure
  }

  /**
   * Runs the callback with the bytes, awaits what it returns, and zeroes the bytes whether it succeeds or throws. Of uses that overlap or
   * are nested the last one to end does so. Rejects with a `DisposedError` once they are zeroed.
   */
  async use<A>(f: (bytes: Uint8Array) => A | PromiseLike<A>): Promise<A> {
    if (this.#isZeroed) throw new DisposedError({ message: "The secret bytes have been zeroed" })
    this.#uses++
    try {
      return await f(this.#bytes)
    } finally {
      if (--this.#uses === 0 && this.#secure && secureMemory.isEnabled) {
        this.#isZeroed = true
        clear(this.#bytes)
      }
    }
  }
}
