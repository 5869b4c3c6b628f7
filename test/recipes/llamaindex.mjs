import { tool } from "@llamaindex/core/tools"
import { OpenAI } from "@llamaindex/openai"
import { SecureChatCompletion } from "nomyo-js"
import { openAiOptions } from "nomyo-js/fetch"
import { z } from "zod"

const nomyo = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})
const { apiKey, baseURL, fetch } = openAiOptions(nomyo)
const llm = new OpenAI({ model: "Qwen/Qwen3-0.6B", apiKey, baseURL, additionalSessionOptions: { fetch } })
const messages = [{ role: "user", content: "Lübeck" }]

const answer = await llm.chat({ messages })
console.log(answer.message.content)

for await (const chunk of await llm.chat({ messages, stream: true })) process.stdout.write(chunk.delta)
console.log()

const weather = tool({
  name: "get_weather",
  description: "The weather of a city",
  parameters: z.object({ city: z.string() }),
  execute: ({ city }) => `21 °C in ${city}`
})
const { toolCalls } = await llm.exec({ messages, tools: [weather] })
console.log(toolCalls[0].name, toolCalls[0].input.city)
nomyo.dispose()

// With the echo model this prints:
// You said: Lübeck
// You said: Lübeck
// get_weather Lübeck
