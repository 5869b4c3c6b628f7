/**
 * The ten ways a request can fail.
 *
 * Each is a real `Error` whose `_tag` equals its class name, so `Effect.catchTag` and `instanceof` both
 * narrow. They are not yieldable: write `Effect.fail(error)`, not `yield* error`, in Effect 3 and 4. An error
 * has only the fields declared here. It never holds a request, header, prompt, answer or key, so you can log
 * or serialise it whole.
 *
 * @since 0.2.0
 */

/**
 * The fields that every error may have.
 *
 * @since 0.2.0
 * @category models
 */
export interface Context {
  /** What happened, to what, and what to do. Holds no secret. */
  readonly message: string
  /** The `X-Payload-ID` of the request; absent if the request failed before it had one. */
  readonly payloadId?: string | undefined
  /** Number of attempts; absent if the client refused the request before the first one. */
  readonly attempts?: number | undefined
}

/**
 * The fields of an error that stands for an HTTP status.
 *
 * @since 0.2.0
 * @category models
 */
export interface HttpContext extends Context {
  /** The HTTP status. Default: the status of the class, such as 400 for `InvalidRequestError`. */
  readonly statusCode?: number | undefined
  /**
   * The router's JSON error body, parsed. Absent without a body, and for a body over 64 KiB or nested over 32
   * levels.
   */
  readonly errorDetails?: unknown
  /** How long the router asks you to wait before the next attempt, in milliseconds. */
  readonly retryAfter?: number | undefined
  /**
   * `true` if the router sent the error encrypted. `false` if anyone on the path may have sent it. Absent
   * under protocol 1.0.
   */
  readonly authenticated?: boolean | undefined
}

/** Base of the ten classes: keeps its fields, in JSON too. */
abstract class Failure<Fields extends Context> extends Error {
  abstract readonly _tag: string
  declare readonly payloadId?: string | undefined
  declare readonly attempts?: number | undefined
  constructor(context: Fields) {
    super(context.message)
    Object.assign(this, context)
  }
  toJSON(): object {
    return { ...this, message: this.message }
  }
}

/** An `APIError` needs a status; the classes made of it have one of their own. */
interface HttpFields extends HttpContext {
  readonly statusCode: number
}

/**
 * The router answered with an HTTP error status. Base class of the errors for 400, 401, 403, 429, 500 and
 * 503, and the class of all other statuses.
 *
 * @since 0.2.0
 * @category errors
 */
export class APIError<Tag extends string = "APIError"> extends Failure<HttpFields> {
  /** The name of the class. */
  static readonly tag: string = "APIError"
  static {
    this.prototype.name = this.tag
  }
  /** The name of the error's class, for `Effect.catchTag` and `switch`. */
  readonly _tag: Tag
  /** The HTTP status. */
  declare readonly statusCode: number
  /**
   * The router's JSON error body, parsed. Absent without a body, and for a body over 64 KiB or nested over 32
   * levels.
   */
  declare readonly errorDetails?: unknown
  /** How long the router asks you to wait before the next attempt, in milliseconds. */
  declare readonly retryAfter?: number | undefined
  /**
   * `true` if the router sent the error encrypted. `false` if anyone on the path may have sent it. Absent
   * under protocol 1.0.
   */
  declare readonly authenticated?: boolean | undefined
  constructor(context: HttpFields) {
    super(context)
    this._tag = new.target.tag as Tag
  }
}

/** The constructor of an `APIError` whose status is known from its class. */
const httpError = <const Tag extends string>(
  tag: Tag,
  statusCode: number
): new(context: HttpContext) => APIError<Tag> =>
  class extends APIError<Tag> {
    static override readonly tag = tag
    static {
      this.prototype.name = tag
    }
    constructor(context: HttpContext) {
      super({ ...context, statusCode: context.statusCode ?? statusCode })
    }
  }

/**
 * 400: the request is invalid. The client also throws it before it sends anything, for an invalid request or
 * option. Then the message names the field, and `attempts` is undefined.
 *
 * @since 0.2.0
 * @category errors
 */
export class InvalidRequestError extends httpError("InvalidRequestError", 400) {}

/**
 * 401: the API key is missing or wrong.
 *
 * @since 0.2.0
 * @category errors
 */
export class AuthenticationError extends httpError("AuthenticationError", 401) {}

/**
 * 403: the model is not allowed for the security tier or for this API key.
 *
 * @since 0.2.0
 * @category errors
 */
export class ForbiddenError extends httpError("ForbiddenError", 403) {}

/**
 * 429: too many requests, after all retries. If the router asks for more than 60 seconds (`retryAfter`), the
 * call fails at once.
 *
 * @since 0.2.0
 * @category errors
 */
export class RateLimitError extends httpError("RateLimitError", 429) {}

/**
 * 500: the router failed, after all retries.
 *
 * @since 0.2.0
 * @category errors
 */
export class ServerError extends httpError("ServerError", 500) {}

/**
 * 503: no backend is available, after all retries.
 *
 * @since 0.2.0
 * @category errors
 */
