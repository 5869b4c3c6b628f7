import * as Schema from "effect/Schema"
import type OpenAI from "openai"
import { describe, expectTypeOf, it } from "vitest"
import * as ChatCompletion from "../../src/ChatCompletion.js"
import type {
  ChatCompletionRequest,
  ChatCompletionResponse,
  ContentPart,
  Message,
  SecureChatCompletion,
  Tool
} from "../../src/promise/index.js"

declare module "../../src/promise/index.js" {
  interface ChatCompletionRequest {
    readonly chat_template_kwargs?: { readonly enable_thinking: boolean }
  }
  interface ChatCompletionResponse {
    readonly timings?: { readonly predicted_ms: number }
  }
}

declare const client: SecureChatCompletion
const messages: ReadonlyArray<Message> = [{ role: "user", content: "x" }]
const base = { model: "m", messages }

describe("a request", () => {
  it("takes interfaces and widened literals as they are", () => {
    interface OwnMessage {
      role: "user"
      content: string
    }
    interface OwnPart {
      type: string
      text?: string
      image_url?: { url: string }
    }
    interface OwnSchema {
      type: "object"
      properties: object
    }
    const own: Array<OwnMessage> = [{ role: "user", content: "x" }]
    const parts: Array<OwnPart> = []
    const schema: OwnSchema = { type: "object", properties: {} }
    const widened = { role: "user", content: "x" }
    void client.create({ model: "m", messages: own })
    void client.create({ model: "m", messages: [widened, { role: "user", content: parts }] })
    void client.create({ ...base,
      tools: [{ type: "function", function: { name: "f", parameters: schema } }] })
    void client.create({ ...base,
      response_format: { type: "json_schema", json_schema: { name: "s", schema } } })
  })

  it("takes the openai package's types as they are", () => {
    expectTypeOf<Array<OpenAI.ChatCompletionMessageParam>>().toExtend<ChatCompletionRequest["messages"]>()
    expectTypeOf<Array<OpenAI.ChatCompletionTool>>().toExtend<ReadonlyArray<Tool>>()
    expectTypeOf<OpenAI.ChatCompletionContentPart>().toExtend<ContentPart>()
    expectTypeOf<OpenAI.ChatCompletionToolChoiceOption>().toExtend<
      NonNullable<ChatCompletionRequest["tool_choice"]>
    >()
    expectTypeOf<OpenAI.ChatCompletionCreateParamsNonStreaming>().toExtend<ChatCompletionRequest>()
    expectTypeOf<OpenAI.ChatCompletionCreateParams>().toExtend<ChatCompletionRequest>()
    expectTypeOf<OpenAI.ChatCompletionMessage>().toExtend<Message>()
  })

  it("knows every field of OpenAI's", () => {
    expectTypeOf<Exclude<keyof OpenAI.ChatCompletionCreateParams, keyof ChatCompletionRequest>>()
      .toEqualTypeOf<never>()
    type Fields = ChatCompletionRequest
    expectTypeOf<Fields["seed"]>().toEqualTypeOf<number | null | undefined>()
    expectTypeOf<OpenAI.ChatCompletionCreateParams["reasoning_effort"]>().toExtend<
      Fields["reasoning_effort"]
    >()
    expectTypeOf<OpenAI.ChatCompletionCreateParams["service_tier"]>().toExtend<Fields["service_tier"]>()
  })

  it("takes what OpenAI's API does", () => {
    void client.create({
      ...base,
      messages: [
        { role: "developer", content: "x" },
        {
          role: "user",
          content: [
            { type: "text", text: "x" },
            { type: "image_url", image_url: { url: "data:,", detail: "low" } },
            { type: "input_audio", input_audio: { data: "", format: "wav" } },
            { type: "file", file: { file_id: "x" } }
          ]
        },
        { role: "assistant", content: null,
          tool_calls: [{ id: "c", type: "custom", custom: { name: "t", input: "x" } }] },
        { role: "tool", tool_call_id: "c", content: "x" }
      ],
      tools: [{ type: "custom",
        custom: { name: "t", format: { type: "grammar", grammar: { syntax: "lark", definition: "" } } } }],
      max_completion_tokens: 1,
      reasoning_effort: "low",
      parallel_tool_calls: false,
      logprobs: true,
      top_logprobs: 2,
      metadata: { a: "b" },
      store: false,
      stream: true,
      stream_options: { include_usage: true },
      prediction: { type: "content", content: "x" },
      modalities: ["text"],
      verbosity: "low",
      service_tier: "flex"
    })
  })

  it("takes a model server's own fields in extra_body, or declared", () => {
    void client.create({ ...base, extra_body: { guided_json: { type: "object" }, top_k: 20 } })
    void client.create({ ...base, chat_template_kwargs: { enable_thinking: false } })
    // @ts-expect-error not as it was declared
    void client.create({ ...base, chat_template_kwargs: { enable_thinking: "no" } })
  })

  it("refuses values of other types", () => {
    // @ts-expect-error a number
    void client.create({ ...base, seed: "one" })
    // @ts-expect-error an object
    void client.create({ ...base, response_format: 5 })
    // @ts-expect-error one of seven
    void client.create({ ...base, reasoning_effort: "hihg" })
    // @ts-expect-error texts
    void client.create({ ...base, metadata: { a: 1 } })
    // @ts-expect-error true or false
    void client.create({ ...base, parallel_tool_calls: "yes" })
    // @ts-expect-error a text or parts
    void client.create({ ...base, messages: [{ role: "user", content: 5 }] })
    // @ts-expect-error a text
    void client.create({ ...base, messages: [{ role: "user", content: [{ type: "text", text: 5 }] }] })
    // @ts-expect-error a name
    void client.create({ ...base, tools: [{ type: "function", function: {} }] })
    // @ts-expect-error an object
    void client.create({ ...base, extra_body: "top_k" })
  })

  it("refuses names that are close to one, in a literal", () => {
    // @ts-expect-error max_tokens
    void client.create({ ...base, max_tokns: 10 })
    // @ts-expect-error api_key
    void client.create({ ...base, apiKey: "x" })
    // @ts-expect-error content
    void client.create({ ...base, messages: [{ role: "user", contents: "x" }] })
    // @ts-expect-error include_usage
    void client.create({ ...base, stream_options: { includeUsage: true } })
  })
})

