import { describe, expect, it } from "vitest"
import { withoutKey } from "../../src/page/exchange.js"

const bytes = (text: string) => new TextEncoder().encode(text)

/** What the page shows of a body that answers a request with this key. */
const shown = (body: string, authorization?: string) =>
  new TextDecoder().decode(withoutKey(bytes(body), authorization))

describe("a body that the page shows", () => {
  it("has asterisks for the API key, and the same length", () => {
    const body = "{\"detail\":\"sk-SENTINEL-1 is not valid, nor is sk-SENTINEL-1\"}"
    expect(shown(body, "Bearer sk-SENTINEL-1")).toBe(body.replaceAll("sk-SENTINEL-1", "*************"))
  })

  it("stays as it is without a key, with a short one, and where it is no text", () => {
    expect(shown("a refusal")).toBe("a refusal")
    expect(shown("a refusal", "Bearer refusal")).toBe("a refusal")
    const body = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    expect(withoutKey(body, "Bearer sk-SENTINEL-1")).toEqual(body)
  })
})
