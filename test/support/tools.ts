/** The tools that people have, each at its own defaults but for what nomyo-js asks to set. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { ChatOpenAI } from "@langchain/openai"
import { APICallError, generateText, RetryError, streamText } from "ai"
import OpenAI from "openai"
import { vi } from "vitest"
import { BASE_URL, type ChatClient, createFetch, openAiOptions } from "../../src/fetch/index.js"

/** What a tool throws, as far as it can be compared. */
interface Thrown {
  readonly status: number | undefined
  readonly code: unknown
}

export interface Tool {
  /** One question, and the text of the answer. */
  readonly ask: (client: ChatClient, prompt: string) => Promise<string>
  /** The same, streamed. */
  readonly stream: (client: ChatClient, prompt: string) => Promise<string>
  readonly thrown: (error: unknown) => Thrown
}

const openaiThrown = (error: unknown): Thrown => {
  const { code, status } = error as { readonly status?: number; readonly code?: unknown }
  return { status, code }
}

const aiModel = (client: ChatClient) =>
  createOpenAICompatible({ name: "nomyo", baseURL: BASE_URL, fetch: createFetch(client) })("a/model")

const langchainModel = (client: ChatClient) =>
  new ChatOpenAI({ model: "a/model", apiKey: "nomyo", configuration: openAiOptions(client) })

export const tools: { readonly [name: string]: Tool } = {
  openai: {
    ask: async (client, prompt) => {
      const openai = new OpenAI(openAiOptions(client))
      const answer = await openai.chat.completions.create({ model: "a/model",
        messages: [{ role: "user", content: prompt }] })
      return answer.choices[0]!.message.content ?? ""
    },
    stream: async (client, prompt) => {
      const openai = new OpenAI(openAiOptions(client))
      const stream = openai.chat.completions.stream({ model: "a/model",
        messages: [{ role: "user", content: prompt }] })
      return await stream.finalContent() ?? ""
    },
    thrown: openaiThrown
  },
  ai: {
    ask: async (client, prompt) => (await generateText({ model: aiModel(client), prompt })).text,
    stream: (client, prompt) => Promise.resolve(streamText({ model: aiModel(client), prompt }).text),
    thrown: (error) => {
      const last = RetryError.isInstance(error) ? error.lastError : error
      if (!APICallError.isInstance(last)) return { status: undefined, code: String(last) }
      return { status: last.statusCode,
        code: (last.data as { readonly error?: { readonly code?: unknown } } | undefined)?.error?.code }
    }
  },
  langchain: {
    ask: async (client, prompt) => (await langchainModel(client).invoke(prompt)).text,
    stream: async (client, prompt) => {
      let text = ""
      for await (const chunk of await langchainModel(client).stream(prompt)) text += chunk.text
      return text
    },
    thrown: openaiThrown
  }
}

/** Where the tools' own code lies. */
const ofTool = /node_modules\/(openai|ai|@ai-sdk|@langchain)\//
/** Beyond it are the time-outs of whole requests. */
const LONGEST_RETRY = 130_000

/**
 * Makes the tools repeat at once what they would repeat after a second or a minute; all other timers stay as
 * they are.
 */
export const hurry = (): void => {
  const { setTimeout } = globalThis
  vi.stubGlobal("setTimeout",
    (callback: () => void, milliseconds = 0, ...rest: ReadonlyArray<unknown>) =>
      setTimeout(callback,
        milliseconds <= LONGEST_RETRY && ofTool.test(new Error("-").stack ?? "") ? 1 : milliseconds,
        ...rest as []))
}
