import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { runInNewContext, runInThisContext } from "node:vm"
import * as ChatCompletion from "../../src/ChatCompletion.js"
import { takeApart } from "../../src/openai/checkRequest.js"
import type { Plaintext } from "../../src/Plaintext.js"

const hello = { model: "m", messages: [{ role: "user", content: "Hello!" }] }

const bytesOf = (plaintext: Plaintext, window: number): string =>
  ArrayBuffer.isView(plaintext)
    ? Buffer.from(plaintext).toString()
    : Buffer.concat(Array.from(plaintext.chunks(new Uint8Array(window)), (chunk) => Uint8Array.from(chunk)))
      .toString()

const encode = (request: object) =>
  Effect.map(ChatCompletion.encodeRequest(request as ChatCompletion.ChatCompletionRequest),
    ({ payload, ...rest }) => ({
      ...rest,
      payload: JSON.parse(bytesOf(payload, 99))
    }))

const refusal = (request: object) =>
  Effect.map(Effect.flip(ChatCompletion.encodeRequest(request as ChatCompletion.ChatCompletionRequest)),
    ({ message }) => message)

describe("what goes to the model server, for it to judge", () => {
  it.effect.each<object>([
    { max_tokens: -1 },
    { max_tokens: 0 },
    { temperature: "hot" },
    { n: 1.5 },
    { messages: [{ role: "user", content: [{ type: "image_url", image_url: "https://x.test/a.png" }] }] },
    { messages: [{ role: "user", content: [{ text: "x" }] }] },
    {
      messages: [{ role: "assistant", content: null,
        tool_calls: [{ id: "a", type: "custom", custom: { name: "t", input: "x" } }] }]
    },
    { messages: [{ role: "assistant", tool_calls: [{ function: { name: "f", arguments: { x: 1 } } }] }] },
    { messages: [{ content: "x" }] },
    { messages: [{ role: "user", content: 7 }] },
    { tools: [{ type: "function", function: {} }], chat_template_kwargs: { enable_thinking: false } },
    { apikeys_of_a_vendor: 1, base: "x", tier: "y" }
  ])("%j",
    (fields) =>
      Effect.map(encode({ ...hello, ...fields }), ({ payload }) =>
        assert.deepStrictEqual(payload, { ...hello, ...fields })))

  it.effect("is what extra_body has, too, which wins", () =>
    Effect.gen(function*() {
      const extra_body = JSON.parse(
        "{\"guided_json\":{\"type\":\"object\"},\"temperature\":1,\"stream\":true,\"__proto__\":{\"base_url\":\"x\"}}"
      )
      const { baseUrl, payload } = yield* encode({ ...hello, temperature: 0, extra_body })
      assert.isUndefined(baseUrl)
      assert.strictEqual(
        JSON.stringify(payload),
        JSON.stringify({ ...hello, temperature: 1, guided_json: { type: "object" } }).replace(/}$/,
          ",\"__proto__\":{\"base_url\":\"x\"}}")
      )
    }))

  it.effect("is not stream, nor what is nothing without it", () =>
    Effect.map(encode({ ...hello, stream: true, stream_options: { include_usage: true } }), ({ payload }) =>
      assert.deepStrictEqual(payload, hello)))

  it.effect("is not what directs the request", () =>
    Effect.map(encode({ ...hello, api_key: "k", base_url: "https://x.test", security_tier: "high" }),
      (encoded) =>
        assert.deepStrictEqual(encoded, { payload: hello, model: "m", apiKey: "k", baseUrl: "https://x.test",
          securityTier: "high" })))

  it.effect("is nothing that a polluted prototype has", () => {
    const polluted = { base_url: "https://evil.test", api_key: "evil", security_tier: "standard",
      extra_body: { x: 1 } }
    return Effect.acquireUseRelease(
      Effect.sync(() => Object.assign(Object.prototype, polluted)),
      () =>
        Effect.map(encode(hello), ({ apiKey, baseUrl, payload, securityTier }) =>
          assert.deepStrictEqual(
            { apiKey, baseUrl, securityTier, payload: JSON.stringify(payload) },
            { apiKey: undefined, baseUrl: undefined, securityTier: undefined, payload: JSON.stringify(hello) }
          )),
      () =>
        Effect.sync(() => {
          for (const name of Object.keys(polluted)) Reflect.deleteProperty(Object.prototype, name)
        })
    )
  })
})

