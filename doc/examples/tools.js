// Lets the model call your function, and returns the result to it.
import { SecureChatCompletion } from "nomyo-js"

const client = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})

const model = "Qwen/Qwen3-0.6B"

/** @type {import("nomyo-js").Tool[]} */
const tools = [{
  type: "function",
  function: {
    name: "get_weather",
    description: "Tells the weather at a place",
    parameters: { type: "object", properties: { place: { type: "string" } }, required: ["place"] }
  }
}]

const functions = {
  get_weather: ({ place }) => `18 °C and dry in ${place}`
}

/** @type {import("nomyo-js").Message[]} */
const messages = [{ role: "user", content: "Paris" }]

const asked = await client.create({ model, messages, tools, tool_choice: "auto" })
const { message } = asked.choices[0]
messages.push(message)

for (const call of message.tool_calls ?? []) {
  if (call.type !== "function") continue
  // the model wrote the name and the arguments: trust neither
  const known = Object.hasOwn(functions, call.function.name)
  const content = known
    ? functions[call.function.name](JSON.parse(call.function.arguments))
    : "There is no such function"
  console.log(`${call.function.name}: ${content}`)
  messages.push({ role: "tool", tool_call_id: call.id, content })
}

const answer = await client.create({ model, messages, tools })
console.log(answer.choices[0].message.content)
client.dispose()

// With the echo model this prints:
// get_weather: 18 °C and dry in Paris
// The tool says: 18 °C and dry in Paris
