/**
 * 64 clients of one router, each with a key pair of its own, that ask one question after the other until the
 * time is over. Reports to the parent process how many were asked, answered and lost.
 */
import { SecureChatCompletion } from "nomyo-js"

const CLIENTS = 64
const [baseUrl, seconds] = process.argv.slice(2)
const content = "The quick brown fox jumps over the lazy dog. ".repeat(23)

const counts = { asked: 0, answered: 0, failed: 0, slowest: 0, errors: {} }

const ask = async (client, question) => {
  const started = performance.now()
  counts.asked++
  try {
    const { choices } = await client.create({ model: "m",
      messages: [{ role: "user", content: `${question} ${content}` }] })
    if (choices[0].message.content !== `You said: ${question}`)
      throw new Error("the answer to another question")
    counts.answered++
  } catch (error) {
    counts.failed++
    counts.errors[error.message] = (counts.errors[error.message] ?? 0) + 1
  }
  counts.slowest = Math.max(counts.slowest, performance.now() - started)
}

const clients = Array.from({ length: CLIENTS },
  () =>
    new SecureChatCompletion({ baseUrl, keySize: 2048, keyDir: false, keyRotationInterval: 0, maxRetries: 0,
      timeout: 120_000 }))
for (const client of clients) await client.ready()
process.send({ ready: clients.length })

const end = performance.now() + Number(seconds) * 1000
const report = setInterval(() => process.send({ counts }), 1000)
await Promise.all(clients.map(async (client, who) => {
  for (let n = 0; performance.now() < end; n++) await ask(client, `${who}-${n}`)
}))
clearInterval(report)
for (const client of clients) client.dispose()
process.send({ counts, done: true })
process.disconnect()