describe("what is refused before it is sent", () => {
  it.effect.each<readonly [string, string]>([
    ["apiKey", "api_key"],
    ["api-key", "api_key"],
    ["API_KEY", "api_key"],
    ["api_kye", "api_key"],
    ["apikeys", "api_key"],
    ["baseUrl", "base_url"],
    ["baseURL", "base_url"],
    ["base-url", "base_url"],
    ["base_ulr", "base_url"],
    ["bas_url", "base_url"],
    ["securityTier", "security_tier"],
    ["security-tier", "security_tier"],
    ["securtiy_tier", "security_tier"],
    ["security_teir", "security_tier"]
  ])("%s, meant for a field that directs the request", ([name, field]) =>
    Effect.map(refusal({ ...hello, [name]: "SENTINEL" }), (message) =>
      assert.strictEqual(message, `Unknown request field ${name}. Did you mean ${field}?`)))

  it.effect.each<readonly [object, RegExp]>([
    [{ messages: hello.messages }, /^model must be a model id/],
    [{ model: "m" }, /^messages must be a non-empty array/],
    [{ ...hello, messages: null }, /^messages must be a non-empty array/],
    [{ ...hello, messages: { 0: hello.messages[0] } },
      /^messages must be a non-empty array of { role, content }$/],
    [{ ...hello, messages: [hello.messages[0], "SENTINEL"] }, /^messages\[1\] must be an object/],
    [{ ...hello, model: ["SENTINEL"] }, /^model must be/],
    [{ ...hello, api_key: 7 }, /^api_key must be a string/],
    [{ ...hello, base_url: ["SENTINEL"] }, /^base_url must be a string/],
    [{ ...hello, security_tier: "SENTINEL" }, /^security_tier must be/],
    [{ ...hello, extra_body: ["SENTINEL"] }, /^extra_body must be an object/],
    [{ ...hello, extra_body: { api_key: "SENTINEL" } }, /^extra_body\.api_key would reach the model server/],
    [{ ...hello, extra_body: { messages: [] } }, /^messages must be a non-empty array of { role, content }$/],
    [Object.create(hello), /^model must be a model id/]
  ])("%j", ([request, expected]) =>
    Effect.map(refusal(request), (message) => {
      assert.match(message, expected)
      assert.notInclude(message, "SENTINEL")
    }))

  it("is what the schema refuses, with the same words", () => {
    const decode = Schema.decodeUnknownEither(ChatCompletion.ChatCompletionRequest)
    assert.strictEqual(decode(hello)._tag, "Right")
    const refused = decode({ ...hello, apiKey: "x" })
    assert.include(refused._tag === "Left" ? refused.left.message : "",
      String(takeApart({ ...hello, apiKey: "x" })))
  })
})

describe("a payload", () => {
  const text = JSON.stringify(hello)
  const shared = new SharedArrayBuffer(text.length)
  new Uint8Array(shared).set(Buffer.from(text))
  const own = Uint8Array.from(Buffer.from(text)).buffer

  it.effect.each<readonly [string, object]>([
    ["an ArrayBuffer", own],
    ["a DataView", new DataView(own)],
    ["a SharedArrayBuffer", shared],
    ["a view of one", new Uint8Array(shared)],
    ["another realm's ArrayBuffer",
      runInNewContext("Uint8Array.from(bytes).buffer", { bytes: Buffer.from(text) })]
  ])("in %s is its bytes", ([_, payload]) =>
    Effect.gen(function*() {
      const plaintext = yield* ChatCompletion.encodePayload(payload)
      assert.strictEqual(plaintext.length, text.length)
      for (const window of [6, 7, 8, 1000]) assert.strictEqual(bytesOf(plaintext, window), text)
      if (!ArrayBuffer.isView(plaintext)) {
        const lengths = Array.from(plaintext.chunks(new Uint8Array(8)), ({ length }) => length % 3)
        assert.deepStrictEqual(new Set(lengths.slice(0, -1)), new Set([0]))
      }
    }))

  it.effect.each(["new Map([[1, 2]])", "new Set([1])", "new Date(NaN)", "new WeakMap()", "Promise.resolve(1)",
    "new ArrayBuffer(8)", "/x/", "[new Map()]"])(
    "that holds %s is refused, whatever realm it is of",
    (code) =>
      Effect.gen(function*() {
        for (const x of [runInNewContext(code), runInThisContext(code)]) {
          const error = yield* Effect.flip(ChatCompletion.encodePayload({ ok: 1, x }))
          assert.match(error.message, /^x cannot be written as JSON/)
        }
      })
  )

  it.effect("of another realm's data is that data", () =>
    Effect.gen(function*() {
      const plaintext = yield* ChatCompletion.encodePayload(
        runInNewContext("({ a: [1, {}, { b: new Date(0) }], c: {} })")
      )
      assert.strictEqual(bytesOf(plaintext, 100),
        "{\"a\":[1,{},{\"b\":\"1970-01-01T00:00:00.000Z\"}],\"c\":{}}")
    }))
})
