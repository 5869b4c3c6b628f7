/**
 * Errors as OpenAI's API states them: a status, headers that direct a tool's retries, a body. Pure, and
 * without Effect.
 */
import type { NomyoError } from "../NomyoError.js"

/** The part of a `NomyoError` that its HTTP form depends on. */
export interface Failure {
  readonly _tag: string
  readonly message: string
  readonly statusCode?: number | undefined
  readonly reason?: string | undefined
  /** In milliseconds. */
  readonly retryAfter?: number | undefined
  readonly payloadId?: string | undefined
  readonly attempts?: number | undefined
}

/** The body of an error, as the tools parse it. */
interface ErrorBody {
  readonly error: {
    readonly message: string
    readonly type: string
    /** The field of the request that is wrong, if it is one. */
    readonly param: string | null
    readonly code: string | null
  }
}

/** An error, ready to be an HTTP response. */
export interface ErrorAnswer {
  readonly status: number
  readonly headers: { readonly [name: string]: string }
  readonly body: ErrorBody
}

/** Thrown for a request that is refused before the client sees it. */
export class Refusal extends Error {
  readonly answer: ErrorAnswer
  constructor(status: number, code: string, message: string, param: string | null = null) {
    super(message)
    this.answer = errorAnswer(status, code, message, { param })
  }
}

const typeOf = (status: number): string => {
  if (status === 401) return "authentication_error"
  if (status === 403) return "permission_error"
  if (status === 429) return "rate_limit_error"
  return status < 500 ? "invalid_request_error" : "server_error"
}

/**
 * Tools wait for as long as they are asked to, up to this; beyond it they repeat at their own, much shorter,
 * intervals. In milliseconds.
 */
const LONGEST_WAIT = 60_000

const codes: { readonly [status: number]: string } = {
  401: "invalid_api_key",
  404: "not_found",
  429: "rate_limit_exceeded"
}

const isFinal = (status: number): boolean => status < 500 && status !== 429

const waitHeaders = (milliseconds: number): ErrorAnswer["headers"] => ({
  "retry-after": String(Math.ceil(milliseconds / 1000)),
  "retry-after-ms": String(Math.ceil(milliseconds))
})

const errorAnswer = (
  status: number,
  code: string | null,
  message: string,
  { attempts = 1, param = null, payloadId, retryAfter = 0, type = typeOf(status) }: {
    readonly type?: string
    readonly param?: string | null
    readonly payloadId?: string | undefined
    readonly retryAfter?: number | undefined
    readonly attempts?: number | undefined
  }
): ErrorAnswer => ({
  status,
  headers: {
    ...(isFinal(status) || retryAfter > LONGEST_WAIT || attempts > 1 ? { "x-should-retry": "false" } : {}),
    ...(retryAfter > 0 ? waitHeaders(retryAfter) : {}),
    ...(payloadId === undefined ? {} : { "x-request-id": payloadId })
  },
  body: { error: { message, type, param, code } }
})

/**
 * A `NomyoError` as OpenAI's API would answer it. HTTP errors keep their status. `SecurityError` and
 * `DisposedError` are a 400, which no tool repeats, with their reason as the code. A connection that failed
 * is a 502, a timeout a 504.
 */
export const answerOf = (error: Failure): ErrorAnswer => {
  const { message, reason, statusCode } = error
  const code = reason ?? null
  switch (error._tag) {
    case "SecurityError":
      return errorAnswer(400, code, message, { ...error, type: "security_error" })
    case "DisposedError":
      return errorAnswer(400, "disposed", message, error)
    case "APIConnectionError":
      return errorAnswer(reason === "timeout" ? 504 : 502, code, message, error)
  }
  // the router's "answer that is no completion" has the status 200
  const status = statusCode === undefined || statusCode < 400 ? 502 : statusCode
  return errorAnswer(status, codes[status] ?? null, message, error)
}

/** A tool that repeats some 4xx whatever `x-should-retry` says. */
interface Repeater {
  readonly userAgent: RegExp
  readonly repeats: (status: number) => boolean
  /** The status and the code that the tool takes for final instead. */
  readonly final: (status: number) => { readonly status: number; readonly code: string }
}

/** LangChain repeats every status but these (`STATUS_NO_RETRY` of `@langchain/core`). */
const FINAL_TO_LANGCHAIN = new Set([400, 401, 402, 403, 404, 405, 406, 407, 409, 413])

const repeaters: ReadonlyArray<Repeater> = [
  {
    userAgent: /\bai-sdk/,
    repeats: (status) => status === 408 || status === 409,
    // the AI SDK looks at nothing but the status
    final: (status) => ({ status: 400, code: `http_${status}` })
  },
  {
    userAgent: /\blangchainjs/,
    repeats: (status) => !FINAL_TO_LANGCHAIN.has(status),
    // the code that LangChain never repeats (`defaultFailedAttemptHandler` of `@langchain/core`)
    final: (status) => ({ status, code: "ECONNABORTED" })
  }
]

/**
 * The answer as a tool is to get it, by its `User-Agent`: a 4xx that the tool would repeat gets a code, or
 * for the AI SDK a status, that the tool does not repeat. The service locks out an API key that asks too
 * often.
 */
export const answerFor = (userAgent: string | null | undefined, answer: ErrorAnswer): ErrorAnswer => {
  const tool = repeaters.find((tool) => tool.userAgent.test(userAgent ?? ""))
  if (tool === undefined || !isFinal(answer.status) || !tool.repeats(answer.status)) return answer
  const { code, status } = tool.final(answer.status)
  return { ...answer, status, body: { error: { ...answer.body.error, code } } }
}

/** The names of all errors: the compiler asks for one that is missing. */
const names: { readonly [name in NomyoError["_tag"]]: true } = {
  APIError: true,
  InvalidRequestError: true,
  AuthenticationError: true,
  ForbiddenError: true,
  RateLimitError: true,
  ServerError: true,
  ServiceUnavailableError: true,
  APIConnectionError: true,
  SecurityError: true,
  DisposedError: true
}

/** Whether it is a `NomyoError`, of whatever copy of the package. */
export const isFailure = (error: unknown): error is Failure =>
  typeof error === "object" && error !== null && "_tag" in error && Object.hasOwn(names, String(error._tag))
