/** One sealed chat and what surrounds it, on whatever runtime this is: throws if anything is not as it should be. */
import { RateLimitError, SecureChatCompletion } from "nomyo-js"

const check = (what, isSo) => {
  if (!isSo) throw new Error(what)
}

/** `baseUrl` is a router; `silentUrl` one that never answers a chat, and tells when one has arrived and when its connection is closed. */
export const chat = async (baseUrl, silentUrl) => {
  const options = { allowHttp: true, keyDir: false, keySize: 2048, maxRetries: 0 }
  const client = new SecureChatCompletion({ ...options, baseUrl })
  const silent = new SecureChatCompletion({ ...options, baseUrl: silentUrl })
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
    const cancelled = silent.create(request("any"), { signal: controller.signal }).catch((error) => error.name)
    await (await fetch(`${silentUrl}/arrived`)).text()
    controller.abort()
    check("cancellation", await cancelled === "AbortError")
    await (await fetch(`${silentUrl}/closed`)).text()
  } finally {
    client.dispose()
    silent.dispose()
  }
}
