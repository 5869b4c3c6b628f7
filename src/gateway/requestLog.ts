/** One line in the log for each request. */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"

/** Log fields of a request, filled while it is answered. */
export interface Entry {
  /** Of an error, or of a response that is complete. */
  status: number | undefined
  payloadId: string | undefined
}

/** Notes that a stream has reached its end. The status of an error in it stays. */
export const markEnd = (entry: Entry): Effect.Effect<void> =>
  Effect.sync(() => {
    entry.status ??= 200
  })

/** The status that servers log after a client disconnects. */
const CLIENT_LEFT = 499

const KNOWN = /^(?:\/v1)?(?:\/|\/chat\/completions|\/models|\/health)?\/?$/

/** Calls of OpenAI's and Ollama's APIs that tools try. Any other name may be one that the user made up. */
const APIS = new Set([
  "api",
  "assistants",
  "audio",
  "batches",
  "completions",
  "embeddings",
  "files",
  "images",
  "messages",
  "moderations",
  "responses",
  "threads"
])

/**
 * A path as the log shows it: without a query, a model's name, or anything else that is not in a closed list.
 */
export const pathForLog = (url: string): string => {
  const path = url.split("?")[0]!
  if (KNOWN.test(path)) return path
  const [, version = "", api = "", rest = ""] = /^(\/v1)?\/([a-z]+)(\/.*)?$/.exec(path) ?? []
  if (api === "models" && rest !== "") return `${version}/models/{id}`
  if (/^\/openai\/deployments\/.+\/chat\/completions\/?$/.test(path)) {
    return "/openai/deployments/{model}/chat/completions"
  }
  return APIS.has(api) ? `${version}/${api}${rest === "" ? "" : "/..."}` : `${version}/...`
}

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

/**
 * Runs an app for a request, and logs method, path, status, milliseconds and payload id when its response has
 * been sent or its client has left. The status of a stream that ends in an error is the error's.
 */
export const withRequestLog = <E, R>(
  app: (entry: Entry) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
): Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  E,
  R | HttpServerRequest.HttpServerRequest | Scope.Scope
> =>
  Effect.gen(function*() {
    const { method, url } = yield* HttpServerRequest.HttpServerRequest
    const startedAt = yield* Clock.currentTimeMillis
    const entry: Entry = { status: undefined, payloadId: undefined }
    yield* Effect.addFinalizer(Effect.fnUntraced(function*(exit) {
      const ms = (yield* Clock.currentTimeMillis) - startedAt
      yield* Effect.annotateLogs(Effect.logInfo("request"), {
        method: METHODS.has(method) ? method : "other",
        path: pathForLog(url),
        status: Exit.isSuccess(exit) ? entry.status ?? CLIENT_LEFT : CLIENT_LEFT,
        ms,
        ...(entry.payloadId === undefined ? {} : { payload_id: entry.payloadId })
      })
    }))
    return yield* Effect.tap(app(entry), ({ body, status }) => {
      if (body._tag !== "Stream") entry.status = status
    })
  })
