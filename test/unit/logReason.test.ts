import { assert, describe, it } from "@effect/vitest"
import { cleaned } from "../../src/router/logReason.js"

const request = {
  model: "llama3.2",
  messages: [{ role: "user", content: "My password is hunter2, try Zürich and сын" }]
}

describe("a model server's words in the log", () => {
  it("say what happened", () => {
    assert.strictEqual(
      cleaned("CUDA out of memory. Tried to allocate 8.50 GiB", request),
      "CUDA out of memory. Tried to allocate 8.50 GiB"
    )
    assert.strictEqual(
      cleaned("model \"llama3.2\" not found, try pulling it first", request),
      "model \"…\" not found, try pulling it first"
    )
  })

  const repeating: ReadonlyArray<readonly [what: string, text: string]> = [
    ["whole", "invalid prompt: My password is hunter2, try Zürich and сын"],
    ["cut", "invalid prompt: My password is hunt"],
    ["in capitals", "invalid prompt: HUNTER2"],
    ["with escapes", "invalid prompt: hunter2 \\u0441\\u044b\\u043d"],
    ["in bytes", "invalid prompt: \\xd1\\x81\\xd1\\x8b\\xd0\\xbd"],
    ["percent-encoded", "invalid prompt: %D1%81%D1%8B%D0%BD hunter2"],
    ["in base64", `invalid prompt: ${Buffer.from("My password is hunter2, try Zürich").toString("base64")}`]
  ]
  for (const [what, text] of repeating) {
    it(`hide the request where they repeat it ${what}`, () => {
      const told = cleaned(text, request)
      assert.match(told, /^invalid prompt: /)
      assert.notMatch(told, /hunt|password|сын|xd1|D1|TXkg/i)
    })
  }

  it("hide API keys, and steer no terminal", () => {
    assert.strictEqual(cleaned("Incorrect API key provided: sk-abc***xyz.", {}),
      "Incorrect API key provided: …")
    assert.strictEqual(cleaned("a\u001b[2Jb\r\nc\u202ed", {}), "a [2Jb c d")
  })

  it("are bounded, and looked through in no time for a request of any length", () => {
    const long = { messages: [{ role: "user", content: "secret ".repeat(1_000_000) }] }
    const startedAt = performance.now()
    const told = cleaned("invalid value: secret ".repeat(10_000), long)
    assert.isBelow(performance.now() - startedAt, 1000)
    assert.isAtMost(told.length, 300)
    assert.notInclude(told, "secret")
  })
})
