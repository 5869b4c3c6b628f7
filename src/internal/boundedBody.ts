/** The body of a request to one of the servers, up to a limit. */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Bytes from "./codecs/bytes.js"

/**
 * Reads a body to its end, whatever its length, and keeps no more than the limit: a connection that is closed
 * in the middle of a body takes the response with it. `undefined` for a body beyond the limit.
 */
export const readBounded = Effect.fnUntraced(function*(
  { stream }: HttpServerRequest.HttpServerRequest,
  limit: number
) {
  const chunks: Array<Uint8Array> = []
  let length = 0
  const keep = (chunk: Uint8Array) => {
    length += chunk.length
    if (length <= limit) chunks.push(chunk)
    else chunks.length = 0
  }
  yield* Stream.runForEach(stream, (chunk) => Effect.sync(() => keep(chunk)))
  return length > limit ? undefined : Bytes.concat(chunks)
})
