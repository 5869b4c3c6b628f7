/**
 * Base of the Promise classes: key management and disposal.
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

  /** Loads or creates the client's key pair before the first request needs it. Resolves to the public key. */
  ready(): Promise<PublicKey> {
    return this.#runtime.run(Effect.flatMap(NomyoClient, (client) => client.ready))
  }

  /** Replaces the client's key pair now. Requests in flight finish under the old pair. */
  rotateKeys(): Promise<PublicKey> {
    return this.#runtime.run(Effect.flatMap(NomyoClient, (client) => client.rotateKeys))
  }

  /**
   * Deletes the client's key pair, also from storage. The next request creates another. Requests in flight
   * finish. Earlier pairs that `keyHistory` keeps remain.
   */
  forgetKeys(): Promise<void> {
    return this.#runtime.run(Effect.flatMap(NomyoClient, (client) => client.forgetKeys))
  }

  /**
   * Closes the client: releases its keys and stops their rotation. Calls in flight and later calls reject
   * with a `DisposedError`. You may call it more than once.
   */
  dispose(): void {
    void this.#runtime.dispose()
  }

  /** Disposes the client at the end of a block with `using`. */
  [Symbol.dispose](): void {
    this.dispose()
  }

  /**
   * Disposes the client at the end of a block with `await using`, and waits until all calls in flight have
   * rejected with a `DisposedError`.
   */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#runtime.dispose()
  }
}
