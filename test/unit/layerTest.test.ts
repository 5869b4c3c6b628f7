import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ChatCompletion from "../../src/ChatCompletion.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import { RateLimitError } from "../../src/NomyoError.js"
import { create, hello } from "../support/calls.js"

describe("NomyoClient.layerTest", () => {
  it.effect("answers with a text, as the model that was asked", () =>
    Effect.gen(function*() {
      const answer = yield* create(hello)
      assert.deepInclude(answer, { model: "m", object: "chat.completion" })
      assert.deepEqual<unknown>(answer.choices, [
        { index: 0, message: { role: "assistant", content: "1 message" }, finish_reason: "stop" }
      ])
      assert.deepInclude(answer._metadata, { payload_id: "test-1", is_encrypted: true })
      assert.strictEqual((yield* create(hello))._metadata.payload_id, "test-2")
    }).pipe(Effect.provide(NomyoClient.layerTest(({ messages }) => `${messages.length} message`))))

  it.effect("answers with the fields of a chat completion", () => {
    const fields = { choices: [], model: "other", usage: { total_tokens: 3 } }
    return Effect.gen(function*() {
      const answer = yield* create(hello)
      assert.deepInclude<object>(answer, fields)
      assert.strictEqual(answer.id, "chatcmpl-test")
    }).pipe(Effect.provide(NomyoClient.layerTest(() => Effect.succeed(fields))))
  })

  it.effect("fails with an error, and does not retry", () => {
    let asked = 0
    const busy = NomyoClient.layerTest(() => {
      asked++
      return Effect.fail(new RateLimitError({ message: "Too many requests" }))
    })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(create(hello))
      assert.deepStrictEqual({ tag: error._tag, asked }, { tag: "RateLimitError", asked: 1 })
    }).pipe(Effect.provide(busy))
  })

  it.effect("refuses a request that is not valid, and does not ask", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(create({ ...hello, model: "" }))
      assert.strictEqual(error._tag, "InvalidRequestError")
    }).pipe(Effect.provide(NomyoClient.layerTest(() => assert.fail("it asked")))))

  it.effect("takes payloads in bytes and in chunks, and batches", () =>
    Effect.gen(function*() {
      const client = yield* NomyoClient.NomyoClient
      const bytes = new TextEncoder().encode(JSON.stringify(hello))
      for (const payload of [bytes, yield* ChatCompletion.encodePayload(hello)]) {
        const answer = yield* client.send(payload, { payloadId: "mine" })
        assert.strictEqual(answer._metadata.payload_id, "mine")
      }
      const outcomes = yield* Stream.runCollect(NomyoClient.createAll(Stream.make(hello, hello)))
      assert.strictEqual(outcomes.length, 2)
      assert.match((yield* client.ready).fingerprint, /^[0-9a-f]{64}$/)
    }).pipe(Effect.provide(NomyoClient.layerTest(() => "Hi."))))
})
