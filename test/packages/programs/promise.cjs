/** Encrypted answers by the Promise API and by its fetch, from CommonJS: the router is the first argument. */
const { APIError, RateLimitError, SecureChatCompletion } = require("nomyo-js")
const { BASE_URL, createFetch } = require("nomyo-js/fetch")

const main = async () => {
  const options = { allowHttp: true, keyDir: false, keySize: 2048, maxRetries: 0 }
  const client = new SecureChatCompletion({ ...options, baseUrl: process.argv[2] })
  const request = (model) => ({ model, messages: [{ role: "user", content: "Hello!" }] })
  const answer = await client.create(request("any"))
  const call = { method: "POST", body: JSON.stringify(request("any")) }
  const response = await createFetch(client)(`${BASE_URL}/chat/completions`, call)
  const completion = await response.json()
  const error = await client.create(request("status/429")).catch((error) => error)
  client.dispose()
  const isTyped = error instanceof RateLimitError && error instanceof APIError
  const { content } = completion.choices[0].message
  console.log(answer.choices[0].message.content, isTyped && content === "You said: Hello!")
}

void main()
