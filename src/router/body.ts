import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as ChatCompletion from "../ChatCompletion.js"
import { readBounded } from "../internal/boundedBody.js"
import { refuse } from "./refuse.js"

/** The largest payload in base64, and room for the rest of the envelope. */
const MAX_BODY_BYTES = Math.ceil(ChatCompletion.MAX_PAYLOAD_BYTES / 3) * 4 + 16 * 1024

/** The body of the request. Fails with a 413 if it is too large, with a 400 if it is broken. */
export const body = Effect.gen(function*() {
  const request = yield* HttpServerRequest.HttpServerRequest
  const bytes = yield* Effect.orElse(readBounded(request, MAX_BODY_BYTES), () =>
    refuse(400, "The body ended before it was complete. Send it again"))
  return bytes ?? (yield* refuse(413, `The body is larger than ${MAX_BODY_BYTES} bytes`))
})
