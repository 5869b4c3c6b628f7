/**
 * Reads 64 streams at once over protocol 2 for ten minutes, or for as many as the first argument says, and
 * looks every few seconds at what both processes hold. Ends with 1 if a stream failed, or if memory was still
 * growing over the second half.
 */
import { fork } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import { SecureChatCompletion } from "nomyo-js"

const MINUTES = Number(process.argv[2] ?? 10)
const AT_ONCE = 64
const LOOK_EVERY = 5000
/** MiB that either process may have grown by over the second half. */
const TOLERATED = 16

const router = fork(new URL("streamRouter.mjs", import.meta.url), { execArgv: ["--expose-gc"] })
const [baseUrl] = await once(router, "message")
const client = new SecureChatCompletion({ baseUrl, allowHttp: true, protocol: 2 })

const end = Date.now() + MINUTES * 60_000
const done = { streams: 0, pieces: 0, left: 0 }

/** One stream after the other; every eighth is left in its middle. */
const reader = async () => {
  while (Date.now() < end) {
    const isLeft = done.streams % 8 === 7
    let pieces = 0
    for await (const { choices } of client.stream({ model: "m",
      messages: [{ role: "user", content: "Go on" }] })) {
      if (choices.length > 0) pieces++
      if (isLeft && pieces === 20) break
    }
    if (!isLeft && pieces !== 100) throw new Error(`${pieces} pieces of 100`)
    done.streams++
    done.pieces += pieces
    if (isLeft) done.left++
  }
}

const samples = []
const look = async () => {
  globalThis.gc()
  router.send("look")
  const [routers] = await once(router, "message")
  samples.push({ "client, MiB": process.memoryUsage.rss() / 2 ** 20, ...routers })
}

const readers = Promise.all(Array.from({ length: AT_ONCE }, reader))
while (Date.now() < end) {
  await Promise.race([readers, new Promise((resolve) => setTimeout(resolve, LOOK_EVERY))])
  await look()
}
await readers
await look()
client.dispose()
router.disconnect()

const half = samples.slice(Math.floor(samples.length / 2))
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length
/** By the least-squares line through the second half. */
const growth = (name) => {
  const x = half.map((_, i) => i)
  const y = half.map((sample) => sample[name])
  const slope = mean(x.map((value, i) => (value - mean(x)) * (y[i] - mean(y)))) /
    mean(x.map((value) => (value - mean(x)) ** 2))
  return slope * (half.length - 1)
}
const load = Fs.readFileSync("/proc/loadavg", "utf8").split(" ")[0]
console.log(
  `${AT_ONCE} streams at once for ${MINUTES} minutes: ${done.streams} streams (${done.left} left early), ${done.pieces} pieces; load ${load}`
)
for (const name of Object.keys(samples[0])) {
  const values = samples.map((sample) => sample[name])
  const [first, last] = [values[0], values.at(-1)].map((value) => value.toFixed(1))
  console.log(
    `  ${name}: ${first} at first, at most ${
      Math.max(...values).toFixed(1)
    }, ${last} at last; over the second half ${growth(name).toFixed(1)}`
  )
}
const isFlat = ["client, MiB", "router, MiB"].every((name) => growth(name) <= TOLERATED)
const isBounded = Math.max(...samples.map((sample) => sample["remembered ids"])) <= 131_072
process.exitCode = isFlat && isBounded && samples.at(-1)["open streams"] === 0 ? 0 : 1
