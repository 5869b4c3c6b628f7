/** The options of `nomyo-js/fetch`. */
import { describe, expect, it } from "vitest"
import { BASE_URL, createFetch, openAiOptions } from "../../src/fetch/index.js"

const client = { create: async () => ({}) }

describe("openAiOptions", () => {
  it("lets either the tool or the client repeat a request", () => {
    expect(openAiOptions(client)).toEqual({ apiKey: "nomyo", baseURL: BASE_URL, fetch: expect.any(Function) })
    expect(openAiOptions(client, { maxRetries: 2 })).toMatchObject({ maxRetries: 0 })
    expect(openAiOptions(client, { maxRetries: 0 })).toMatchObject({ maxRetries: 0 })
  })
})

describe("options", () => {
  it.each([
    ["a misspelled one", { maxRetires: 1 }, /^Unknown option "maxRetires". Did you mean maxRetries\?$/],
    ["an unknown one", { colour: "red" }, /^Unknown option "colour". Options: apiKey, /],
    ["a key in place of its source", { apiKey: "sk-secret" }, /^apiKey must be "client" or "header"$/],
    ["models that are a text", { models: "a/model" }, /^models must be an array of strings$/],
    ["origins that are a text", { origins: "https://api.openai.com" }, /^origins must be a list of origins/],
    ["an origin that is none", { origins: ["api.openai.com"] }, /^origins must be a list of origins/],
    ["a timeout of no time", { timeout: 0 }, /^timeout must be a number of more than 0$/],
    ["a timeout in text", { timeout: "30 seconds" }, /^timeout must be a number of more than 0$/],
    ["an idle timeout of no time", { idleTimeout: 0 }, /^idleTimeout must be a number of more than 0$/],
    ["half a retry", { maxRetries: 0.5 }, /^maxRetries must be a whole number, 0 or more$/],
    ["a Promise", { maxRetries: Promise.resolve(1) }, /^maxRetries must be .*await it first$/],
    ["no options", "sk-secret", /^The options must be an object such as /]
  ])("refuse %s", (_, options, message) => {
    for (const make of [createFetch, openAiOptions]) {
      expect(() => make(client, options as object)).toThrow(
        expect.objectContaining({ name: "TypeError", message: expect.stringMatching(message) })
      )
    }
  })

  it("that only a prototype has do not count", async () => {
    const { status } = await createFetch(client, Object.create({ origins: ["https://evil.example"] }))(
      "https://evil.example/v1/models"
    )
    expect(status).toBe(400)
  })

  it.each([undefined, null, {}, Promise.resolve(client), "client"])("are not read for %j, which is no client",
    (value) => {
      expect(() => createFetch(value as typeof client)).toThrow(
        /^createFetch needs a SecureChatCompletion/
      )
    })
})
