import {
  APIError,
  AuthenticationError,
  ForbiddenError,
  type HttpContext,
  type HttpError,
  InvalidRequestError,
  type NomyoError,
  RateLimitError,
  ServerError,
  ServiceUnavailableError
} from "../NomyoError.js"

/** The classes of the statuses that have one; `APIError` stands for all other statuses. */
const byStatus: { readonly [status: number]: new(context: HttpContext) => HttpError } = {
  400: InvalidRequestError,
  401: AuthenticationError,
  403: ForbiddenError,
  429: RateLimitError,
  500: ServerError,
  503: ServiceUnavailableError
}

/** The error that stands for an HTTP status. */
export const fromStatus = (context: HttpContext & { readonly statusCode: number }): HttpError => {
  const Class = byStatus[context.statusCode]
  return Class === undefined ? new APIError<"APIError">(context) : new Class(context)
}

/** A copy of an error with further fields. */
export const copyWith = <E extends NomyoError>(error: E, fields: object): E => {
  const Class = error.constructor as new(context: object) => E
  const { _tag, ...own } = error
  return new Class({ ...own, message: error.message, ...fields })
}

/**
 * A copy of an error with the request's id and number of attempts. Concurrent requests may share the
 * original.
 */
export const withRequest = <E extends NomyoError>(
  error: E,
  request: { readonly payloadId: string; readonly attempts: number }
): E => copyWith(error, request)
