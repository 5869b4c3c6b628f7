/**
 * Brings the answers of real model servers into OpenAI's shape. The rules are the table "Answers of real
 * servers" in doc/reliability.md.
 *
 * Strict about nothing but this: an answer has choices, or an error. What the server says beyond OpenAI's
 * shape is kept.
 */
import type { ChatCompletionResponse } from "./chatAnswer.js"
import { foldEvents, foldStream, isEventStream } from "./foldStream.js"
import { isList, isObject, type JsonObject, parseLines, parseLoosely } from "./looseJson.js"

/** An answer in OpenAI's shape, without what the client adds. */
type Answer = Omit<ChatCompletionResponse, "_metadata">

/** Defaults for fields that the server leaves out. */
export interface Fallbacks {
  /** Goes into the ids that are made up. */
  readonly payloadId: string
  /** Unix seconds. */
  readonly processedAt: number | undefined
}

/**
 * Result of reading an opened plaintext. `missing` names the field that makes it no answer. `metadata`
 * is what the router put there.
 */
export type Read =
  | { readonly answer: Answer; readonly metadata: JsonObject }
  | { readonly error: unknown; readonly metadata: JsonObject }
  | { readonly missing: string }

const textOf = (value: unknown): string | undefined => typeof value === "string" ? value : undefined

/** The number that is written as text: token counts of some proxies. */
const numberOf = (value: unknown): unknown =>
  typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value)) ? Number(value) : value

/**
 * The JSON text of what OpenAI has as JSON text, and others as the value itself; `{}` for what is nested
 * too deeply to write.
 */
const jsonTextOf = (value: unknown): string => {
  if (typeof value === "string") return value
  try {
    return JSON.stringify(value ?? {})
  } catch {
    return "{}"
  }
}

/** The list that a value is, has under the positions as names, or would be the only element of. */
const listOf = (value: unknown): ReadonlyArray<unknown> | undefined => {
  if (!isObject(value)) return isList(value) ? value : undefined
  const names = Object.keys(value)
  return names.length > 0 && names.every((name) => /^\d+$/.test(name)) ? Object.values(value) : [value]
}

// ----------------------------------------------------------------------------
// Content

/** Texts of a content's parts, by their target field. */
interface Said {
  text: string | null
  reasoning: string | null
  refusal: string | null
}

const REASONING = new Set(["thinking", "reasoning", "reasoning_content", "redacted_thinking"])

/** How deep the text of a part may be. Mistral's thinking parts need three levels. */
const DEEPEST = 8

/** The text of a part, wherever it is in it: `text`, `text.value`, or the text of the parts in it. */
const deepText = (value: unknown, depth = 0): string => {
  if (typeof value === "string") return value
  if (depth === DEEPEST) return ""
  if (isList(value)) return value.map((part) => deepText(part, depth + 1)).join("")
  if (!isObject(value)) return ""
  const inner = value["text"] ?? value["value"] ?? value["thinking"] ?? value["reasoning"] ??
    value["content"] ?? value["summary"]
  return deepText(inner, depth + 1)
}

const partType = (part: unknown): string | undefined => {
  if (!isObject(part)) return typeof part === "string" ? "text" : undefined
  return textOf(part["type"])?.toLowerCase() ?? ("text" in part ? "text" : undefined)
}

const saidIn = (parts: ReadonlyArray<unknown>): Said => {
  const said: Said = { text: null, reasoning: null, refusal: null }
  for (const part of parts) {
    const type = partType(part) ?? ""
    if (type === "refusal")
      said.refusal = `${said.refusal ?? ""}${deepText(isObject(part) ? part["refusal"] : part)}`
    else if (REASONING.has(type)) said.reasoning = `${said.reasoning ?? ""}${deepText(part)}`
    // a whole message of OpenAI's Responses may stand for a part
    else if (type.includes("text") || type === "message") said.text = `${said.text ?? ""}${deepText(part)}`
  }
  return said
}

/** The tool call that a part is: Claude's `tool_use`, or `function_call` of OpenAI's Responses. */
const callIn = (part: unknown): ReadonlyArray<JsonObject> => {
  if (!isObject(part) || !["tool_use", "function_call"].includes(partType(part) ?? "")) return []
  const { arguments: given, call_id, id, input, name } = part
  return [{ id: call_id ?? id, function: { name, arguments: given ?? input } }]
}

/** Sets a field that is absent or `null`. */
const fill = (object: JsonObject, name: string, value: unknown): void => {
  if (value !== undefined && value !== null && value !== "") object[name] ??= value
}

