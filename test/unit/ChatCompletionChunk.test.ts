/** What `openai` itself folds from the chunks of an answer is the answer. */
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import OpenAI from "openai"
import { describe, expect, it } from "vitest"
import type { ChatCompletionResponse } from "../../src/ChatCompletion.js"
import * as ChatCompletionChunk from "../../src/ChatCompletionChunk.js"
import { BASE_URL, createFetch } from "../../src/fetch/index.js"

const USAGE = { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 }

interface Message {
  readonly role: "assistant"
  readonly content: string | null
  readonly refusal: string | null
  readonly reasoning_content?: string
  readonly tool_calls?: ReadonlyArray<object>
}

const answerOf = (messages: ReadonlyArray<Message>, finish_reason = "stop") => ({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1_700_000_000,
  model: "a/model",
  system_fingerprint: "fp_1",
  choices: messages.map((message, index) => ({ index, message, finish_reason, logprobs: null })),
  usage: USAGE,
  _metadata: { payload_id: "p-1", is_encrypted: true as const, encryption_algorithm: "hybrid-aes256-rsa4096" }
})

const message = (fields: Partial<Message> = {}): Message => ({ role: "assistant", content: "Hello",
  refusal: null, ...fields })

const chunks = (answer: object, options?: ChatCompletionChunk.Options) =>
  [...ChatCompletionChunk.fromResponse(answer as ChatCompletionResponse, options)]

/**
 * What the package's own `.stream()` makes of the events, without what it adds itself: fields for parsed
 * JSON.
 */
const folded = async (answer: object) => {
  const openai = new OpenAI({ apiKey: "-", baseURL: BASE_URL,
    fetch: createFetch({ create: async () => answer }) })
  const completion = await openai.chat.completions.stream({
    model: "a/model",
    messages: [{ role: "user", content: "Hi" }],
    stream_options: { include_usage: true }
  }).finalChatCompletion()
  return JSON.parse(
    JSON.stringify(completion, (key, value: unknown) => key.startsWith("parsed") ? undefined : value)
  )
}

/** Characters of one to four bytes, those that JSON escapes, and half a surrogate pair. */
const unit = FastCheck.constantFrom("a", " ", "\"", "\\", "\n", "\r", "\u0000", "\u2028", "é", "漢", "😀",
  "👩‍👩‍👧", "\ud83d")
const text = FastCheck.oneof(
  FastCheck.string({ unit, minLength: 1, maxLength: 30 }),
  FastCheck.string({ unit, minLength: 1_500, maxLength: 3_000 })
)
const toolCall = FastCheck.record({
  id: FastCheck.uuid(),
  type: FastCheck.constant("function"),
  function: FastCheck.record({ name: FastCheck.constantFrom("a", "get_weather"),
    arguments: FastCheck.oneof(text, FastCheck.constant("")) })
})
const anyMessage = FastCheck.record({
  role: FastCheck.constant("assistant" as const),
  content: FastCheck.option(FastCheck.oneof(text, FastCheck.constant(""))),
  refusal: FastCheck.option(text),
  reasoning_content: text,
  tool_calls: FastCheck.array(toolCall, { minLength: 1, maxLength: 4 })
}, { requiredKeys: ["role", "content", "refusal"] })
const anyAnswer = FastCheck.tuple(FastCheck.array(anyMessage, { minLength: 1, maxLength: 5 }),
  FastCheck.constantFrom("stop", "length", "tool_calls"))
  .map(([messages, finishReason]) => answerOf(messages, finishReason))

/** Whether a text ends within a character that it has begun. */
const isCut = (piece: string, next: string) => /[\ud800-\udbff]$/.test(piece) && /^[\udc00-\udfff]/.test(next)

