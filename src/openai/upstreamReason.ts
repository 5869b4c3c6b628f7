/**
 * Why a model server failed, as one of a closed list of reasons. A server's own words may repeat the prompt,
 * and the errors of a router travel in the clear: so a client gets the reason and a sentence of this module,
 * never those words.
 */

/** Meaning of a reason. */
interface Meaning {
  /** The status that the client gets. One that is retried only where a retry can help. */
  readonly status: number
  /** What happened and what to do. */
  readonly message: string
}

const table = {
  model_not_found: {
    status: 404,
    message: "The model server has no such model: pull the model there, or pass another --model"
  },
  upstream_not_found: {
    status: 404,
    message: "The model server has no chat completions at its URL: the router's operator checks --upstream"
  },
  upstream_unauthorized: {
    status: 424,
    message: "The model server refused the router's API key: its operator checks NOMYO_UPSTREAM_API_KEY"
  },
  upstream_quota_exceeded: {
    status: 402,
    message: "The router's account at the model server is used up: the router's operator adds credit"
  },
  context_length_exceeded: {
    status: 400,
    message: "The request is longer than the model's context: shorten messages, or lower max_tokens"
  },
  content_filter: {
    status: 400,
    message: "The model server's content filter refused the request: change messages"
  },
  unsupported_by_model: {
    status: 400,
    message: "The model does not support something in the request, such as tools or images: leave it out"
  },
  request_too_large: { status: 413, message: "The request is too large for the model server: shorten it" },
  invalid_request: {
    status: 400,
    message: "The model server found the request not valid: check its parameters"
  },
  rate_limited: { status: 429, message: "The model server has too many requests: wait, then try again" },
  upstream_out_of_memory: {
    status: 503,
    message: "The model server ran out of memory: try a smaller model or a shorter request"
  },
  upstream_invalid_output: {
    status: 424,
    message: "The model computed numbers that are not valid (NaN): try another model or another quantisation"
  },
  model_loading: { status: 503, message: "The model server is loading the model: try again in a moment" },
  upstream_overloaded: { status: 503, message: "The model server is busy or starting: try again later" },
  upstream_timeout: {
    status: 504,
    message: "The model server took too long by its own limit: try a shorter request"
  },
  upstream_failed: {
    status: 502,
    message: "The model server failed: try again; the router's log has the model server's reason"
  },
  upstream_refused: {
    status: 424,
    message: "The model server refused the request: the router's log has the model server's reason"
  },
  upstream_redirect: {
    status: 424,
    message: "The model server redirects, which is not followed: the router's operator checks --upstream"
  },
  upstream_unexpected_answer: {
    status: 424,
    message: "The model server's answer is no chat completion: the router's operator checks --upstream"
  },
  upstream_certificate: {
    status: 424,
    message: "The router does not trust the model server's TLS certificate: its operator checks --upstream"
  },
  upstream_unreachable: {
    status: 503,
    message: "The router does not reach the model server: its operator starts that, or checks --upstream"
  },
  upstream_connection_lost: {
    status: 502,
    message: "The model server closed the connection before its answer was complete: try again"
  }
} as const satisfies { readonly [reason: string]: Meaning }

/** Why a model server failed. */
export type UpstreamReason = keyof typeof table

export const isUpstreamReason = (text: unknown): text is UpstreamReason =>
  typeof text === "string" && Object.hasOwn(table, text)

/** The status and the sentence that a client gets for a reason. */
export const meaningOf = (reason: UpstreamReason): Meaning => table[reason]

/** Known facts of a failure. */
export interface UpstreamFailure {
  /** The HTTP status, if there was one. */
  readonly status?: number | undefined
  /** The system's code of a network failure. */
  readonly code?: string | undefined
  /** The server's own code. */
  readonly error?: UpstreamError | undefined
  /** For a 200: the body is not JSON, or not an object. */
  readonly isUnreadable?: boolean | undefined
}

/** The body of a failure, in whichever of the usual shapes it came. Empty texts where it said nothing. */
export interface UpstreamError {
  readonly type: string
  readonly code: string
  readonly message: string
}

const textOf = (value: unknown): string =>
  typeof value === "string" ? value : typeof value === "number" ? String(value) : ""

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * Within a list (Gemini), within `error` (OpenAI), as `error` (Ollama), as `detail` (FastAPI), or bare (older
 * vLLM).
 */
