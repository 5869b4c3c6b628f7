import Instructor from "@instructor-ai/instructor"
import { SecureChatCompletion } from "nomyo-js"
import { openAiOptions } from "nomyo-js/fetch"
import OpenAI from "openai"
// it does not read the schemas of zod 4
import { z } from "zod/v3"

const nomyo = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})
const client = Instructor({ client: new OpenAI(openAiOptions(nomyo)), mode: "TOOLS" })

const user = await client.chat.completions.create({
  model: "Qwen/Qwen3-0.6B",
  messages: [{ role: "user", content: "Ada of Lübeck" }],
  response_model: { name: "User", schema: z.object({ name: z.string() }) }
})
console.log(user.name)
nomyo.dispose()

// With the echo model this prints:
// Ada of Lübeck
