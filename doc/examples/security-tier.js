// Asks for a hardware tier. The tier is an unencrypted header, which the router reads.
import { ForbiddenError, SecureChatCompletion } from "nomyo-js"

const client = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY
})

try {
  const answer = await client.create({
    model: "Qwen/Qwen3-0.6B",
    messages: [{ role: "user", content: "Summarise this patient record: …" }],
    security_tier: "maximum"
  })
  console.log(answer.choices[0].message.content)
  console.log("tier:", answer._metadata.security_tier)
} catch (error) {
  if (!(error instanceof ForbiddenError)) throw error
  console.log("This model does not run at that tier:", error.message)
}
client.dispose()

// With the echo model this prints:
// You said: Summarise this patient record: …
// tier: maximum
