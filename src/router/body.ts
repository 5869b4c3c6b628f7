import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ChatCompletion from "../ChatCompletion.js"
import { refuse } from "./refuse.js"

/** The largest payload in base64, and room for the rest of the envelope. */
const MAX_BODY_BYTES = Math.ceil(ChatCompletion.MAX_PAYLOAD_BYTES / 3) * 4 + 16 * 1024

const tooLarge = `The body is larger than ${MAX_BODY_BYTES} bytes`

/** The body of the request. Fails with a 413 if it is too large, or broken. */
export const body = Effect.gen(function*() {
  const request = yield* HttpServerRequest.HttpServerRequest
  if (Number(request.headers["content-length"] ?? 0) > MAX_BODY_BYTES) return yield* refuse(413, tooLarge)
  const buffer = yield* Effect.orElse(request.arrayBuffer, () => refuse(413, `${tooLarge}, or broken`))
  const bytes = new Uint8Array(buffer)
  // not every server enforces the limit it is given
  return bytes.length > MAX_BODY_BYTES ? yield* refuse(413, tooLarge) : bytes
}).pipe(HttpServerRequest.withMaxBodySize(Option.some(MAX_BODY_BYTES)))
