import * as Effect from "effect/Effect"
import { describe, expect, it, vi } from "vitest"
import {
  APIConnectionError,
  APIError,
  AuthenticationError,
  DisposedError,
  ForbiddenError,
  InvalidRequestError,
  RateLimitError,
  type SecureChatCompletion,
  ServerError,
  ServiceUnavailableError
} from "../../src/index.js"
import { API_KEY, error, hello, setup } from "../support/promise.js"
import * as Servers from "../support/servers.js"
import * as Vectors from "../support/vectors.js"

const { make, makeLower, router, seen } = setup()

describe("SecureChatCompletion", () => {
  it("answers, with metadata", async () => {
    const answer = await make().create(hello({ security_tier: "maximum" }))
    expect(answer.choices[0]?.message).toEqual({ role: "assistant", content: "You said: Hello!" })
    expect(answer._metadata).toMatchObject({
      payload_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      is_encrypted: true,
      encryption_algorithm: "hybrid-aes256-rsa4096",
      security_tier: "maximum"
    })
    expect(answer._metadata.processed_at).toBeGreaterThan(1_700_000_000)
    expect(seen.at(-1)?.securityTier).toBe("maximum")
  })

  it("has acreate as another name", async () => {
    expect((await make().acreate(hello())).choices).toHaveLength(1)
  })

  it("sends every field to the model and keeps the directions out of the payload", async () => {
    const fields = {
      messages: [
        { role: "system", content: "Be brief." },
        {
          role: "user",
          content: [
            { type: "text", text: "What is this?" },
            { type: "image_url", image_url: { url: "data:image/png;base64,AAAA", detail: "low" } },
            { type: "input_audio", input_audio: { data: "AAAA", format: "wav" } }
          ]
        }
      ],
      temperature: 0.5,
      top_p: 0.9,
      max_tokens: 8,
      stop: ["END"],
      n: 2,
      user: "u-1",
      frequency_penalty: 0.25,
      presence_penalty: -0.25,
      logit_bias: { "50256": -100 },
      seed: 7,
      response_format: { type: "json_object" },
      "a future field": [null, { deep: true }]
    }
    const answer = await make().create(
      hello({ ...fields, stream: true, api_key: API_KEY, security_tier: "high", base_url: router.url })
    )
    expect(seen.at(-1)?.payload).toEqual({ model: "Qwen/Qwen3-0.6B", ...fields })
    expect(answer.choices.map(({ index }) => index)).toEqual([0, 1])
    expect(answer.choices[0]?.message.content).toBe(
      "{\"you_said\":\"What is this? [image_url] [input_audio]\"}"
    )
  })

  it("carries tool calls both ways", async () => {
    const client = make()
    const tools = [{
      type: "function",
      function: { name: "get_weather",
        parameters: { type: "object", properties: { location: { type: "string" } } } }
    }]
    const asked = await client.create(hello({ tools, tool_choice: "auto" }))
    const call = asked.choices[0]!.message.tool_calls![0]!
    expect(asked.choices[0]).toMatchObject({ finish_reason: "tool_calls", message: { content: null } })
    expect([call.function?.name, JSON.parse(call.function!.arguments)]).toEqual(["get_weather", {
      location: "Hello!"
    }])
    const { message } = asked.choices[0]!
    const answered = await client.create({
      ...hello({ tools }),
      messages: [...hello().messages, message, { role: "tool", tool_call_id: call.id, content: "21 °C" }]
    })
    expect(answered.choices[0]?.message.content).toBe("The tool says: 21 °C")
  })

  it("keeps a thinking model's reasoning apart", async () => {
    const answer = await make().create(hello({ model: "LiquidAI/LFM2.5-1.2B-Thinking" }))
    expect(answer.choices[0]?.message.reasoning_content).toBe("I am to repeat 1 words.")
  })

  it("takes an API key per request", async () => {
    const client = make({ apiKey: "wrong" })
    expect(await error(client.create(hello()))).toBeInstanceOf(AuthenticationError)
    expect((await client.create(hello({ api_key: API_KEY }))).choices).toHaveLength(1)
  })

  it("takes a router per request and leaves the client's own alone", async () => {
    const other = await Servers.scoped(Servers.router({ model: () => Effect.succeed({ choices: [] }) }))
    try {
      const client = make({ trustedBaseUrls: [other.value] })
      expect((await client.create(hello({ base_url: other.value }))).choices).toEqual([])
      expect(await error(make().create(hello({ base_url: other.value })))).toMatchObject({
        name: "SecurityError",
        reason: "untrusted-url"
      })
      expect((await make().create(hello({ base_url: other.value, api_key: "theirs" }))).choices).toEqual([])
      expect((await client.create(hello())).choices).toHaveLength(1)
      expect(
        await error(
          make({ baseUrl: "https://api.nomyo.ai", allowHttp: false }).create(hello({ base_url: router.url }))
        )
      )
        .toMatchObject({ name: "SecurityError", reason: "plain-http" })
    } finally {
      await other.close()
    }
  })

  it.each([
    [400, InvalidRequestError],
    [401, AuthenticationError],
    [403, ForbiddenError],
    [404, APIError],
    [429, RateLimitError],
    [500, ServerError],
    [502, APIError],
    [503, ServiceUnavailableError]
  ])("rejects a %i with its class", async (statusCode, Class) => {
    const failure = await error(make().create(hello({ model: `status/${statusCode}` })))
    expect(failure).toBeInstanceOf(Class)
    expect(failure).toBeInstanceOf(APIError)
    expect(failure).toBeInstanceOf(Error)
    expect(failure).toMatchObject({ statusCode, attempts: 1, name: Class.name, _tag: Class.name })
    expect((failure as Error).constructor).toBe(Class)
  })

  it("tries again after a failure that may pass, and says how often it tried if it does not", async () => {
    const answer = await make({ maxRetries: 1 }).create(hello({ model: "status/503/1" }))
    expect(answer.choices[0]?.message.content).toBe("You said: Hello!")
    const failure = await error(make().create(hello({ model: "status/503/9" }), { maxRetries: 1 }))
    expect(failure).toMatchObject({ name: "ServiceUnavailableError", attempts: 2 })
  })

  it("rejects with an APIConnectionError when nobody answers", async () => {
    const failure = await error(make({ baseUrl: "http://127.0.0.1:1" }).create(hello()))
    expect(failure).toBeInstanceOf(APIConnectionError)
    expect(failure).toMatchObject({ reason: "network", attempts: 1 })
  })

  it("gives up after the timeout of the client or of the call", async () => {
    const slow = hello({ model: "slow" })
    const client = make({ timeout: 300 })
    expect(await error(client.create(slow))).toMatchObject({ name: "APIConnectionError", reason: "timeout" })
    const patient = make()
    expect(await error(patient.create(slow, { timeout: 300 }))).toMatchObject({ reason: "timeout" })
  })

  it("is cancelled by a signal, with the signal's reason, before and during a call", async () => {
    const client = make()
    await client.ready()
    const reason = new Error("enough")
    expect(await error(client.create(hello(), { signal: AbortSignal.abort(reason) }))).toBe(reason)
    const controller = new AbortController()
    const call = error(client.create(hello({ model: "slow" }), { signal: controller.signal }))
    await vi.waitUntil(() => seen.at(-1)?.payload.model === "slow")
    controller.abort(reason)
    expect(await call).toBe(reason)
    expect((await client.create(hello())).choices).toHaveLength(1)
  })

  it("ends calls in flight and later ones with a DisposedError", async () => {
    const client = make()
    await client.ready()
    const calls = [error(client.create(hello({ model: "slow" }))),
      error(client.create(hello({ model: "status/503" }), { maxRetries: 9 }))]
    await vi.waitUntil(() => seen.filter(({ payload }) => payload.model === "status/503").length > 0)
    client.dispose()
    client.dispose()
    for (const call of calls) expect(await call).toBeInstanceOf(DisposedError)
    expect(await error(client.create(hello()))).toBeInstanceOf(DisposedError)
    expect(await error(client.ready())).toBeInstanceOf(DisposedError)
  })

  it("is disposed before its first call without a trace", async () => {
    const client = make({ keySize: 4096 })
    const call = error(client.create(hello()))
    client.dispose()
    expect(await call).toBeInstanceOf(DisposedError)
  })

  it("works with using and await using", async () => {
    let kept: SecureChatCompletion
    {
      await using client = make()
      kept = client
      expect((await client.create(hello())).choices).toHaveLength(1)
    }
    expect(await error(kept.create(hello()))).toBeInstanceOf(DisposedError)
    {
      using client = make()
      kept = client
    }
    expect(await error(kept.create(hello()))).toBeInstanceOf(DisposedError)
  })

  it("makes its keys ahead of time, and new ones on request", async () => {
    const client = make()
    const first = await client.ready()
    expect(await client.ready()).toEqual(first)
    const second = await client.rotateKeys()
    expect(second.fingerprint).not.toBe(first.fingerprint)
    expect(await client.ready()).toEqual(second)
    expect((await client.create(hello())).choices).toHaveLength(1)
  })

  it("pins the router's key", async () => {
    const { fingerprint } = await (async () => {
      const client = makeLower()
      return await client.loadKeys(Vectors.path("keys/server_4096.pem"))
    })()
    const colons = fingerprint.toUpperCase().replace(/..(?=.)/g, "$&:")
    expect((await make({ routerKeyFingerprints: [colons] }).create(hello())).choices).toHaveLength(1)
    const before = seen.length
    expect(await error(make({ routerKeyFingerprints: ["0".repeat(64)] }).create(hello())))
      .toMatchObject({ name: "SecurityError", reason: "router-key-pin" })
    expect(seen).toHaveLength(before)
  })
})
