// Prints a thinking model's reasoning beside its answer.
import { SecureChatCompletion } from "nomyo-js"

const client = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})

const answer = await client.create({
  model: "LiquidAI/LFM2.5-1.2B-Thinking",
  messages: [{ role: "user", content: "Is 9.9 larger than 9.11?" }]
})

const { content, reasoning_content } = answer.choices[0].message
console.log("Reasoning:", reasoning_content)
console.log("Answer:", content)
client.dispose()

// With the echo model this prints:
// Reasoning: I am to repeat 5 words.
// Answer: You said: Is 9.9 larger than 9.11?
