/** Long answers, bursts and the end of `nomyo proxy`. Everything waits at the same time. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { ChatOpenAI } from "@langchain/openai"
import { streamText } from "ai"
import * as Http from "node:http"
import OpenAI, { APIError } from "openai"
import { afterAll, beforeAll, describe, it } from "vitest"
import { watchLateness } from "../support/lateness.js"
import { type Chain, startChain, startProxy } from "../support/proxy.js"

let chain: Chain
/** Its router has the service's limit. */
let limited: Chain

beforeAll(async () => {
  [chain, limited] = await Promise.all([startChain({ proxy: ["--keep-alive", "1s"] }),
    startChain({ router: ["--rate-limit"] })])
})
afterAll(() => Promise.all([chain.close(), limited.close()]))

const bodyOf = (content: string, stream = true) =>
  JSON.stringify({ model: "llama3.2", messages: [{ role: "user", content }], stream })

/** What the limiter allows for a request's delay, in milliseconds: `MARGIN` of src/internal/rateLimit.ts. */
const LIMITER_MARGIN = 100

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

/** A failure long after the stream has its status. */
const LATE = "wait 12000 fail 400"

/** What a stream throws. Fails the test if it ends without that. */
const thrownBy = async (stream: () => Promise<AsyncIterable<unknown>>): Promise<unknown> => {
  try {
    for await (const _ of await stream());
  } catch (error) {
    return error
  }
  throw new Error("The stream ended as if nothing had happened")
}

/** The words that the proxy has for this failure, wherever a package keeps them. */
const wordsOf = (error: unknown): string =>
  `${String(error)} ${
    JSON.stringify(error, (_, value: unknown) =>
      value instanceof Error ? { ...value, message: value.message } : value)
  }`

describe.concurrent("a failure after 12 seconds", () => {
  it("is the last event of the stream, and in the log", async ({ expect }) => {
    const { pieces, status } = await stream(LATE)
    const text = pieces.map((piece) => piece.text).join("")
    expect({ status, events: text.match(/^data: .*$/gm)?.length }).toEqual({ status: 200, events: 2 })
    expect(text).toMatch(/data: \{"error":\{"message":.*\}\}\n\ndata: \[DONE\]\n\n$/)
    await expect.poll(chain.proxy.output).toMatch(/status=400 ms=\d{5,} payload_id=/)
  })

  it("is raised by openai", async ({ expect }) => {
    const messages = [{ role: "user" as const, content: LATE }]
    const error = await thrownBy(() =>
      connect().chat.completions.create({ model: "llama3.2", messages, stream: true })
    )
    expect(error).toBeInstanceOf(APIError)
    expect(error).toMatchObject({ error: { type: "invalid_request_error" } })
  })

  it("is an error of ai's stream, which ends for that reason", async ({ expect }) => {
    const provider = createOpenAICompatible({ name: "proxy", baseURL: chain.proxy.baseUrl, apiKey: "any" })
    const errors: Array<unknown> = []
    const onError = ({ error }: { readonly error: unknown }) => void errors.push(error)
    const { finishReason } = streamText({ model: provider("llama3.2"), prompt: LATE, maxRetries: 0, onError })
    expect(await finishReason).toBe("error")
    expect(errors.map(wordsOf).join()).toContain("not valid")
  })

  it("is raised by LangChain", async ({ expect }) => {
    const configuration = { baseURL: chain.proxy.baseUrl }
    const model = new ChatOpenAI({ model: "llama3.2", apiKey: "any", maxRetries: 0, configuration })
    expect(wordsOf(await thrownBy(() => model.stream(LATE)))).toContain("not valid")
  })
})

describe.concurrent("a stream", () => {
  it("shows signs of life until an answer is there after 12 seconds", async ({ expect }) => {
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

  it("is read by openai, comments and all", async ({ expect }) => {
    expect(await ask("wait 7000")).toBe("You said: wait 7000")
  })

  it("has the true status of a failure after a second", async ({ expect }) => {
    const { pieces, status } = await stream("wait 1000 fail 400")
    expect(status).toBe(400)
    expect(JSON.parse(pieces.map(({ text }) => text).join(""))).toHaveProperty("error.type",
      "invalid_request_error")
  })

  it("cancels the call up to the model server when its tool leaves", async ({ expect }) => {
    const prompt = "wait 60000 for a tool that leaves"
    await stream(prompt, (request) => request.destroy())
    await expect.poll(() => chain.upstream.left(prompt), { timeout: 30_000 }).toBe(1)
    await expect.poll(chain.proxy.output).toContain("status=499")
  })
})

describe.concurrent("connections", () => {
  it("keeps an idle connection for two minutes", async ({ expect }) => {
    const response = await fetch(`${chain.proxy.url}/health`)
    await response.text()
    expect(response.headers.get("keep-alive")).toBe("timeout=120")
  })
})

describe.concurrent("SIGTERM", () => {
  it.for(["SIGTERM", "SIGINT"] as const)("%s in the middle of an answer ends it with exit code 0 at once",
    async (signal, { expect }) => {
      const proxy = await startProxy(["--base-url", chain.router.url, "--allow-http"])
      const prompt = `wait 60000 for ${signal}`
      const headers = { "content-type": "application/json" }
      const answer = fetch(`${proxy.baseUrl}/chat/completions`, { method: "POST", headers,
        body: bodyOf(prompt, false) })
      const outcome = answer.then(() => "an answer", () => "closed")
      await expect.poll(() => chain.upstream.asked(prompt), { timeout: 30_000 }).toBe(1)
      const lateness = watchLateness()
      const sent = performance.now()
      expect(await proxy.stop(signal)).toBe(0)
      expect(performance.now() - sent).toBeLessThan(1000 + lateness())
      expect(await outcome).toBe("closed")
    })
})

// alone: a busy process would not send them as evenly as they are to arrive
describe("a burst", () => {
  it("passes 30 requests at once on without a 429", async ({ expect }) => {
    const lateness = watchLateness()
    const statuses = await Promise.all(Array.from({ length: 30 }, async (_, index) => {
      const body = bodyOf(`Question ${index}`, false)
      const headers = { "content-type": "application/json" }
      const response = await fetch(`${limited.proxy.baseUrl}/chat/completions`, { method: "POST", headers,
        body })
      await response.text()
      return response.status
    }))
    expect(statuses).toEqual(statuses.map(() => 200))
    // nor was one refused and sent again, unless the machine held it up for longer than that
    const refused = limited.router.stderr().match(/path=\/v1\/chat\/secure_completion status=429/g) ?? []
    expect(lateness() < LIMITER_MARGIN ? refused : []).toEqual([])
  })
})
