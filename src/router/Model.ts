/**
 * What answers the requests that a development router has opened.
 *
 * @since 0.2.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { ChatCompletionRequest, Message, SecurityTier, Tool } from "../ChatCompletion.js"
import { fromStatus } from "../internal/errors.js"
import type { HttpError } from "../NomyoError.js"

/**
 * A request, opened and checked.
 *
 * @since 0.2.0
 * @category models
 */
export interface Opened {
  readonly payloadId: string
  readonly securityTier: SecurityTier | undefined
  readonly payload: ChatCompletionRequest
}

/**
 * Answers a request with a chat completion, as a JSON object. An error becomes its HTTP status; its message is sent in the clear,
 * so it must not repeat anything of the request.
 *
 * @since 0.2.0
 * @category models
 */
export type Model = (request: Opened) => Effect.Effect<object, HttpError>

const textOf = (message: Message): string =>
  typeof message.content === "string"
    ? message.content
    : (message.content ?? []).map((part) => part.type === "text" ? String(part["text"]) : `[${part.type}]`).join(" ")

const words = (text: string): ReadonlyArray<string> => text.match(/\s*\S+/g) ?? []

/** The first words of a text, up to a stop sequence. */
const limit = (text: string, { max_tokens, stop }: ChatCompletionRequest) => {
  const stops = typeof stop === "string" ? [stop] : stop ?? []
  const end = Math.min(text.length, ...stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0))
  const kept = words(text.slice(0, end))
  const max = max_tokens ?? kept.length
  return { content: kept.slice(0, max).join(""), finish_reason: kept.length > max ? "length" : "stop" }
}

/** The function the request wants called, if it wants one and has not just had its result. */
const calledTool = ({ messages, tool_choice, tools }: ChatCompletionRequest): Tool["function"] => {
  if (tool_choice === "none" || messages.at(-1)?.role === "tool") return undefined
  const wanted = typeof tool_choice === "object" ? tool_choice?.["function"] as { readonly name?: unknown } | undefined : undefined
  return tools?.find((tool) => tool.function !== undefined && (wanted === undefined || tool.function.name === wanted.name))?.function
}

const samples: { readonly [type: string]: unknown } = { number: 1, integer: 1, boolean: true, array: [], object: {}, null: null }

/** Arguments of the right types: the prompt for every string. */
const argumentsFor = (tool: NonNullable<Tool["function"]>, prompt: string): string => {
  const schema = (tool.parameters ?? {}) as { readonly properties?: { readonly [name: string]: { readonly type?: string } } }
  const properties = schema.properties ?? {}
  return JSON.stringify(
    Object.fromEntries(Object.entries(properties).map(([name, { type }]) => [name, samples[type ?? "string"] ?? prompt]))
  )
}

/**
 * A deterministic model: it says back what it was told. It honours `n`, `max_tokens` and `stop` (a word is a token), calls the first of
 * the `tools` (or the one of `tool_choice`), and reasons if its name has "thinking" in it. The model `status/503` fails with that status;
 * `status/503/2` does so for the first two tries of a request and answers the third.
 *
 * @since 0.2.0
 * @category constructors
 */
export const makeEcho: Effect.Effect<Model> = Effect.sync(() => {
  const failures = new Map<string, number>()

  const failure = (payloadId: string, model: string): HttpError | undefined => {
    const [, status, times = "Infinity"] = /^status\/([45]\d\d)(?:\/(\d+))?$/.exec(model) ?? []
    if (status === undefined) return undefined
    const failed = failures.get(payloadId) ?? 0
    failures.delete(payloadId)
    if (failed >= Number(times)) return undefined
    if (times !== "Infinity") failures.set(payloadId, failed + 1)
    // requests that never came back for their answer
    if (failures.size > 1000) failures.delete(failures.keys().next().value!)
    return fromStatus({ statusCode: Number(status), message: `The model ${model} fails on request` })
  }

  return ({ payload, payloadId }) =>
    Effect.gen(function*() {
      const failed = failure(payloadId, payload.model)
      if (failed !== undefined) return yield* Effect.fail(failed)
      const prompt = textOf(payload.messages.findLast(({ role }) => role === "user") ?? payload.messages[0]!)
      const last = payload.messages.at(-1)!
      const tool = calledTool(payload)
      const said = last.role === "tool" ? `The tool says: ${textOf(last)}` : `You said: ${prompt}`
      const answer = tool === undefined ? limit(said, payload) : {
        content: null,
        finish_reason: "tool_calls",
        tool_calls: [
          { id: "call_1", type: "function", function: { name: tool.name, arguments: argumentsFor(tool, prompt) } }
        ]
      }
      const { finish_reason, ...message } = answer
      const reasoning = /thinking/i.test(payload.model) ? { reasoning_content: `I am to repeat ${words(prompt).length} words.` } : {}
      const n = payload.n ?? 1
      const prompt_tokens = payload.messages.reduce((total, message) => total + words(textOf(message)).length, 0)
      const completion_tokens = n * words(answer.content ?? "").length
      return {
        id: `chatcmpl-${payloadId}`,
        object: "chat.completion",
        created: Math.floor((yield* Clock.currentTimeMillis) / 1000),
        model: payload.model,
        choices: Array.from({ length: n }, (_, index) => ({
          index,
          message: { role: "assistant", ...message, ...reasoning },
          finish_reason
        })),
        usage: { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
      }
    })
})

/** What the client is told of an upstream that failed: nothing of its body, which may repeat the prompt and would travel in the clear. */
const upstreamError = (status: number | undefined, retryAfter?: number): HttpError =>
  status === 401 || status === 403
    ? fromStatus({ statusCode: 502, message: "The upstream refused the router's API key" })
    : status === undefined || status >= 500
    ? fromStatus({ statusCode: 503, message: "The upstream is not available" })
    : fromStatus({ statusCode: status, message: `The upstream answered ${status}`, retryAfter })

const JsonObject = Schema.Record({ key: Schema.String, value: Schema.Unknown })

/**
 * Passes requests on to an OpenAI-compatible server, in the clear: run it where the router may see what it sees.
 *
 * @since 0.2.0
 * @category constructors
 */
export const makeUpstream = Effect.fnUntraced(function*(options: {
  /** The server's base URL, with or without `/v1`. */
  readonly url: string
  readonly apiKey?: Redacted.Redacted | undefined
}): Effect.fn.Return<Model, never, HttpClient.HttpClient> {
  const client = (yield* HttpClient.HttpClient).pipe(HttpClient.withTracerPropagation(false))
  const url = `${options.url.replace(/\/+$/, "").replace(/\/v1$/, "")}/v1/chat/completions`
  return ({ payload: { stream: _, ...payload } }) =>
    HttpClientRequest.post(url).pipe(
      options.apiKey === undefined ? (request) => request : HttpClientRequest.bearerToken(options.apiKey),
      HttpClientRequest.bodyUnsafeJson(payload),
      client.execute,
      Effect.mapError(() => upstreamError(undefined)),
      Effect.flatMap((response) =>
        response.status === 200
          ? Effect.flatMap(response.json, Schema.decodeUnknown(JsonObject)).pipe(Effect.mapError(() => upstreamError(undefined)))
          : Effect.fail(upstreamError(response.status, Number(response.headers["retry-after"]) * 1000 || undefined))
      )
    )
})