export const errorOf = (body: unknown): UpstreamError | undefined => {
  const outer = Array.isArray(body) ? body[0] : body
  if (!isRecord(outer)) return undefined
  const inner = isRecord(outer["error"]) ? outer["error"] : outer
  const texts = [inner["message"], outer["error"], outer["message"], outer["detail"], outer["title"]]
  const message = texts.map(textOf).find((text) => text !== "") ?? ""
  return { type: textOf(inner["type"] ?? inner["status"]), code: textOf(inner["code"]), message }
}

/** The first that a failure's words match decides. */
const wordings: ReadonlyArray<readonly [UpstreamReason, RegExp]> = [
  ["upstream_quota_exceeded", /insufficient_quota|quota_exceeded|billing|insufficient (credit|balance)/],
  ["context_length_exceeded", /context[_ ](length|window|size)|prompt is too long|too many tokens/],
  ["content_filter", /content[_ ](filter|policy)|moderation|responsible.?ai/],
  ["upstream_out_of_memory", /out of memory|\boom\b|more (system )?memory|(failed|unable) to allocate/],
  ["upstream_invalid_output", /\bnan\b|\binf\b|json compliant|unsupported value/],
  ["model_not_found", /model_not_found|invalid[_ ]model|unknown model|no such model/],
  ["model_not_found", /model\b.{0,200}\b(not found|does not exist|doesn't exist|is not available)/s],
  ["unsupported_by_model", /does not support|not supported|unsupported|not a multimodal/],
  ["model_loading", /loading|is being loaded|warming up/],
  ["upstream_overloaded", /overloaded|at capacity|no (available|healthy)|server busy/]
]

/** Reasons that words alone decide, for failures whose status says no more than "yours" or "mine". */
const worded = (
  failure: UpstreamFailure,
  ofThese?: ReadonlyArray<UpstreamReason>
): UpstreamReason | undefined => {
  const { code = "", message = "", type = "" } = failure.error ?? {}
  const said = `${code}\n${type}\n${message}`.toLowerCase()
  return wordings.find(([reason, words]) => ofThese?.includes(reason) !== false && words.test(said))?.[0]
}

const byStatus: { readonly [status: number]: UpstreamReason } = {
  401: "upstream_unauthorized",
  402: "upstream_quota_exceeded",
  403: "upstream_unauthorized",
  404: "upstream_not_found",
  405: "upstream_not_found",
  408: "upstream_timeout",
  413: "request_too_large",
  429: "rate_limited",
  501: "unsupported_by_model",
  503: "upstream_overloaded",
  504: "upstream_timeout",
  524: "upstream_timeout",
  529: "upstream_overloaded"
}

/** Refines a status by the words of its body. */
const narrowed: { readonly [status: number]: ReadonlyArray<UpstreamReason> } = {
  403: ["content_filter", "upstream_quota_exceeded"],
  404: ["model_not_found"],
  405: [],
  408: [],
  413: ["context_length_exceeded"],
  429: ["upstream_quota_exceeded"],
  503: ["upstream_out_of_memory", "model_loading"],
  504: []
}

const ofStatus = (status: number, failure: UpstreamFailure): UpstreamReason => {
  const known = byStatus[status]
  if (status === 401 || status === 402) return known!
  const word = worded(failure, narrowed[status])
  // 404 of a server that speaks of a model in other words
  if (status === 404 && /model/i.test(failure.error?.message ?? "")) return "model_not_found"
  if (word !== undefined || known !== undefined) return word ?? known!
  if (status >= 500) return "upstream_failed"
  return status === 400 || status === 422 ? "invalid_request" : "upstream_refused"
}

const certificateCode = /CERT|CRL|ISSUER|LEAF_SIGNATURE|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE/
const lostCode = /^(ECONNRESET|EPIPE|ECONNABORTED|HPE_|UND_ERR_SOCKET|TRUNCATED)/

/** The reason for a failure: of the status first, then of the words. */
export const reasonOf = (failure: UpstreamFailure): UpstreamReason => {
  const { code = "", error, isUnreadable, status } = failure
  if (status === undefined) {
    if (certificateCode.test(code)) return "upstream_certificate"
    return lostCode.test(code) ? "upstream_connection_lost" : "upstream_unreachable"
  }
  if (isUnreadable === true) return "upstream_unexpected_answer"
  // a browser-like `fetch` reports a redirect that it did not follow as 0
  if (status === 0 || (status >= 300 && status < 400)) return "upstream_redirect"
  if (status >= 400) return ofStatus(status, failure)
  const named = Number(error?.code)
  return named >= 400 && named < 600 ? ofStatus(named, failure) : worded(failure) ?? "upstream_failed"
}
