import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { describe, expectTypeOf, it } from "vitest"
import {
  type APIConnectionError,
  APIError,
  type AuthenticationError,
  type ChatCompletionRequest,
  type ChatCompletionResponse,
  type Crypto,
  type DisposedError,
  type ForbiddenError,
  type InvalidRequestError,
  type KeyStore,
  type Message,
  NomyoClient,
  RateLimitError,
  SecureByteContext,
  SecureChatCompletion,
  SecureCompletionClient,
  type SecurityError,
  type SecurityReason,
  type ServerError,
  type ServiceUnavailableError,
  type Transport
} from "../../src/index.js"
import type * as Node from "../../src/platform/node/index.js"

type Ten =
  | APIError
  | AuthenticationError
  | InvalidRequestError
  | ForbiddenError
  | RateLimitError
  | ServerError
  | ServiceUnavailableError
  | APIConnectionError
  | SecurityError
  | DisposedError

declare const client: NomyoClient.Service
declare const secure: SecureChatCompletion
const request = { model: "m", messages: [{ role: "user", content: "x" }] } as const

describe("the Effect API", () => {
  it("fails with exactly the ten errors", () => {
    const call = client.create(request)
    expectTypeOf<Effect.Effect.Error<typeof call>>().toEqualTypeOf<Ten>()
    expectTypeOf<Effect.Effect.Success<typeof call>>().toEqualTypeOf<ChatCompletionResponse>()
    expectTypeOf<Effect.Effect.Context<typeof call>>().toEqualTypeOf<never>()
  })

  it("is narrowed by tag", () => {
    const caught = client.create(request).pipe(
      Effect.catchTag("RateLimitError", (error) => {
        expectTypeOf(error).toEqualTypeOf<RateLimitError>()
        return Effect.succeed(error.retryAfter)
      }),
      Effect.catchTag("APIError", (error) => {
        expectTypeOf(error).toEqualTypeOf<APIError>()
        return Effect.succeed(error.statusCode)
      }),
      Effect.catchTag("SecurityError", (error) => {
        expectTypeOf(error.reason).toEqualTypeOf<SecurityReason>()
        return Effect.succeed(0)
      })
    )
    expectTypeOf<Effect.Effect.Error<typeof caught>>().toEqualTypeOf<
      Exclude<Ten, RateLimitError | APIError | SecurityError>
    >()
  })

  it("makes batches, by one call or in a pipe", () => {
    const requests: Stream.Stream<ChatCompletionRequest, "no file", "files"> = Stream.fail("no file")
    type Batch = Stream.Stream<NomyoClient.Outcome, "no file" | DisposedError | InvalidRequestError,
      "files" | NomyoClient.NomyoClient>
    expectTypeOf(
      NomyoClient.createAll(requests, { concurrency: 2, ordered: true, timeout: "1 second", maxRetries: 0 })
    ).toEqualTypeOf<Batch>()
    expectTypeOf(requests.pipe(NomyoClient.createAll({ concurrency: 2 }))).toEqualTypeOf<Batch>()
    expectTypeOf(requests.pipe(NomyoClient.createAll())).toEqualTypeOf<Batch>()
    expectTypeOf<Either.Either.Left<NomyoClient.Outcome["result"]>>().toEqualTypeOf<
      Exclude<Ten, DisposedError>
    >()
    const plain = Stream.map(Stream.make("x"),
      (content) => ({ model: "m", messages: [{ role: "user", content }] }))
    expectTypeOf(NomyoClient.createAll(plain)).toExtend<
      Stream.Stream<NomyoClient.Outcome, unknown, NomyoClient.NomyoClient>
    >()
    // @ts-expect-error no requests
    void NomyoClient.createAll(Stream.make("x"))
  })

  it("composes by layer", () => {
    type Platform = Crypto.Crypto | KeyStore.KeyStore | Transport.Transport
    expectTypeOf<ReturnType<typeof NomyoClient.layer>>().toEqualTypeOf<
      Layer.Layer<NomyoClient.NomyoClient, InvalidRequestError | SecurityError, Platform>
    >()
    expectTypeOf<ReturnType<typeof Node.layer>>().toEqualTypeOf<
      Layer.Layer<NomyoClient.NomyoClient, InvalidRequestError | SecurityError>
    >()
    expectTypeOf<Context.Tag.Service<typeof NomyoClient.NomyoClient>>().toEqualTypeOf<NomyoClient.Service>()
  })
})

