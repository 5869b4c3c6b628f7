/** A request that was read from JSON is sent in the words of that JSON. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import { describe, expect } from "vitest"
import { type ChatCompletionRequest, encodeRequest } from "../../src/ChatCompletion.js"
import * as Bytes from "../../src/internal/codecs/bytes.js"
import { mapRequest } from "../../src/openai/requests.js"
import { chunksOf, CHUNK_LENGTH } from "../../src/Plaintext.js"

/** What is sealed of a request. */
const sentOf = (request: object, options = {}) =>
  Effect.map(encodeRequest(request as ChatCompletionRequest, options), ({ payload }) =>
    Bytes.toText(Bytes.concat(Array.from(chunksOf(payload, new Uint8Array(CHUNK_LENGTH)), (chunk) =>
      chunk.slice()))))

const BIG = "12345678901234567890"
const base = `"model":"m","messages":[{"role":"user","content":"Hi"}]`

describe("what is sent of a body", () => {
  const cases: ReadonlyArray<readonly [what: string, body: string, sent: string]> = [
    ["is its own text", `{${base},"seed":${BIG}}`, `{${base},"seed":${BIG}}`],
    ["has every digit within", `{${base},"logit_bias":{"a":[${BIG}]}}`,
      `{${base},"logit_bias":{"a":[${BIG}]}}`],
    ["has numbers as they are written", `{${base},"top_p":1.0,"temperature":1E0}`,
      `{${base},"top_p":1.0,"temperature":1E0}`],
    ["has no stream", `{"stream":true,${base},"stream_options":{"include_usage":true}}`, `{${base}}`],
    ["has no stream, however that is spelled", `{"str\\u0065am":true,${base}}`, `{${base}}`],
    ["has no security tier", `{${base},"security_tier":"high","seed":${BIG}}`, `{${base},"seed":${BIG}}`],
    ["has the last of two members", `{${base},"seed":1,"seed":${BIG}}`, `{${base},"seed":${BIG}}`],
    ["takes blanks", ` {\n "model" : "m" , "messages" : [ {} ] , "seed" :\t${BIG}\n } `,
      `{"model": "m" ,"messages": [ {} ] ,"seed":\t${BIG}\n }`],
    ["takes quotes, backslashes and brackets in strings",
      `{${base},"user":"\\\\","stop":["\\"]},{","\\\\\\""]}`,
      `{${base},"user":"\\\\","stop":["\\"]},{","\\\\\\""]}`],
    ["has what extra_body adds", `{${base},"seed":1,"extra_body":{"seed":2}}`, `{${base},"seed":2}`]
  ]

  it.effect.each(cases)("%s", ([, body, sent]) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* sentOf(mapRequest(body, {}).request), sent)
    }))

  it.effect("asks for a stream if the client does", () =>
    Effect.gen(function*() {
      const { request } = mapRequest(`{${base},"seed":${BIG}}`, {})
      const stream = `"stream":true,"stream_options":{"include_usage":true}`
      assert.strictEqual(yield* sentOf(request, { stream: true }), `{${base},"seed":${BIG},${stream}}`)
    }))

  it.effect("has the model of a deployment, and never a key", () =>
    Effect.gen(function*() {
      const { request } = mapRequest(`{"messages":[{}]}`, { deployment: "a \"b\"", apiKey: "sk-secret",
        securityTier: "high" })
      assert.strictEqual(yield* sentOf(request), `{"model":"a \\"b\\"","messages":[{}]}`)
    }))

  it.effect("means what JSON.parse reads, whatever it is", () =>
    Effect.promise(() =>
      FastCheck.assert(
        FastCheck.asyncProperty(FastCheck.dictionary(FastCheck.string(), FastCheck.jsonValue()),
          async (others) => {
            for (const name of ["extra_body", "stream", "stream_options"]) delete others[name]
            const value = { ...others, model: "m", messages: [{ content: others }] }
            for (const space of [undefined, 1, "\t"]) {
              // the text is what counts: JSON.stringify writes -0 as 0
              const text = JSON.stringify(value, null, space)
              const exit = await Effect.runPromiseExit(sentOf(mapRequest(text, {}).request))
              if (exit._tag === "Success") expect(JSON.parse(exit.value)).toEqual(JSON.parse(text))
            }
          })
      )
    ))

  it.effect("is not refused for its depth", () =>
    Effect.gen(function*() {
      const nested = `{${base},"metadata":${"[".repeat(50_000)}${"]".repeat(50_000)}}`
      assert.isTrue((yield* sentOf(mapRequest(nested, {}).request)) === nested)
    }))
})

describe("a request that was read from JSON", () => {
  const read = () => mapRequest(`{${base},"seed":${BIG}}`, {}).request

  it.effect("is sent as it is if it is copied and changed", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* sentOf({ ...read(), model: "other", seed: 7 }),
        `{"model":"other",${base.slice(12)},"seed":7}`)
      assert.strictEqual(yield* sentOf({ ...structuredClone(read()), seed: 7 }), `{${base},"seed":7}`)
    }))

  it("cannot be changed in place", () => {
    const request = read() as { model: string; messages: Array<{ content: string }> }
    expect(() => { request.model = "other" }).toThrow(TypeError)
    expect(() => { request.messages.push({ content: "" }) }).toThrow(TypeError)
    expect(() => { request.messages[0]!.content = "" }).toThrow(TypeError)
  })

  it.effect("has no text that a polluted prototype brings", () =>
    Effect.gen(function*() {
      const symbol = Symbol.for("nomyo-js/source-text")
      Object.assign(Object.prototype, { [symbol]: new Map([["messages", "[]"]]) })
      const sent = yield* sentOf({ model: "m", messages: [{}] }).pipe(
        Effect.ensuring(Effect.sync(() => Reflect.deleteProperty(Object.prototype, symbol)))
      )
      assert.strictEqual(sent, `{"model":"m","messages":[{}]}`)
    }))
})
