/** An encrypted answer by the Promise API, from CommonJS: the router is the first argument. */
const { APIError, RateLimitError, SecureChatCompletion } = require("nomyo-js")

const main = async () => {
  const client = new SecureChatCompletion({ baseUrl: process.argv[2], allowHttp: true, keyDir: false, keySize: 2048, maxRetries: 0 })
  const request = (model) => ({ model, messages: [{ role: "user", content: "Hello!" }] })
  const answer = await client.create(request("any"))
  const error = await client.create(request("status/429")).catch((error) => error)
  client.dispose()
  console.log(answer.choices[0].message.content, error instanceof RateLimitError && error instanceof APIError)
}

void main()
