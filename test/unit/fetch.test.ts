/** The `fetch` of `nomyo-js/fetch`, over a client that is scripted. */
import { getEventListeners } from "node:events"
import { Readable } from "node:stream"
import { describe, expect, it } from "vitest"
import { BASE_URL, type ChatRequest, createFetch, type FetchOptions } from "../../src/fetch/index.js"
import { APIConnectionError, DisposedError, RateLimitError, SecurityError } from "../../src/NomyoError.js"

const URL_ = `${BASE_URL}/chat/completions`
const REQUEST = { model: "a/model", messages: [{ role: "user", content: "Héllo 漢😀" }] }
const ANSWER = {
  choices: [{ index: 0, message: { role: "assistant", content: "Hi" }, finish_reason: "stop" }],
  _metadata: { payload_id: "p-1" }
}

/** A `fetch` and what its client was asked. */
const setUp = (options?: FetchOptions, create = async (): Promise<object> => ANSWER) => {
  const calls: Array<{ readonly request: ChatRequest; readonly options: object }> = []
  const fetch = createFetch({
    create: (request, options) => {
      calls.push({ request, options })
      return create()
    }
  }, options)
  return { fetch, calls }
}

const encode = (text: string) => new TextEncoder().encode(text)

const streamOf = (...chunks: ReadonlyArray<Uint8Array>) => new ReadableStream<Uint8Array>({
  start(controller) {
    for (const chunk of chunks) controller.enqueue(chunk)
    controller.close()
  }
})

/** Every form that a body of this text can have. */
const forms: { readonly [name: string]: (text: string, url?: string) => Parameters<typeof fetch> } = {
  "string": (body, url = URL_) => [url, { method: "POST", body }],
  "bytes": (text, url = URL_) => [new URL(url), { method: "POST", body: encode(text) }],
  "Buffer": (text, url = URL_) => [url, { method: "POST", body: Buffer.from(text) }],
  "ArrayBuffer": (text, url = URL_) => [url, { method: "POST", body: encode(text).buffer }],
  "Blob": (text, url = URL_) => [url, { method: "post", body: new Blob([text]) }],
  "stream": (text, url = URL_) => {
    const bytes = encode(text)
    // within a character
    const body = streamOf(bytes.slice(0, 71), bytes.slice(71))
    return [url, { method: "POST", body, duplex: "half" } as RequestInit]
  },
  "Readable": (text, url = URL_) => {
    const body = Readable.from([Buffer.from(text)]) as unknown as BodyInit
    return [url, { method: "POST", body }]
  },
  "Request": (body, url = URL_) => [new Request(url, { method: "POST", body })],
  "Request of bytes": (text, url = URL_) => [new Request(url, { method: "POST", body: encode(text) })]
}

const outcome = async (response: Promise<Response>) => {
  const { headers, status } = await response
  const { error } = await (await response).json() as {
    readonly error?: { readonly code: string; readonly message: string }
  }
  return { status, code: error?.code, again: headers.get("x-should-retry") }
}

