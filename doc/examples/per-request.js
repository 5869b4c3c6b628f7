// Sends one request to another router with another API key. The client's own router and key stay.
import { SecureChatCompletion } from "nomyo-js"

const client = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})

const answer = await client.create({
  model: "Qwen/Qwen3-0.6B",
  messages: [{ role: "user", content: "Hello from elsewhere" }],
  base_url: process.env.NOMYO_BASE_URL ?? "https://api.nomyo.ai", // the other router
  api_key: "another-key"
})

console.log(answer.choices[0].message.content)
client.dispose()

// With the echo model this prints:
// You said: Hello from elsewhere
