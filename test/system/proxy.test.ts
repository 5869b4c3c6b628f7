/** Tools that take a base URL, through `nomyo proxy` and `nomyo router` to a model server. */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import OpenAI, { APIUserAbortError, BadRequestError, NotFoundError } from "openai"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { disguises } from "../support/disguises.js"
import { type Chain, MARKER, startChain, startProxy } from "../support/proxy.js"
import { ensureHttpx, PYTHON } from "../support/python.js"
import { runWeatherTool } from "../support/weather.js"

const run = promisify(execFile)

let chain: Chain

beforeAll(async () => {
  ensureHttpx()
  chain = await startChain()
})

afterAll(async () => {
  await chain.close()
  // what went over the wire, and what the three processes wrote, shows nothing of any conversation
  const seen = [...disguises(MARKER), "You said:", "get_weather", "llama3.2"]
  const wire = chain.bytes().toString("latin1")
  expect(wire.length).toBeGreaterThan(10_000)
  const found = (text: string) => seen.filter((marker) => text.includes(marker))
  expect({ wire: found(wire.replace(/\{"object":"list".*?\}\]\}/g, "")) }).toEqual({ wire: [] })
  expect({ proxy: found(chain.proxy.output()), router: found(chain.router.stderr()) }).toEqual({ proxy: [],
    router: [] })
})

const connect = () => new OpenAI({ baseURL: chain.proxy.baseUrl, apiKey: "sk-of-a-tool", maxRetries: 0 })
const model = "llama3.2"
const messages = [{ role: "user" as const, content: MARKER }]
const said = `You said: ${MARKER}`

describe("the package openai", () => {
  it("gets an answer, and the payload id as its request id", async () => {
    const { data, request_id } = await connect().chat.completions.create({ model, messages }).withResponse()
    expect(data.choices[0]?.message.content).toBe(said)
    expect(request_id).toMatch(/^[0-9a-f-]{36}$/)
    await expect.poll(chain.proxy.output).toContain(`payload_id=${request_id}`)
  })

  it("gets a stream with the usage", async () => {
    const options = { include_usage: true }
    const stream = await connect().chat.completions.create({ model, messages, stream: true,
      stream_options: options })
    const chunks = []
    for await (const chunk of stream) chunks.push(chunk)
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe(said)
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 2 } })
  })

  it.each([false, true])("runs a tool, stream %s", async (stream) => {
    await runWeatherTool(connect(), model, stream)
  })

  it.each([false, true])("cancels the call up to the model server when it aborts, stream %s",
    async (stream) => {
      const controller = new AbortController()
      const prompt = `wait 60000 stream ${stream}`
      const slow = [{ role: "user" as const, content: prompt }]
      const answer = connect().chat.completions.create({ model, messages: slow, stream }, {
        signal: controller.signal
      })
      const failure = answer.then(() => "an answer", (error: unknown) => error)
      await expect.poll(() => chain.upstream.asked(prompt), { timeout: 30_000 }).toBe(1)
      controller.abort()
      expect(await failure).toBeInstanceOf(APIUserAbortError)
      await expect.poll(() => chain.upstream.left(prompt), { timeout: 30_000 }).toBe(1)
      await expect.poll(chain.proxy.output).toMatch(/path=\/v1\/chat\/completions status=499 ms=\d+\n/)
    })

  it("gets its own classes of errors", async () => {
    const create = (fields: object) => connect().chat.completions.create({ model, messages, ...fields })
    await expect(create({ base_url: "https://elsewhere.example" })).rejects.toBeInstanceOf(BadRequestError)
    await expect(create({ api_key: "sk-other" })).rejects.toMatchObject({ param: "api_key" })
    await expect(create({ messages: [] })).rejects.toBeInstanceOf(BadRequestError)
    await expect(connect().embeddings.create({ model, input: MARKER })).rejects.toBeInstanceOf(NotFoundError)
  })

  it("lists the models of the router", async () => {
    const models = connect().models
    expect((await models.list()).data).toMatchObject([{ id: model, object: "model" }])
    expect(await models.retrieve(model)).toMatchObject({ id: model })
    await expect(models.retrieve("gpt-4")).rejects.toBeInstanceOf(NotFoundError)
  })
})

