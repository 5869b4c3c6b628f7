// Prints an answer while the model writes it, over protocol 2.
import { SecureChatCompletion } from "nomyo-js"

const client = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY,
  // for a router of your own: the NOMYO service speaks protocol 1.0
  protocol: 2
})

const stream = client.stream({
  model: "Qwen/Qwen3-0.6B",
  messages: [{ role: "user", content: "Count to three" }]
})

for await (const { choices } of stream) {
  process.stdout.write(choices[0]?.delta.content ?? "")
}
process.stdout.write("\n")

// the answer is complete: the loop throws if an answer is cut short
const { usage } = await stream.finalCompletion()
console.log(`${usage?.total_tokens} tokens`)
client.dispose()

// With the echo model this prints:
// You said: Count to three
// 8 tokens
