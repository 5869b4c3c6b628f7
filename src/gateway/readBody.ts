import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
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
  if (bytes.length > MAX_BODY_BYTES) return tooLarge()
  try {
    return Bytes.toText(bytes)
  } catch {
    return notJson()
  }
}

/** A body whose length is not announced may turn out too large, or break off. */
const broken = () =>
  new Refusal(413, "request_too_large", "The body is larger than 10 MiB, or ended before it was complete")

/** The text of a request's body. Fails with a 413 if it is too large, with a 400 if it cannot be JSON. */
export const readBody: Effect.Effect<string, Refusal, HttpServerRequest.HttpServerRequest> = Effect.gen(function*() {
  const request = yield* HttpServerRequest.HttpServerRequest
  // before it is read: what is refused with a response is answered, what breaks off is not
  if (Number(request.headers["content-length"] ?? 0) > MAX_BODY_BYTES) yield* attempt(tooLarge)
  const buffer = yield* Effect.mapError(Effect.interruptible(request.arrayBuffer), broken)
  return yield* attempt(() => decode(new Uint8Array(buffer)))
}).pipe(HttpServerRequest.withMaxBodySize(Option.some(MAX_BODY_BYTES)))
