// The openai package, encrypted: only the constructor changes.
import { SecureChatCompletion } from "nomyo-js"
import { openAiOptions } from "nomyo-js/fetch"
import OpenAI from "openai"

const nomyo = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})
const openai = new OpenAI(openAiOptions(nomyo))

const stream = await openai.chat.completions.create({
  model: "Qwen/Qwen3-0.6B",
  messages: [{ role: "user", content: "Good morning!" }],
  stream: true
})
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "")
console.log()
nomyo.dispose()

// With the echo model this prints:
// You said: Good morning!
