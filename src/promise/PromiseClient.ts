/**
 * What the Promise classes have in common: the client's keys, and its end.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import type { PublicKey } from "../Crypto.js"
import { NomyoClient } from "../NomyoClient.js"
import type { ClientRuntime } from "./ClientRuntime.js"

/**
 * @since 0.2.0
 * @category classes
 */
export abstract class PromiseClient {
  readonly #runtime: ClientRuntime

  /** @internal */
  constructor(runtime: ClientRuntime) {
    this.#runtime = runtime
  }

  /**
   * Loads or makes the client's key pair, which the first request would otherwise wait for. Resolves to its
   * public key.
   */
  ready(): Promise<PublicKey> {
    return this.#runtime.run(Effect.flatMap(NomyoClient, (client) => client.ready))
  }

  /** Replaces the client's key pair now. Requests in flight are answered under the old pair. */
  rotateKeys(): Promise<PublicKey> {
    return this.#runtime.run(Effect.flatMap(NomyoClient, (client) => client.rotateKeys))
  }

  /**
   * Removes the client's key pair, also from where it is stored; the next request makes another. Requests in
   * flight are answered. Earlier pairs that `keyHistory` keeps stay.
   */
  forgetKeys(): Promise<void> {
    return this.#runtime.run(Effect.flatMap(NomyoClient, (client) => client.forgetKeys))
  }

  /**
   * Ends the client: zeroes its keys and stops their rotation. Calls in flight and later ones reject with a
   * `DisposedError`. May be called more than once.
   */
  dispose(): void {
    void this.#runtime.dispose()
  }

  /** Disposes the client at the end of a block with `using`. */
  [Symbol.dispose](): void {
    this.dispose()
  }

  /**
   * Disposes the client at the end of a block with `await using`, and waits until everything in flight has
   * ended.
   */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#runtime.dispose()
  }
}