describe.each(Object.entries(forms))("a body that is a %s", (_, form) => {
  it("is read", async () => {
    const { calls, fetch } = setUp()
    const response = await fetch(...form(JSON.stringify(REQUEST)))
    expect(await response.json()).toMatchObject(ANSWER)
    expect(calls.map(({ request }) => request)).toEqual([REQUEST])
  })

  it.each([["", "invalid_json"], ["not JSON", "invalid_json"], ["[1]", "invalid_json"], [
    "{\"base_url\":\"https://evil.example\"}",
    "unsupported_parameter"
  ]])(
    "and holds %j is refused with the same outcome as any other",
    async (text, code) => {
      const { calls, fetch } = setUp()
      expect(await outcome(fetch(...form(text)))).toEqual({ status: 400, code, again: "false" })
      expect(calls).toEqual([])
    }
  )

  it("and goes to another origin is refused, and nothing is sent", async () => {
    const { calls, fetch } = setUp()
    const sent = fetch(...form(JSON.stringify(REQUEST), "https://api.openai.com/v1/chat/completions"))
    expect(await outcome(sent)).toEqual({ status: 400, code: "unknown_origin", again: "false" })
    expect(calls).toEqual([])
  })

  it("and comes with an aborted signal rejects with its reason, and nothing is sent", async () => {
    const { calls, fetch } = setUp()
    const reason = new Error("The caller's own reason")
    const [input, init] = form(JSON.stringify(REQUEST))
    await expect(fetch(input, { ...init, signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(calls).toEqual([])
  })

  it("and meets a disposed client is a 400", async () => {
    const { fetch } = setUp({}, () => Promise.reject(new DisposedError()))
    expect(await outcome(fetch(...form(JSON.stringify(REQUEST))))).toEqual({ status: 400, code: "disposed",
      again: "false" })
  })

  it("and is larger than 10 MiB is refused", async () => {
    const { calls, fetch } = setUp()
    const text = JSON.stringify({ ...REQUEST, user: "é".repeat(5 * 1024 * 1024) })
    expect(await outcome(fetch(...form(text)))).toEqual({ status: 413, code: "request_too_large",
      again: "false" })
    expect(calls).toEqual([])
  })
})

describe("bad input", () => {
  const post = { method: "POST", body: JSON.stringify(REQUEST) }

  it.each(["/v1/chat/completions", "not a URL", "https://api.openai.com/v1/chat/completions",
    "http://nomyo.invalid/v1/chat/completions"])(
    "the URL %s is refused, and nothing is sent",
    async (url) => {
      const { calls, fetch } = setUp()
      expect(await outcome(fetch(url, post))).toEqual({ status: 400, code: "unknown_origin",
        again: "false" })
      expect(calls).toEqual([])
    }
  )

  it("FormData, URLSearchParams and nothing are refused", async () => {
    const { fetch } = setUp()
    const form = new FormData()
    form.set("model", "a")
    for (const body of [form, new URLSearchParams({ a: "b" }), null, undefined]) {
      expect(await outcome(fetch(URL_, { method: "POST", body: body ?? null }))).toEqual({ status: 400,
        code: "invalid_json", again: "false" })
      if (body != null)
        expect(await outcome(fetch(new Request(URL_, { method: "POST", body })))).toMatchObject({ status: 400,
          code: "invalid_json" })
    }
  })

  it("bytes that are not UTF-8, and a stream of anything but bytes, are refused", async () => {
    const { fetch } = setUp()
    const strings = new ReadableStream({
      start(controller) {
        controller.enqueue("{}")
        controller.close()
      }
    })
    for (const body of [new Uint8Array([0x7b, 0xff, 0x7d]), strings]) {
      expect(await outcome(fetch(URL_, { method: "POST", body, duplex: "half" } as RequestInit)))
        .toMatchObject({ status: 400, code: "invalid_json" })
    }
  })

  it("a stream over 10 MiB is closed as soon as it is too long", async () => {
    const { fetch } = setUp()
    let cancelled = false
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(1024 * 1024)),
      cancel: () => void (cancelled = true)
    })
    expect(await outcome(fetch(URL_, { method: "POST", body: endless, duplex: "half" } as RequestInit)))
      .toMatchObject({ status: 413 })
    expect(cancelled).toBe(true)
  })

  it("a Request that was read already rejects, as with any fetch", async () => {
    const { fetch } = setUp()
    const request = new Request(URL_, post)
    await request.text()
    await expect(fetch(request)).rejects.toThrow(TypeError)
  })

  it("whatever else the client throws is thrown", async () => {
    const error = new RangeError("a defect")
    await expect(setUp({}, () => Promise.reject(error)).fetch(URL_, post)).rejects.toBe(error)
  })
})

