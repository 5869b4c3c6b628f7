import { Agent, run, setDefaultOpenAIClient, setOpenAIAPI, setTracingDisabled, tool } from "@openai/agents"
import { SecureChatCompletion } from "nomyo-js"
import { openAiOptions } from "nomyo-js/fetch"
import OpenAI from "openai"
import { z } from "zod"

const nomyo = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})
setDefaultOpenAIClient(new OpenAI(openAiOptions(nomyo)))
// the default is /responses, which the service does not have
setOpenAIAPI("chat_completions")
// the default posts every prompt and answer to OpenAI, in the clear
setTracingDisabled(true)

const agent = new Agent({
  name: "Helper",
  model: "Qwen/Qwen3-0.6B",
  instructions: "Answer in one sentence.",
  tools: [tool({
    name: "get_weather",
    description: "The weather of a city",
    parameters: z.object({ city: z.string() }),
    execute: async ({ city }) => `21 °C in ${city}`
  })]
})

const result = await run(agent, "Lübeck")
console.log(result.finalOutput)

const stream = await run(agent, "Lübeck", { stream: true })
for await (const text of stream.toTextStream()) process.stdout.write(text)
console.log()
nomyo.dispose()

// With the echo model this prints:
// The tool says: 21 °C in Lübeck
// The tool says: 21 °C in Lübeck
