/** The body of `POST /chat/completions`, as a request of the client. */
import { Refusal } from "./errors.js"
import * as Json from "./json.js"
import { withSourceText } from "./sourceText.js"

interface JsonObject {
  readonly [name: string]: unknown
}

/** A request in two parts: the client's request, and the form of the answer. */
export interface Mapped {
  readonly request: JsonObject
  readonly stream: boolean
  readonly includeUsage: boolean
}

/** The largest body that is read, in bytes: the service takes no larger payload. */
export const MAX_BODY_BYTES = 10 * 1024 * 1024

/** Throws the refusal of a body that is not a JSON object. */
export const notJson = (): never => {
  throw new Refusal(400, "invalid_json", "The body must be a JSON object such as { model, messages }")
}

/** Throws the refusal of a body over the limit. */
export const tooLarge = (): never => {
  const message = "The body is larger than 10 MiB. Shorten it; messages is usually the largest field"
  throw new Refusal(413, "request_too_large", message)
}

const invalid = (param: string, message: string): never => {
  throw new Refusal(400, "invalid_value", message, param)
}

/** A body may be anybody's: these fields would direct the client elsewhere. */
const REFUSED = ["base_url", "api_key"]

const parse = (text: string): JsonObject => {
  let body: unknown
  try {
    body = Json.parse(text)
  } catch {
    return notJson()
  }
  return typeof body === "object" && body !== null && !Array.isArray(body) ? body as JsonObject : notJson()
}

/** Options of a request beside its body. */
interface Given {
  /** Goes to the router in place of the client's own. */
  readonly apiKey?: string | undefined
  /** The model, if the body names none. */
  readonly deployment?: string | undefined
  /** The security tier, if the body names none. */
  readonly securityTier?: string | undefined
}

/** The fields of an object whose value is known. */
const known = (fields: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

/**
 * Reads a body. `stream` and `stream_options` do not reach the client: they say how to shape its answer.
 * Throws a `Refusal` if it is not a JSON object, and for `base_url` and `api_key`, and for a `stream` or
 * `stream_options` of the wrong type. The client checks the rest, and sends it as it is written here.
 */
export const mapRequest = (text: string, { apiKey, deployment, securityTier }: Given): Mapped => {
  const { stream = null, stream_options = null, ...rest } = parse(text)
  for (const name of REFUSED) {
    if (!Object.hasOwn(rest, name)) continue
    const message = `${name} is not allowed in a body. Remove it; the client's or the proxy's options set it`
    throw new Refusal(400, "unsupported_parameter", message, name)
  }
  if (stream !== null && typeof stream !== "boolean") invalid("stream", "stream must be true or false")
  if (typeof stream_options !== "object") invalid("stream_options", "stream_options must be an object")
  const request = {
    ...known({ model: deployment, security_tier: securityTier }),
    ...rest,
    ...known({ api_key: apiKey })
  }
  return {
    request: withSourceText(request, text),
    stream: stream === true,
    includeUsage: (stream_options as { readonly include_usage?: unknown } | null)?.include_usage === true
  }
}
