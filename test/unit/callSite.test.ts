import { describe, expect, it } from "vitest"
import { captureCallSite, withCallSite } from "../../src/promise/callSite.js"
import { NomyoError, RateLimitError, SecureChatCompletion } from "../../src/promise/index.js"

const client = () =>
  new SecureChatCompletion({ baseUrl: "http://127.0.0.1:1", allowHttp: true, keyDir: false, maxRetries: 0 })

/** A caller with a name to look for. */
const askAsACaller = (call: (client: SecureChatCompletion) => Promise<unknown>): Promise<unknown> => {
  const asked = client()
  return call(asked).then(() => "answered", (error: unknown) => error).finally(() => asked.dispose())
}

describe("the stack of a call's error", () => {
  it.each<readonly [string, (client: SecureChatCompletion) => Promise<unknown>]>([
    ["create, for a request that is not valid", (asked) => asked.create({ model: "m", messages: [] })],
    ["create, for an option that is not valid",
      (asked) =>
        asked.create({ model: "m", messages: [{ role: "user", content: "Hello!" }] }, { timeout: -1 })],
    ["fetching a key",
      (asked) =>
        asked.create({ model: "m", messages: [{ role: "user", content: "Hello!" }], base_url: "nowhere" })],
    ["createAll", async (asked) => {
      for await (const result of asked.createAll([{ model: "", messages: [] }])) {
        if (result.status === "rejected") throw result.reason
      }
    }],
    ["a client that is disposed", (asked) => {
      asked.dispose()
      return asked.ready()
    }]
  ])("includes the caller: %s", async (_, call) => {
    const error = await askAsACaller(call)
    expect(error).toBeInstanceOf(NomyoError)
    expect((error as Error).stack).toContain("callSite.test.ts")
    expect((error as Error).stack).toMatch(/^\w+Error: /)
  })

  it("is that of each call, where calls share an error", () => {
    const shared = new RateLimitError({ message: "slow down", payloadId: "id", retryAfter: 5 })
    const stack = shared.stack
    const [one, other] = ["one", "other"].map((name) =>
      withCallSite(shared, { stack: `Error\n    at ${name}` }) as RateLimitError
    )
    expect({ ...one, message: one!.message }).toEqual({ ...shared, message: shared.message })
    expect(one!.stack).toBe(`${stack}\n    at one`)
    expect(other!.stack).toBe(`${stack}\n    at other`)
    expect(shared.stack).toBe(stack)
  })

  it("leaves values of others as they are", () => {
    const reason = new Error("mine")
    const { stack } = reason
    expect(withCallSite(reason, captureCallSite(() => undefined))).toBe(reason)
    expect(reason.stack).toBe(stack)
    expect(withCallSite("text", {})).toBe("text")
  })
})