const fixContent = (choice: JsonObject, message: JsonObject): void => {
  const { content = null } = message
  message["content"] = content
  if (typeof content === "string" || content === null) return
  const parts = isList(content) ? content.filter((part) => part !== null) : [content]
  if (!parts.every(partType)) {
    // an answer in JSON that the server has parsed
    message["content"] = jsonTextOf(content)
    return
  }
  const { reasoning, refusal, text } = saidIn(parts)
  message["content"] = text
  fill(message, "reasoning_content", reasoning)
  fill(message, "refusal", refusal)
  const calls = parts.flatMap(callIn)
  if (calls.length > 0) message["tool_calls"] ??= calls
  choice["content_parts"] ??= parts
}

const fixReasoning = (message: JsonObject): void => {
  const { reasoning_content } = message
  if (isList(reasoning_content) || isObject(reasoning_content))
    message["reasoning_content"] = deepText(reasoning_content)
  fill(message, "reasoning_content", deepText(message["reasoning"]))
  fill(message, "reasoning_content", deepText(message["thinking"]))
}

// ----------------------------------------------------------------------------
// Tool calls

/**
 * A made-up id: the same for the same answer, other for any other, within the 40 characters that OpenAI
 * allows.
 */
const callId = (payloadId: string, choice: number, position: number): string =>
  `call_${payloadId.replace(/[^A-Za-z0-9]/g, "").slice(0, 24)}_${choice}_${position}`

const fixFunction = (called: JsonObject): void => {
  called["name"] = textOf(called["name"]) ?? ""
  called["arguments"] = jsonTextOf(called["arguments"] ?? called["parameters"] ?? called["input"])
}

const fixToolCall = (call: JsonObject, id: string): void => {
  if (typeof call["id"] !== "string" || call["id"] === "")
    call["id"] = typeof call["id"] === "number"
      ? String(call["id"])
      : id
  const { custom } = call
  if (isObject(custom) && !isObject(call["function"])) {
    call["type"] ||= "custom"
    custom["name"] = textOf(custom["name"]) ?? ""
    custom["input"] = jsonTextOf(custom["input"] ?? "")
    return
  }
  if (isObject(call["function"])) call["type"] = "function"
  call["type"] ||= "function"
  if (call["type"] !== "function") return
  // some have the function's fields on the call itself
  const called = isObject(call["function"])
    ? call["function"]
    : {
      name: call["function"] ?? call["name"],
      arguments: call["arguments"] ?? call["parameters"] ?? call["input"]
    }
  call["function"] = called
  fixFunction(called)
}

const fixToolCalls = (message: JsonObject, choice: number, payloadId: string): void => {
  const given = message["tool_calls"]
  const calls = listOf(typeof given === "string" ? parseLoosely(given) : given)
  if (calls !== undefined) {
    message["tool_calls"] = calls.filter((call) => call !== null)
    calls.forEach((call, position) => {
      if (isObject(call)) fixToolCall(call, callId(payloadId, choice, position))
    })
  }
  if (isObject(message["function_call"])) fixFunction(message["function_call"])
}

// ----------------------------------------------------------------------------
// Choices

/** How others spell OpenAI's reasons to stop, in lower case. What is in neither column is kept as it is. */
const FINISH_REASONS = new Map([
  ["eos", "stop"],
  ["eos_token", "stop"],
  ["end_turn", "stop"],
  ["stop_sequence", "stop"],
  ["complete", "stop"],
  ["max_tokens", "length"],
  ["model_length", "length"],
  ["tool_use", "tool_calls"],
  ["tool_call", "tool_calls"],
  ["safety", "content_filter"],
  ...["stop", "length", "tool_calls", "content_filter", "function_call"].map((reason) =>
    [reason, reason] as const
  )
])

const fixFinishReason = (choice: JsonObject): void => {
  const said = textOf(choice["finish_reason"])
  const reason = said === undefined ? undefined : FINISH_REASONS.get(said.toLowerCase())
  if (reason === undefined || reason === said) return
  choice["native_finish_reason"] ??= said
  choice["finish_reason"] = reason
}

/** A choice's message, wherever the server puts it, or `undefined`. */
const messageOf = (choice: unknown): JsonObject | undefined => {
  if (typeof choice === "string") return { content: choice }
  if (!isObject(choice)) return undefined
  const { content, delta, finish_reason, generated_text, message, text } = choice
  const said = message ?? delta ?? text ?? content ?? generated_text
  const only = isList(said) && said.length === 1 ? said[0] : said
  if (typeof only === "string") return { content: only }
  // Azure says only why there is no message
  return isObject(only) ? only : typeof finish_reason === "string" ? {} : undefined
}

