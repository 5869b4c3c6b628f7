import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import { makeTokens, type Token } from "../internal/httpGuard.js"
import type { HttpError } from "../NomyoError.js"
import { refuse } from "./refuse.js"

/** The label of the API key that the request of this fiber came with, for the log. */
export const currentKeyLabel: FiberRef.FiberRef<string | undefined> = globalValue(
  "nomyo-js/router/currentKeyLabel",
  () => FiberRef.unsafeMake<string | undefined>(undefined)
)

/** Lets a request in by its `Authorization` header, or fails with a 401. Without keys everything comes in. */
export const makeAuthorize = (
  keys: ReadonlyArray<Token>
): Effect.Effect<(authorization: string | undefined) => Effect.Effect<void, HttpError>> =>
  Effect.map(makeTokens(keys), (find) =>
    Effect.fnUntraced(function*(authorization: string | undefined) {
      if (keys.length === 0) return
      const key = yield* find(authorization)
      if (key === undefined) return yield* refuse(401, "The API key is missing or not valid")
      yield* FiberRef.set(currentKeyLabel, key.label)
    }))
