/** An encrypted answer by the Promise API: the router is the first argument. */
import { APIError, RateLimitError, SecureChatCompletion } from "nomyo-js"

const main = async () => {
  const client = new SecureChatCompletion({ baseUrl: process.argv[2], allowHttp: true, keySize: 2048, maxRetries: 0, keyDir: false })
  const request = (model) => ({ model, messages: [{ role: "user", content: "Hello!" }] })
  const answer = await client.create(request("any"))
  const error = await client.create(request("status/429")).catch((error) => error)
  client.dispose()
  console.log(answer.choices[0].message.content, error instanceof RateLimitError && error instanceof APIError)
}

void main()
