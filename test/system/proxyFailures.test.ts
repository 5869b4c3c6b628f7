/** A failure that comes after a stream has begun: the packages that people use raise it. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { ChatOpenAI } from "@langchain/openai"
import { streamText } from "ai"
import OpenAI, { APIError } from "openai"
import { afterAll, beforeAll, describe, it } from "vitest"
import { type Chain, startChain } from "../support/proxy.js"

let chain: Chain

beforeAll(async () => {
  chain = await startChain({ proxy: ["--keep-alive", "1s"] })
})
afterAll(() => chain.close())

/** The model server fails then, long after the stream has its status. */
const PROMPT = "wait 12000 fail 400"
const MODEL = "llama3.2"

/** What a stream throws. Fails the test if it ends without that. */
const thrownBy = async (stream: () => Promise<AsyncIterable<unknown>>): Promise<unknown> => {
  try {
    for await (const _ of await stream());
  } catch (error) {
    return error
  }
  throw new Error("The stream ended as if nothing had happened")
}

/** The words that the proxy has for this failure, wherever a package keeps them. */
const wordsOf = (error: unknown): string =>
  `${String(error)} ${
    JSON.stringify(error, (_, value: unknown) =>
      value instanceof Error ? { ...value, message: value.message } : value)
  }`

describe("a failure after 12 seconds", () => {
  it.concurrent("is raised by openai", async ({ expect }) => {
    const client = new OpenAI({ baseURL: chain.proxy.baseUrl, apiKey: "any", maxRetries: 0 })
    const error = await thrownBy(() =>
      client.chat.completions.create({ model: MODEL, messages: [{ role: "user", content: PROMPT }],
        stream: true })
    )
    expect(error).toBeInstanceOf(APIError)
    expect(error).toMatchObject({ error: { type: "invalid_request_error" } })
  })

  it.concurrent("is an error of ai's stream, which ends for that reason", async ({ expect }) => {
    const provider = createOpenAICompatible({ name: "proxy", baseURL: chain.proxy.baseUrl, apiKey: "any" })
    const errors: Array<unknown> = []
    const onError = ({ error }: { readonly error: unknown }) => void errors.push(error)
    const { finishReason } = streamText({ model: provider(MODEL), prompt: PROMPT, maxRetries: 0, onError })
    expect(await finishReason).toBe("error")
    expect(errors.map(wordsOf).join()).toContain("not valid")
  })

  it.concurrent("is raised by LangChain", async ({ expect }) => {
    const configuration = { baseURL: chain.proxy.baseUrl }
    const model = new ChatOpenAI({ model: MODEL, apiKey: "any", maxRetries: 0, configuration })
    expect(wordsOf(await thrownBy(() => model.stream(PROMPT)))).toContain("not valid")
  })
})