export class ServiceUnavailableError extends httpError("ServiceUnavailableError", 503) {}

/**
 * Why the network gave no usable answer:
 *
 * - `network`: no connection could be made, or the connection was lost before the answer began
 * - `cors`: in a browser, the router answers but does not let this page read the answer
 * - `truncated`: the answer ended early
 * - `protocol`: the answer was not HTTP
 * - `timeout`: the attempt took longer than `timeout`, or a stream was silent for longer than `idleTimeout`
 *
 * @since 0.2.0
 * @category models
 */
export type ConnectionReason = "network" | "cors" | "truncated" | "protocol" | "timeout"

/**
 * No complete answer, after all retries: the network failed, or the attempt timed out. The router may or may
 * not have processed the request.
 *
 * @since 0.2.0
 * @category errors
 */
export class APIConnectionError extends Failure<Context & { readonly reason: ConnectionReason }> {
  static {
    this.prototype.name = "APIConnectionError"
  }
  /** The name of the error's class, for `Effect.catchTag` and `switch`. */
  readonly _tag = "APIConnectionError"
  /** Why the network gave no usable answer. */
  declare readonly reason: ConnectionReason
}

/**
 * Which security rule ended the request:
 *
 * - `plain-http`: the URL is not HTTPS and `allowHttp` is off
 * - `untrusted-url`: a request's `base_url` is not in `trustedBaseUrls`, and the request has no API key
 * of its own
 * - `url-credentials`: the URL carries a user name or password
 * - `header`: an API key or payload id holds a character that a header cannot carry
 * - `redirect`: the router answered with a redirect, which the client never follows
 * - `certificate`: the router's TLS certificate is not trusted
 * - `router-key`: the router's published key is not an RSA public key of at least 2048 bits
 * - `router-key-pin`: the router's key is not pinned
 * - `response-too-large`: the answer is larger than the limit
 * - `envelope`: the answer could not be opened: not an envelope, not sealed to this client, or altered
 * - `replay`: the answer belongs to another request
 * - `encryption`: the request could not be sealed
 * - `client-key`: the client's key pair could not be created, read or stored
 * - `key-permissions`: users other than the owner can read the private key file
 * - `key-password`: a key file's password is missing or wrong, or the file is damaged
 * - `unsupported`: this platform has no such feature
 *
 * @since 0.2.0
 * @category models
 */
export type SecurityReason =
  | "plain-http"
  | "untrusted-url"
  | "url-credentials"
  | "header"
  | "redirect"
  | "certificate"
  | "router-key"
  | "router-key-pin"
  | "response-too-large"
  | "envelope"
  | "replay"
  | "encryption"
  | "client-key"
  | "key-permissions"
  | "key-password"
  | "unsupported"

/**
 * Continuing was unsafe: `reason` says which rule was broken. The client never retries it.
 *
 * @since 0.2.0
 * @category errors
 */
export class SecurityError extends Failure<Context & { readonly reason: SecurityReason }> {
  static {
    this.prototype.name = "SecurityError"
  }
  /** The name of the error's class, for `Effect.catchTag` and `switch`. */
  readonly _tag = "SecurityError"
  /** Which security rule ended the request. */
  declare readonly reason: SecurityReason
}

/**
 * The client was disposed before or during the call.
 *
 * @since 0.2.0
 * @category errors
 */
export class DisposedError extends Failure<Context> {
  static {
    this.prototype.name = "DisposedError"
  }
  /** The name of the error's class, for `Effect.catchTag` and `switch`. */
  readonly _tag = "DisposedError"
  constructor(context: Context = { message: "The client is disposed. Create another one" }) {
    super(context)
  }
}

/**
 * The errors that stand for an HTTP status.
 *
 * @since 0.2.0
 * @category models
 */
export type HttpError =
  | APIError
  | InvalidRequestError
  | AuthenticationError
  | ForbiddenError
  | RateLimitError
  | ServerError
  | ServiceUnavailableError

/**
 * Every error that a request can fail with.
 *
 * @since 0.2.0
 * @category models
 */
export type NomyoError = HttpError | APIConnectionError | SecurityError | DisposedError

/**
 * The base class of the ten errors, for `instanceof`: it narrows to their union. You cannot construct it.
 *
 * @example
 * import { NomyoError, SecureChatCompletion } from "nomyo-js"
 *
 * const client = new SecureChatCompletion({ apiKey: process.env.NOMYO_API_KEY })
 * try {
 *   await client.create({ model: "Qwen/Qwen3-0.6B", messages: [{ role: "user", content: "Good morning!" }] })
 * } catch (error) {
 *   if (!(error instanceof NomyoError)) throw error
 *   console.error(error._tag, error.payloadId, error.message)
 * }
 *
 * @since 0.3.0
 * @category errors
 */
export const NomyoError: abstract new(context: never) => NomyoError = Failure as never

/**
 * Whether a value is one of the ten errors.
 *
 * @since 0.3.0
 * @category guards
 */
export const isNomyoError = (value: unknown): value is NomyoError => value instanceof NomyoError
