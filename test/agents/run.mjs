/**
 * Coding agents that complete a task with tools, through `nomyo proxy` and `nomyo router` to a scripted model
 * server. The agents are installed in a cache folder. Run `npm run build` first. Ends with 1 if a task is not
 * done, or if a word of it is among the bytes between proxy and router or in what both have logged.
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
const nomyo = Path.join(here, "../../dist/cli/nomyo.cjs")
const project = Path.join(process.env.XDG_CACHE_HOME ?? Path.join(Os.homedir(), ".cache"), "nomyo-js-agents")
const TIMEOUT = 240_000

/** Stands in the task, in what the model wants to be written, and in its last answer. */
const MARKER = "marzipan"
const markers = [MARKER, "write_file", "hello.txt", "chat.completion"]
const TASK = `Write ${MARKER} into hello.txt`
const MODEL = "coder"

const bin = (path) => Path.join(project, "node_modules", path)

/** What Continue reads in place of variables. */
const continueConfig = (folder, url) => {
  const model = { name: "NOMYO", provider: "openai", model: MODEL, apiBase: url, apiKey: "anything",
    capabilities: ["tool_use"] }
  const path = Path.join(folder, "config.yaml")
  // JSON is YAML too
  Fs.writeFileSync(path, JSON.stringify({ name: "NOMYO", version: "0.0.1", schema: "v1", models: [model] }))
  return path
}

/** The agents: the arguments of each, and its variables beside `PATH` and `HOME`. */
const agents = {
  "Qwen Code": ({ url }) => ({
    args: [bin("@qwen-code/qwen-code/cli.js"), "--prompt", TASK, "--yolo", "--auth-type", "openai"],
    env: { OPENAI_BASE_URL: url, OPENAI_API_KEY: "anything", OPENAI_MODEL: MODEL }
  }),
  "Continue": ({ folder, url }) => ({
    args: [bin("@continuedev/cli/dist/cn.js"), "--print", TASK, "--auto", "--config",
      continueConfig(folder, url)],
    env: {}
  })
}

const install = async () => {
  Fs.mkdirSync(project, { recursive: true })
  Fs.copyFileSync(Path.join(here, "package.json"), Path.join(project, "package.json"))
  // each agent is one file of a fixed version: what else there is are native parts for other platforms
  await run("npm", ["install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: project
  })
}

/** A call to the tool of an agent that writes a file, whatever the agent calls it and its path. */
const writing = (tools, file) => {
  const { name, parameters } = tools.map((tool) => tool.function).find((tool) => /^write/i.test(tool.name))
  const path = Object.keys(parameters.properties).find((property) => /path/i.test(property))
  return { name, arguments: JSON.stringify({ [path]: file, content: `${MARKER}\n` }) }
}

/** What the model answers: a call to the tool that writes a file, and a sentence when it has been called. */
const messageFor = ({ messages, tools = [] }, file) => {
  if (messages.at(-1).role === "tool") return { role: "assistant", content: `I wrote ${MARKER} into it.` }
  if (tools.length === 0) return { role: "assistant", content: "ok" }
  return { role: "assistant", content: null,
    tool_calls: [{ id: "call_1", type: "function", function: writing(tools, file) }] }
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
  const child = spawn(process.execPath, [nomyo, ...args, "--port", "0"], { stdio: ["ignore", "pipe", "pipe"] })
  let log = ""
  child.stderr.on("data", (chunk) => (log += chunk))
  const url = await new Promise((resolve, reject) => {
    const lines = createInterface(child.stdout)
    lines.on("line", (line) => pattern.test(line) && resolve(pattern.exec(line)[1]))
    lines.on("close", () => reject(new Error(`nomyo ${args[0]} did not start: ${log}`)))
  })
  return { url, log: () => log, stop: () => child.kill("SIGINT") }
}

/** Whether an agent has done its task. It talks to this proxy alone, and finds nothing in its home. */
const isDoneBy = async (agent, { file, folder, url }) => {
  const { args, env } = agents[agent]({ folder, url })
  const running = run(process.execPath, args, { cwd: folder, timeout: TIMEOUT,
    env: { PATH: process.env.PATH, HOME: folder, ...env } })
  running.child.stdin.end()
  const { stdout } = await running.catch((error) => ({ stdout: String(error.stderr || error) }))
  const isDone = stdout.includes(`I wrote ${MARKER}`) && Fs.existsSync(file) &&
    Fs.readFileSync(file, "utf8") === `${MARKER}\n`
  console.log(`${agent}: ${isDone ? "the task is done" : `not done: ${stdout}`}`)
  return isDone
}

/** One agent, with a model, a router and a proxy of its own. */
const test = async (agent) => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-agent-"))
  const file = Path.join(folder, "hello.txt")
  const model = await startModel(file)
  const router = await start(["router", "--upstream", model.url], /^listening on (.+)$/)
  const tap = await startTap(router.url)
  const proxy = await start(["proxy", "--base-url", tap.url, "--allow-http"], /^(http.+)$/)
  const isDone = await isDoneBy(agent, { file, folder, url: proxy.url })
  const bytes = tap.bytes()
  const leaks = markers.filter((marker) =>
    [bytes, proxy.log(), router.log()].some((seen) => seen.includes(marker))
  )
  const found = leaks.length === 0 ? "no marker there or in a log" : `with ${leaks.join(", ")}`
  console.log(`  ${bytes.length} bytes between proxy and router, ${found}`)
  for (const { stop } of [proxy, tap, router, model]) stop()
  Fs.rmSync(folder, { recursive: true, force: true })
  return isDone && leaks.length === 0 && bytes.includes("ciphertext")
}

await install()
const results = []
for (const agent of Object.keys(agents)) results.push(await test(agent))
process.exit(results.every(Boolean) ? 0 : 1)
