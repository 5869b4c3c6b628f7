/**
 * Refuses a request before it is sent if nobody can send or mean it. All else is the
 * model server's to judge, since it knows what its model takes.
 */
import { misspelled } from "../internal/closestName.js"
import type { SecurityTier } from "./chatRequest.js"
import { isObject, type JsonObject } from "./looseJson.js"
import { type SourceText, sourceTextOf } from "./sourceText.js"

/** The fields that direct a request and are not part of its payload. */
const DIRECTING = ["api_key", "base_url", "security_tier"] as const

const NO_OBJECT = "The request must be an object such as { model, messages }"

const NO_MODEL = "model must be a model id such as \"Qwen/Qwen3-0.6B\""

const NO_MESSAGES = "messages must be a non-empty array of { role, content }"

const TIERS = new Set<unknown>(["standard", "high", "maximum"])

/**
 * The directing field that a name was meant for, if it is none itself: `apiKey`, `base-url`,
 * `securtiy_tier`.
 */
const meantFor = (name: string): string | undefined =>
  (DIRECTING as ReadonlyArray<string>).includes(name) ? undefined : misspelled(name, DIRECTING)

const checkDirecting = (request: JsonObject): string | undefined => {
  for (const name of Object.keys(request)) {
    const field = meantFor(name)
    if (field !== undefined) return `Unknown request field ${name}. Did you mean ${field}?`
  }
  for (const field of ["api_key", "base_url"] as const) {
    if (typeof (request[field] ?? "") !== "string") return `${field} must be a string`
  }
  const tier = request["security_tier"] ?? "standard"
  return TIERS.has(tier) ? undefined : "security_tier must be \"standard\", \"high\" or \"maximum\""
}

const checkExtraBody = (extra: unknown): string | undefined => {
  if (extra === undefined || extra === null) return undefined
  if (!isObject(extra)) return "extra_body must be an object"
  const field = Object.keys(extra).find((name) =>
    (DIRECTING as ReadonlyArray<string>).includes(name) || meantFor(name) !== undefined
  )
  return field === undefined
    ? undefined
    : `extra_body.${field} would reach the model server. Move it to the request itself`
}

/**
 * Says which field of a payload makes it no chat completion, and nothing of its value. Fails for no model,
 * no messages, or a message that is no object.
 */
export const checkPayload = (payload: unknown): string | undefined => {
  if (!isObject(payload)) return NO_OBJECT
  const { messages, model } = payload
  if (typeof model !== "string" || model === "") return NO_MODEL
  if (!Array.isArray(messages) || messages.length === 0) return NO_MESSAGES
  const at = messages.findIndex((message) => !isObject(message))
  return at < 0 ? undefined : `messages[${at}] must be an object such as { role, content }`
}

/** A request taken apart. */
export interface Parts {
  /** The payload for the model server. */
  readonly payload: JsonObject
  readonly api_key: string | undefined
  readonly base_url: string | undefined
  readonly security_tier: SecurityTier | undefined
  /** Source text of the payload's members, if known. Members of `extra_body` have no source text. */
  readonly source: SourceText | undefined
}

/**
 * Takes a request apart, or says what is wrong with it. Only its own fields count: what a polluted
 * `Object.prototype` has would lead the prompt and the key elsewhere. `stream` goes out with
 * `stream_options`, which servers refuse without it.
 */
export const takeApart = (request: unknown): Parts | string => {
  if (!isObject(request)) return NO_OBJECT
  const own: JsonObject = Object.assign(Object.create(null), request)
  const problem = checkDirecting(own) ?? checkExtraBody(own["extra_body"])
  if (problem !== undefined) return problem
  const { api_key, base_url, extra_body, security_tier, stream: _, stream_options: __, ...payload } = own
  if (isObject(extra_body)) {
    const { stream: _, stream_options: __, ...extra } = extra_body
    for (const [name, value] of Object.entries(extra)) {
      Object.defineProperty(payload, name, { value, writable: true, enumerable: true, configurable: true })
    }
  }
  return checkPayload(payload) ?? {
    payload,
    // as `checkDirecting` has found them
    api_key: (api_key ?? undefined) as string | undefined,
    base_url: (base_url ?? undefined) as string | undefined,
    security_tier: (security_tier ?? undefined) as SecurityTier | undefined,
    source: isObject(extra_body) ? undefined : sourceTextOf(request)
  }
}