const fixChoice = (given: unknown, position: number, payloadId: string): JsonObject => {
  const choice = isObject(given) ? given : {}
  const message = messageOf(given) ?? {}
  const index = numberOf(choice["index"])
  choice["index"] = typeof index === "number" ? index : position
  choice["message"] = message
  if (typeof message["role"] !== "string" || message["role"] === "") message["role"] = "assistant"
  fixContent(choice, message)
  fill(message, "content", textOf(choice["text"]))
  fixReasoning(message)
  fixToolCalls(message, position, payloadId)
  fixFinishReason(choice)
  return choice
}

// ----------------------------------------------------------------------------
// The whole answer

/** Token counts that are text. */
const fixCounts = (counts: JsonObject): void => {
  for (const [name, value] of Object.entries(counts))
    if (name.endsWith("_tokens")) counts[name] = numberOf(value)
}

const fixUsage = (usage: unknown): void => {
  if (!isObject(usage)) return
  for (const value of [usage, ...Object.values(usage)]) if (isObject(value)) fixCounts(value)
  fill(usage, "prompt_tokens", usage["input_tokens"])
  fill(usage, "completion_tokens", usage["output_tokens"])
  const { completion_tokens, prompt_tokens } = usage
  if (typeof prompt_tokens === "number" && typeof completion_tokens === "number") {
    fill(usage, "total_tokens", prompt_tokens + completion_tokens)
  }
}

/** Unix seconds, of a number or of a date that is written out. */
const secondsOf = (created: unknown): number | undefined => {
  const number = numberOf(created)
  const time = typeof number === "string" ? Date.parse(number) / 1000 : number
  return typeof time === "number" && Number.isFinite(time) ? Math.floor(time) : undefined
}

const fixAnswer = (answer: JsonObject, choices: ReadonlyArray<unknown>,
  { payloadId, processedAt }: Fallbacks): Answer => {
  const { id } = answer
  const created = secondsOf(answer["created"])
  fixUsage(answer["usage"])
  // into what has been parsed here: what is added to a copy by spread goes V8's slow path
  Object.assign(answer, {
    id: (typeof id === "string" && id !== "") || typeof id === "number"
      ? String(id)
      : `chatcmpl-${payloadId}`,
    object: "chat.completion",
    created: created ?? processedAt ?? 0,
    model: textOf(answer["model"]) ?? "",
    choices: choices.map((choice, position) => fixChoice(choice, position, payloadId))
  })
  return answer as JsonObject & Answer
}

/** The error that an answer holds, in any of the servers' shapes. */
const errorOf = (answer: JsonObject, choices: unknown): unknown => {
  const [first] = isList(choices) ? choices : []
  const error = answer["error"] ?? (isObject(first) ? first["error"] : undefined)
  if (error !== undefined && error !== null && error !== false) return error
  return answer["object"] === "error" ||
      (answer["choices"] === undefined && typeof answer["message"] === "string")
    ? answer
    : undefined
}

/** Comments keep a connection alive, in front of an answer that is no stream too. */
const withoutComments = (text: string): string => text.replace(/^(?:\s*:[^\r\n]*[\r\n]+)+/, "")

/** Objects with choices are the chunks of one answer. Gemini's endpoint puts its errors into a list. */
const onlyOf = (values: ReadonlyArray<unknown>): unknown => {
  const chunks = values.filter(isObject)
  return chunks.length > 1 && chunks.some(({ choices }) => isList(choices)) ? foldEvents(chunks) : values[0]
}

/** JSON with something behind it that is none, such as the end of a stream. */
const parseStart = (text: string): unknown => parseLoosely(text.slice(0, text.lastIndexOf("}") + 1))

const parse = (text: string): unknown => {
  const value = isEventStream(text)
    ? foldStream(text) ?? parseLoosely(withoutComments(text))
    : parseLoosely(text) ?? parseLines(text) ?? parseStart(text)
  // JSON of JSON text, as some proxies have it
  if (typeof value === "string") return value.length < text.length ? parse(value) : undefined
  return isList(value) ? onlyOf(value) : value
}

/** Reads the plaintext of an answer. Never throws. */
export const readAnswer = (text: string, fallbacks: Fallbacks): Read => {
  const value = parse(text.replace(/^\uFEFF/, ""))
  if (!isObject(value)) return { missing: "JSON object" }
  const { choices: given } = value
  const choices = listOf(typeof given === "string" ? parseLoosely(given) : given)
  const error = errorOf(value, choices)
  const metadata = isObject(value["_metadata"]) ? value["_metadata"] : {}
  if (isList(choices) && (choices.length === 0 ? error === undefined : choices.some(messageOf))) {
    return { answer: fixAnswer(value, choices, fallbacks), metadata }
  }
  if (error !== undefined) return { error, metadata }
  return { missing: isList(choices) ? "choices[0].message" : "choices" }
}