describe("what the client is given", () => {
  const post = { method: "POST",
    body: JSON.stringify({ ...REQUEST, stream: true, stream_options: { include_usage: true } }) }
  const headers = { authorization: "Bearer sk-openai", traceparent: "00-1-2-01", b3: "0" }

  it("is the request, 10 minutes, no retries, and no header", async () => {
    const { calls, fetch } = setUp()
    await fetch(URL_, { ...post, headers })
    expect(calls).toEqual([{ request: REQUEST,
      options: { signal: undefined, timeout: 600_000, maxRetries: 0 } }])
  })

  it("has the timeouts and the retries that were asked for, and the signal", async () => {
    const { signal } = new AbortController()
    const { calls, fetch } = setUp({ timeout: 1000, idleTimeout: 500, maxRetries: 3 })
    await fetch(URL_, { ...post, signal })
    expect(calls.map(({ options }) => options))
      .toEqual([{ signal, timeout: 1000, idleTimeout: 500, maxRetries: 3 }])
  })

  it("has the key of the header if that was asked for", async () => {
    const { calls, fetch } = setUp({ apiKey: "header" })
    await fetch(URL_, { ...post, headers })
    await fetch(new Request(URL_, { ...post, headers }))
    await fetch(URL_, { ...post, headers: { "api-key": "azure" } })
    expect(calls.map(({ request }) => request["api_key"])).toEqual(["sk-openai", "sk-openai", "azure"])
    expect(await outcome(fetch(URL_, post))).toEqual({ status: 401, code: "invalid_api_key", again: "false" })
  })

  it("comes from the origins that were named too", async () => {
    const { calls, fetch } = setUp({ origins: ["https://api.openai.com/v1"] })
    await fetch("https://api.openai.com/v1/chat/completions?a=b", post)
    await fetch(URL_, post)
    expect(calls).toHaveLength(2)
    expect(() => setUp({ origins: ["api.openai.com"] })).toThrow(TypeError)
  })
})

describe("an answer", () => {
  const post = { method: "POST", body: JSON.stringify(REQUEST) }
  const stream = { method: "POST", body: JSON.stringify({ ...REQUEST, stream: true }) }

  it("has the fields that tools rely on, and the payload id as its request id", async () => {
    const response = await setUp().fetch(URL_, post)
    expect(Object.fromEntries(response.headers)).toEqual({ "content-type": "application/json",
      "cache-control": "no-store", "x-request-id": "p-1" })
    expect(await response.json()).toEqual({ ...ANSWER, id: "chatcmpl-p-1", object: "chat.completion",
      created: 0, model: "" })
  })

  it("is a stream of events if that was asked for", async () => {
    const response = await setUp().fetch(URL_, stream)
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8")
    const events = (await response.text()).split("\n\n")
    expect(events.slice(-2)).toEqual(["data: [DONE]", ""])
    expect(events.slice(0, -2).map((event) => JSON.parse(event.replace("data: ", "")).choices[0].delta))
      .toEqual([{ role: "assistant", content: "" }, { content: "Hi" }, {}])
  })

  it("of 100 kB is streamed in pieces of 1 to 4 kB", async () => {
    const message = { role: "assistant", content: "a".repeat(100_000) }
    const choices = [{ index: 0, message, finish_reason: "stop" }]
    const { body } = await setUp({}, async () => ({ ...ANSWER, choices })).fetch(URL_, stream)
    const sizes: Array<number> = []
    for await (const bytes of body!) sizes.push(bytes.length)
    // before them is the role; after them the last piece, the reason of the end, and [DONE]
    const pieces = sizes.slice(1, -3)
    expect(pieces).toHaveLength(97)
    expect(pieces.filter((size) => size < 1000 || size > 4096)).toEqual([])
  })

  it("is the list of models, or one of them", async () => {
    const { fetch } = setUp({ models: ["a/b"] })
    expect(await (await fetch(`${BASE_URL}/models`)).json()).toMatchObject({ data: [{ id: "a/b" }] })
    expect(await (await fetch(`${BASE_URL}/models/a%2Fb`)).json()).toMatchObject({ id: "a/b" })
    expect(await outcome(fetch(`${BASE_URL}/models/c`))).toMatchObject({ status: 404,
      code: "model_not_found" })
    expect(await outcome(fetch(`${BASE_URL}/responses`, post))).toMatchObject({ status: 404,
      code: "unsupported_path", again: "false" })
  })
})

describe("an error", () => {
  const post = { method: "POST", body: JSON.stringify(REQUEST) }

  it("is a response in OpenAI's form", async () => {
    const error = new SecurityError({ reason: "router-key-pin", message: "Not pinned", payloadId: "p-2" })
    const response = await setUp({}, () => Promise.reject(error)).fetch(URL_, post)
    expect({ status: response.status, headers: Object.fromEntries(response.headers),
      body: await response.json() }).toEqual({
      status: 400,
      headers: { "content-type": "application/json", "x-should-retry": "false", "x-request-id": "p-2" },
      body: {
        error: { message: "Not pinned", type: "security_error", param: null, code: "router-key-pin" }
      }
    })
    const limited = await setUp({},
      () => Promise.reject(new RateLimitError({ message: "-", retryAfter: 1500 }))).fetch(URL_, post)
    expect(limited.headers.get("retry-after-ms")).toBe("1500")
  })

  it("of the network rejects as a fetch does, and says when it was the time", async () => {
    for (const reason of ["network", "timeout"] as const) {
      const error = new APIConnectionError({ reason, message: "What happened" })
      const rejected: unknown = await setUp({}, () => Promise.reject(error)).fetch(URL_, post).catch((
        error: unknown
      ) => error)
      expect(rejected).toBeInstanceOf(TypeError)
      const { cause, message } = rejected as TypeError
      expect({ reason, message, timedOut: /timed? ?out/i.test(String(cause)) }).toEqual({ reason,
        message: "fetch failed", timedOut: reason === "timeout" })
      expect(reason === "timeout" ? (cause as Error).cause : cause).toBe(error)
    }
  })
})

