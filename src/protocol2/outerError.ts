import { fromStatus } from "../internal/errors.js"
import type { TransportError } from "../Transport.js"

/**
 * The longest wait that an outer answer may ask for, in milliseconds (protocol 2, 8): anybody may forge one.
 */
const LONGEST_WAIT = 60_000

/** The error of an answer that was not encrypted: anybody on the path may have made it. */
export const asUnauthenticated = (error: TransportError): TransportError => {
  if (!("statusCode" in error)) return error
  const { _tag, retryAfter, ...fields } = error
  return fromStatus({
    ...fields,
    message: error.message,
    retryAfter: retryAfter === undefined ? undefined : Math.min(retryAfter, LONGEST_WAIT),
    authenticated: false
  })
}
