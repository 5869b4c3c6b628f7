import * as Effect from "effect/Effect"
import { makeTokens, type Token } from "../internal/httpGuard.js"
import type { HttpError } from "../NomyoError.js"
import { log } from "./logged.js"
import { refuse } from "./refuse.js"

/** Lets a request in by its `Authorization` header, or fails with a 401. Without keys everything comes in. */
export const makeAuthorize = (
  keys: ReadonlyArray<Token>
): Effect.Effect<(authorization: string | undefined) => Effect.Effect<void, HttpError>> =>
  Effect.map(makeTokens(keys), (find) =>
    Effect.fnUntraced(function*(authorization: string | undefined) {
      if (keys.length === 0) return
      const key = yield* find(authorization)
      if (key === undefined) return yield* refuse(401, "The API key is missing or not valid")
      yield* log({ key: key.label })
    }))
