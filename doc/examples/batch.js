// Sends many requests within the service's limit. The others continue after one has failed.
import { SecureChatCompletion } from "nomyo-js"

const client = new SecureChatCompletion({
  baseUrl: process.env.NOMYO_BASE_URL,
  allowHttp: process.env.NOMYO_ALLOW_HTTP === "true",
  apiKey: process.env.NOMYO_API_KEY,
  throttle: true
})

/**
 * An array would do. A generator could read a file of any length: `createAll` asks for the next request
 * when there is room.
 */
const requests = function*() {
  for (const content of ["one", "two", "three"]) {
    yield { model: content === "two" ? "status/403" : "Qwen/Qwen3-0.6B",
      messages: [{ role: "user", content }] }
  }
}

for await (const result of client.createAll(requests(), { concurrency: 4, ordered: true })) {
  const came = result.status === "fulfilled" ? result.value.choices[0].message.content : result.reason.name
  console.log(result.index, came)
}
client.dispose()

// With the echo model this prints:
// 0 You said: one
// 1 ForbiddenError
// 2 You said: three
