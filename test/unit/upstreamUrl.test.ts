import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as UpstreamUrl from "../../src/router/upstreamUrl.js"

describe("the URL of an upstream", () => {
  const repaired: ReadonlyArray<readonly [given: string, used: string]> = [
    ["http://127.0.0.1:11434", "http://127.0.0.1:11434/v1"],
    ["http://127.0.0.1:11434/", "http://127.0.0.1:11434/v1"],
    ["http://127.0.0.1:11434/v1/", "http://127.0.0.1:11434/v1"],
    ["  127.0.0.1:11434\n", "http://127.0.0.1:11434/v1"],
    ["localhost:8000", "http://localhost:8000/v1"],
    ["[::1]:8000/v1", "http://[::1]:8000/v1"],
    ["192.168.1.7:8000", "http://192.168.1.7:8000/v1"],
    ["gpu-box:8000", "http://gpu-box:8000/v1"],
    ["api.openai.com/v1", "https://api.openai.com/v1"],
    ["HTTPS://API.OpenAI.com", "https://api.openai.com/v1"],
    ["http://localhost:8080/v1/chat/completions", "http://localhost:8080/v1"],
    ["http://localhost:8080/v1/models", "http://localhost:8080/v1"],
    ["http://localhost:11434/api", "http://localhost:11434/v1"],
    ["http://localhost:11434/api/chat", "http://localhost:11434/v1"],
    ["https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"],
    ["https://generativelanguage.googleapis.com/v1beta/openai/",
      "https://generativelanguage.googleapis.com/v1beta/openai"],
    ["https://host/api/v3", "https://host/api/v3"],
    ["https://host/llm", "https://host/llm/v1"]
  ]
  for (const [given, used] of repaired) {
    it.effect(`is repaired: ${JSON.stringify(given)}`, () =>
      Effect.map(UpstreamUrl.parse(given), (url) => assert.strictEqual(url, used)))
  }

  const refused: ReadonlyArray<readonly [given: string, why: RegExp]> = [
    ["", /is empty/],
    ["  ", /is empty/],
    ["http://", /is malformed/],
    ["two words", /is malformed/],
    ["ftp://host/", /neither http/],
    ["unix:///run/ollama.sock", /neither http/],
    ["http://user:SENTINEL@host/v1", /user name or password/],
    ["https://host/v1?api-version=SENTINEL", /query/]
  ]
  for (const [given, why] of refused) {
    it.effect(`is refused, without being repeated: ${JSON.stringify(given)}`, () =>
      Effect.map(Effect.flip(UpstreamUrl.parse(given)), ({ message }) => {
        assert.match(message, why)
        assert.match(message, /Pass a base URL such as/)
        assert.notInclude(message, "SENTINEL")
      }))
  }
})
