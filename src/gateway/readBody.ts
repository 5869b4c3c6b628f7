import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import { readBounded } from "../internal/boundedBody.js"
import * as Bytes from "../internal/codecs/bytes.js"
import { Refusal } from "../openai/errors.js"
import { MAX_BODY_BYTES, notJson, tooLarge } from "../openai/requests.js"

/** Runs a function that throws a `Refusal`. */
export const attempt = <A>(evaluate: () => A): Effect.Effect<A, Refusal> =>
  Effect.try({
    try: evaluate,
    catch: (error) => {
      if (error instanceof Refusal) return error
      throw error
    }
  })

const decode = (bytes: Uint8Array): string => {
  try {
    return Bytes.toText(bytes)
  } catch {
    return notJson()
  }
}

const broken = () => new Refusal(400, "invalid_body", "The body ended before it was complete. Send it again")

/** The text of a request's body. Fails with a 413 if it is too large, with a 400 if it cannot be JSON. */
export const readBody: Effect.Effect<string, Refusal, HttpServerRequest.HttpServerRequest> = Effect.gen(
  function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const bytes = yield* Effect.mapError(Effect.interruptible(readBounded(request, MAX_BODY_BYTES)), broken)
    return yield* attempt(() => bytes === undefined ? tooLarge() : decode(bytes))
  }
)
