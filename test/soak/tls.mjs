/**
 * 64 clients at once for ten minutes, or `--minutes`, at `nomyo router` behind TLS, in front of a model
 * server. Looks at the router's memory and sockets every five seconds. Ends with 1 if a request was lost, or
 * if anything was still growing. Linux, since that tells what a process holds.
 */
import { fork, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { text } from "node:stream/consumers"
import { parseArgs } from "node:util"
import { generate } from "selfsigned"

const EVERY = 5000
/** What a heap that is not collected at once may add over half the run, in MiB. */
const LARGEST_GROWTH = 16

const { values: { minutes } } = parseArgs({ options: { minutes: { type: "string", default: "10" } } })
const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-soak-"))
const file = (name, content) => {
  Fs.writeFileSync(Path.join(folder, name), content, { mode: 0o600 })
  return Path.join(folder, name)
}

const upstream = Http.createServer(async (request, response) => {
  const body = await text(request)
  response.setHeader("content-type", "application/json")
  if (request.method === "GET") return response.end("{\"data\":[{\"id\":\"m\"}]}")
  const { messages } = JSON.parse(body)
  const message = { role: "assistant", content: `You said: ${messages[0].content.split(" ")[0]}` }
  return response.end(JSON.stringify({ choices: [{ index: 0, message, finish_reason: "stop" }] }))
}).listen(0, "127.0.0.1")
await once(upstream, "listening")

const { cert, private: key } = await generate([{ name: "commonName", value: "localhost" }], {
  keySize: 2048,
  extensions: [{ name: "basicConstraints", cA: true }, { name: "subjectAltName",
    altNames: [{ type: 7, ip: "127.0.0.1" }] }]
})
const certFile = file("cert.pem", cert)
const router = spawn(process.execPath, [
  Path.join(import.meta.dirname, "../../dist/cli/nomyo.cjs"), "router", "--port", "0",
  "--upstream", `http://127.0.0.1:${upstream.address().port}`, "--key-dir", Path.join(folder, "keys"),
  "--tls-cert", certFile, "--tls-key", file("key.pem", key)
], { stdio: ["ignore", "pipe", "ignore"] })
const lines = createInterface(router.stdout)
const url = await new Promise((resolve) =>
  lines.on("line", (line) => line.startsWith("listening on ") && resolve(line.slice("listening on ".length))))

const clients = fork(new URL("clients.mjs", import.meta.url), [url, String(Number(minutes) * 60)], {
  env: { ...process.env, NODE_EXTRA_CA_CERTS: certFile }
})
let counts
clients.on("message", (message) => {
  counts = message.counts ?? counts
})
await once(clients, "message")

const samples = []
const started = performance.now()
const look = () => {
  const rss = Number(/^VmRSS:\s+(\d+)/m.exec(Fs.readFileSync(`/proc/${router.pid}/status`, "utf8"))[1]) / 1024
  samples.push({ seconds: (performance.now() - started) / 1000, rss,
    sockets: Fs.readdirSync(`/proc/${router.pid}/fd`).length })
}
const looking = setInterval(look, EVERY)
await once(clients, "exit")
clearInterval(looking)
router.kill("SIGTERM")
const [code] = await once(router, "exit")
upstream.close()
upstream.closeAllConnections()
Fs.rmSync(folder, { recursive: true })

/** Growth over the second half, by the least-squares line through it. */
const growth = (name) => {
  const half = samples.slice(samples.length / 2)
  const mean = (of) => half.reduce((sum, sample) => sum + of(sample), 0) / half.length
  const [x, y] = [mean((s) => s.seconds), mean((s) => s[name])]
  const slope = mean((s) => (s.seconds - x) * (s[name] - y)) / mean((s) => (s.seconds - x) ** 2)
  return slope * (half.at(-1).seconds - half[0].seconds)
}

const { answered, asked, errors, failed, slowest } = counts
const seconds = (performance.now() - started) / 1000
console.log(
  `${asked} requests of 64 clients in ${
    seconds.toFixed(0)
  } s behind TLS: ${answered} answered, ${failed} failed`
)
console.log(`  ${(answered / seconds).toFixed(0)} a second, the slowest in ${(slowest / 1000).toFixed(1)} s`)
for (const [message, count] of Object.entries(errors)) console.log(`  ${count} × ${message}`)
for (const [name, label] of [["rss", "router's resident memory, MiB"], ["sockets",
  "router's open files and sockets"]]) {
  const values = samples.map((sample) => sample[name])
  console.log(
    `  ${label}: ${values[0].toFixed(0)} at first, ${Math.min(...values).toFixed(0)} to ${
      Math.max(...values).toFixed(0)
    }, ` +
      `${values.at(-1).toFixed(0)} at last; over the second half ${growth(name) < 0 ? "" : "+"}${
        growth(name).toFixed(1)
      }`
  )
}
console.log(`  the router ended with ${code} after SIGTERM`)
process.exitCode =
  failed > 0 || answered !== asked || growth("rss") > LARGEST_GROWTH || growth("sockets") > 8 || code !== 0
    ? 1
    : 0
