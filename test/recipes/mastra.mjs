import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { Agent } from "@mastra/core/agent"
import { createTool } from "@mastra/core/tools"
import { SecureChatCompletion } from "nomyo-js"
import { BASE_URL, createFetch } from "nomyo-js/fetch"
import { z } from "zod"

const nomyo = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})
const provider = createOpenAICompatible({ name: "nomyo", baseURL: BASE_URL, fetch: createFetch(nomyo) })

const agent = new Agent({
  id: "helper",
  name: "Helper",
  instructions: "Answer in one sentence.",
  model: provider("Qwen/Qwen3-0.6B"),
  tools: {
    get_weather: createTool({
      id: "get_weather",
      description: "The weather of a city",
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => ({ weather: `21 °C in ${city}` })
    })
  }
})

const { text } = await agent.generate("Lübeck")
console.log(text)

const stream = await agent.stream("Lübeck")
for await (const delta of stream.textStream) process.stdout.write(delta)
console.log()
nomyo.dispose()

// With the echo model this prints:
// The tool says: {"weather":"21 °C in Lübeck"}
// The tool says: {"weather":"21 °C in Lübeck"}
