import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as ChatCompletion from "../../src/ChatCompletion.js"
import type { Plaintext } from "../../src/Plaintext.js"
import * as Mocks from "../support/mocks.js"

const hello = { model: "m", messages: [{ role: "user", content: "Hello!" }] }

const bytesOf = (plaintext: Plaintext): Uint8Array =>
  ArrayBuffer.isView(plaintext)
    ? plaintext
    : Buffer.concat(Array.from(plaintext.chunks(new Uint8Array(12)), (chunk) => Uint8Array.from(chunk)))

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))

const decode = (answer: unknown, processedAt?: number) =>
  ChatCompletion.decodeResponse(json(answer), { payloadId: "id-1", processedAt, algorithm: "hybrid" })

describe("ChatCompletion.encodePayload", () => {
  it.effect("accepts JSON of up to 10 MiB, and no byte more", () =>
    Effect.gen(function*() {
      const overhead = JSON.stringify({ content: "" }).length
      const longest = { content: "x".repeat(ChatCompletion.MAX_PAYLOAD_BYTES - overhead) }
      assert.strictEqual((yield* ChatCompletion.encodePayload(longest)).length,
        ChatCompletion.MAX_PAYLOAD_BYTES)
      const error = yield* Effect.flip(ChatCompletion.encodePayload({ content: `${longest.content}x` }))
      assert.match(error.message, /larger than 10 MiB/)
    }))

  it.effect("takes bytes as they are, and refuses more than 10 MiB of them", () =>
    Effect.gen(function*() {
      const bytes = Uint8Array.of(1, 2, 3)
      const encoded = yield* ChatCompletion.encodePayload(bytes)
      assert.strictEqual(ArrayBuffer.isView(encoded) && encoded.buffer, bytes.buffer)
      const error = yield* Effect.flip(
        ChatCompletion.encodePayload(new Uint8Array(ChatCompletion.MAX_PAYLOAD_BYTES + 1))
      )
      assert.match(error.message, /larger than 10 MiB/)
    }))

  it.effect("copies shared memory as it is read", () =>
    Effect.gen(function*() {
      const shared = new Uint8Array(new SharedArrayBuffer(31)).fill(7)
      const encoded = yield* ChatCompletion.encodePayload(shared)
      assert.isFalse(ArrayBuffer.isView(encoded))
      assert.deepStrictEqual([...bytesOf(encoded)], [...shared])
    }))
})

describe("ChatCompletion.encodeRequest", () => {
  it.effect("separates what directs a request from what is encrypted", () =>
    Effect.gen(function*() {
      const { payload, ...directions } = yield* ChatCompletion.encodeRequest({
        ...hello,
        api_key: "sk-test",
        base_url: "https://router.test",
        security_tier: "high"
      })
      assert.deepStrictEqual(directions, {
        model: "m",
        apiKey: "sk-test",
        baseUrl: "https://router.test",
        securityTier: "high"
      })
      assert.deepStrictEqual(JSON.parse(new TextDecoder().decode(bytesOf(payload))), hello)
    }))
})

describe("ChatCompletion.decodePayload", () => {
  it.effect("reads a payload, and names the top-level field that is wrong", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* ChatCompletion.decodePayload(json(hello)), hello)
      const error = yield* Effect.flip(
        ChatCompletion.decodePayload(json({ ...hello, messages: { secret: "SENTINEL" } }))
      )
      assert.match(error.message, /^messages/)
      assert.notMatch(error.message, /secret|SENTINEL/)
      assert.strictEqual((yield* Effect.flip(ChatCompletion.decodePayload(Uint8Array.of(0x7b)))).message,
        "The payload must be the UTF-8 bytes of a request's JSON")
    }))
})

describe("ChatCompletion.decodeResponse", () => {
  it.effect("adds _metadata to an answer", () =>
    Effect.gen(function*() {
      const answer = yield* decode(Mocks.completion("Hi!"), 12)
      assert.strictEqual(answer.choices[0]?.message.content, "Hi!")
      assert.deepInclude(answer._metadata, { payload_id: "id-1", processed_at: 12, is_encrypted: true })
    }))

  it.effect("refuses the answer to another request", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        decode({ ...Mocks.completion("Hi!"), _metadata: { payload_id: "id-2" } })
      )
      assert.deepInclude(error, { _tag: "SecurityError", reason: "replay" })
    }))

  it.effect("names the field that an answer lacks, and shows nothing of it", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(decode({ id: "SENTINEL" }))
      assert.deepInclude(error, { _tag: "APIError", statusCode: 200 })
      assert.include(error.message, "choices is missing")
      assert.notInclude(JSON.stringify(error), "SENTINEL")
    }))
})

describe("ChatCompletion.SecurityTier", () => {
  it.each([["standard", true], ["high", true], ["maximum", true], ["none", false], [1, false]])(
    "takes %j: %s",
    (tier, isValid) => {
      assert.strictEqual(Either.isRight(Schema.decodeUnknownEither(ChatCompletion.SecurityTier)(tier)),
        isValid)
    }
  )
})
