// Passes OpenAI's parameters, and fields that this library does not know, to the model.
import { SecureChatCompletion } from "nomyo-js"

const client = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})

const answer = await client.create({
  model: "Qwen/Qwen3-0.6B",
  messages: [
    { role: "system", content: "You are a poet." },
    { role: "user", content: "A line about the sea. And one about the sky." }
  ],
  temperature: 0.2,
  max_tokens: 6,
  stop: ["."],
  n: 2,
  seed: 7
})

for (const { finish_reason, index, message } of answer.choices)
  console.log(index, message.content, finish_reason)
client.dispose()

// With the echo model this prints:
// 0 You said: A line about the length
// 1 You said: A line about the length
