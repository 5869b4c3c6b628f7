/** Long answers, bursts and the end of `nomyo proxy`. */
import * as Http from "node:http"
import OpenAI from "openai"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { watchLateness } from "../support/lateness.js"
import { type Chain, startChain, startProxy } from "../support/proxy.js"

let chain: Chain

beforeAll(async () => {
  chain = await startChain({ proxy: ["--keep-alive", "1s"] })
})
afterAll(() => chain.close())

const bodyOf = (content: string, stream = true) =>
  JSON.stringify({ model: "llama3.2", messages: [{ role: "user", content }], stream })

interface Piece {
  readonly at: number
  readonly text: string
}

/** Sends a request, and gives the status and what came when, in milliseconds from the first byte on. */
const stream = (content: string, onData: (request: Http.ClientRequest) => void = () => undefined) =>
  new Promise<{ readonly status: number | undefined; readonly pieces: ReadonlyArray<Piece> }>(
    (resolve, reject) => {
      const headers = { "content-type": "application/json" }
      const options = { method: "POST", headers, agent: false }
      const request = Http.request(`${chain.proxy.baseUrl}/chat/completions`, options, (response) => {
        const pieces: Array<Piece> = []
        response.setEncoding("utf8").on("data", (text: string) => {
          pieces.push({ at: performance.now(), text })
          onData(request)
        })
        response.on("close", () => resolve({ status: response.statusCode, pieces }))
      })
      request.on("error", reject).end(bodyOf(content))
    }
  )

const gaps = (pieces: ReadonlyArray<Piece>) => pieces.slice(1).map(({ at }, index) => at - pieces[index]!.at)

const connect = () => new OpenAI({ baseURL: chain.proxy.baseUrl, apiKey: "sk-of-a-tool", maxRetries: 0 })

const ask = async (content: string): Promise<string> => {
  const messages = [{ role: "user" as const, content }]
  let said = ""
  for await (const chunk of await connect().chat.completions.create({ model: "llama3.2", messages,
    stream: true })) {
    said += chunk.choices[0]?.delta.content ?? ""
  }
  return said
}

describe("a stream", () => {
  it("shows signs of life until an answer is there after 12 seconds", async () => {
    const lateness = watchLateness()
    const { pieces, status } = await stream("wait 12000")
    const late = lateness()
    const text = pieces.map((piece) => piece.text).join("")
    expect(status).toBe(200)
    expect(text).toMatch(/^(: [^\n]+\n\n){5,}data: \{/)
    expect(text).toMatch(/You said: wait 12000/)
    expect(text).toMatch(/data: \[DONE\]\n\n$/)
    expect(Math.max(...gaps(pieces))).toBeLessThan(1500 + late)
  })

  it("is read by openai, comments and all", async () => {
    expect(await ask("wait 7000")).toBe("You said: wait 7000")
  })

  it("has the true status of a failure after a second", async () => {
    const { pieces, status } = await stream("wait 1000 fail 400")
    expect(status).toBe(400)
    expect(JSON.parse(pieces.map(({ text }) => text).join(""))).toHaveProperty("error.type",
      "invalid_request_error")
  })

  it("ends with the error of a failure after 12 seconds, which openai raises", async () => {
    const { pieces, status } = await stream("wait 12000 fail 400")
    const text = pieces.map((piece) => piece.text).join("")
    expect({ status, events: text.match(/^data: .*$/gm)?.length }).toEqual({ status: 200, events: 2 })
    expect(text).toMatch(/data: \{"error":\{"message":.*\}\}\n\ndata: \[DONE\]\n\n$/)
    await expect(ask("wait 7000 fail 400")).rejects.toMatchObject({
      error: { type: "invalid_request_error" }
    })
    await expect.poll(chain.proxy.output).toMatch(/status=400 ms=\d{4,} payload_id=/)
  })

  it("cancels the call up to the model server when its tool leaves", async () => {
    const left = chain.upstream.left()
    await stream("wait 60000", (request) => request.destroy())
    await expect.poll(chain.upstream.left, { timeout: 30_000 }).toBe(left + 1)
    await expect.poll(chain.proxy.output).toContain("status=499")
  })
})

describe("connections and bursts", () => {
  it("keeps an idle connection for two minutes", async () => {
    const response = await fetch(`${chain.proxy.url}/health`)
    await response.text()
    expect(response.headers.get("keep-alive")).toBe("timeout=120")
  })

  it("passes 30 requests at once on without a 429", async () => {
    const limited = await startChain({ router: ["--rate-limit"] })
    try {
      const statuses = await Promise.all(Array.from({ length: 30 }, async (_, index) => {
        const body = bodyOf(`Question ${index}`, false)
        const headers = { "content-type": "application/json" }
        const response = await fetch(`${limited.proxy.baseUrl}/chat/completions`, { method: "POST", headers,
          body })
        await response.text()
        return response.status
      }))
      expect(statuses).toEqual(statuses.map(() => 200))
      // nor was one refused and sent again
      const posts = limited.router.stderr().matchAll(/path=\/v1\/chat\/secure_completion status=(\d+)/g)
      expect(new Set([...posts].map(([, status]) => status))).toEqual(new Set(["200"]))
    } finally {
      await limited.close()
    }
  })
})

describe("SIGTERM", () => {
  it.each(["SIGTERM", "SIGINT"] as const)("%s in the middle of an answer ends it with exit code 0 at once",
    async (signal) => {
      const proxy = await startProxy(["--base-url", chain.router.url, "--allow-http"])
      const asked = chain.upstream.requests.length
      const headers = { "content-type": "application/json" }
      const answer = fetch(`${proxy.baseUrl}/chat/completions`, { method: "POST", headers,
        body: bodyOf("wait 60000", false) })
      const outcome = answer.then(() => "an answer", () => "closed")
      await expect.poll(() => chain.upstream.requests.length, { timeout: 30_000 }).toBe(asked + 1)
      const lateness = watchLateness()
      const sent = performance.now()
      expect(await proxy.stop(signal)).toBe(0)
      expect(performance.now() - sent).toBeLessThan(1000 + lateness())
      expect(await outcome).toBe("closed")
    })
})
