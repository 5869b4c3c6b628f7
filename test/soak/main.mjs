/**
 * Sends 20,000 requests of 1 KiB by one client, keys of 2048 bits, eight at a time, and looks after every 500
 * at what the process holds while none is out and what could be collected has been. Prints what it saw and
 * draws `doc/soak.svg`. Ends with 1 if a request failed, or if anything was still growing. Linux, since that
 * tells what is locked.
 */
import { fork } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import { getMemoryProtectionInfo, SecureChatCompletion } from "nomyo-js"

const REQUESTS = 20_000
const AT_ONCE = 8
const STEP = 500

const router = fork(new URL("router.mjs", import.meta.url))
const [baseUrl] = await once(router, "message")
const client = new SecureChatCompletion({ baseUrl, allowHttp: true, keySize: 2048, keyDir: false,
  keyRotationInterval: 0 })
const content = "The quick brown fox jumps over the lazy dog. ".repeat(23)

const field = (name) =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(Fs.readFileSync("/proc/self/status", "utf8"))[1])
const samples = []
const look = async (requests) => {
  // what could be collected is not what grows; and the block that small secrets share is kept for a moment
  for (let i = 0; i < 3; i++) {
    globalThis.gc()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  samples.push({
    requests,
    "resident memory, MiB": field("VmRSS") / 1024,
    "locked memory, KiB": field("VmLck"),
    "open files and sockets": Fs.readdirSync("/proc/self/fd").length,
    "handles of the event loop": process.getActiveResourcesInfo().length
  })
}

let lockedOut = 0
const started = performance.now()
await client.ready()
await look(0)
for (let done = 0; done < REQUESTS; done += STEP) {
  let left = STEP
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (left-- > 0) {
      const call = client.create({ model: "m", messages: [{ role: "user", content }] })
      if (left === STEP / 2) setImmediate(() => (lockedOut = Math.max(lockedOut, field("VmLck"))))
      const answer = await call
      if (!answer.choices[0].message.content.startsWith("You said: The quick"))
        throw new Error("a wrong answer")
    }
  }))
  await look(done + STEP)
}
const seconds = (performance.now() - started) / 1000
client.dispose()
router.disconnect()

const series = Object.keys(samples[0]).filter((name) => name !== "requests")
/** Growth over the second half, by the least-squares line through it. */
const growth = (name) => {
  const half = samples.slice(samples.length / 2)
  const mean = (of) => half.reduce((sum, sample) => sum + of(sample), 0) / half.length
  const [x, y] = [mean((s) => s.requests), mean((s) => s[name])]
  const slope = mean((s) => (s.requests - x) * (s[name] - y)) / mean((s) => (s.requests - x) ** 2)
  return slope * (half.at(-1).requests - half[0].requests)
}

console.log(
  `${REQUESTS} requests in ${
    seconds.toFixed(0)
  } s, memory: ${getMemoryProtectionInfo().method}, locked while some were out: up to ${lockedOut} KiB`
)
for (const name of series) {
  const values = samples.map((sample) => sample[name])
  console.log(
    `  ${name}: ${values[0].toFixed(1)} at first, ${Math.min(...values).toFixed(1)} to ${
      Math.max(...values).toFixed(1)
    }, ${values.at(-1).toFixed(1)} at last;` +
      ` over the second half ${growth(name) < 0 ? "" : "+"}${growth(name).toFixed(2)}`
  )
}

const [width, height, left, gap] = [640, 90, 60, 46]
const chart = (name, i) => {
  const top = 60 + i * (height + gap)
  const values = samples.map((sample) => sample[name])
  const highest = Math.max(...values, 1) * 1.1
  const x = (requests) => left + width * requests / REQUESTS
  const y = (value) => top + height * (1 - value / highest)
  return `<text x="${left}" y="${top - 8}">${name}</text>
<path d="M${left} ${top}v${height}h${width}" fill="none" stroke="#718096"/>
<text x="${left - 6}" y="${top + 8}" text-anchor="end">${highest.toFixed(0)}</text><text x="${left - 6}" y="${
  top + height
}" text-anchor="end">0</text>
<polyline points="${
  samples.map((s) => `${x(s.requests).toFixed(1)},${y(s[name]).toFixed(1)}`).join(" ")
}" fill="none" stroke="#2b6cb0" stroke-width="2"/>`
}
const total = 60 + series.length * (height + gap)
Fs.writeFileSync(
  new URL("../../doc/soak.svg", import.meta.url),
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${left + width + 20} ${total}" width="${
    left + width + 20
  }" height="${total}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="${left}" y="24" font-size="14">${
  REQUESTS.toLocaleString("en")
} requests of one client, ${AT_ONCE} at a time, ${getMemoryProtectionInfo().method}, Node ${process.versions.node}</text>
${series.map(chart).join("\n")}
<text x="${left + width}" y="${total - 24}" text-anchor="end">requests, 0 to ${
  REQUESTS.toLocaleString("en")
}</text>
</svg>
`
)
process.exitCode = growth("resident memory, MiB") > 8 || series.slice(1).some((name) => growth(name) > 0.5)
  ? 1
  : 0
