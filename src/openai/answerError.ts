/** The error that a model server put into a 200 in place of an answer. */
import { fromStatus } from "../internal/errors.js"
import { APIError, type HttpError } from "../NomyoError.js"
import { isObject, type JsonObject } from "./looseJson.js"

/**
 * The reasons that are shown, and the statuses they stand for. A list that is closed: a server's own words
 * may repeat the prompt. A status of the model server's own access (401, 403) is a 502 here, since it says
 * nothing of the client's API key.
 */
const REASONS = new Map<unknown, number>([
  ["model_not_found", 404],
  ["context_length_exceeded", 400],
  ["content_filter", 400],
  ["content_policy_violation", 400],
  ["invalid_request_error", 400],
  ["insufficient_quota", 402],
  ["rate_limit_exceeded", 429],
  ["rate_limit_error", 429],
  ["invalid_api_key", 502],
  ["authentication_error", 502],
  ["server_error", 500],
  ["internal_server_error", 500],
  ["overloaded_error", 503],
  ["overloaded", 503]
])

const statusOf = (error: JsonObject): number | undefined => {
  const status = [error["code"], error["status"], error["status_code"], error["http_code"]].map(Number)
    .find((code) => Number.isInteger(code) && code >= 400 && code <= 599)
  return status === 401 || status === 403 ? 502 : status
}

/**
 * The typed error. Its message has the status and the reason, if that is a known one, and nothing of the
 * server's own words.
 */
export const answerError = (said: unknown): HttpError => {
  const error = isObject(said) ? said : {}
  const reason = [error["code"], error["type"], error["error_type"]].find((name) => REASONS.has(name))
  const statusCode = statusOf(error) ?? REASONS.get(reason)
  const shown = [reason, statusCode === undefined ? undefined : `status ${statusCode}`].filter((part) =>
    part !== undefined
  )
  const message = `The model server sent an error in place of an answer${
    shown.length === 0 ? "" : `: ${shown.join(", ")}`
  }`
  return statusCode === undefined
    ? new APIError<"APIError">({ statusCode: 200, message })
    : fromStatus({ statusCode, message })
}
