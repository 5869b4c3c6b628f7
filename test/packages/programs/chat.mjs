/**
 * Sealed chats and what surrounds them, on whatever runtime this is. Throws if anything is not as it should
 * be.
 */
import { RateLimitError, SecureChatCompletion } from "nomyo-js"
import { BASE_URL, createFetch } from "nomyo-js/fetch"

const check = (what, isSo) => {
  if (!isSo) throw new Error(what)
}

const ANSWER = "You said: Hello!"
const request = (model) => ({ model, messages: [{ role: "user", content: "Hello!" }] })
const textOf = (completion) => completion.choices[0].message.content

const cancelled = async (silent, silentUrl) => {
  const controller = new AbortController()
  const name = silent.create(request("any"), { signal: controller.signal }).catch((error) => error.name)
  await (await fetch(`${silentUrl}/arrived`)).text()
  controller.abort()
  check("cancellation", await name === "AbortError")
  await (await fetch(`${silentUrl}/closed`)).text()
}

/**
 * `baseUrl` is a router; `silentUrl` one that never answers a chat, and tells when one has arrived and when
 * its connection is closed. Gives the answer's text.
 */
export const chat = async (baseUrl, silentUrl) => {
  const options = { allowHttp: true, keyDir: false, keySize: 2048, maxRetries: 0 }
  const client = new SecureChatCompletion({ ...options, baseUrl })
  const silent = new SecureChatCompletion({ ...options, baseUrl: silentUrl })
  try {
    check("the answer", textOf(await client.create(request("any"))) === ANSWER)
    const before = (await client.ready()).fingerprint
    check("a rotation", (await client.rotateKeys()).fingerprint !== before)
    const call = { method: "POST", body: JSON.stringify(request("any")) }
    const response = await createFetch(client)(`${BASE_URL}/chat/completions`, call)
    check("the answer to fetch", textOf(await response.json()) === ANSWER)
    const refused = await client.create(request("status/429")).catch((error) => error)
    check("the error's class", refused instanceof RateLimitError && refused.statusCode === 429)
    await cancelled(silent, silentUrl)
    return ANSWER
  } finally {
    client.dispose()
    silent.dispose()
  }
}

/** One streamed chat over protocol 2, one that is left after its first piece, and a whole answer. */
export const streamedChat = async (baseUrl) => {
  const client = new SecureChatCompletion({ allowHttp: true, baseUrl, protocol: 2, maxRetries: 0 })
  try {
    const stream = client.stream(request("any"))
    const pieces = []
    let metadata
    for await (const chunk of stream) {
      metadata ??= chunk._metadata
      if (chunk.choices[0]?.delta.content) pieces.push(chunk.choices[0].delta.content)
    }
    check("the pieces", pieces.join("|") === "You| said:| Hello!")
    check("that the pieces are real", metadata.is_streamed === true)
    check("the whole", textOf(await stream.finalCompletion()) === ANSWER)
    for await (const _ of client.stream(request("any"))) break
    check("the answer after it", textOf(await client.create(request("any"))) === ANSWER)
  } finally {
    client.dispose()
  }
}
