import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { fromStatus } from "../internal/errors.js"
import type { HttpError } from "../NomyoError.js"
import { isUpstreamReason } from "../openai/upstreamReason.js"

/** Fails with the error of a status. The message is sent in the clear. */
export const refuse = (statusCode: number, message: string): Effect.Effect<never, HttpError> =>
  Effect.fail(fromStatus({ statusCode, message }))

/** The header of the wait that a failure asks for, if it asks for one. */
export const retryAfterHeaders = ({ retryAfter }: HttpError): { readonly [name: string]: string } =>
  retryAfter === undefined ? {} : { "retry-after": String(Math.ceil(retryAfter / 1000)) }

/** The body of a failure: `detail`, and the `reason` of a model server's failure. */
export const errorBody = ({ errorDetails, message: detail }: HttpError) => {
  const reason = Predicate.isRecord(errorDetails) ? errorDetails["reason"] : undefined
  return isUpstreamReason(reason) ? { detail, reason } : { detail }
}

/** A failure as protocol 1.0 has it. */
export const errorResponse = (error: HttpError): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.unsafeJson(errorBody(error), {
    status: error.statusCode,
    headers: retryAfterHeaders(error)
  })
