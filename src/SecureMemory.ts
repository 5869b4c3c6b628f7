/**
 * Keeping secret bytes no longer than they are needed.
 *
 * JavaScript can zero a buffer; it cannot reach the copies that strings, the garbage collector and the operating system make.
 *
 * @since 0.2.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

/**
 * How secret bytes are protected here and now.
 *
 * @since 0.2.0
 * @category models
 */
export interface MemoryProtectionInfo {
  /** `zero-only`: buffers are overwritten after use. `none`: that has been switched off. */
  readonly method: "zero-only" | "none"
  /** Whether buffers are kept out of the swap file. */
  readonly canLock: boolean
  /** Whether both zeroing and locking are in force. */
  readonly isPlatformSecure: boolean
  /** The same in a sentence. */
  readonly details?: string
}

/**
 * @since 0.2.0
 * @category models
 */
export interface Service {
  /**
   * Secret bytes, zeroed when the scope closes, however it closes. They are acquired without interruption, so that none are made and
   * then forgotten.
   */
  readonly guard: <Bytes extends Uint8Array, E, R>(acquire: Effect.Effect<Bytes, E, R>) => Effect.Effect<Bytes, E, R | Scope.Scope>
  /** What is in force. */
  readonly info: Effect.Effect<MemoryProtectionInfo>
}

/**
 * @since 0.2.0
 * @category tags
 */
export class SecureMemory extends Context.Tag("nomyo-js/SecureMemory")<SecureMemory, Service>() {}

let enabled = true

const zeroOnly: MemoryProtectionInfo = {
  method: "zero-only",
  canLock: false,
  isPlatformSecure: false,
  details: "Secret buffers are zeroed after use. They are not locked: the operating system may write them to its swap file."
}

const none: MemoryProtectionInfo = {
  method: "none",
  canLock: false,
  isPlatformSecure: false,
  details: "Zeroing has been switched off: secret buffers stay in memory until the garbage collector reuses them."
}

/**
 * Zeroes guarded bytes, unless `disableSecureMemory` has switched that off for the whole process.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<SecureMemory> = Layer.succeed(SecureMemory, {
  guard: <Bytes extends Uint8Array, E, R>(acquire: Effect.Effect<Bytes, E, R>) =>
    Effect.acquireRelease(acquire, (bytes) => Effect.sync(() => zero(bytes))),
  info: Effect.sync(() => getMemoryProtectionInfo())
})

/**
 * Leaves guarded bytes as they are.
 *
 * @since 0.2.0
 * @category layers
 */
export const layerOff: Layer.Layer<SecureMemory> = Layer.succeed(SecureMemory, {
  guard: <Bytes extends Uint8Array, E, R>(acquire: Effect.Effect<Bytes, E, R>) => acquire,
  info: Effect.succeed(none)
})

const zero = (bytes: Uint8Array): void => {
  if (enabled) bytes.fill(0)
}

/**
 * How this process protects secret bytes at the moment.
 *
 * @since 0.2.0
 * @category process-wide
 */
export const getMemoryProtectionInfo = (): MemoryProtectionInfo => enabled ? zeroOnly : none

/**
 * Stops zeroing in the whole process, for debugging.
 *
 * @since 0.2.0
 * @category process-wide
 */
export const disableSecureMemory = (): void => {
  enabled = false
}

/**
 * Starts zeroing again after `disableSecureMemory`.
 *
 * @since 0.2.0
 * @category process-wide
 */
export const enableSecureMemory = (): void => {
  enabled = true
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

  /**
   * Takes charge of the buffer itself, not of a copy.
   *
   * @param data the secret bytes
   * @param secure `false` leaves the buffer as it is afterwards. Default `true`.
   */
  constructor(data: Uint8Array | ArrayBuffer, secure = true) {
    this.#bytes = data instanceof Uint8Array ? data : new Uint8Array(data)
    this.#secure = secure
  }

  /** Runs the callback with the bytes, awaits what it returns, and zeroes the bytes whether it succeeds or throws. */
  async use<A>(f: (bytes: Uint8Array) => A | PromiseLike<A>): Promise<A> {
    try {
      return await f(this.#bytes)
    } finally {
      if (this.#secure) zero(this.#bytes)
    }
  }
}
