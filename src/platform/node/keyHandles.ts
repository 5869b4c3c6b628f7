/** Several WebCrypto keys for one private key, so that several threads can use it. */

/**
 * A pool of handles of one private key. Node runs one operation at a time on a handle, so a single handle
 * keeps one core busy. The pool copies the key when all handles are in use, up to a limit; further operations
 * wait in order.
 */
export class KeyHandles {
  readonly #free: Array<CryptoKey>
  readonly #copy: () => Promise<CryptoKey>
  readonly #limit: number
  readonly #waiting: Array<() => void> = []
  #inUse = 0

  constructor(first: CryptoKey, copy: () => Promise<CryptoKey>, limit: number) {
    this.#free = [first]
    this.#copy = copy
    this.#limit = limit
  }

  /**
   * Runs an operation with a handle of its own, at once if one is free. The result is `undefined` if the
   * operation is not wanted any more when a handle is free. A handle stays in use until the operation has
   * settled, although its caller may have gone.
   */
  async use<A>(
    operation: (handle: CryptoKey) => Promise<A>,
    isWanted: () => boolean
  ): Promise<A | undefined> {
    if (this.#inUse < this.#limit) this.#inUse++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    let handle: CryptoKey | undefined
    try {
      if (!isWanted()) return undefined
      handle = this.#free.pop() ?? await this.#copy()
      return await operation(handle)
    } finally {
      this.#giveBack(handle)
    }
  }

  #giveBack(handle: CryptoKey | undefined): void {
    if (handle !== undefined) this.#free.push(handle)
    const next = this.#waiting.shift()
    if (next === undefined) this.#inUse--
    else next()
  }
}
