import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { isTrusted, parsePattern, patternOf } from "../../src/internal/trustedOrigins.js"
import * as NomyoClient from "../../src/NomyoClient.js"
import type * as NomyoConfig from "../../src/NomyoConfig.js"
import * as Mocks from "../support/mocks.js"

const matches = (pattern: string, url: string): boolean => {
  const parsed = parsePattern(pattern)
  return parsed === undefined ? assert.fail(`${pattern} is no pattern`) : isTrusted(url, [parsed])
}

describe("patterns of origins", () => {
  it.each([
    ["https://router.test", "https://router.test"],
    ["https://router.test", "https://router.test:8443/v1"],
    ["https://router.test/", "https://ROUTER.test./"],
    ["https://router.test:443", "https://router.test"],
    ["https://router.test:0443", "https://router.test:443"],
    ["HTTPS://Router.TEST", "https://router.test"],
    ["https://router.test.", "https://router.test"],
    ["https://*.nomyo.ai", "https://secondary.nomyo.ai:12435"],
    ["https://*.NOMYO.ai.", "https://api.nomyo.ai./v1"],
    ["https://bücher.test", "https://xn--bcher-kva.test"],
    ["https://xn--bcher-kva.test", "https://BÜCHER.test"],
    ["https://*.bücher.test", "https://a.xn--bcher-kva.test"],
    ["http://127.0.0.1:8080", "http://127.1:8080"],
    ["http://[::1]:8080", "http://[0:0::1]:8080"],
    ["http://localhost", "http://localhost:11434"]
  ])("%s is that of %s", (pattern, url) => assert.isTrue(matches(pattern, url)))

  it.each([
    ["https://router.test", "http://router.test"],
    ["http://router.test", "https://router.test"],
    ["https://router.test:443", "https://router.test:8443"],
    ["https://router.test", "https://router.test.evil.test"],
    ["https://router.test", "https://evilrouter.test"],
    ["https://router.test", "https://a.router.test"],
    ["https://*.nomyo.ai", "https://nomyo.ai"],
    ["https://*.nomyo.ai", "https://.nomyo.ai"],
    ["https://*.nomyo.ai", "https://evilnomyo.ai"],
    ["https://*.nomyo.ai", "https://a.b.nomyo.ai"],
    ["https://*.nomyo.ai", "https://nomyo.ai.evil.test"],
    ["https://*.nomyo.ai", "https://evil.test/.nomyo.ai"],
    ["https://*.nomyo.ai", "https://evil.test\\.nomyo.ai"],
    ["https://*.nomyo.ai", "https://evil.test?.nomyo.ai"],
    ["https://*.nomyo.ai", "https://evil.test#a.nomyo.ai"],
    ["https://*.nomyo.ai", "https://a.nomyo.ai@evil.test"],
    ["https://*.nomyo.ai", "https://a.nomyо.ai"]
  ])("%s is not that of %s", (pattern, url) => assert.isFalse(matches(pattern, url)))

  it.each([
    "",
    "*",
    "router.test",
    "https://",
    "https://*",
    "https://*.test",
    "https://*.*.test",
    "https://a.*.test",
    "https://*.1.2.3",
    "https://*.[::1]",
    "ftp://router.test",
    "https://router.test/v1",
    "https://router.test?x",
    "https://router.test#x",
    "https://me@router.test",
    "https://router.test:*",
    "https://router.test:123456",
    "https://router.test ",
    "https://a b",
    "https://router.test\\x",
    "https://%00"
  ])("%j is none", (pattern) => assert.isUndefined(parsePattern(pattern)))

  it("are exact for an origin of one's own", () => {
    const own = [patternOf("https://router.test/base")]
    assert.isTrue(isTrusted("https://router.test:443/other", own))
    assert.isFalse(isTrusted("https://router.test:8443", own))
    assert.isFalse(isTrusted("https://a.router.test", own))
  })
})