describe("the Promise API", () => {
  it("takes every option of the specification", () => {
    new SecureChatCompletion()
    new SecureChatCompletion({ apiKey: process.env["NOMYO_API_KEY"] })
    new SecureChatCompletion({
      baseUrl: "http://localhost:12435",
      allowHttp: true,
      apiKey: "key",
      secureMemory: true,
      timeout: 60_000,
      debug: false,
      keyDir: "client_keys",
      keyRotationInterval: 86_400_000,
      keyRotationDir: "client_keys",
      keyRotationPassword: "a password",
      maxRetries: 2
    })
    new SecureCompletionClient({ routerUrl: "https://api.nomyo.ai", keySize: 2048 })
    new SecureChatCompletion({ timeout: "30 seconds", keyRotationInterval: "1.5 days",
      routerKeyTtl: "1 hour" })
    new SecureChatCompletion({ fetch, logger: console })
    // @ts-expect-error a time without a unit that exists
    new SecureChatCompletion({ timeout: "30 parsecs" })
    // @ts-expect-error Effect's own types are for Effect's API
    new SecureChatCompletion({ apiKey: Redacted.make("key") })
    // @ts-expect-error an option that does not exist
    new SecureChatCompletion({ retries: 2 })
    // @ts-expect-error a key size that is not offered
    new SecureCompletionClient({ keySize: 1024 })
  })

  it("takes requests of every kind", () => {
    const { create } = secure
    expectTypeOf(create).parameter(0).toEqualTypeOf<ChatCompletionRequest>()
    // a conversation that grows
    const messages: Array<Message> = [{ role: "user", content: "x" }]
    void ((): ReadonlyArray<ChatCompletionRequest> => [
      { model: "m", messages, temperature: 0.7, security_tier: "maximum", base_url: "https://x.test",
        api_key: "k" },
      {
        model: "m",
        messages: [{ role: "user",
          content: [{ type: "text", text: "x" }, { type: "image_url", image_url: { url: "data:," } }] }],
        tools: [{
          type: "function",
          function: {
            name: "get_weather",
            description: "Tells the weather",
            parameters: { type: "object", properties: { location: { type: "string" } },
              required: ["location"] }
          }
        }],
        tool_choice: "auto"
      },
      { model: "m", messages, seed: 1, response_format: { type: "json_object" } },
      // @ts-expect-error a tier that does not exist
      { model: "m", messages, security_tier: "ultra" },
      // @ts-expect-error no model
      { messages },
      // @ts-expect-error a message without a role
      { model: "m", messages: [{ content: "x" }] }
    ])
  })

  it("gives what the specification reads from an answer", async () => {
    const response = await secure.create(request, { signal: new AbortController().signal, timeout: 1000,
      maxRetries: 0 })
    const message = response.choices[0]!.message
    expectTypeOf(message.content).toEqualTypeOf<string | null>()
    expectTypeOf(message.reasoning_content).toEqualTypeOf<string | null | undefined>()
    expectTypeOf(response._metadata.payload_id).toEqualTypeOf<string>()
    expectTypeOf(response._metadata.processed_at).toEqualTypeOf<number | undefined>()
    expectTypeOf(await secure.acreate(request)).toEqualTypeOf<ChatCompletionResponse>()
    expectTypeOf(secure.dispose()).toEqualTypeOf<void>()
    expectTypeOf(secure).toExtend<Disposable & AsyncDisposable>()
  })

  it("makes batches", async () => {
    const options = { concurrency: 2, ordered: true, timeout: 1000, maxRetries: 0,
      signal: new AbortController().signal }
    for await (const result of secure.createAll([request], options)) {
      expectTypeOf(result.index).toEqualTypeOf<number>()
      if (result.status === "fulfilled") expectTypeOf(result.value).toEqualTypeOf<ChatCompletionResponse>()
      else expectTypeOf(result.reason).toEqualTypeOf<any>()
    }
    const lazily = async function*() {
      yield { model: "m", messages: [{ role: "user", content: "x" }] }
    }
    secure.createAll(lazily())
    secure.createAll(new Set([request]))
    // @ts-expect-error no requests
    secure.createAll(["x"])
    // @ts-expect-error an option that does not exist
    secure.createAll([], { parallel: 2 })
  })

  it("narrows by class", () => {
    const error = undefined as unknown
    if (error instanceof RateLimitError) expectTypeOf(error.retryAfter).toEqualTypeOf<number | undefined>()
    if (error instanceof APIError) expectTypeOf(error.statusCode).toEqualTypeOf<number>()
    expectTypeOf<RateLimitError>().toExtend<Error>()
  })

  it("lends secret bytes to a callback", () => {
    expectTypeOf(new SecureByteContext(new Uint8Array(1)).use(async (bytes) => bytes.length)).toEqualTypeOf<
      Promise<number>
    >()
    expectTypeOf(new SecureByteContext(new ArrayBuffer(1), false).use((bytes) => bytes[0])).toEqualTypeOf<
      Promise<number | undefined>
    >()
  })
})
