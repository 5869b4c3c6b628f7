/** Zeroes secret bytes that come in several parts. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { SecureMemory } from "../SecureMemory.js"
import * as Bytes from "./codecs/bytes.js"
import { bracket } from "./fibers/acquire.js"

type Secrets = Array<Uint8Array<ArrayBuffer>>

export const zeroAll = (secrets: Iterable<Uint8Array>): void => {
  for (const secret of secrets) secret.fill(0)
}

/** Collects secrets for one effect, and zeroes them when it ends, however it ends. */
export const zeroing = <A, E, R>(use: (secrets: Secrets) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  bracket((): Secrets => [], use, zeroAll)

/** Joins secrets in secure memory, which is zeroed when the scope closes. */
export const joinSecrets = (
  secrets: Secrets
): Effect.Effect<Uint8Array<ArrayBuffer>, never, Scope.Scope | SecureMemory> =>
  Effect.flatMap(SecureMemory, ({ allocate }) =>
    Effect.tap(allocate(Bytes.lengthOf(secrets)), (bytes) => Bytes.copyInto(bytes, secrets)))

/** Collects secrets that are the effect's result, and zeroes them unless it succeeds. */
export const zeroingOnError = <A, E, R>(
  collect: (secrets: Secrets) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const secrets: Secrets = []
    const zeroed = Effect.sync(() => zeroAll(secrets))
    return Effect.onError(collect(secrets), () => zeroed)
  })
