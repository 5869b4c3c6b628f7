/** The options of `nomyo router` and `nomyo proxy` that shape streams of protocol 2. */
import type { ServerResponse } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { NONCE_LENGTH } from "../../src/protocol2/ObliviousHttp.js"
import { SecureChatCompletion } from "../../src/promise/index.js"
import { activeProxy } from "../support/activeProxy.js"
import { chunkLengths } from "../support/chunkLengths.js"
import { nomyo, startRouter } from "../support/cli.js"
import { startProxy } from "../support/proxy.js"
import * as Servers from "../support/servers.js"

const WORDS = Array.from({ length: 40 }, (_, i) => `word ${i} `)

const eventOf = (content: string, finish_reason: string | null = null) =>
  `data: ${JSON.stringify({ id: "c-1", choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`

const speak = async (response: ServerResponse) => {
  for (const word of WORDS) {
    response.write(eventOf(word))
    await sleep(10)
  }
  response.end(`${eventOf("", "stop")}data: [DONE]\n\n`)
}

/** A model server: `silent` says one word and nothing more. */
const modelServer = Servers.httpServer((request, response) => {
  if (request.method === "GET") return void response.end("{\"data\":[{\"id\":\"talking\"},{\"id\":\"silent\"}]}")
  let body = ""
  request.on("data", (chunk) => body += chunk).on("end", () => {
    response.writeHead(200, { "content-type": "text/event-stream" })
    if (body.includes("silent")) response.write(eventOf("one"))
    else void speak(response)
  })
})

const closers: Array<() => Promise<unknown>> = []
let upstream: string
let url: string
beforeAll(async () => {
  const started = await Servers.scoped(modelServer)
  closers.push(started.close)
  upstream = started.value
  url = await startWith()
})
afterAll(async () => {
  for (const close of closers.toReversed()) await close()
})

/** A router with these options. */
const startWith = async (...args: ReadonlyArray<string>) => {
  const router = await startRouter(["--protocol", "2", "--upstream", upstream, ...args])
  closers.push(() => router.stop("SIGINT"))
  return router.url
}

/** The words that come over a router, and the lengths of its visible chunks. */
const streamOver = async (target: string) => {
  let lengths: ReadonlyArray<number> = []
  const proxy = await Servers.scoped(activeProxy(target, async (passing, forward) => {
    const given = await forward(passing)
    if (passing.method === "POST") lengths = chunkLengths(given.body, NONCE_LENGTH)
    return given
  }))
  closers.push(proxy.close)
  const client = new SecureChatCompletion({ baseUrl: proxy.value, allowHttp: true, protocol: 2 })
  const messages = [{ role: "user", content: "Hello!" }]
  const { choices } = await client.stream({ model: "talking", messages }).finalCompletion()
  client.dispose()
  return { text: choices[0]?.message.content, chunks: lengths.slice(1, -1) }
}

describe("nomyo router", () => {
  it("sends each event in a padded chunk, gathers them with --flush, and pads none with --no-padding", async () => {
    const plain = await streamOver(url)
    expect(plain.text).toBe(WORDS.join(""))
    expect(plain.chunks.filter((length) => length % 256 !== 0)).toEqual([])
    for (const flush of ["60000", "60s"]) {
      const gathered = await streamOver(await startWith("--no-padding", "--flush", flush))
      expect(gathered.text).toBe(plain.text)
      expect(gathered.chunks).toHaveLength(1)
      expect(gathered.chunks[0]! % 256).not.toBe(0)
    }
  })
})

describe("a silent stream", () => {
  const env = { NOMYO_PROTOCOL: "2", NOMYO_MAX_RETRIES: "0" }

  it("ends by --idle-timeout of nomyo proxy", async () => {
    const args = ["--base-url", url, "--allow-http", "--idle-timeout", "1s"]
    const proxy = await startProxy(args, env)
    closers.push(() => proxy.stop())
    const response = await fetch(`${proxy.baseUrl}/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "silent", messages: [{ role: "user", content: "Hello!" }], stream: true })
    })
    const text = await response.text()
    expect(text).toContain("\"content\":\"one\"")
    expect(text).toContain("The router was silent for 1s within an answer.")
  })

  it("ends by NOMYO_IDLE_TIMEOUT of nomyo chat, which names the variable", async () => {
    const args = ["chat", "--model", "silent", "--base-url", url, "--allow-http", "Hello!"]
    const { code, stderr, stdout } = await nomyo(args, { env: { ...env, NOMYO_IDLE_TIMEOUT: "1000" } })
    expect({ code, stdout: stdout.trim() }).toEqual({ code: 1, stdout: "one" })
    expect(stderr).toContain("silent for 1s within an answer. Try again, or raise NOMYO_IDLE_TIMEOUT")
  })
})

it("nomyo chat refuses NOMYO_PADDING over protocol 1", async () => {
  const env = { NOMYO_PADDING: "false" }
  const { code, stderr } = await nomyo(["chat", "hi", "--protocol", "1", "--base-url", url, "--allow-http"], { env })
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/NOMYO_PADDING .*protocol 2/) })
})
