/** The tools that the echo model calls, and their arguments. */
import type { ChatCompletionRequest, Message } from "../ChatCompletion.js"
import * as JsonSchema from "./jsonSchema.js"
import { textOf } from "./words.js"

/** A tool by its name: a function with a schema for its arguments, or a custom tool that takes text. */
interface Named {
  readonly name: string
  readonly type: "function" | "custom"
  readonly parameters: object
}

/** More tools than this are not called at once. */
const MAX_CALLS = 16

type Described = { readonly name?: unknown; readonly parameters?: unknown } | null | undefined

const named = (given: object): ReadonlyArray<Named> => {
  const tool = given as { readonly [key: string]: unknown }
  const type = tool["type"] === "custom" ? "custom" : "function"
  const { name, parameters } = (tool[type] as Described) ?? {}
  if (typeof name !== "string") return []
  return [{ name, type, parameters: typeof parameters === "object" && parameters !== null ? parameters : {} }]
}

/** The results of tools that a conversation ends with. */
export const resultsOf = (messages: ReadonlyArray<Message>): ReadonlyArray<string> => {
  const last = messages.findLastIndex(({ role }) => role !== "tool")
  return messages.slice(last + 1).map(textOf)
}

/**
 * The tool of `tool_choice`, or those that the prompt names, or all if they are wanted in parallel, or the
 * first.
 */
const chosen = (request: ChatCompletionRequest, prompt: string): ReadonlyArray<Named> => {
  const { parallel_tool_calls, tool_choice } = request
  const tools = (request.tools ?? []).flatMap(named)
  if (tool_choice === "none" || resultsOf(request.messages).length > 0) return []
  if (typeof tool_choice === "object" && tool_choice !== null) {
    const [wanted] = named(tool_choice)
    return tools.filter(({ name }) => wanted === undefined || name === wanted.name).slice(0, 1)
  }
  const asked = tools.filter(({ name }) => prompt.includes(name))
  const several = asked.length > 0 ? asked : parallel_tool_calls === true ? tools : tools.slice(0, 1)
  return parallel_tool_calls === false ? several.slice(0, 1) : several.slice(0, MAX_CALLS)
}

const callOf = ({ name, parameters, type }: Named, index: number, prompt: string) => {
  const id = `call_${index + 1}`
  if (type === "custom") return { id, type, custom: { name, input: prompt } }
  const value = JsonSchema.instance({ type: "object", ...parameters }, prompt)
  return { id, type, function: { name, arguments: JSON.stringify(value) } }
}

/**
 * The calls to tools that a request asks for, with arguments that fit their schemas. None after their
 * results.
 */
export const callsOf = (request: ChatCompletionRequest, prompt: string): ReadonlyArray<object> =>
  chosen(request, prompt).map((tool, index) => callOf(tool, index, prompt))
