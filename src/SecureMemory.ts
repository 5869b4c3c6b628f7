/**
 * Buffers for secret bytes: zeroed after use, and kept out of the swap file where the platform can lock them.
 *
 * JavaScript can zero a buffer. It cannot reach the copies that strings, the garbage collector and the
 * operating system make.
 *
 * @since 0.2.0
 */
import type { UnknownException } from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { acquire, bracket } from "./internal/fibers/acquire.js"
import { secureMemory } from "./internal/secureMemory.js"
import { DisposedError } from "./NomyoError.js"

/**
 * The memory protection in force in this process.
 *
 * @since 0.2.0
 * @category models
 */
export interface MemoryProtectionInfo {
  /**
   * `mlock`: buffers are locked in memory, and zeroed after use. `zero-only`: buffers are zeroed after use.
   * `none`: protection is off.
   */
  readonly method: "mlock" | "zero-only" | "none"
  /** Whether a buffer allocated now would be locked, which keeps it out of the swap file. */
  readonly canLock: boolean
  /** Whether both zeroing and locking are in force. */
  readonly isPlatformSecure: boolean
  /** One or two sentences for people: the protection, the bytes locked now, and the limit. */
  readonly details?: string
}

/**
 * Allocates secret buffers and zeroes them after use.
 *
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /**
   * Allocates `length` zero bytes, and zeroes and releases them when the scope closes. The bytes are a view
   * into a larger `ArrayBuffer` (`bytes.buffer`) that may hold other secrets. Do not read `bytes.buffer`. Do
   * not `structuredClone` or `postMessage` the bytes: that copies the whole `ArrayBuffer`.
   */
  readonly allocate: (length: number) => Effect.Effect<Uint8Array<ArrayBuffer>, never, Scope.Scope>
  /**
   * Allocates `length` zero bytes for one effect, and zeroes and releases them when the effect ends. As with
   * `allocate`, `bytes.buffer` may hold other secrets.
   */
  readonly use: <A, E, R>(
    length: number,
    f: (bytes: Uint8Array<ArrayBuffer>) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  /**
   * Allocates `length` zero bytes for a function, and zeroes them when the function ends. Fails with an
   * `UnknownException` if the function throws. As with `allocate`, `bytes.buffer` may hold other secrets.
   */
  readonly useSync: <A>(
    length: number,
    f: (bytes: Uint8Array<ArrayBuffer>) => A
  ) => Effect.Effect<A, UnknownException>
  /**
   * Guards secret bytes from the moment they exist. The result is the same bytes, or a copy in locked memory;
   * the original is then zeroed. The result is zeroed when the scope closes. `acquire` runs uninterruptibly,
   * so that no bytes are left behind.
   */
  readonly guard: <E, R>(
    acquire: Effect.Effect<Uint8Array<ArrayBuffer>, E, R>
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, E, R | Scope.Scope>
  /** The protection in force now. */
  readonly info: Effect.Effect<MemoryProtectionInfo>
}

/**
 * The protection of secret bytes, as a service.
 *
 * @since 0.2.0
 * @category tags
 */
export class SecureMemory extends Context.Tag("nomyo-js/SecureMemory")<SecureMemory, Service>() {}

/** Zeroes bytes. A buffer that has been transferred has none left, and `fill` would throw. */
const clear = (bytes: Uint8Array): void => {
  if (bytes.length > 0) bytes.fill(0)
}

/** Whether bytes are zeroed, and locked where that is possible. */
type Switch = () => boolean

/** The switch of the whole process, which `disableSecureMemory` turns off. */
const processSwitch: Switch = () => secureMemory.isEnabled

const none: MemoryProtectionInfo = {
  method: "none",
  canLock: false,
  isPlatformSecure: false,
  details: "Zeroing is off: secret buffers stay in memory until the garbage collector reuses them."
}

/**
 * Memory of a platform's allocator.
 *
 * @since 0.2.0
 * @category models
 */
export interface Allocation {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Releases the bytes, after the caller has zeroed them. */
  readonly free: () => void
}

/** A platform's memory, or ordinary memory, which has no `free`. */
type Held = Pick<Allocation, "bytes"> & Partial<Allocation>

/**
 * Zeroes bytes and releases them. Reused memory is zero even if zeroing was switched off in between.
 */
const release = (held: Held, isEnabled: Switch): void => {
  if (held.free !== undefined || isEnabled()) clear(held.bytes)
  held.free?.()
}

/**
 * Engines keep small arrays in the heap of the garbage collector, which copies what it moves. Not if they
 * have a buffer.
 */
const unmoved = (length: number): Uint8Array<ArrayBuffer> => new Uint8Array(new ArrayBuffer(length))

/**
 * How a service gets its memory.
 *
 * @since 0.3.0
 * @category models
 */
export interface Options {
  /** Returns `length` zero bytes, or `undefined`: the service then uses ordinary memory. */
  readonly allocate: (length: number) => Allocation | undefined
  /** Runs when `allocate` returns `undefined`, for example to log it. Default: nothing. */
  readonly onRefused?: Effect.Effect<void> | undefined
  /** The protection in force now, unless it is switched off. */
  readonly info: () => MemoryProtectionInfo
}

/**
 * A service with a platform's memory. If the platform refuses, the service uses ordinary memory, zeroes it,
 * and runs `onRefused`.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = (options: Options): Service => switchedBy(processSwitch, options)

/** `make` with its switch. */
const switchedBy = (
  isEnabled: Switch,
  { allocate, info, onRefused = Effect.void }: Options
): Service => {
  const allocateIfEnabled = (length: number) => isEnabled() ? allocate(length) : undefined
  const hold = (length: number): Held => allocateIfEnabled(length) ?? { bytes: unmoved(length) }
  const free = (held: Held): void => release(held, isEnabled)
  const noting = <A, E, R>({ free }: Held, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    free === undefined ? Effect.zipRight(onRefused, effect) : effect
  const scoped = <E, R>(make: Effect.Effect<Held, E, R>) =>
    Effect.flatMap(acquire(make, free), (held) => noting(held, Effect.succeed(held.bytes)))
  return {
    allocate: (length) => scoped(Effect.sync(() => hold(length))),
    use: (length, f) => bracket(() => hold(length), (held) => noting(held, f(held.bytes)), free),
    useSync: (length, f) =>
      bracket(() => hold(length), (held) => noting(held, Effect.try(() => f(held.bytes))), free),
    guard: (make) => scoped(Effect.map(make, (bytes) => moved(bytes, allocateIfEnabled(bytes.length)))),
    info: Effect.sync(() => isEnabled() ? info() : none)
  }
}

/** Moves bytes into an allocation and zeroes the original. */
const moved = (bytes: Uint8Array<ArrayBuffer>, allocation: Allocation | undefined): Held => {
  if (allocation === undefined) return { bytes }
  allocation.bytes.set(bytes)
  clear(bytes)
  return allocation
}

/**
 * A service that zeroes secret bytes in ordinary memory.
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
    details: "Secret buffers are zeroed after use. They are not locked: " +
      "the operating system may write them to its swap file."
  })
})

/**
 * `SecureMemory` for every platform. It zeroes secret bytes, unless `disableSecureMemory` has switched
 * zeroing off for the process.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<SecureMemory> = Layer.succeed(SecureMemory, zeroOnly)

/**
 * `SecureMemory` that neither zeroes nor locks secret bytes.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerOff: Layer.Layer<SecureMemory> = Layer.succeed(
  SecureMemory,
  switchedBy(() => false, { allocate: () => undefined, info: () => none })
)

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
 * A secret buffer that is zeroed after your callback has used it.
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
   * Wraps the buffer itself, without a copy. The buffer is zeroed after use, but not locked.
   *
   * @param data the secret bytes
   * @param secure whether the buffer is zeroed after use. Default `true`
   */
  constructor(data: Uint8Array | ArrayBuffer, secure = true) {
    this.#bytes = ArrayBuffer.isView(data)
      ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data)
    this.#secure = secure
  }

  /**
   * Runs the callback with the bytes, awaits its result, and zeroes the bytes whether it succeeds or throws.
   * If uses overlap, the last one to end zeroes them.
   *
   * @throws `DisposedError` if the bytes have been zeroed.
   */
  async use<A>(f: (bytes: Uint8Array) => A | PromiseLike<A>): Promise<A> {
    if (this.#isZeroed)
      throw new DisposedError({
        message: "The secret bytes are already zeroed: use them before the callback ends"
      })
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
