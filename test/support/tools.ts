/** The tools that people have, each at its own defaults but for what nomyo-js asks to set. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { ChatOpenAI } from "@langchain/openai"
import { APICallError, generateText, RetryError } from "ai"
import OpenAI from "openai"
import { vi } from "vitest"
import { BASE_URL, type ChatClient, createFetch, openAiOptions } from "../../src/fetch/index.js"

/** What a tool throws, as far as it can be compared. */
export interface Thrown {
  readonly status: number | undefined
  readonly code: unknown
}

export interface Tool {
  /** One question, and the text of the answer. */
  readonly ask: (client: ChatClient, prompt: string) => Promise<string>
  readonly thrown: (error: unknown) => Thrown
}

const openaiThrown = (error: unknown): Thrown => {
  const { code, status } = error as { readonly status?: number; readonly code?: unknown }
  return { status, code }
}

export const tools: { readonly [name: string]: Tool } = {
  openai: {
    ask: async (client, prompt) => {
      const openai = new OpenAI(openAiOptions(client))
      const answer = await openai.chat.completions.create({ model: "a/model", messages: [{ role: "user", content: prompt }] })
      return answer.choices[0]!.message.content ?? ""
    },
    thrown: openaiThrown
  },
  ai: {
    ask: async (client, prompt) => {
      const nomyo = createOpenAICompatible({ name: "nomyo", baseURL: BASE_URL, fetch: createFetch(client) })
      return (await generateText({ model: nomyo("a/model"), prompt })).text
    },
    thrown: (error) => {
      const last = RetryError.isInstance(error) ? error.lastError : error
      if (!APICallError.isInstance(last)) return { status: undefined, code: String(last) }
      return { status: last.statusCode, code: (last.data as { readonly error?: { readonly code?: unknown } } | undefined)?.error?.code }
    }
  },
  langchain: {
    ask: async (client, prompt) => {
      const model = new ChatOpenAI({ model: "a/model", apiKey: "nomyo", configuration: openAiOptions(client) })
      return (await model.invoke(prompt)).text
    },
    thrown: openaiThrown
  }
}

/** Where the tools' own code lies. */
const ofTool = /node_modules\/(openai|ai|@ai-sdk|@langchain)\//
/** Beyond it are the time-outs of whole requests. */
const LONGEST_RETRY = 130_000

/** Makes the tools repeat at once what they would repeat after a second or a minute; all other timers stay as they are. */
export const hurry = (): void => {
  const { setTimeout } = globalThis
  vi.stubGlobal("setTimeout", (callback: () => void, milliseconds = 0, ...rest: ReadonlyArray<unknown>) =>
    setTimeout(callback, milliseconds <= LONGEST_RETRY && ofTool.test(new Error("-").stack ?? "") ? 1 : milliseconds, ...rest as []))
}
