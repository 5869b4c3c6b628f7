/**
 * A coding agent that completes a task with tools, through `nomyo proxy` and `nomyo router` to a scripted
 * model server. The agent is installed in a cache folder. Run `npm run build` first. Ends with 1 if the task
 * is not done, or if a word of it is among the bytes between proxy and router or in what both have logged.
 */
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { text } from "node:stream/consumers"
import { promisify } from "node:util"
import { startTap } from "../support/tap.mjs"

const run = promisify(execFile)
const here = import.meta.dirname
const bin = Path.join(here, "../../dist/cli/nomyo.cjs")
const project = Path.join(process.env.XDG_CACHE_HOME ?? Path.join(Os.homedir(), ".cache"), "nomyo-js-agents")
const TIMEOUT = 240_000

/** Stands in the task, in what the model wants to be written, and in its last answer. */
const MARKER = "marzipan"
const markers = [MARKER, "write_file", "hello.txt", "chat.completion"]

const install = async () => {
  Fs.mkdirSync(project, { recursive: true })
  Fs.copyFileSync(Path.join(here, "package.json"), Path.join(project, "package.json"))
  // the agent is one file of a fixed version: what else there is are native parts for other platforms
  await run("npm", ["install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: project
  })
}

/** What the model answers: a call to the tool that writes a file, and a sentence when it has been called. */
const messageFor = ({ messages, tools = [] }, file) => {
  if (messages.at(-1).role === "tool") return { role: "assistant", content: `I wrote ${MARKER} into it.` }
  if (tools.length === 0) return { role: "assistant", content: "ok" }
  const call = { name: "write_file", arguments: JSON.stringify({ file_path: file, content: `${MARKER}\n` }) }
  return { role: "assistant", content: null,
    tool_calls: [{ id: "call_1", type: "function", function: call }] }
}

const startModel = async (file) => {
  const server = Http.createServer(async (request, response) => {
    const body = await text(request)
    response.setHeader("content-type", "application/json")
    if (request.method === "GET") return response.end("{\"data\":[{\"id\":\"coder\"}]}")
    const message = messageFor(JSON.parse(body), file)
    const finish_reason = message.tool_calls === undefined ? "stop" : "tool_calls"
    return response.end(JSON.stringify({ choices: [{ index: 0, message, finish_reason }] }))
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  const stop = () => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://127.0.0.1:${server.address().port}`, stop }
}

/** Starts a command, and gives what `pattern` finds in its first lines. */
const start = async (args, pattern) => {
  const child = spawn(process.execPath, [bin, ...args, "--port", "0"], { stdio: ["ignore", "pipe", "pipe"] })
  let log = ""
  child.stderr.on("data", (chunk) => (log += chunk))
  const url = await new Promise((resolve, reject) => {
    const lines = createInterface(child.stdout)
    lines.on("line", (line) => pattern.test(line) && resolve(pattern.exec(line)[1]))
    lines.on("close", () => reject(new Error(`nomyo ${args[0]} did not start: ${log}`)))
  })
  return { url, log: () => log, stop: () => child.kill("SIGINT") }
}

await install()
const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-agent-"))
const file = Path.join(folder, "hello.txt")
const model = await startModel(file)
const router = await start(["router", "--upstream", model.url], /^listening on (.+)$/)
const tap = await startTap(router.url)
const proxy = await start(["proxy", "--base-url", tap.url, "--allow-http"], /^(http.+)$/)

const agent = Path.join(project, "node_modules/@qwen-code/qwen-code/cli.js")
const running = run(process.execPath, [agent, "--prompt", `Write ${MARKER} into hello.txt`, "--yolo",
  "--auth-type", "openai"], {
  cwd: folder,
  timeout: TIMEOUT,
  env: { PATH: process.env.PATH, HOME: folder, OPENAI_BASE_URL: proxy.url, OPENAI_API_KEY: "anything",
    OPENAI_MODEL: "coder" }
})
running.child.stdin.end()
const { stdout } = await running.catch((error) => ({ stdout: String(error.stderr ?? error) }))
const isDone = stdout.includes(`I wrote ${MARKER}`) && Fs.existsSync(file) &&
  Fs.readFileSync(file, "utf8") === `${MARKER}\n`
const bytes = tap.bytes()
const leaks = markers.filter((marker) =>
  [bytes, proxy.log(), router.log()].some((seen) => seen.includes(marker))
)
console.log(`Qwen Code: ${isDone ? "the task is done" : `not done: ${stdout}`}`)
console.log(
  `${bytes.length} bytes between proxy and router${
    leaks.length === 0 ? ", no marker there or in a log" : `, with ${leaks.join(", ")}`
  }`
)
for (const { stop } of [proxy, tap, router, model]) stop()
Fs.rmSync(folder, { recursive: true, force: true })
process.exit(isDone && leaks.length === 0 && bytes.includes("ciphertext") ? 0 : 1)
