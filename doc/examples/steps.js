// Runs the steps of a request one by one, so you can store, show or send the envelope yourself.
import { SecureCompletionClient } from "nomyo-js"
import { randomUUID } from "node:crypto"

const client = new SecureCompletionClient({
  routerUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true"
})

const payload = { model: "Qwen/Qwen3-0.6B", messages: [{ role: "user", content: "Step by step" }] }

const { pem } = await client.ready()
const envelope = await client.encryptPayload(payload)
const { algorithm, encrypted_payload } = JSON.parse(new TextDecoder().decode(envelope))
console.log(algorithm, Object.keys(encrypted_payload).join(" "))

const payloadId = randomUUID()
const response = await fetch(
  `${process.env.NOMYO_BASE_URL ?? "https://api.nomyo.ai"}/v1/chat/secure_completion`,
  {
    method: "POST",
    headers: {
      "Content-Type": "application/octet-stream",
      "X-Payload-ID": payloadId,
      "X-Public-Key": encodeURIComponent(pem),
      Authorization: `Bearer ${process.env.NOMYO_API_KEY}`
    },
    body: envelope
  }
)
const answer = await client.decryptResponse(await response.arrayBuffer(), payloadId)
console.log(answer.choices[0].message.content)

// all steps in one call, with retries
const again = await client.sendSecureRequest(payload, randomUUID(), process.env.NOMYO_API_KEY)
console.log(again.choices[0].message.content)
client.dispose()

// With the echo model this prints:
// hybrid-aes256-rsa4096 ciphertext nonce tag
// You said: Step by step
// You said: Step by step
