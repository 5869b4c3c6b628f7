// The AI SDK, encrypted, with a tool.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { generateText, stepCountIs, tool } from "ai"
import { SecureChatCompletion } from "nomyo-js"
import { BASE_URL, createFetch } from "nomyo-js/fetch"
import { z } from "zod"

const nomyo = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})
const provider = createOpenAICompatible({
  name: "nomyo",
  baseURL: BASE_URL,
  fetch: createFetch(nomyo),
  includeUsage: true,
  supportsStructuredOutputs: true
})

const { text } = await generateText({
  model: provider("Qwen/Qwen3-0.6B"),
  prompt: "Paris",
  tools: {
    get_weather: tool({
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => `21 °C in ${city}`
    })
  },
  stopWhen: stepCountIs(2)
})
console.log(text)
nomyo.dispose()

// With the echo model this prints:
// The tool says: 21 °C in Paris
