/** The Promise classes against the real router, for the tests of one file. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from "vitest"
import {
  type ChatCompletionConfig,
  type ChatCompletionRequest,
  SecureChatCompletion,
  SecureCompletionClient,
  type SecureCompletionClientConfig
} from "../../src/index.js"
import * as Model from "../../src/router/Model.js"
import * as Servers from "./servers.js"

export const API_KEY = "sk-test-0123456789"

/** A request, with further fields. */
export const hello = (fields: object = {}): ChatCompletionRequest => ({
  model: "Qwen/Qwen3-0.6B",
  messages: [{ role: "user", content: "Hello!" }],
  ...fields
})

export const temporaryDirectory = () => Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))

/** What a promise rejects with. */
export const error = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(() => expect.fail("it was answered"), (error: unknown) => error)

const defaults = { allowHttp: true, apiKey: API_KEY, keyDir: false, keySize: 2048, maxRetries: 0 } as const

const slowEcho = (onRequest: (request: Model.Opened) => void): Model.Model => {
  const echo = Effect.runSync(Model.makeEcho)
  return (request) => {
    onRequest(request)
    const answer = echo(request)
    return request.payload.model === "slow" ? Effect.delay(answer, "20 seconds") : answer
  }
}

/**
 * Starts a router for a file's tests, and disposes of their clients after each. The model `slow` takes 20
 * seconds.
 */
export const setup = () => {
  const clients: Array<SecureChatCompletion | SecureCompletionClient> = []
  const seen: Array<Model.Opened> = []
  const router = { url: "", close: async (): Promise<void> => undefined }
  const kept = <Client extends SecureChatCompletion | SecureCompletionClient>(client: Client): Client => {
    clients.push(client)
    return client
  }

  beforeAll(async () => {
    const model = slowEcho((request) => seen.push(request))
    const started = await Servers.scoped(Servers.router({ apiKey: Redacted.make(API_KEY), model }))
    Object.assign(router, { url: started.value, close: started.close })
  })
  afterAll(() => router.close())
  // every client here talks plain HTTP, and says so
  beforeEach(() => void vi.spyOn(console, "warn").mockImplementation(() => undefined))
  afterEach(() => {
    for (const client of clients.splice(0)) client.dispose()
    vi.restoreAllMocks()
    vi.unstubAllEnvs()
  })

  return {
    /** The router's address, from the first test on. */
    router,
    /** What the model was asked. */
    seen,
    make: (config: ChatCompletionConfig = {}) =>
      kept(new SecureChatCompletion({ baseUrl: router.url, ...defaults, ...config })),
    makeLower: (config: SecureCompletionClientConfig = {}) =>
      kept(new SecureCompletionClient({ routerUrl: router.url, ...defaults, ...config })),
    /** A client with these options and no others. */
    makeBare: (config: ChatCompletionConfig) => kept(new SecureChatCompletion(config))
  }
}
