import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as ChatCompletion from "../../src/ChatCompletion.js"
import type { HttpError } from "../../src/NomyoError.js"
import * as Model from "../../src/router/Model.js"

interface Answer {
  readonly choices: ReadonlyArray<{
    readonly finish_reason: string
    readonly logprobs?: {
      readonly content: ReadonlyArray<
        { readonly token: string; readonly logprob: number; readonly top_logprobs: ReadonlyArray<object> }
      >
    }
    readonly message: { readonly [key: string]: unknown }
  }>
  readonly usage: object
  readonly system_fingerprint?: string
}

const hello = { model: "m", messages: [{ role: "user", content: "Hello!" }] }

const ask = (payload: object, payloadId = "id") =>
  Effect.flatMap(Model.makeEcho, (model) =>
    model({ payloadId, securityTier: undefined,
      payload: { ...hello, ...payload } as never })) as Effect.Effect<
    Answer,
    HttpError
  >

const said = (answer: Answer) => answer.choices[0]?.message["content"] as string
const calls = (answer: Answer) =>
  (answer.choices[0]?.message["tool_calls"] ?? []) as ReadonlyArray<ChatCompletion.ToolCall>
const names = (answer: Answer) => calls(answer).map((call) => call.function?.name)

describe("the echo model", () => {
  it.effect("honours n, max_tokens and stop", () =>
    Effect.gen(function*() {
      const messages = [{ role: "user", content: "one two three STOP four" }]
      const limited = yield* ask({ messages, n: 3, max_tokens: 4 })
      const choice = { finish_reason: "length", content: "You said: one two" }
      assert.deepStrictEqual(
        limited.choices.map(({ finish_reason, message }) => ({ finish_reason, content: message["content"] })),
        [choice, choice, choice]
      )
      assert.deepStrictEqual(limited.usage, { prompt_tokens: 5, completion_tokens: 12, total_tokens: 17 })
      const stopped = yield* ask({ messages, stop: ["nothing", " STOP", ""] })
      assert.deepInclude(stopped.choices[0], { finish_reason: "stop" })
      assert.strictEqual(said(stopped), "You said: one two three")
      assert.strictEqual(said(yield* ask({ messages, max_completion_tokens: 3 })), "You said: one")
      assert.strictEqual(said(yield* ask({ max_tokens: -1 })), "You said: Hello!")
    }))

  it.effect("says the same every time", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* ask({}), yield* ask({}))
    }))

  it.effect("refuses what would take the machine's memory, and takes blanks in no time", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* Effect.flip(ask({ n: 50_000_000 }))).message, "n must be at most 128")
      const long = [{ role: "user", content: "x".repeat(1024 * 1024) }]
      assert.match((yield* Effect.flip(ask({ n: 128, messages: long }))).message, /too long together/)
      const startedAt = performance.now()
      const blanks = [{ role: "user", content: `a${" ".repeat(300_000)}b${"\n".repeat(300_000)}` }]
      assert.include(said(yield* ask({ messages: blanks })), "b")
      assert.strictEqual(said(yield* ask({ messages: [{ role: "user", content: " ".repeat(300_000) }] })),
        "You said:")
      assert.isBelow(performance.now() - startedAt, 2000)
    }))

  it.effect("answers in JSON when it is asked to", () =>
    Effect.gen(function*() {
      const object = yield* ask({ response_format: { type: "json_object" } })
      assert.deepStrictEqual(JSON.parse(said(object)), { you_said: "Hello!" })
      const text = yield* ask({ response_format: { type: "text" } })
      assert.strictEqual(said(text), "You said: Hello!")
    }))

  it.effect("calls the tool that is chosen, and none when that is wanted", () =>
    Effect.gen(function*() {
      const properties = { text: { type: "string" }, count: { type: "integer" }, deep: { type: "object" } }
      const parameters = { type: "object", properties }
      const tools = ["first", "second"].map((name) => ({ type: "function", function: { name, parameters } }))
      assert.deepStrictEqual(names(yield* ask({ tools })), ["first"])
      const chosen = yield* ask({ tools, tool_choice: { type: "function", function: { name: "second" } } })
      assert.deepStrictEqual(names(chosen), ["second"])
      assert.deepStrictEqual(JSON.parse(calls(chosen)[0]!.function!.arguments), { text: "Hello!", count: 1,
        deep: {} })
      assert.deepStrictEqual(calls(yield* ask({ tools, tool_choice: "none" })), [])
    }))

  it.effect("calls several tools in parallel, and gives their results back", () =>
    Effect.gen(function*() {
      const tools = ["weather", "time", "news"].map((name) => ({ type: "function", function: { name } }))
      const parallel = yield* ask({ tools, parallel_tool_calls: true })
      assert.deepStrictEqual(names(parallel), ["weather", "time", "news"])
      assert.strictEqual(new Set(calls(parallel).map(({ id }) => id)).size, 3)
      const messages = [{ role: "user", content: "The weather and the time in Bern?" }]
      assert.deepStrictEqual(names(yield* ask({ tools, messages })), ["weather", "time"])
      assert.deepStrictEqual(names(yield* ask({ tools, messages, parallel_tool_calls: false })), ["weather"])
      const results = ["sunny", "noon"].map((content) => ({ role: "tool", tool_call_id: "call_1", content }))
      const done = yield* ask({ tools,
        messages: [...messages, { role: "assistant", content: null }, ...results] })
      assert.strictEqual(said(done), "The tools say: sunny, noon")
    }))

  it.effect("calls a custom tool with text", () =>
    Effect.gen(function*() {
      const answer = yield* ask({ tools: [{ type: "custom", custom: { name: "grep" } }] })
      assert.deepStrictEqual(answer.choices[0]?.message["tool_calls"], [
        { id: "call_1", type: "custom", custom: { name: "grep", input: "Hello!" } }
      ])
    }))

  it.effect("reasons with the effort that is asked for", () =>
    Effect.gen(function*() {
      const length = (payload: object) =>
        Effect.map(ask(payload),
          ({ choices }) => String(choices[0]?.message["reasoning_content"] ?? "").length)
      const [none, low, medium, high] = yield* Effect.all(
        ["none", "low", "medium", "high"].map((reasoning_effort) => length({ reasoning_effort }))
      )
      assert.deepStrictEqual({ none, isRising: 0 < low! && low! < medium! && medium! < high! }, { none: 0,
        isRising: true })
      assert.strictEqual(yield* length({ model: "a-Thinking-model" }), low)
      assert.strictEqual(yield* length({ model: "a-Thinking-model", reasoning_effort: "none" }), 0)
      const { usage } = yield* ask({ reasoning_effort: "low" })
      assert.deepInclude(usage, { completion_tokens_details: { reasoning_tokens: 6 } })
    }))

  it.effect("gives log probabilities that depend on the seed", () =>
    Effect.gen(function*() {
      const of = (payload: object) =>
        Effect.map(ask({ logprobs: true, ...payload }), (answer) => answer.choices[0]!.logprobs!.content)
      const one = yield* of({ seed: 1, top_logprobs: 2 })
      assert.deepStrictEqual(one.map(({ token }) => token).join(""), "You said: Hello!")
      assert.isTrue(one.every(({ logprob, top_logprobs }) => logprob <= 0 && top_logprobs.length === 2))
      assert.deepStrictEqual(yield* of({ seed: 1, top_logprobs: 2 }), one)
      assert.notDeepEqual(yield* of({ seed: 2, top_logprobs: 2 }), one)
      assert.isUndefined((yield* ask({})).choices[0]?.logprobs)
      assert.isString((yield* ask({ seed: 1 })).system_fingerprint)
    }))
})
