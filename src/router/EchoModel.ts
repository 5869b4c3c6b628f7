/** A deterministic model for development and tests. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { ChatCompletionRequest } from "../ChatCompletion.js"
import { fromStatus } from "../internal/errors.js"
import { type HttpError, InvalidRequestError } from "../NomyoError.js"
import * as Chunks from "../openai/chunks.js"
import * as JsonSchema from "./jsonSchema.js"
import * as Logprobs from "./logprobs.js"
import type { Model, Models, Opened } from "./modelTypes.js"
import * as Tools from "./toolCalls.js"
import { textOf, words } from "./words.js"

/** The largest `n` that OpenAI's API takes. */
const MAX_CHOICES = 128
/** All choices together, in UTF-16 units. */
const MAX_LENGTH = 16 * 1024 * 1024
/** Statuses of requests that never came back for their answer. */
const MAX_FAILURES = 1000

/** The models that the echo model answers as. */
export const models: Models = Effect.succeed([
  "Qwen/Qwen3-0.6B",
  "echo-thinking",
  "status/429",
  "status/503"
])

/** Fails as the names of models ask for. */
const makeFailure = () => {
  const failures = new Map<string, number>()
  return ({ payload: { model }, payloadId }: Opened): HttpError | undefined => {
    const [, status, times = "Infinity"] = /^status\/([45]\d\d)(?:\/(\d+))?$/.exec(model) ?? []
    if (status === undefined) return undefined
    const failed = failures.get(payloadId) ?? 0
    failures.delete(payloadId)
    if (failed >= Number(times)) return undefined
    if (times !== "Infinity") failures.set(payloadId, failed + 1)
    if (failures.size > MAX_FAILURES) failures.delete(failures.keys().next().value!)
    return fromStatus({ statusCode: Number(status), message: `The model ${model} fails on request` })
  }
}

/** A limit of the request; 0 and -1 are other servers' words for none. */
const limitOf = (value: unknown): number => typeof value === "number" && value > 0 ? value : Infinity

/** The first words of a text, up to a stop sequence. */
const limited = (text: string, request: ChatCompletionRequest) => {
  const stops = typeof request.stop === "string" ? [request.stop] : request.stop ?? []
  const ends = stops.filter((stop) => stop !== "").map((stop) => text.indexOf(stop)).filter((at) => at >= 0)
  const kept = words(text.slice(0, Math.min(text.length, ...ends)))
  const max = Math.min(
    limitOf(request["max_completion_tokens"]),
    limitOf(request.max_tokens),
    Logprobs.maxTokens(request)
  )
  return { content: kept.slice(0, max).join(""), finish_reason: kept.length > max ? "length" : "stop" }
}

const recordOf = (value: unknown): { readonly [key: string]: unknown } =>
  Predicate.isReadonlyRecord(value) ? value : {}

/** The answer without a tool call: the prompt, in the form of `response_format`. */
const saidOf = (request: ChatCompletionRequest, prompt: string): string => {
  const format = recordOf(request["response_format"])
  if (format["type"] === "json_object") return JSON.stringify({ you_said: prompt })
  if (format["type"] === "json_schema") {
    const { schema } = recordOf(format["json_schema"])
    return JSON.stringify(JsonSchema.instance(recordOf(schema), prompt))
  }
  const results = Tools.resultsOf(request.messages)
  if (results.length === 0) return `You said: ${prompt}`
  return `The tool${results.length > 1 ? "s say" : " says"}: ${results.join(", ")}`
}

/** More effort, more sentences. `none` keeps a thinking model from it. */
const reasoningOf = (
  { model, reasoning_effort }: ChatCompletionRequest,
  prompt: string
): string | undefined => {
  const isThinking = /thinking/i.test(model)
  const effort = reasoning_effort ?? (isThinking ? "low" : "none")
  if (effort === "none" || (effort === "minimal" && !isThinking)) return undefined
  const sentences = [
    `I am to repeat ${words(prompt).length} words.`,
    "They are in the last message of the user.",
    "Nothing is to be added to them, and nothing left out."
  ]
  const count = effort === "high" || effort === "xhigh" ? 3 : effort === "medium" ? 2 : 1
  return sentences.slice(0, count).join(" ")
}

