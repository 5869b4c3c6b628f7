// Reads the fingerprint of the router's key, and then accepts that key only.
import { SecureChatCompletion, SecureCompletionClient, SecurityError } from "nomyo-js"
import { createHash } from "node:crypto"

const baseUrl = process.env.NOMYO_BASE_URL
const allowHttp = process.env.NOMYO_ALLOW_HTTP === "true"

// once, over a connection you trust; better still, ask the router's operator for it
const steps = new SecureCompletionClient({ routerUrl: baseUrl, allowHttp })
const pem = await steps.fetchServerPublicKey()
const spki = Buffer.from(pem.replaceAll(/-----[A-Z ]+-----|\s/g, ""), "base64")
const fingerprint = createHash("sha256").update(spki).digest("hex")
console.log(`${fingerprint.length} hexadecimal digits`)

/** @type {import("nomyo-js").ChatCompletionRequest} */
const request = { model: "Qwen/Qwen3-0.6B", messages: [{ role: "user", content: "Only for you" }] }

// you can pin several keys: the present one and the next
const pinned = new SecureChatCompletion({ baseUrl, allowHttp, routerKeyFingerprints: [fingerprint] })
const answer = await pinned.create(request)
console.log(answer.choices[0].message.content)

// a router with another key gets nothing
const mistaken = new SecureChatCompletion({ baseUrl, allowHttp, routerKeyFingerprints: ["0".repeat(64)] })
await mistaken.create(request).catch((error) => console.log(error instanceof SecurityError && error.reason))

steps.dispose()
pinned.dispose()
mistaken.dispose()

// With the echo model this prints:
// 64 hexadecimal digits
// You said: Only for you
// router-key-pin
