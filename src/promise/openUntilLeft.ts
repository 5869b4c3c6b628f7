import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import type { NomyoClient } from "../NomyoClient.js"
import type { InvalidRequestError } from "../NomyoError.js"
import type { ClientRuntime } from "./ClientRuntime.js"

/** A resource of a loop. */
export interface UntilLeft<A> {
  /** Resolves to the resource. Rejects if that cannot be opened. */
  readonly opened: Promise<A>
  /** Closes the resource. Rejects if an abort or the end of the client closed it first. */
  readonly leave: () => Promise<void>
}

/** Opens a resource in a scope of its own, which closes when the reader leaves the loop. */
export const openUntilLeft = <A, O extends { readonly signal: AbortSignal | undefined }>(
  runtime: ClientRuntime,
  read: Either.Either<O, InvalidRequestError>,
  open: (options: O) => Effect.Effect<A, unknown, NomyoClient | Scope.Scope>
): UntilLeft<A> => {
  const left = Effect.unsafeMakeLatch()
  let end = Promise.resolve()
  const opened = new Promise<A>((resolve, reject) => {
    end = runtime.call(read, (options) =>
      Effect.scoped(Effect.zipRight(Effect.map(open(options), resolve), left.await)))
    end.catch(reject)
  })
  return {
    opened,
    leave: () => {
      left.unsafeOpen()
      return end
    }
  }
}