const invalid = (message: string) => new InvalidRequestError({ message })

/** One choice without its index. */
const choiceOf = (request: ChatCompletionRequest, prompt: string) => {
  const calls = Tools.callsOf(request, prompt)
  const reasoning = reasoningOf(request, prompt)
  const said = calls.length > 0
    ? { content: null, finish_reason: "tool_calls" }
    : limited(saidOf(request, prompt), request)
  return {
    finish_reason: said.finish_reason,
    logprobs: said.content === null ? undefined : Logprobs.of(request, words(said.content)),
    message: {
      role: "assistant",
      content: said.content,
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
      ...(reasoning === undefined ? {} : { reasoning_content: reasoning })
    }
  }
}

const usageOf = (
  { messages }: ChatCompletionRequest,
  n: number,
  { message }: ReturnType<typeof choiceOf>
) => {
  const count = (text: string | null | undefined) => n * words(text ?? "").length
  const prompt_tokens = messages.reduce((total, message) => total + words(textOf(message)).length, 0)
  const reasoning_tokens = count(message.reasoning_content)
  const completion_tokens = count(message.content) + reasoning_tokens
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    ...(reasoning_tokens > 0 ? { completion_tokens_details: { reasoning_tokens } } : {})
  }
}

/** Fails for a number of choices, or a length of them together, that is not made. */
const checkedChoice = Effect.fnUntraced(function*(request: ChatCompletionRequest, prompt: string, n: number) {
  if (n > MAX_CHOICES) return yield* Effect.fail(invalid(`n must be at most ${MAX_CHOICES}`))
  const choice = yield* Effect.try({
    try: () => choiceOf(request, prompt),
    catch: () => invalid("A schema in response_format or tools is invalid or too large. Correct it")
  })
  return (choice.message.content?.length ?? 0) * n * (1 + Logprobs.repetitions(request)) > MAX_LENGTH
    ? yield* Effect.fail(invalid("The answers are too long together. Lower n"))
    : choice
})

/** The events of an answer, a word of it at a time. */
const wordEvents = function*(answer: Chunks.Answer): Generator<string, void> {
  for (const chunk of Chunks.chunksOf(answer, { includeUsage: true })) {
    const [choice] = chunk.choices
    const content = choice?.delta["content"]
    const spoken = typeof content === "string" && content !== "" ? words(content) : []
    if (spoken.length === 0) yield Chunks.eventOf(chunk)
    for (const word of spoken) {
      yield Chunks.eventOf({ ...chunk, choices: [{ ...choice, delta: { ...choice?.delta, content: word } }] })
    }
  }
  yield Chunks.DONE
}

/** The model that says back what it reads. */
export const make: Effect.Effect<Model> = Effect.sync(() => {
  const failureOf = makeFailure()
  const answer = Effect.fnUntraced(function*(opened: Opened) {
    const { payload, payloadId } = opened
    const failure = failureOf(opened)
    if (failure !== undefined) return yield* Effect.fail(failure)
    const prompt = textOf(payload.messages.findLast(({ role }) => role === "user") ?? payload.messages[0]!)
    const n = typeof payload.n === "number" ? Math.max(1, Math.floor(payload.n)) : 1
    const choice = yield* checkedChoice(payload, prompt, n)
    return {
      id: `chatcmpl-${payloadId}`,
      object: "chat.completion",
      created: Math.floor((yield* Clock.currentTimeMillis) / 1000),
      model: payload.model,
      choices: Array.from({ length: n }, (_, index) => ({ index, ...choice })),
      usage: usageOf(payload, n, choice),
      ...(typeof payload["seed"] === "number" ? { system_fingerprint: "fp_echo" } : {})
    }
  })
  const stream = (opened: Opened) =>
    // one event at a time, as a model makes them
    Effect.map(answer(opened), (whole) => Stream.rechunk(Stream.fromIterable(wordEvents(whole)), 1))
  return Object.assign(answer, { stream })
})
