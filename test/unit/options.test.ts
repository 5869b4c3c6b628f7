import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { afterEach, describe, expect, it } from "vitest"
import { misspelled, related } from "../../src/internal/closestName.js"
import * as Options from "../../src/internal/options.js"
import { InvalidRequestError, SecureChatCompletion } from "../../src/promise/index.js"

const message = (rules: Options.Rules, options: unknown): string =>
  Either.match(Options.readOptions(rules, options), { onLeft: (error) => error.message, onRight: () =>
    "accepted" })

const chat = (options: unknown) => message(Options.chatCompletionRules, options)

describe("readOptions", () => {
  it.each([undefined, null, {}])("takes %j for no options", (options) => {
    expect(chat(options)).toBe("accepted")
  })

  it.each(["a key", 7, true, [], () => undefined])("refuses %j in place of options", (options) => {
    expect(chat(options)).toBe("The options must be an object such as { baseUrl: … }")
  })

  it.each([
    ["baseURL", "baseUrl"],
    ["base_url", "baseUrl"],
    ["routerUrl", "baseUrl"],
    ["api_key", "apiKey"],
    ["apikey", "apiKey"],
    ["timout", "timeout"],
    ["retries", "maxRetries"],
    ["timeoutMs", "timeout"],
    ["keydir", "keyDir"],
    ["password", "keyRotationPassword"],
    ["allowHTTP", "allowHttp"]
  ])("says for %s that %s is meant", (name, meant) => {
    expect(chat({ [name]: "x" })).toBe(`Unknown option "${name}". Did you mean ${meant}?`)
  })

  it("lists the options where none is close", () => {
    expect(chat({ colour: "red" })).toMatch(/^Unknown option "colour". Options: allowHttp, apiKey, baseUrl, /)
    expect(chat({ ["x".repeat(1000)]: 1 }).length).toBeLessThan(500)
  })

  it("knows the other class's name for the router", () => {
    expect(message(Options.completionClientRules, { baseUrl: "x" })).toContain("Did you mean routerUrl?")
    expect(message(Options.completionClientRules, { baseURL: "x" })).toContain("Did you mean routerUrl?")
  })

  const wrong: Record<keyof typeof Options.chatCompletionRules, unknown> = {
    baseUrl: new URL("https://x.test"),
    allowHttp: "false",
    apiKey: 7,
    trustedBaseUrls: "https://router.test",
    timeout: {},
    idleTimeout: true,
    maxRetries: "2",
    throttle: 1,
    keySize: 1024,
    keyRotationInterval: true,
    routerKeyFingerprints: "ab",
    protocol: 3,
    routerKeyConfigFingerprints: "ab",
    routerKeyConfig: 7,
    postQuantum: true,
    padding: 0,
    routerKeyTtl: () => 1,
    maxResponseBytes: "1 MB",
    keyDir: true,
    keyRotationDir: false,
    keyDirReadOnly: "false",
    keyRotationPassword: Promise.resolve("correct horse"),
    keyHistory: "1",
    keyPersistence: "disk",
    secureMemory: "yes",
    debug: "1",
    fetch: {},
    logger: { debug: () => undefined }
  }

  it.each(Object.entries(wrong))("refuses a wrong type of %s", (name, value) => {
    const said = chat({ [name]: value })
    expect(said).toMatch(new RegExp(`^${name} must be `))
    expect(chat({ [name]: undefined })).toBe("accepted")
    expect(chat({ [name]: null })).toBe("accepted")
  })

  const outOfRange: { readonly [name: string]: ReadonlyArray<unknown> } = {
    maxRetries: [-1, 1.5, NaN, Infinity],
    keyHistory: [-1, 1.5, NaN, Infinity],
    maxResponseBytes: [0, -1, NaN],
    timeout: [0, -1, NaN, "soon", "", "-3 seconds", [1]],
    idleTimeout: [0, -1, NaN, "soon", "", "-3 seconds", [1]],
    routerKeyTtl: [0, -1, NaN, "soon", "5"],
    keyRotationInterval: [-1, NaN, "soon", "1 fortnight"],
    keySize: [0, 3072, "4096"],
    keyDir: [""],
    routerKeyFingerprints: [["ab"], [""], ["z".repeat(64)]],
    trustedBaseUrls: [["router.test"], ["https://a.test/path"]],
    baseUrl: ["", "router", "ftp://x.test", "https://x.test?a=1"]
  }

  it.each(Object.entries(outOfRange))("%s out of its range ends every call, by name, before anything is made",
    async (name, values) => {
      for (const value of values) {
        const client = new SecureChatCompletion({ keyDir: "/dev/null/nowhere", [name]: value } as object)
        const error: unknown = await client.ready().catch((error: unknown) => error)
        expect(error, String(value)).toBeInstanceOf(InvalidRequestError)
        expect(String(error)).toMatch(new RegExp(`\\b${name}\\b`))
        client.dispose()
      }
    })

  it("names a forgotten await", () => {
    const said = chat({ keyRotationPassword: Promise.resolve("correct horse") })
    expect(said).toBe(
      "keyRotationPassword must be a string of at least 8 characters, not a Promise: await it first"
    )
  })

  it("shows no value", () => {
    for (const [name, value] of Object.entries({ apiKey: ["SECRET"], keyRotationPassword: { SECRET: 1 },
      keyDir: ["SECRET"] })) {
      expect(chat({ [name]: value })).not.toContain("SECRET")
    }
  })

  it("takes what the documentation names", () => {
    expect(chat({
      baseUrl: "https://x.test/v1",
      apiKey: Redacted.make("k"),
      timeout: "30 seconds",
      keyRotationInterval: 0,
      keyDir: false,
      routerKeyFingerprints: [],
      logger: console,
      fetch
    })).toBe("accepted")
    expect(
      message(Options.batchRules, { signal: new AbortController().signal, concurrency: 2, ordered: true })
    ).toBe("accepted")
    expect(message(Options.callRules, { signal: {} })).toBe("signal must be an AbortSignal")
  })

  it("says which option has a getter that throws, and nothing of its error", () => {
    const trap = Object.defineProperty({}, "apiKey", { enumerable: true, get: () => {
      throw new Error("SECRET")
    } })
    expect(chat(trap)).toBe("Option apiKey cannot be read: its getter throws. Pass a plain value")
  })
})

describe("inherited properties", () => {
  const polluted = Object.prototype as { baseUrl?: string }
  afterEach(() => {
    delete polluted.baseUrl
  })

  it("do not count", () => {
    polluted.baseUrl = "https://evil.test"
    const read = Either.getOrThrow(Options.readOptions(Options.clientRules, {}))
    expect({ ...read }.baseUrl).toBeUndefined()
    expect(Options.withFallback(read, {}).baseUrl).toBeUndefined()
    expect(Options.pickOptions(Options.clientRules, {}).baseUrl).toBeUndefined()
    const inherited = Object.create({ baseUrl: "https://evil.test", apiKey: "k" })
    expect(Either.getOrThrow(Options.readOptions(Options.clientRules, inherited)).baseUrl).toBeUndefined()
  })
})

describe("the name that was meant", () => {
  it.each([
    ["", ["a"], undefined],
    ["_", ["a"], undefined],
    ["q", ["n"], undefined],
    ["max_tokns", ["max_tokens", "model"], "max_tokens"],
    ["modell", ["max_tokens", "model"], "model"]
  ])("of %j among %j is %j", (name, names, closest) => {
    expect(misspelled(name, names) ?? related(name, names)).toBe(closest)
  })
})
