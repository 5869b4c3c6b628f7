// Retries temporary failures. Each call can set its retries, its timeout and a signal.
import { SecureChatCompletion } from "nomyo-js"

const client = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY,
  maxRetries: 2, // the default: three attempts in all
  timeout: 60_000 // the default, in milliseconds, for each attempt
})

/** @type {import("nomyo-js").Message[]} */
const messages = [{ role: "user", content: "Are you there?" }]

// this model fails with 503 once, then answers
const answer = await client.create({ model: "status/503/1", messages })
console.log(answer.choices[0].message.content)

// this call makes one attempt, of at most 5 seconds
await client.create({ model: "status/503", messages }, { maxRetries: 0, timeout: 5_000 })
  .catch((error) => console.log(`${error.name} after ${error.attempts} attempt`))

// a signal ends the attempt in flight, or the wait for the next one
const controller = new AbortController()
setTimeout(() => controller.abort(), 200)
await client.create({ model: "status/503", messages }, { signal: controller.signal })
  .catch((error) => console.log(error.name))
client.dispose()

// With the echo model this prints:
// You said: Are you there?
// ServiceUnavailableError after 1 attempt
// AbortError
