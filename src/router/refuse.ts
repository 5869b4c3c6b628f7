import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { fromStatus } from "../internal/errors.js"
import type { HttpError } from "../NomyoError.js"
import { isUpstreamReason } from "../openai/upstreamReason.js"

/** Fails with the error of a status. The message is sent in the clear. */
export const refuse = (statusCode: number, message: string): Effect.Effect<never, HttpError> =>
  Effect.fail(fromStatus({ statusCode, message }))

const retryAfterHeaders = ({ retryAfter }: HttpError) =>
  retryAfter === undefined ? {} : { "retry-after": String(Math.ceil(retryAfter / 1000)) }

/** A failure as protocol 1.0 has it: `detail`, and the `reason` of a model server's failure. */
export const errorResponse = (error: HttpError): HttpServerResponse.HttpServerResponse => {
  const { errorDetails, message: detail, statusCode: status } = error
  const reason = Predicate.isRecord(errorDetails) ? errorDetails["reason"] : undefined
  return HttpServerResponse.unsafeJson(isUpstreamReason(reason) ? { detail, reason } : { detail }, {
    status,
    headers: retryAfterHeaders(error)
  })
}
