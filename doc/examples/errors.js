// Handles the common classes of error. The echo model fails with 401 if the model is "status/401".
import {
  APIConnectionError,
  APIError,
  AuthenticationError,
  InvalidRequestError,
  RateLimitError,
  SecureChatCompletion,
  SecurityError
} from "nomyo-js"

const client = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY,
  maxRetries: 0
})

/** Says what to do about an error. APIError is the base class of all HTTP errors, so it comes last. */
const advice = (error) => {
  if (error instanceof AuthenticationError) return "check the API key"
  if (error instanceof RateLimitError) return `wait ${error.retryAfter ?? 1000} ms`
  if (error instanceof InvalidRequestError) return `change the request: ${error.message}`
  if (error instanceof APIConnectionError) return `no answer (${error.reason}), try again later`
  if (error instanceof SecurityError) return `not safe to go on (${error.reason})`
  if (error instanceof APIError) return `the router answered ${error.statusCode}`
  throw error
}

for (const model of ["status/401", "status/429", "status/418", "", "Qwen/Qwen3-0.6B"]) {
  await client.create({ model, messages: [{ role: "user", content: "Hello!" }] }).then(
    (answer) => console.log(answer.choices[0].message.content),
    (error) => console.log(`${error.name}: ${advice(error)}`)
  )
}
client.dispose()

// With the echo model this prints:
// AuthenticationError: check the API key
// RateLimitError: wait 1000 ms
// APIError: the router answered 418
// InvalidRequestError: change the request: model must be a model id such as "Qwen/Qwen3-0.6B"
// You said: Hello!
