/** An answer that grows, chunk by chunk. */
import type { ChatCompletionChunk } from "../openai/chatChunk.js"

/** A tool that the model wants to be called. */
export interface ToolCall {
  readonly id: string
  readonly type: "function"
  readonly function: { readonly name: string; readonly arguments: string }
}

/** The messages so far. */
export interface Answer {
  readonly content: string
  readonly reasoning: string
  readonly refusal: string
  readonly calls: ReadonlyArray<ToolCall>
  /** `""` until the answer has ended. */
  readonly finish: string
}

export const empty: Answer = { content: "", reasoning: "", refusal: "", calls: [], finish: "" }

type Delta = ChatCompletionChunk["choices"][number]["delta"]

const addCalls = (calls: ReadonlyArray<ToolCall>, deltas: Delta["tool_calls"]): ReadonlyArray<ToolCall> =>
  (deltas ?? []).reduce((all, delta, position) => {
    // some servers leave out the index of their only call
    const index = delta.index ?? position
    const before = all[index]
    const call: ToolCall = {
      id: delta.id || before?.id || `call_${index}`,
      type: "function",
      function: {
        name: delta.function?.name || before?.function.name || "",
        arguments: (before?.function.arguments ?? "") + (delta.function?.arguments ?? "")
      }
    }
    return [...all.slice(0, index), call, ...all.slice(index + 1)]
  }, calls)

/** The answer with one more chunk. Only the first choice is shown. */
export const add = (answer: Answer, { choices }: ChatCompletionChunk): Answer => {
  const choice = choices.find(({ index }) => index === 0)
  if (choice === undefined) return answer
  const { delta, finish_reason } = choice
  return {
    content: answer.content + (delta.content ?? ""),
    reasoning: answer.reasoning + (delta.reasoning_content ?? ""),
    refusal: answer.refusal + (delta.refusal ?? ""),
    calls: addCalls(answer.calls, delta.tool_calls),
    finish: finish_reason ?? answer.finish
  }
}

/** The answer as a message of the conversation that goes on. */
export const messageOf = ({ calls, content }: Answer): object => ({
  role: "assistant",
  content: content === "" && calls.length > 0 ? null : content,
  ...(calls.length > 0 ? { tool_calls: calls } : {})
})
