/**
 * `nomyo proxy` in front of `nomyo router` in front of a scripted model server: three processes' worth of
 * sockets.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { createInterface } from "node:readline"
import { text as textOf } from "node:stream/consumers"
import { setTimeout as sleep } from "node:timers/promises"
import { MARKER } from "./marker.js"
import { type RunningRouter, startRouter } from "./cli.js"
import * as Servers from "./servers.js"

const BIN = "dist/cli/nomyo.cjs"

export { MARKER }

/** The variables that would change what the proxy does. */
const CLEAN = Object.fromEntries(
  Object.keys(process.env).filter((name) => /^NOMYO_|_proxy$/i.test(name)).map((name) => [name, undefined])
)

/** Most proxies of the tests end before a key pair of the default size would be there. */
const SMALL = { NOMYO_KEY_SIZE: "2048" }

/** A `nomyo proxy` that is listening. */
export interface RunningProxy {
  readonly child: ChildProcess
  /** The base URL that it printed, and the same without `/v1`. */
  readonly baseUrl: string
  readonly url: string
  /** All that it has written so far. */
  readonly output: () => string
  /** Stops it, and gives its exit code. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<number | null>
}

/** Starts `nomyo proxy` on a free port, gives it its standard input, and waits for its base URL. */
export const startProxy = async (
  args: ReadonlyArray<string>,
  env: NodeJS.ProcessEnv = {},
  stdin = ""
): Promise<RunningProxy> => {
  const child = spawn(process.execPath, [BIN, "proxy", "--port", "0", ...args], {
    env: { ...process.env, ...CLEAN, ...SMALL, ...env },
    stdio: ["pipe", "pipe", "pipe"]
  })
  child.stdin.end(stdin)
  let output = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => void (output += chunk))
  const lines = createInterface(child.stdout)
  const [baseUrl] = await Promise.race([
    once(lines, "line"),
    once(child, "exit").then(() => sleep(100)).then(() =>
      Promise.reject(new Error(`nomyo proxy ended: ${output}`))
    )
  ]) as [string]
  const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
    if (child.exitCode !== null) return child.exitCode
    child.kill(signal)
    await once(child, "exit")
    return child.exitCode
  }
  return { child, baseUrl, url: baseUrl.replace(/\/v1$/, ""), output: () => output, stop }
}

/** What the model server was asked, and what became of its callers. */
interface Upstream {
  readonly url: string
  readonly requests: Array<{ readonly [field: string]: unknown }>
  /** How many requests have come with this prompt. */
  readonly asked: (prompt: string) => number
  /** How many of them have lost their caller before the answer. */
  readonly left: (prompt: string) => number
  readonly server: Server
}

interface Message {
  readonly role: string
  readonly content: string
}

interface Asked {
  readonly messages: ReadonlyArray<Message>
  readonly tools?: unknown
}

const promptOf = ({ messages }: Asked): string => messages.at(-1)?.content ?? ""

const messageFor = (body: Asked) => {
  const last = body.messages.at(-1)!
  if (last.role === "tool") return { role: "assistant", content: `The tool says: ${last.content}` }
  if (body.tools === undefined) return { role: "assistant", content: `You said: ${last.content}` }
  const call = { name: "get_weather", arguments: JSON.stringify({ city: MARKER }) }
  return { role: "assistant", content: null,
    tool_calls: [{ id: "call_1", type: "function", function: call }] }
}

/**
 * A model server that repeats what it reads, and calls the tool that it is given. `wait 1000` in a prompt
 * delays it by as many milliseconds, `fail 400` makes that its status.
 */
const startUpstream = async (): Promise<Upstream> => {
  const requests: Upstream["requests"] = []
  const left: Array<string> = []
  const server = createServer((request, response) => {
    const answer = async () => {
      const text = await textOf(request)
      response.setHeader("content-type", "application/json")
      if (request.url === "/v1/models") return response.end(JSON.stringify({ data: [{ id: "llama3.2" }] }))
      const body = JSON.parse(text)
      requests.push(body)
      response.on("close", () => void (response.writableEnded || left.push(promptOf(body))))
      await sleep(Number(/wait (\d+)/.exec(text)?.[1] ?? 0))
      response.statusCode = Number(/fail (\d+)/.exec(text)?.[1] ?? 200)
      if (response.statusCode !== 200) return response.end(JSON.stringify({ error: { message: MARKER } }))
      const message = messageFor(body)
      const finish_reason = "tool_calls" in message ? "tool_calls" : "stop"
      const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
      return response.end(
        JSON.stringify({ model: body.model, choices: [{ index: 0, message, finish_reason }], usage })
      )
    }
    void answer()
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    asked: (prompt) => requests.filter((body) => promptOf(body as unknown as Asked) === prompt).length,
    left: (prompt) => left.filter((content) => content === prompt).length,
    server
  }
}

/** Everything from a tool's base URL to the model. */
export interface Chain {
  readonly proxy: RunningProxy
  readonly router: RunningRouter
  readonly upstream: Upstream
  /** Every byte between proxy and router. */
  readonly bytes: () => Buffer
  readonly close: () => Promise<void>
}

/** Waits until the proxy has made its key pair, which takes its time on a busy machine. */
const firstAnswer = async ({ baseUrl }: RunningProxy): Promise<void> => {
  const body = JSON.stringify({ model: "llama3.2", messages: [{ role: "user", content: "Hello!" }] })
  const response = await fetch(`${baseUrl}/chat/completions`, { method: "POST", body,
    headers: { "content-type": "application/json" } })
  await response.text()
}

/** Starts a chain, which has answered once. */
export const startChain = async (
  { proxy: proxyArgs = [], router: routerArgs = [] }: {
    readonly proxy?: ReadonlyArray<string>
    readonly router?: ReadonlyArray<string>
  } = {}
): Promise<Chain> => {
  const upstream = await startUpstream()
  const router = await startRouter(["--upstream", upstream.url, ...routerArgs])
  const tap = await Servers.scoped(Servers.wiretap(router.url))
  const args = ["--base-url", tap.value.url, "--allow-http", ...proxyArgs]
  const proxy = await startProxy(args)
  await firstAnswer(proxy)
  const close = async () => {
    await proxy.stop()
    await tap.close()
    // a router waits for requests in flight; Ctrl-C does not
    await router.stop("SIGINT")
    upstream.server.close()
    upstream.server.closeAllConnections()
  }
  return { proxy, router, upstream, bytes: tap.value.bytes, close }
}
