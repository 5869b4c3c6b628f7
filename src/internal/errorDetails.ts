/**
 * Keeps the parts of a router's error body that repeat nothing of the request. FastAPI's
 * validation errors hold the offending `input`, for example, which may be a prompt.
 */
import { isUpstreamReason, type UpstreamReason } from "../openai/upstreamReason.js"

/** One entry of FastAPI's list of validation errors. */
interface ValidationError {
  readonly loc?: ReadonlyArray<string | number>
  readonly msg?: string
  readonly type?: string
}

/** The `errorDetails` of an error for an HTTP status. */
export interface ErrorDetails {
  readonly detail?: string | ReadonlyArray<ValidationError>
  readonly reason?: UpstreamReason
}

/** Replaces what no error may hold. */
type Clean = (text: string) => string

/** The most validation errors that are kept, and the most steps of a path to one. */
const MAX_ENTRIES = 100
const MAX_STEPS = 32

type Fields = { readonly [name: string]: unknown }

const ownFields = (value: unknown): Fields | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.assign(Object.create(null) as Fields, value)
    : undefined

const stepsOf = (loc: ReadonlyArray<unknown>, clean: Clean): ReadonlyArray<string | number> =>
  loc.slice(0, MAX_STEPS)
    .filter((step) => typeof step === "string" || typeof step === "number")
    .map((step) => typeof step === "string" ? clean(step) : step)

const entryOf = (value: unknown, clean: Clean): ReadonlyArray<ValidationError> => {
  const fields = ownFields(value)
  if (fields === undefined) return []
  const { loc, msg, type } = fields
  return [{
    ...(Array.isArray(loc) ? { loc: stepsOf(loc, clean) } : {}),
    ...(typeof msg === "string" ? { msg: clean(msg) } : {}),
    ...(typeof type === "string" ? { type: clean(type) } : {})
  }]
}

const detailOf = (detail: unknown, clean: Clean): ErrorDetails => {
  if (typeof detail === "string") return { detail: clean(detail) }
  if (!Array.isArray(detail)) return {}
  return { detail: detail.slice(0, MAX_ENTRIES).flatMap((entry) => entryOf(entry, clean)) }
}

/**
 * Of a parsed error body its `detail`, as text or as a list of `loc`, `msg` and `type`, and its `reason` if
 * that is one of the closed list. `undefined` if it has neither.
 */
export const safeDetails = (body: unknown, clean: Clean): ErrorDetails | undefined => {
  const fields = ownFields(body)
  if (fields === undefined) return undefined
  const { detail, reason } = fields
  const kept = { ...detailOf(detail, clean), ...(isUpstreamReason(reason) ? { reason } : {}) }
  return Object.keys(kept).length === 0 ? undefined : kept
}

/**
 * A sentence for a message, or "". Without control characters and overrides of the direction of text, either
 * of which could deceive the reader of a terminal.
 */
export const describeDetails = (details: ErrorDetails | undefined): string => {
  const { detail } = details ?? {}
  const [first] = typeof detail === "string" ? [] : detail ?? []
  const text = typeof detail === "string"
    ? detail
    : [first?.loc?.join("."), first?.msg].filter(Boolean).join(": ")
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/g, " ")
}
