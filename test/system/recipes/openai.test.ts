/** The package `openai`, through the real router. */
import OpenAI, { APIConnectionTimeoutError, APIUserAbortError, AzureOpenAI, NotFoundError } from "openai"
import { zodResponseFormat } from "openai/helpers/zod"
import { describe, expect, it } from "vitest"
import { z } from "zod"
import { BASE_URL, openAiOptions } from "../../../src/fetch/index.js"
import { MARKER, recipes } from "../../support/recipes.js"
import { runWeatherTool } from "../../support/weather.js"

const recipe = recipes()
const connect = () => new OpenAI(openAiOptions(recipe.nomyo))

const model = "Qwen/Qwen3-0.6B"
const messages = [{ role: "user" as const, content: MARKER }]
const said = `You said: ${MARKER}`

describe("chat.completions", () => {
  it("create: the answer, with the payload id as its request id", async () => {
    const { data, request_id } = await connect().chat.completions.create({ model, messages }).withResponse()
    expect(data.choices[0]?.message.content).toBe(said)
    expect(data.id).toBe(`chatcmpl-${request_id}`)
  })

  it("create with a security tier, which is a header of the exchange", async () => {
    await connect().chat.completions.create(
      { model, messages, security_tier: "high" } as OpenAI.ChatCompletionCreateParamsNonStreaming
    )
    expect(recipe.tiers).toEqual(["high"])
  })

  it("create with stream: the text, the reason, the usage", async () => {
    const options = { include_usage: true }
    const stream = await connect().chat.completions.create({ model, messages, stream: true,
      stream_options: options })
    const chunks = []
    for await (const chunk of stream) chunks.push(chunk)
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe(said)
    expect(chunks.flatMap(({ choices }) => choices[0]?.finish_reason ?? [])).toEqual(["stop"])
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) } })
  })

  it("create with stream that is left in the middle", async () => {
    const stream = await connect().chat.completions.create({ model, messages, stream: true })
    for await (const chunk of stream) {
      expect(chunk.choices[0]?.delta.role).toBe("assistant")
      break
    }
    expect(stream.controller.signal.aborted).toBe(true)
  })

  it("stream: the events, and the answer at the end", async () => {
    const stream = connect().chat.completions.stream({ model, messages })
    let text = ""
    stream.on("content", (delta) => void (text += delta))
    const completion = await stream.finalChatCompletion()
    expect({ text, content: completion.choices[0]?.message.content }).toEqual({ text: said, content: said })
  })

  it("several choices and a thinking model", async () => {
    const completion = await connect().chat.completions.stream({ model: "echo-thinking", messages, n: 3 })
      .finalChatCompletion()
    expect(completion.choices.map(({ index, message }) => ({ index, ...message }))).toMatchObject(
      [0, 1, 2].map((index) => ({ index, content: said,
        reasoning_content: expect.stringContaining("I am to repeat") })
      )
    )
  })

  it("parse with zod", async () => {
    const Sweet = z.object({ name: z.string(), grams: z.number(), tags: z.array(z.string()) })
    const response_format = zodResponseFormat(Sweet, "sweet")
    const completion = await connect().chat.completions.parse({ model, messages, response_format })
    expect(Sweet.parse(completion.choices[0]?.message.parsed)).toEqual(completion.choices[0]?.message.parsed)
    const streamed = await connect().chat.completions.stream({ model, messages, response_format })
      .finalChatCompletion()
    expect(streamed.choices[0]?.message.parsed).toEqual(completion.choices[0]?.message.parsed)
  })

  it.each([false, true])("runTools, stream %s", async (stream) => {
    await runWeatherTool(connect(), model, stream)
  })

  it("an abort, with the package's own error", async () => {
    const controller = new AbortController()
    const answer = connect().chat.completions.create({ model: "slow", messages }, {
      signal: controller.signal
    })
    await expect.poll(() => recipe.seen.length).toBe(1)
    controller.abort()
    await expect(answer).rejects.toBeInstanceOf(APIUserAbortError)
  })

  it("a timeout of the package, with its own error", async () => {
    const answer = connect().chat.completions.create({ model: "slow", messages }, { timeout: 200,
      maxRetries: 0 })
    await expect(answer).rejects.toBeInstanceOf(APIConnectionTimeoutError)
  })

  it("an error of the router, with the package's own class", async () => {
    const answer = connect().chat.completions.create({ model: "status/404", messages })
    await expect(answer).rejects.toBeInstanceOf(NotFoundError)
    await expect(answer).rejects.toMatchObject({ status: 404, code: "not_found",
      requestID: expect.any(String) })
  })
})

describe("the rest", () => {
  it("models: the list, and one of them", async () => {
    const openai = connect()
    const ids = (await openai.models.list()).data.map(({ id }) => id)
    expect(ids).toContain(model)
    expect((await openai.models.retrieve(model)).id).toBe(model)
  })

  it("responses and embeddings are refused at once", async () => {
    const openai = connect()
    for (const call of [openai.responses.create({ model, input: MARKER }),
      openai.embeddings.create({ model, input: MARKER })]) {
      await expect(call).rejects.toMatchObject({ status: 404, code: "unsupported_path" })
    }
    expect(recipe.seen).toEqual([])
  })

  it("AzureOpenAI: the path of a deployment", async () => {
    const { fetch } = openAiOptions(recipe.nomyo)
    const azure = new AzureOpenAI({ endpoint: new URL(BASE_URL).origin, apiKey: "-", apiVersion: "2024-10-21",
      fetch })
    const completion = await azure.chat.completions.create({ model, messages })
    expect(completion.choices[0]?.message.content).toBe(said)
    expect(recipe.seen).toMatchObject([{ model }])
  })
})
