/** LangChain's `@langchain/openai`, through the real router. */
import { HumanMessage, ToolMessage } from "@langchain/core/messages"
import { tool } from "@langchain/core/tools"
import { ChatOpenAI, type ChatOpenAIFields } from "@langchain/openai"
import { describe, expect, it } from "vitest"
import { z } from "zod"
import { openAiOptions } from "../../../src/fetch/index.js"
import { MARKER, recipes } from "../../support/recipes.js"

const recipe = recipes()

const connect = (fields: ChatOpenAIFields = {}) =>
  new ChatOpenAI({ model: "Qwen/Qwen3-0.6B", apiKey: "nomyo", configuration: openAiOptions(recipe.nomyo),
    ...fields })

const said = `You said: ${MARKER}`
const Sweet = z.object({ name: z.string(), grams: z.number() })

const weather = tool(async ({ city }: { readonly city: string }) => `21 °C in ${city}`, {
  name: "get_weather",
  description: "The weather of a city",
  schema: z.object({ city: z.string() })
})

describe("ChatOpenAI", () => {
  it("invoke: the text and the usage", async () => {
    const answer = await connect().invoke(MARKER)
    expect(answer.text).toBe(said)
    expect(answer.usage_metadata).toMatchObject({ total_tokens: expect.any(Number) })
  })

  it("stream: the text and the usage", async () => {
    let text = ""
    const usage: Array<unknown> = []
    for await (const chunk of await connect().stream(MARKER)) {
      text += chunk.text
      if (chunk.usage_metadata !== undefined) usage.push(chunk.usage_metadata)
    }
    expect({ text, usage }).toEqual({ text: said,
      usage: [expect.objectContaining({ total_tokens: expect.any(Number) })] })
  })

  it("bindTools: a call, its result, and the answer", async () => {
    const model = connect().bindTools([weather])
    const question = new HumanMessage(MARKER)
    const asked = await model.invoke([question])
    expect(asked.tool_calls).toMatchObject([{ name: "get_weather", args: { city: MARKER } }])
    const result: ToolMessage = await weather.invoke(asked.tool_calls![0]! as never)
    expect((await model.invoke([question, asked, result])).text).toContain(`21 °C in ${MARKER}`)
  })

  it("bindTools: a call in a stream", async () => {
    const chunks = []
    for await (const chunk of await connect().bindTools([weather]).stream(MARKER)) chunks.push(chunk)
    const whole = chunks.reduce((before, chunk) => before.concat(chunk))
    expect(whole.tool_calls).toMatchObject([{ name: "get_weather", args: { city: MARKER } }])
  })

  it.each(["jsonSchema", "functionCalling", "jsonMode"] as const)("withStructuredOutput by %s",
    async (method) => {
      const schema = method === "jsonMode" ? z.object({ you_said: z.string() }) : Sweet
      const answer: unknown = await connect().withStructuredOutput(schema, { name: "sweet", method }).invoke(
        MARKER
      )
      expect(schema.parse(answer)).toEqual(answer)
    })

  it("passes on a security tier", async () => {
    await connect({ modelKwargs: { security_tier: "high" } }).invoke(MARKER)
    expect(recipe.tiers).toEqual(["high"])
  })

  it("is aborted", async () => {
    const controller = new AbortController()
    const answer = connect({ model: "slow" }).invoke(MARKER, { signal: controller.signal })
    await expect.poll(() => recipe.seen.length).toBe(1)
    controller.abort()
    await expect(answer).rejects.toThrow(/abort/i)
  })
})
