/**
 * What takes minutes at `nomyo proxy`: a pooled connection of Python's `httpx` that is idle for 6 to 60
 * seconds, and a model server that answers after more than five minutes. Ends with 1 if a connection was
 * reset or an answer is missing.
 */
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as Http from "node:http"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { text } from "node:stream/consumers"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"

const run = promisify(execFile)
/** Node's `fetch` gives up after five minutes without headers, and so would a router that used it. */
const SLOW = 310_000
/** Debian's own, which sees the packages of apt. */
const PYTHON = "/usr/bin/python3"

const upstream = Http.createServer(async (request, response) => {
  const body = await text(request)
  response.setHeader("content-type", "application/json")
  if (body.includes("slowly")) await sleep(SLOW)
  response.end(
    JSON.stringify({
      choices: [{ index: 0, message: { role: "assistant", content: "Here it is." }, finish_reason: "stop" }]
    })
  )
}).listen(0, "127.0.0.1")
upstream.requestTimeout = 0
await once(upstream, "listening")

const start = async (args, pattern) => {
  const child = spawn(process.execPath, [Path.join(import.meta.dirname, "../../dist/cli/nomyo.cjs"), ...args,
    "--port", "0"], {
    stdio: ["ignore", "pipe", "ignore"]
  })
  const url = await new Promise((resolve) =>
    createInterface(child.stdout).on("line", (line) => pattern.test(line) && resolve(pattern.exec(line)[1])))
  return { url, stop: () => child.kill("SIGINT") }
}

const router = await start(["router", "--upstream", `http://127.0.0.1:${upstream.address().port}`],
  /^listening on (.+)$/)
const proxy = await start(["proxy", "--base-url", router.url, "--allow-http"], /^(http.+)$/)

const idle = `
import httpx, sys, time
body = {"model": "m", "messages": [{"role": "user", "content": "Hello!"}]}
# httpx itself closes what is idle for 5 s, unless it is set otherwise
limits = httpx.Limits(keepalive_expiry=100)
with httpx.Client(base_url=sys.argv[1], timeout=120, trust_env=False, limits=limits) as client:
    ports = set()
    for seconds in [0, 6, 15, 30, 60]:
        time.sleep(seconds)
        with client.stream("POST", "/chat/completions", json=body) as response:
            ports.add(response.extensions["network_stream"].get_extra_info("client_addr")[1])
            assert response.status_code == 200, response.status_code
            response.read()
    print(len(ports))
`
const testIdle = async () => {
  const { stdout } = await run(PYTHON, ["-c", idle, proxy.url])
  console.log(`httpx, idle for 6, 15, 30 and 60 s: 5 answers over ${stdout.trim()} connection(s)`)
  return stdout.trim() === "1"
}

const testSlow = async (stream) => {
  const started = performance.now()
  const body = JSON.stringify({ model: "m", messages: [{ role: "user", content: "slowly" }], stream })
  // curl waits for ever
  const { stdout } = await run("curl", ["-sSN", `${proxy.url}/chat/completions`, "-H",
    "Content-Type: application/json", "-d", body])
  const isThere = stdout.includes("Here it is.")
  const seconds = ((performance.now() - started) / 1000).toFixed(0)
  console.log(`${stream ? "stream" : "whole"}: ${isThere ? "the answer" : "no answer"} after ${seconds} s`)
  return isThere
}

const passed = await Promise.all([testIdle(), testSlow(false), testSlow(true)])
proxy.stop()
router.stop()
upstream.close()
upstream.closeAllConnections()
process.exitCode = passed.every(Boolean) ? 0 : 1
