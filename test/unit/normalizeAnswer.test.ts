import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as ChatCompletion from "../../src/ChatCompletion.js"
import { readAnswer } from "../../src/openai/normalizeAnswer.js"
import { rules } from "../support/realAnswers.js"

const fallbacks = { payloadId: "pay-1", processedAt: 7 }
const metadata = { payload_id: "pay-1", processed_at: 7, is_encrypted: true, encryption_algorithm: "a" }

const decode = (text: string) =>
  Effect.either(
    ChatCompletion.decodeResponse(new TextEncoder().encode(text), { ...fallbacks, algorithm: "a" })
  )

describe.each(rules)("$name: $outcome", ({ shapes }) => {
  it.effect.each(shapes)("$server", ({ becomes, said }) =>
    Effect.gen(function*() {
      const result = yield* decode(typeof said === "string" ? said : JSON.stringify(said))
      if (result._tag === "Right") return assert.deepStrictEqual<object>(result.right, { ...becomes,
        _metadata: metadata })
      assert.deepInclude(result.left, becomes)
      assert.notInclude(JSON.stringify(result.left) + result.left.message + String(result.left.stack),
        "SENTINEL")
    }))
})

describe("a model server's error", () => {
  it.effect.each([
    [{ error: { code: "model_not_found" } },
      "The model server sent an error in place of an answer: model_not_found, status 404"],
    [{ error: { code: 418 } }, "The model server sent an error in place of an answer: status 418"],
    [{ error: "SENTINEL" }, "The model server sent an error in place of an answer"]
  ])("says what is known of %j", ([said, message]) =>
    Effect.gen(function*() {
      const result = yield* decode(JSON.stringify(said))
      assert.strictEqual(result._tag === "Left" ? result.left.message : "an answer", message)
    }))

  it.effect("is no answer to another request", () =>
    Effect.gen(function*() {
      const result = yield* decode(JSON.stringify({ error: "x", _metadata: { payload_id: "another" } }))
      assert.deepInclude(result._tag === "Left" ? result.left : {}, { _tag: "SecurityError",
        reason: "replay" })
    }))
})

/** Any JSON, with the names that the rules look at among its own. */
const names = FastCheck.constantFrom(
  "choices",
  "message",
  "delta",
  "text",
  "content",
  "role",
  "index",
  "tool_calls",
  "function",
  "custom",
  "arguments",
  "type",
  "thinking",
  "reasoning_content",
  "usage",
  "total_tokens",
  "finish_reason",
  "error",
  "id",
  "__proto__",
  "toString",
  "x"
)
const { json } = FastCheck.letrec((tie) => ({
  json: FastCheck.oneof(
    { maxDepth: 6 },
    FastCheck.constantFrom(null, true, 0, -1, 1e300, "", "x", "stop", "text", "thinking", "function",
      "custom"),
    FastCheck.array(tie("json"), { maxLength: 3 }),
    FastCheck.array(FastCheck.tuple(names, tie("json")), { maxLength: 6 }).map((fields) =>
      JSON.parse(
        `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join()}}`
      )
    )
  )
}))

describe("properties", () => {
  it("never throws, and gives OpenAI's shape or none", () => {
    const choices = FastCheck.array(FastCheck.record({ message: json, finish_reason: json }), {
      maxLength: 3
    })
    FastCheck.assert(
      FastCheck.property(FastCheck.oneof(json, FastCheck.record({ choices, usage: json })), (value) => {
        const read = readAnswer(JSON.stringify(value), fallbacks)
        if (!("answer" in read)) return
        for (const { index, message } of read.answer.choices) {
          assert.strictEqual(typeof index, "number")
          assert.strictEqual(typeof message.role, "string")
          assert.isTrue(message.content === null || typeof message.content === "string")
        }
        assert.strictEqual(read.answer.object, "chat.completion")
        assert.isUndefined(({} as { x?: unknown }).x)
      }),
      { numRuns: 2000 }
    )
  })

  it("never throws on an event stream of anything", () => {
    FastCheck.assert(FastCheck.property(FastCheck.array(json), FastCheck.boolean(), (chunks, asChoices) => {
      const events = chunks.map((chunk) =>
        `data: ${JSON.stringify(asChoices ? { choices: [{ index: 0, delta: chunk }] } : chunk)}\n\n`
      )
      const read = readAnswer(events.join(""), fallbacks)
      assert.lengthOf(Object.keys(read).filter((key) => ["answer", "error", "missing"].includes(key)), 1)
    }), { numRuns: 1000 })
  })

  it("never loses what has choices", () => {
    const message = FastCheck.dictionary(names, json)
    FastCheck.assert(
      FastCheck.property(FastCheck.array(message, { minLength: 1, maxLength: 4 }), json,
        (messages, error) => {
          const read = readAnswer(
            JSON.stringify({ error, choices: messages.map((message) => ({ message })) }),
            fallbacks
          )
          assert.lengthOf("answer" in read ? read.answer.choices : [], messages.length)
        }),
      { numRuns: 1000 }
    )
  })

  it("leaves alone what it has brought into shape, and what OpenAI says", () => {
    const text = FastCheck.oneof(FastCheck.string(), FastCheck.constant(null))
    const tool = FastCheck.record({
      id: FastCheck.string({ minLength: 1 }),
      type: FastCheck.constant("function"),
      function: FastCheck.record({ name: FastCheck.string(), arguments: FastCheck.string() })
    })
    const openai = FastCheck.record({
      id: FastCheck.string({ minLength: 1 }),
      object: FastCheck.constant("chat.completion"),
      created: FastCheck.nat(),
      model: FastCheck.string(),
      choices: FastCheck.array(FastCheck.record({
        index: FastCheck.nat(),
        message: FastCheck.record({ role: FastCheck.constant("assistant"), content: text, refusal: text,
          tool_calls: FastCheck.array(tool) }),
        finish_reason: FastCheck.constantFrom("stop", "length", "tool_calls", "content_filter",
          "function_call"),
        logprobs: FastCheck.constant(null)
      }))
    })
    FastCheck.assert(FastCheck.property(openai, (value) => {
      const read = readAnswer(JSON.stringify(value), fallbacks)
      assert.deepStrictEqual("answer" in read ? { ...read.answer } : read, value as never)
    }))
    FastCheck.assert(
      FastCheck.property(FastCheck.record({ choices: FastCheck.array(FastCheck.dictionary(names, json)) }),
        (value) => {
          const once = readAnswer(JSON.stringify(value), fallbacks)
          if (!("answer" in once)) return
          const text = JSON.stringify(once.answer)
          const twice = readAnswer(text, fallbacks)
          assert.deepStrictEqual("answer" in twice ? JSON.stringify(twice.answer) : twice, text)
        }),
      { numRuns: 1000 }
    )
  })

  it("takes what is nested beyond all reason", () => {
    const deep = (open: string, close: string) => open.repeat(50_000) + close.repeat(50_000)
    for (const content of [deep("[", "]"),
      `[${deep("{\"type\":\"text\",\"text\":", "}").replace("}", "1}")}]`]) {
      const read = readAnswer(`{"choices":[{"message":{"content":${content}}}]}`, fallbacks)
      assert.property(read, "answer")
    }
  })
})
