/** The AI SDK with `@ai-sdk/openai-compatible`, through the real router. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { generateText, Output, stepCountIs, streamText, tool } from "ai"
import { describe, expect, it } from "vitest"
import { z } from "zod"
import { BASE_URL, createFetch } from "../../../src/fetch/index.js"
import { MARKER, recipes } from "../../support/recipes.js"

const recipe = recipes()

const connect = () =>
  createOpenAICompatible({
    name: "nomyo",
    baseURL: BASE_URL,
    fetch: createFetch(recipe.nomyo),
    includeUsage: true,
    supportsStructuredOutputs: true
  })

const id = "Qwen/Qwen3-0.6B"
const said = `You said: ${MARKER}`
const Sweet = z.object({ name: z.string(), grams: z.number() })

const tools = {
  get_weather: tool({
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `21 °C in ${city}`
  })
}

describe("generateText", () => {
  it("gives the text, the reason and the usage", async () => {
    const { finishReason, text, usage } = await generateText({ model: connect()(id), prompt: MARKER })
    expect({ finishReason, text }).toEqual({ finishReason: "stop", text: said })
    expect(usage.totalTokens).toBeGreaterThan(0)
  })

  it("calls a tool and goes on with its result", async () => {
    const { steps, text } = await generateText({ model: connect()(id), prompt: MARKER, tools,
      stopWhen: stepCountIs(2) })
    expect(text).toContain(`21 °C in ${MARKER}`)
    expect(steps[0]?.toolCalls).toMatchObject([{ toolName: "get_weather", input: { city: MARKER } }])
  })

  it("gives an object by its schema", async () => {
    const { output } = await generateText({ model: connect()(id), prompt: MARKER,
      output: Output.object({ schema: Sweet }) })
    expect(Sweet.parse(output)).toEqual(output)
    expect(recipe.seen[0]).toMatchObject({ response_format: { type: "json_schema" } })
  })

  it("takes a picture", async () => {
    const picture = new Uint8Array(Buffer.from(MARKER.repeat(100)))
    await generateText({
      model: connect()(id),
      messages: [{
        role: "user",
        content: [{ type: "text", text: MARKER }, { type: "file", data: picture, mediaType: "image/png" }]
      }]
    })
    const url = `data:image/png;base64,${Buffer.from(picture).toString("base64")}`
    expect(recipe.seen[0]?.messages[0]?.content).toMatchObject([{ type: "text" }, { type: "image_url",
      image_url: { url } }])
  })

  it("gives the reasoning of a thinking model", async () => {
    const { reasoningText } = await generateText({ model: connect()("echo-thinking"), prompt: MARKER })
    expect(reasoningText).toContain("I am to repeat")
  })

  it("passes on a security tier", async () => {
    await generateText({ model: connect()(id), prompt: MARKER,
      providerOptions: { nomyo: { security_tier: "maximum" } } })
    expect(recipe.tiers).toEqual(["maximum"])
  })
})

describe("streamText", () => {
  it("gives the text, the reason and the usage", async () => {
    const { finishReason, textStream, usage } = streamText({ model: connect()(id), prompt: MARKER })
    let text = ""
    for await (const delta of textStream) text += delta
    expect({ finishReason: await finishReason, text }).toEqual({ finishReason: "stop", text: said })
    expect((await usage).totalTokens).toBeGreaterThan(0)
  })

  it("calls a tool and goes on with its result", async () => {
    const { text } = streamText({ model: connect()(id), prompt: MARKER, tools, stopWhen: stepCountIs(2) })
    expect(await text).toContain(`21 °C in ${MARKER}`)
  })

  it("gives an object by its schema", async () => {
    const { output } = streamText({ model: connect()(id), prompt: MARKER,
      output: Output.object({ schema: Sweet }) })
    expect(Sweet.parse(await output)).toEqual(await output)
  })

  it("gives the reasoning of a thinking model", async () => {
    const { reasoningText, text } = streamText({ model: connect()("echo-thinking"), prompt: MARKER })
    expect(await text).toBe(said)
    expect(await reasoningText).toContain("I am to repeat")
  })

  it("is aborted", async () => {
    const controller = new AbortController()
    const answer = generateText({ model: connect()("slow"), prompt: MARKER, abortSignal: controller.signal })
    await expect.poll(() => recipe.seen.length).toBe(1)
    controller.abort()
    await expect(answer).rejects.toMatchObject({ name: "AbortError" })
  })
})
