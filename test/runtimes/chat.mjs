/** One sealed chat and what surrounds it, on whatever runtime this is: throws if anything is not as it should be. */
import { RateLimitError, SecureChatCompletion } from "nomyo-js"

const check = (what, isSo) => {
  if (!isSo) throw new Error(what)
}

export const chat = async (baseUrl) => {
  const client = new SecureChatCompletion({ baseUrl, allowHttp: true, keyDir: false, keySize: 2048, maxRetries: 0 })
  const request = (model) => ({ model, messages: [{ role: "user", content: "Hello!" }] })
  const say = async () => (await client.create(request("any"))).choices[0].message.content
  try {
    check("the answer", await say() === "You said: Hello!")
    const before = (await client.ready()).fingerprint
    check("a rotation", (await client.rotateKeys()).fingerprint !== before)
    check("the answer after it", await say() === "You said: Hello!")
    const refused = await client.create(request("status/429")).catch((error) => error)
    check("the error's class", refused instanceof RateLimitError && refused.statusCode === 429)
    const controller = new AbortController()
    const cancelled = client.create(request("any"), { signal: controller.signal }).catch((error) => error.name)
    controller.abort()
    check("cancellation", await cancelled === "AbortError")
  } finally {
    client.dispose()
  }
}