describe("base_url of a request", () => {
  const request = (fields: object) => ({ model: "m", messages: [{ role: "user", content: "SENTINEL" }],
    ...fields })

  /** Where the request went and with which key, or the reason why not. */
  const sent = (options: NomyoConfig.Options, fields: object) => {
    const router = Mocks.scripted(() => Effect.succeed(Mocks.completion("x")))
    return Effect.gen(function*() {
      const client = yield* NomyoClient.NomyoClient
      const result = yield* Effect.either(client.create(request(fields)))
      const [first] = router.state.sent
      if (result._tag === "Right")
        return `${new URL(first!.url).origin} ${first!.headers["Authorization"] ?? "no key"}`
      assert.deepStrictEqual(
        { sent: router.state.sent.length, keyFetches: router.state.keyFetches },
        { sent: 0, keyFetches: 0 }
      )
      assert.notMatch(result.left.message, /SENTINEL|own-key/)
      return result.left
    }).pipe(Effect.provide(Mocks.client(router.layer, { apiKey: "own-key", ...options })))
  }

  it.effect.each([
    ["the client's own origin", {}, { base_url: "https://router.test/v2" },
      "https://router.test Bearer own-key"],
    ["a subdomain of nomyo.ai", {}, { base_url: "https://secondary.nomyo.ai:12435" },
      "https://secondary.nomyo.ai:12435 Bearer own-key"],
    ["another, with a key of its own", {}, { base_url: "https://other.test", api_key: "theirs" },
      "https://other.test Bearer theirs"],
    ["another, with an empty key", {}, { base_url: "https://other.test", api_key: "" },
      "https://other.test no key"],
    ["another, which is trusted", { trustedBaseUrls: ["https://other.test"] }, {
      base_url: "https://other.test"
    }, "https://other.test Bearer own-key"],
    ["its own, though others are trusted", { trustedBaseUrls: [] }, { base_url: "https://router.test" },
      "https://router.test Bearer own-key"],
    ["another, with no key to keep", { apiKey: undefined }, { base_url: "https://other.test" },
      "https://other.test no key"],
    ["null, which is none", {}, { base_url: null }, "https://router.test Bearer own-key"]
  ] as const)("leads to %s", ([_, options, fields, expected]) =>
    Effect.map(sent(options, fields), (came) => assert.strictEqual(came, expected)))

  it.effect.each([
    ["another", {}, { base_url: "https://other.test" }],
    ["nomyo.ai, if it is not in the list", { trustedBaseUrls: ["https://a.test"] }, {
      base_url: "https://api.nomyo.ai"
    }],
    ["another port of its own host", {}, { base_url: "https://router.test:8443" }],
    ["any, if none is allowed", { trustedBaseUrls: false }, { base_url: "https://router.test",
      api_key: "theirs" }]
  ] as const)("does not lead to %s",
    ([_, options, fields]) =>
      Effect.map(sent(options, fields), (came) =>
        assert.deepInclude(came, { _tag: "SecurityError", reason: "untrusted-url" })))

  it.effect("says both remedies", () =>
    Effect.map(sent({}, { base_url: "https://other.test/path" }), (came) => {
      assert.match(String(came), /https:\/\/other\.test\b.*trustedBaseUrls.*api_key/)
    }))

  it.effect.each(
    ["https://a.test", ["router.test"], [7], true, ["https://a.test", "https://a.test/v1"]].map((option) => ({
      option
    }))
  )("refuses $option", ({ option }) =>
    Effect.gen(function*() {
      const router = Mocks.scripted(() => Effect.die("unused"))
      const error = yield* Effect.flip(
        Effect.provide(NomyoClient.NomyoClient,
          Mocks.client(router.layer, { trustedBaseUrls: option as never }))
      )
      assert.deepInclude(error, { _tag: "InvalidRequestError" })
      assert.match(error.message, /^trustedBaseUrls must be false or an array of origins/)
    }))
})