describe("an abort", () => {
  const reason = new Error("The caller's own reason")
  const body = JSON.stringify({ ...REQUEST, stream: true })

  it("before the call rejects with its reason, and nothing is sent", async () => {
    const { calls, fetch } = setUp()
    const signal = AbortSignal.abort(reason)
    await expect(fetch(URL_, { method: "POST", body, signal })).rejects.toBe(reason)
    await expect(fetch(new Request(URL_, { method: "POST", body, signal }))).rejects.toBe(reason)
    expect(calls).toEqual([])
  })

  it("while the body is read rejects with its reason and closes the body", async () => {
    const { calls, fetch } = setUp()
    const controller = new AbortController()
    let cancelled = false
    const silent = new ReadableStream({ pull: () => new Promise(() => undefined),
      cancel: () => void (cancelled = true) })
    const response = fetch(URL_,
      { method: "POST", body: silent, signal: controller.signal, duplex: "half" } as RequestInit)
    controller.abort(reason)
    await expect(response).rejects.toBe(reason)
    expect({ calls, cancelled }).toEqual({ calls: [], cancelled: true })
  })

  it("in the turn of the call rejects with its reason, and the client is not asked", async () => {
    const { calls, fetch } = setUp()
    const controller = new AbortController()
    const response = fetch(URL_, { method: "POST", body, signal: controller.signal })
    controller.abort(reason)
    await expect(response).rejects.toBe(reason)
    expect(calls).toEqual([])
  })

  it("while the client works rejects with its reason, even if that looks like one of its errors", async () => {
    const controller = new AbortController()
    const { fetch } = setUp({}, () => {
      controller.abort(new DisposedError())
      return Promise.reject(controller.signal.reason)
    })
    const rejected: unknown = await fetch(URL_, { method: "POST", body, signal: controller.signal }).catch((
      error: unknown
    ) => error)
    expect(rejected).toBe(controller.signal.reason)
  })

  it("at the moment of the answer rejects with its reason", async () => {
    const controller = new AbortController()
    const { fetch } = setUp({}, async () => {
      controller.abort(reason)
      return ANSWER
    })
    await expect(fetch(URL_, { method: "POST", body, signal: controller.signal })).rejects.toBe(reason)
  })

  it("after the headers breaks the body off with its reason", async () => {
    const controller = new AbortController()
    const response = await setUp().fetch(URL_, { method: "POST", body, signal: controller.signal })
    const reader = response.body!.getReader()
    expect((await reader.read()).done).toBe(false)
    controller.abort(reason)
    await expect(reader.read()).rejects.toBe(reason)
  })

  it("is no longer listened to once a stream has broken off", async () => {
    const { signal } = new AbortController()
    const stream = async function*() {
      yield { choices: [] }
      throw new Error("broken")
    }
    const fetch = createFetch({ create: async () => ANSWER, stream })
    const response = await fetch(URL_, { method: "POST", body, signal })
    expect(getEventListeners(signal, "abort")).toHaveLength(1)
    await expect(response.text()).rejects.toThrow("broken")
    expect(getEventListeners(signal, "abort")).toEqual([])
  })

  it("after the body changes nothing, and a body may be left", async () => {
    const controller = new AbortController()
    const { fetch } = setUp()
    const response = await fetch(URL_, { method: "POST", body, signal: controller.signal })
    const left = await fetch(URL_, { method: "POST", body, signal: controller.signal })
    const text = await response.text()
    await left.body!.cancel()
    controller.abort(reason)
    expect(text).toContain("[DONE]")
  })
})