describe("the chunks of an answer", () => {
  it("are folded by openai into the answer, whatever it holds", () =>
    FastCheck.assert(FastCheck.asyncProperty(anyAnswer, async (answer) => {
      expect(await folded(answer)).toEqual(answer)
    }), { numRuns: 40 }))

  it("are folded by openai into an answer of 1 MB", async () => {
    const answer = answerOf([
      message({ content: "漢😀a\n".repeat(80_000), reasoning_content: "b".repeat(1_000_000) })
    ])
    const { message: received } = (await folded(answer)).choices[0]
    const isSame = (name: "content" | "reasoning_content") =>
      received[name] === answer.choices[0]?.message[name]
    expect({ content: isSame("content"), reasoning_content: isSame("reasoning_content") }).toEqual({
      content: true,
      reasoning_content: true
    })
  })

  it("split no character, wherever a piece ends", () =>
    FastCheck.assert(
      FastCheck.property(FastCheck.nat(3), FastCheck.constantFrom("😀", "a😀", "ab😀"), (start, unit) => {
        const pieces = chunks(answerOf([message({ content: "x".repeat(start) + unit.repeat(2_000) })]))
          .map(({ choices }) => choices[0]?.delta.content ?? "")
        expect(pieces.filter((piece, i) => isCut(piece, pieces[i + 1] ?? ""))).toEqual([])
      })
    ))

  it("have 1 to 4 kB of a long text each", () => {
    for (const [name, content] of Object.entries({ ascii: "a".repeat(100_000), cjk: "漢".repeat(100_000),
      emoji: "😀".repeat(25_000) })) {
      const sizes = chunks(answerOf([message({ content })])).flatMap(({ choices }) => {
        const piece = choices[0]?.delta.content ?? ""
        return piece === "" ? [] : [Buffer.byteLength(piece)]
      })
      // the last one is what is left
      const { length } = sizes.slice(0, -1).filter((size) => size < 1_000 || size > 4_096)
      expect({ name, outside: length, several: sizes.length > 20 }).toEqual({ name, outside: 0,
        several: true })
    }
  })

  it("begin with the role, say once why the choice ended, and keep to the schema", () => {
    const call = { id: "call_1", type: "function", function: { name: "f", arguments: "{}" } }
    const made = chunks(
      answerOf([message(), message({ content: null, tool_calls: [call, call] })], "tool_calls")
    )
    for (const index of [0, 1]) {
      const own = made.flatMap(({ choices }) => choices.filter((choice) => choice.index === index))
      expect(own[0]?.delta.role).toBe("assistant")
      expect(own.map(({ finish_reason }) => finish_reason)).toEqual([...own.slice(1).map(() => null),
        "tool_calls"])
    }
    expect(
      made.flatMap(({ choices }) =>
        choices.flatMap(({ delta }) => delta.tool_calls?.map(({ id, index }) => ({ id, index })) ?? [])
      )
    )
      .toEqual([{ index: 0, id: "call_1" }, { index: 0 }, { index: 1, id: "call_1" }, { index: 1 }])
    for (const chunk of made) Effect.runSync(Schema.validate(ChatCompletionChunk.ChatCompletionChunk)(chunk))
  })

  it("have a finish reason where the answer has none", () => {
    const [plain, calls] = [message(),
      message({ content: null,
        tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: "" } }] })]
    const answer = answerOf([plain, calls])
    const made = chunks({ ...answer,
      choices: answer.choices.map((choice) => ({ ...choice, finish_reason: null })) })
    expect(
      made.flatMap(({ choices }) => choices.map(({ finish_reason }) => finish_reason)).filter((reason) =>
        reason !== null
      )
    )
      .toEqual(["stop", "tool_calls"])
  })

  it("end with the usage if it is asked for, and not otherwise", () => {
    const answer = answerOf([message()])
    expect(chunks(answer).filter(({ choices, usage }) => choices.length === 0 || usage !== undefined))
      .toEqual([])
    expect(chunks(answer, { includeUsage: true }).at(-1)).toMatchObject({ choices: [], usage: USAGE })
  })

  it("are one without choices for an answer without choices", () => {
    expect(chunks(answerOf([]))).toMatchObject([{ object: "chat.completion.chunk", choices: [] }])
  })

  it("fill in what the answer leaves out, since tools rely on it", () => {
    const { _metadata, choices } = answerOf([message()])
    expect(chunks({ choices, _metadata })[0]).toMatchObject({ id: "chatcmpl-p-1",
      object: "chat.completion.chunk", created: 0, model: "" })
  })

  it("carry the logprobs and whatever else a choice or a message has", async () => {
    const answer = answerOf([message()])
    const logprobs = { content: [{ token: "Hello", logprob: -0.1, bytes: null, top_logprobs: [] }],
      refusal: null }
    const choices = [{ ...answer.choices[0], logprobs, seen: true,
      message: { ...message(), annotations: [1] } }]
    expect(await folded({ ...answer, choices })).toMatchObject({
      choices: [{ logprobs, seen: true, message: { annotations: [1] } }]
    })
  })

  it("are events of one line each", () => {
    const [chunk] = chunks(answerOf([message({ content: "a\nb" })]))
    expect(ChatCompletionChunk.encodeEvent(chunk!)).toMatch(/^data: \{[^\n]*\}\n\n$/)
    expect(ChatCompletionChunk.DONE).toBe("data: [DONE]\n\n")
  })
})