describe("an answer", () => {
  it("goes to code that was written for the openai package", () => {
    expectTypeOf<ChatCompletionResponse>().toExtend<OpenAI.ChatCompletion>()
    expectTypeOf<ChatCompletionResponse["choices"][0]["message"]>().toExtend<OpenAI.ChatCompletionMessage>()
    expectTypeOf<Exclude<keyof OpenAI.ChatCompletion, keyof ChatCompletionResponse>>().toEqualTypeOf<
      "metadata" | "moderation"
    >()
    const count = (completion: OpenAI.ChatCompletion) =>
      completion.usage?.completion_tokens_details?.reasoning_tokens
    const use = (answer: ChatCompletionResponse) => count(answer)
    expectTypeOf(use).returns.toEqualTypeOf<number | undefined>()
  })

  it("goes on in a conversation, ours and OpenAI's", () => {
    type Said = ChatCompletionResponse["choices"][0]["message"]
    expectTypeOf<Said>().toExtend<Message>()
    expectTypeOf<Said>().toExtend<OpenAI.ChatCompletionMessageParam>()
  })

  it("shows what OpenAI's has, and what was declared", () => {
    const read = ({ choices, system_fingerprint, timings }: ChatCompletionResponse) => {
      const { logprobs, message } = choices[0]!
      const [call] = message.tool_calls ?? []
      if (call?.type === "custom") expectTypeOf(call.custom.input).toEqualTypeOf<string>()
      if (call?.type === "function") expectTypeOf(call.function.arguments).toEqualTypeOf<string>()
      const source = message.annotations?.[0]?.url_citation.url
      return [logprobs?.content?.[0]?.top_logprobs[0]?.logprob, message.refusal, source, system_fingerprint,
        timings?.predicted_ms]
    }
    expectTypeOf(read).returns.toEqualTypeOf<Array<string | number | null | undefined>>()
    // @ts-expect-error no such field
    void ((answer: ChatCompletionResponse) => answer.choises)
  })
})

describe("the schemas", () => {
  it("agree with the interfaces", () => {
    expectTypeOf(Schema.decodeUnknownSync(ChatCompletion.ChatCompletionRequest)).returns.toEqualTypeOf<
      ChatCompletionRequest
    >()
    expectTypeOf(Schema.decodeUnknownSync(ChatCompletion.ChatCompletionResponse)).returns.toEqualTypeOf<
      ChatCompletionResponse
    >()
    expectTypeOf(Schema.decodeUnknownSync(ChatCompletion.SecurityTier)).returns.toEqualTypeOf<
      ChatCompletion.SecurityTier
    >()
  })
})
