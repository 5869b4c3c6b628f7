// A conversation of several turns. The client keeps no history, so you send all of it each time.
import { SecureChatCompletion } from "nomyo-js"

const client = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})

/** @type {import("nomyo-js").Message[]} */
const messages = [{ role: "system", content: "You answer in one sentence." }]

for (const content of ["My name is Ada.", "What is my name?"]) {
  messages.push({ role: "user", content })
  const answer = await client.create({ model: "Qwen/Qwen3-0.6B", messages })
  const { message } = answer.choices[0]
  messages.push(message)
  console.log(message.content)
}
console.log(`${messages.length} messages`)
client.dispose()

// With the echo model this prints:
// You said: My name is Ada.
// You said: What is my name?
// 5 messages