describe("other tools", () => {
  const body = (fields: object = {}) => JSON.stringify({ model, messages, ...fields })

  it("curl -N shows the events", async () => {
    const { stdout } = await run("curl", [
      "-sSN", "-i", `${chain.proxy.baseUrl}/chat/completions`,
      "-H", "Content-Type: application/json", "-d", body({ stream: true })
    ])
    expect(stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(stdout.toLowerCase()).toContain("x-accel-buffering: no\r\n")
    expect(stdout).toContain(said)
    expect(stdout).toMatch(/data: \[DONE\]\n\n$/)
  })

  it("curl sends a chunked body, with and without /v1", async () => {
    for (const path of ["/chat/completions", "/v1/chat/completions", "/v1/chat/completions/"]) {
      const { stdout } = await run("curl", [
        "-sS", chain.proxy.url + path,
        "-H", "Content-Type: application/json", "-H", "Transfer-Encoding: chunked", "-d", body()
      ])
      expect({ path, content: JSON.parse(stdout).choices[0].message.content }).toEqual({ path,
        content: said })
    }
  })

  it("Python's httpx gets an answer and a stream, and keeps an idle connection", async () => {
    const program = `
import httpx, json, sys, time
body = json.loads(sys.argv[2])
with httpx.Client(base_url=sys.argv[1], timeout=60, trust_env=False) as client:
    print(client.post("/chat/completions", json=body).json()["choices"][0]["message"]["content"])
    time.sleep(7)
    with client.stream("POST", "/chat/completions", json={**body, "stream": True}) as response:
        events = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
    print("".join(json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events[:-1]))
    print(events[-1].strip())
`
    const { stdout } = await run(PYTHON, ["-c", program, chain.proxy.baseUrl, body()])
    expect(stdout.trim().split("\n")).toEqual([said, said, "[DONE]"])
  })
})

describe("what there is", () => {
  const ask = async (path: string, method = "GET", body?: string) => {
    const response = await fetch(chain.proxy.url + path, {
      method,
      ...(body === undefined ? {} : { body, headers: { "content-type": "application/json" } })
    })
    return { status: response.status, text: await response.text() }
  }

  it.each(["/", "/health", "/v1", "/v1/", "/v1/health", "/models", "/v1/models", `/v1/models/${model}`])(
    "GET and HEAD %s",
    async (path) => {
      const { status, text } = await ask(path)
      expect({ status, type: typeof JSON.parse(text) }).toEqual({ status: 200, type: "object" })
      expect(await ask(path, "HEAD")).toEqual({ status: 200, text: "" })
    }
  )

  it.each([["GET", "/api/tags"], ["POST", "/v1/responses"], ["POST", "/v1/v1/chat/completions"]])(
    "%s %s is a 404 that says what there is",
    async (method, path) => {
      const { status, text } = await ask(path, method, method === "POST" ? "{}" : undefined)
      expect(status).toBe(404)
      expect(JSON.parse(text).error).toMatchObject({
        code: "unsupported_path",
        message: expect.stringContaining("POST /chat/completions, GET /models")
      })
    }
  )

  it("says which method is wrong", async () => {
    expect(await ask("/v1/chat/completions")).toMatchObject({ status: 405 })
  })

  it("logs no query, no model and no path that somebody made up", async () => {
    await ask(`/v1/models/${encodeURIComponent(MARKER)}?key=${MARKER}`)
    await ask("/v1/secretword?q=1")
    await expect.poll(chain.proxy.output).toContain("path=/v1/models/{id} status=404")
    await expect.poll(chain.proxy.output).toContain("path=/v1/... status=404")
    expect(chain.proxy.output()).not.toMatch(/secretword|marzipan|q=1/)
  })
})

describe("the API key", () => {
  const keyed = async (env: NodeJS.ProcessEnv) => {
    const router = await startProxyTo(env)
    try {
      return await router.ask()
    } finally {
      await router.stop()
    }
  }
  /** A proxy to the same router, and what the wire has of it. */
  const startProxyTo = async (env: NodeJS.ProcessEnv) => {
    const seen: Array<string | undefined> = []
    const { createServer } = await import("node:http")
    const router = createServer((request, response) => {
      seen.push(request.headers.authorization)
      response.writeHead(401).end()
    }).listen(0, "127.0.0.1")
    await new Promise((resolve) => router.once("listening", resolve))
    const { port } = router.address() as { readonly port: number }
    const proxy = await startProxy(["--base-url", `http://127.0.0.1:${port}`, "--allow-http"], env)
    const ask = async () => {
      const models = new OpenAI({ baseURL: proxy.baseUrl, apiKey: "sk-of-a-tool" }).models
      const error = await models.list().then(() => undefined, (error: unknown) => error)
      return { seen, error, output: proxy.output() }
    }
    const stop = async () => {
      await proxy.stop()
      router.close()
      router.closeAllConnections()
    }
    return { ask, stop }
  }

  it("is NOMYO_API_KEY, which is not shown", async () => {
    const { error, output, seen } = await keyed({ NOMYO_API_KEY: "sk-of-the-user" })
    expect(seen).toEqual(["Bearer sk-of-the-user"])
    expect(output).toContain("api key  NOMYO_API_KEY")
    expect(output).not.toContain("sk-of")
    expect(error).toMatchObject({ status: 401, message: expect.stringContaining("Check NOMYO_API_KEY") })
  })

  it("is the tool's own without NOMYO_API_KEY", async () => {
    const { error, output, seen } = await keyed({})
    expect(seen).toEqual(["Bearer sk-of-a-tool"])
    expect(error).toMatchObject({ status: 401, message: expect.stringContaining("the API key in your tool") })
    expect(output).toContain("api key  the one that the tool sends")
  })
})
