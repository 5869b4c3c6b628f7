// One question, one answer.
import { SecureChatCompletion } from "nomyo-js"

const client = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})

const answer = await client.create({
  model: "Qwen/Qwen3-0.6B",
  messages: [{ role: "user", content: "What is the capital of France?" }]
})

console.log(answer.choices[0].message.content)
console.log(`${answer.usage?.total_tokens} tokens, encrypted: ${answer._metadata.is_encrypted}`)
client.dispose()

// With the echo model this prints:
// You said: What is the capital of France?
// 14 tokens, encrypted: true
