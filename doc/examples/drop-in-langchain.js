// LangChain, encrypted.
import { ChatOpenAI } from "@langchain/openai"
import { SecureChatCompletion } from "nomyo-js"
import { openAiOptions } from "nomyo-js/fetch"

const nomyo = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})
const model = new ChatOpenAI({
  model: "Qwen/Qwen3-0.6B",
  apiKey: "nomyo",
  configuration: openAiOptions(nomyo)
})

const answer = await model.invoke("Good morning!")
console.log(answer.text)
nomyo.dispose()

// With the echo model this prints:
// You said: Good morning!
