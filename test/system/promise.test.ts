import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import {
  APIConnectionError,
  APIError,
  AuthenticationError,
  type ChatCompletionConfig,
  type ChatCompletionRequest,
  DisposedError,
  ForbiddenError,
  InvalidRequestError,
  RateLimitError,
  SecureChatCompletion,
  SecureCompletionClient,
  SecurityError,
  ServerError,
  ServiceUnavailableError
} from "../../src/index.js"
import * as Model from "../../src/router/Model.js"
import * as Servers from "../support/servers.js"
import * as Vectors from "../support/vectors.js"

const API_KEY = "sk-test-0123456789"

let url: string
let close: () => Promise<void>
const seen: Array<Model.Opened> = []

beforeAll(async () => {
  const echo = Effect.runSync(Model.makeEcho)
  const slow = (request: Model.Opened) => {
    seen.push(request)
    const answer = echo(request)
    return request.payload.model === "slow" ? Effect.delay(answer, "20 seconds") : answer
  }
  const router = await Servers.scoped(Servers.router({ apiKey: Redacted.make(API_KEY), model: slow }))
  url = router.value
  close = router.close
})
afterAll(() => close())

const clients: Array<SecureChatCompletion | SecureCompletionClient> = []
// every client here talks plain HTTP, and says so
beforeEach(() => void vi.spyOn(console, "warn").mockImplementation(() => undefined))
afterEach(() => {
  for (const client of clients.splice(0)) client.dispose()
  vi.restoreAllMocks()
})

const defaults = { allowHttp: true, apiKey: API_KEY, keyDir: false, keySize: 2048, maxRetries: 0 } as const

const make = (config: ChatCompletionConfig = {}) => {
  const client = new SecureChatCompletion({ baseUrl: url, ...defaults, ...config })
  clients.push(client)
  return client
}

const makeLower = (config: ConstructorParameters<typeof SecureCompletionClient>[0] = {}) => {
  const client = new SecureCompletionClient({ routerUrl: url, ...defaults, ...config })
  clients.push(client)
  return client
}

const hello = (fields: object = {}): ChatCompletionRequest => ({
  model: "Qwen/Qwen3-0.6B",
  messages: [{ role: "user", content: "Hello!" }],
  ...fields
})

const temporaryDirectory = () => Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-"))

const error = (promise: Promise<unknown>) => promise.then(() => expect.fail("it was answered"), (error: unknown) => error)

describe("SecureChatCompletion", () => {
  it("answers, with metadata", async () => {
    const answer = await make().create(hello({ security_tier: "maximum" }))
    expect(answer.choices[0]?.message).toEqual({ role: "assistant", content: "You said: Hello!" })
    expect(answer._metadata).toMatchObject({
      payload_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      is_encrypted: true,
      encryption_algorithm: "hybrid-aes256-rsa4096",
      security_tier: "maximum"
    })
    expect(answer._metadata.processed_at).toBeGreaterThan(1_700_000_000)
    expect(seen.at(-1)?.securityTier).toBe("maximum")
  })

  it("has acreate as another name", async () => {
    expect((await make().acreate(hello())).choices).toHaveLength(1)
  })

  it("sends every field to the model and keeps the directions out of the payload", async () => {
    const fields = {
      messages: [
        { role: "system", content: "Be brief." },
        {
          role: "user",
          content: [
            { type: "text", text: "What is this?" },
            { type: "image_url", image_url: { url: "data:image/png;base64,AAAA", detail: "low" } },
            { type: "input_audio", input_audio: { data: "AAAA", format: "wav" } }
          ]
        }
      ],
      temperature: 0.5,
      top_p: 0.9,
      max_tokens: 8,
      stop: ["END"],
      n: 2,
      user: "u-1",
      frequency_penalty: 0.25,
      presence_penalty: -0.25,
      logit_bias: { "50256": -100 },
      stream: true,
      seed: 7,
      response_format: { type: "json_object" },
      "a future field": [null, { deep: true }]
    }
    const answer = await make().create(hello({ ...fields, api_key: API_KEY, security_tier: "high", base_url: url }))
    expect(seen.at(-1)?.payload).toEqual({ model: "Qwen/Qwen3-0.6B", ...fields })
    expect(answer.choices.map(({ index }) => index)).toEqual([0, 1])
    expect(answer.choices[0]?.message.content).toBe("You said: What is this? [image_url] [input_audio]")
  })

  it("carries tool calls both ways", async () => {
    const client = make()
    const tools = [{
      type: "function",
      function: { name: "get_weather", parameters: { type: "object", properties: { location: { type: "string" } } } }
    }]
    const asked = await client.create(hello({ tools, tool_choice: "auto" }))
    const call = asked.choices[0]!.message.tool_calls![0]!
    expect(asked.choices[0]).toMatchObject({ finish_reason: "tool_calls", message: { content: null } })
    expect([call.function?.name, JSON.parse(call.function!.arguments)]).toEqual(["get_weather", { location: "Hello!" }])
    const { message } = asked.choices[0]!
    const answered = await client.create({
      ...hello({ tools }),
      messages: [...hello().messages, message, { role: "tool", tool_call_id: call.id, content: "21 °C" }]
    })
    expect(answered.choices[0]?.message.content).toBe("The tool says: 21 °C")
  })

  it("keeps a thinking model's reasoning apart", async () => {
    const answer = await make().create(hello({ model: "LiquidAI/LFM2.5-1.2B-Thinking" }))
    expect(answer.choices[0]?.message.reasoning_content).toBe("I am to repeat 1 words.")
  })

  it("takes an API key per request", async () => {
    const client = make({ apiKey: "wrong" })
    expect(await error(client.create(hello()))).toBeInstanceOf(AuthenticationError)
    expect((await client.create(hello({ api_key: API_KEY }))).choices).toHaveLength(1)
  })

  it("takes a router per request and leaves the client's own alone", async () => {
    const other = await Servers.scoped(Servers.router({ model: () => Effect.succeed({ choices: [] }) }))
    try {
      const client = make({ trustedBaseUrls: [other.value] })
      expect((await client.create(hello({ base_url: other.value }))).choices).toEqual([])
      expect(await error(make().create(hello({ base_url: other.value })))).toMatchObject({ name: "SecurityError", reason: "untrusted-url" })
      expect((await make().create(hello({ base_url: other.value, api_key: "theirs" }))).choices).toEqual([])
      expect((await client.create(hello())).choices).toHaveLength(1)
      expect(await error(make({ baseUrl: "https://api.nomyo.ai", allowHttp: false }).create(hello({ base_url: url }))))
        .toMatchObject({ name: "SecurityError", reason: "plain-http" })
    } finally {
      await other.close()
    }
  })

  it.each([
    [400, InvalidRequestError],
    [401, AuthenticationError],
    [403, ForbiddenError],
    [404, APIError],
    [429, RateLimitError],
    [500, ServerError],
    [502, APIError],
    [503, ServiceUnavailableError]
  ])("rejects a %i with its class", async (statusCode, Class) => {
    const failure = await error(make().create(hello({ model: `status/${statusCode}` })))
    expect(failure).toBeInstanceOf(Class)
    expect(failure).toBeInstanceOf(APIError)
    expect(failure).toBeInstanceOf(Error)
    expect(failure).toMatchObject({ statusCode, attempts: 1, name: Class.name, _tag: Class.name })
    expect((failure as Error).constructor).toBe(Class)
  })

  it("tries again after a failure that may pass, and says how often it tried if it does not", async () => {
    const answer = await make({ maxRetries: 1 }).create(hello({ model: "status/503/1" }))
    expect(answer.choices[0]?.message.content).toBe("You said: Hello!")
    const failure = await error(make().create(hello({ model: "status/503/9" }), { maxRetries: 1 }))
    expect(failure).toMatchObject({ name: "ServiceUnavailableError", attempts: 2 })
  })

  it("rejects with an APIConnectionError when nobody answers", async () => {
    const failure = await error(make({ baseUrl: "http://127.0.0.1:1" }).create(hello()))
    expect(failure).toBeInstanceOf(APIConnectionError)
    expect(failure).toMatchObject({ reason: "network", attempts: 1 })
  })

  it("gives up after the timeout of the client or of the call", async () => {
    const slow = hello({ model: "slow" })
    const client = make({ timeout: 300 })
    expect(await error(client.create(slow))).toMatchObject({ name: "APIConnectionError", reason: "timeout" })
    const patient = make()
    expect(await error(patient.create(slow, { timeout: 300 }))).toMatchObject({ reason: "timeout" })
  })

  it("is cancelled by a signal, with the signal's reason, before and during a call", async () => {
    const client = make()
    await client.ready()
    const reason = new Error("enough")
    expect(await error(client.create(hello(), { signal: AbortSignal.abort(reason) }))).toBe(reason)
    const controller = new AbortController()
    const call = error(client.create(hello({ model: "slow" }), { signal: controller.signal }))
    await vi.waitUntil(() => seen.at(-1)?.payload.model === "slow")
    controller.abort(reason)
    expect(await call).toBe(reason)
    expect((await client.create(hello())).choices).toHaveLength(1)
  })

  it("ends calls in flight and later ones with a DisposedError", async () => {
    const client = make()
    await client.ready()
    const calls = [error(client.create(hello({ model: "slow" }))), error(client.create(hello({ model: "status/503" }), { maxRetries: 9 }))]
    await vi.waitUntil(() => seen.filter(({ payload }) => payload.model === "status/503").length > 0)
    client.dispose()
    client.dispose()
    for (const call of calls) expect(await call).toBeInstanceOf(DisposedError)
    expect(await error(client.create(hello()))).toBeInstanceOf(DisposedError)
    expect(await error(client.ready())).toBeInstanceOf(DisposedError)
  })

  it("is disposed before its first call without a trace", async () => {
    const client = make({ keySize: 4096 })
    const call = error(client.create(hello()))
    client.dispose()
    expect(await call).toBeInstanceOf(DisposedError)
  })

  it("works with using and await using", async () => {
    let kept: SecureChatCompletion
    {
      await using client = make()
      kept = client
      expect((await client.create(hello())).choices).toHaveLength(1)
    }
    expect(await error(kept.create(hello()))).toBeInstanceOf(DisposedError)
    {
      using client = make()
      kept = client
    }
    expect(await error(kept.create(hello()))).toBeInstanceOf(DisposedError)
  })

  it("makes its keys ahead of time, and new ones on request", async () => {
    const client = make()
    const first = await client.ready()
    expect(await client.ready()).toEqual(first)
    const second = await client.rotateKeys()
    expect(second.fingerprint).not.toBe(first.fingerprint)
    expect(await client.ready()).toEqual(second)
    expect((await client.create(hello())).choices).toHaveLength(1)
  })

  it("warns once, and only, of plain HTTP", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined)
    const others = [vi.spyOn(console, "log"), vi.spyOn(console, "info"), vi.spyOn(console, "debug"), vi.spyOn(console, "error")]
    const client = make()
    await client.create(hello())
    await client.create(hello())
    expect(warn).toHaveBeenCalledTimes(1)
    expect(String(warn.mock.calls[0])).toContain("plain HTTP")
    for (const other of others) expect(other).not.toHaveBeenCalled()
  })

  it("says more with debug, and nothing of what it is told", async () => {
    const lines: Array<unknown> = []
    for (const method of ["log", "info", "warn", "debug", "error"] as const) {
      vi.spyOn(console, method).mockImplementation((...args) => void lines.push(...args))
    }
    await error(make({ debug: true }).create(hello({ model: "status/503", messages: [{ role: "user", content: "SENTINEL" }] })))
    expect(lines.length).toBeGreaterThan(1)
    expect(lines.join("\n")).not.toMatch(/SENTINEL|sk-test/)
  })

  it.each([
    [{ baseUrl: "http://127.0.0.1:1", allowHttp: false }, "SecurityError", /allowHttp/],
    [{ baseUrl: "https://user:secret@127.0.0.1" }, "SecurityError", /apiKey/],
    [{ baseUrl: "not a url" }, "InvalidRequestError", /baseUrl/],
    [{ apiKey: "key\r\nX-Evil: 1" }, "SecurityError", /API key/],
    [{ apiKey: "key\u0000" }, "SecurityError", /API key/],
    [{ apiKey: "schlüssel" }, "SecurityError", /API key/],
    [{ baseUrl: "https://127.0.0.1/?" }, "InvalidRequestError", /baseUrl/],
    [{ baseUrl: "https://127.0.0.1/#" }, "InvalidRequestError", /baseUrl/],
    [{ allowHttp: "false" as never }, "SecurityError", /allowHttp/],
    [{ apiKey: 7 as never }, "InvalidRequestError", /apiKey/],
    [{ routerKeyFingerprints: [7 as never] }, "InvalidRequestError", /routerKeyFingerprints/],
    [{ keyDir: "unused", keyRotationPassword: 7 as never }, "SecurityError", /8 characters/],
    [{ timeout: 0 }, "InvalidRequestError", /timeout/],
    [{ timeout: Number.NaN }, "InvalidRequestError", /timeout/],
    [{ maxRetries: -1 }, "InvalidRequestError", /maxRetries/],
    [{ keyRotationInterval: -1 }, "InvalidRequestError", /keyRotationInterval/],
    [{ keySize: 1024 as 2048 }, "InvalidRequestError", /keySize/],
    [{ keyPersistence: "indexeddb" as const }, "SecurityError", /IndexedDB.*keyDir/],
    [{ keyDir: "unused", keyRotationPassword: "short" }, "SecurityError", /8 characters/],
    [{ routerKeyFingerprints: ["abc"] }, "InvalidRequestError", /routerKeyFingerprints/]
  ])("refuses %j", async (config, name, message) => {
    const failure = await error(make(config).create(hello()))
    expect(failure).toMatchObject({ name, message: expect.stringMatching(message) })
    expect(JSON.stringify(failure)).not.toMatch(/Evil|secret|schl/)
  })

  it("pins the router's key", async () => {
    const { fingerprint } = await (async () => {
      const client = makeLower()
      return await client.loadKeys(Vectors.path("keys/server_4096.pem"))
    })()
    const colons = fingerprint.toUpperCase().replace(/..(?=.)/g, "$&:")
    expect((await make({ routerKeyFingerprints: [colons] }).create(hello())).choices).toHaveLength(1)
    const before = seen.length
    expect(await error(make({ routerKeyFingerprints: ["0".repeat(64)] }).create(hello())))
      .toMatchObject({ name: "SecurityError", reason: "router-key-pin" })
    expect(seen).toHaveLength(before)
  })
})

describe("keyDir", () => {
  it("is emptied by forgetKeys, and filled again by the next call", async () => {
    const keyDir = Path.join(temporaryDirectory(), "keys")
    const client = make({ keyDir })
    const { fingerprint } = await client.ready()
    await client.forgetKeys()
    expect(Fs.readdirSync(keyDir)).toEqual([])
    expect((await client.ready()).fingerprint).not.toBe(fingerprint)
    expect(Fs.readdirSync(keyDir)).toContain("private_key.pem")
    client.dispose()
    expect(await error(client.forgetKeys())).toBeInstanceOf(DisposedError)
  })

  it("saves the pair on first use and loads it afterwards", async () => {
    const keyDir = Path.join(temporaryDirectory(), "keys")
    const first = await make({ keyDir }).ready()
    const mode = (name: string) => (Fs.statSync(Path.join(keyDir, name)).mode & 0o777).toString(8)
    expect([mode("private_key.pem"), mode("public_key.pem"), mode("")]).toEqual(["600", "644", "700"])
    expect(Fs.readdirSync(keyDir).toSorted()).toEqual(["private_key.pem", "public_key.pem"])
    expect(Fs.readFileSync(Path.join(keyDir, "public_key.pem"), "utf8")).toBe(first.pem)
    const again = make({ keyDir })
    expect(await again.ready()).toEqual(first)
    expect((await again.create(hello())).choices).toHaveLength(1)
  })

  it("encrypts the file with a password, and needs it again", async () => {
    const keyDir = temporaryDirectory()
    const first = await make({ keyDir, keyRotationPassword: "correct horse" }).ready()
    const file = Fs.readFileSync(Path.join(keyDir, "private_key.pem"), "utf8")
    expect(file).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/)
    expect(await make({ keyDir, keyRotationPassword: "correct horse" }).ready()).toEqual(first)
    for (const keyRotationPassword of [undefined, "wrong horse"]) {
      expect(await error(make({ keyDir, ...(keyRotationPassword === undefined ? {} : { keyRotationPassword }) }).ready()))
        .toMatchObject({ name: "SecurityError", reason: "key-password" })
    }
    expect(Fs.readFileSync(Path.join(keyDir, "private_key.pem"), "utf8")).toBe(file)
  })

  it("keeps rotated pairs in keyRotationDir, and the one before nowhere", async () => {
    const keyDir = temporaryDirectory()
    const keyRotationDir = temporaryDirectory()
    const client = make({ keyDir, keyRotationDir })
    const first = await client.ready()
    const second = await client.rotateKeys()
    expect(second.fingerprint).not.toBe(first.fingerprint)
    expect(Fs.readdirSync(keyDir)).toEqual([])
    expect(Fs.readFileSync(Path.join(keyRotationDir, "public_key.pem"), "utf8")).toBe(second.pem)
    expect(await make({ keyDir, keyRotationDir }).ready()).toEqual(second)
  })

  it("does not overwrite what it cannot read, by rotation or generation", async () => {
    const keyDir = temporaryDirectory()
    await make({ keyDir, keyRotationPassword: "correct horse" }).ready()
    const before = Fs.readFileSync(Path.join(keyDir, "private_key.pem"), "utf8")
    const wrong = { keyDir, keyRotationPassword: "wrong horse" }
    expect(await error(make(wrong).rotateKeys())).toMatchObject({ reason: "key-password" })
    expect(await error(makeLower(wrong).generateKeys())).toMatchObject({ reason: "key-password" })
    expect(Fs.readFileSync(Path.join(keyDir, "private_key.pem"), "utf8")).toBe(before)
  })

  it("is shared by clients that rotate at the same time", async () => {
    const keyDir = temporaryDirectory()
    const rotating = Array.from({ length: 3 }, () => make({ keyDir, keyRotationInterval: 1000 }))
    await Promise.all(rotating.map((client) => client.ready()))
    await new Promise((resolve) => setTimeout(resolve, 2500))
    for (const client of rotating) expect((await client.create(hello())).choices).toHaveLength(1)
    await Promise.all(rotating.map((client) => client[Symbol.asyncDispose]()))
    expect(Fs.readdirSync(keyDir).filter((name) => name.endsWith(".tmp"))).toEqual([])
  })

  it("names keyDir: false when it cannot write", async () => {
    const file = Path.join(temporaryDirectory(), "a file")
    Fs.writeFileSync(file, "")
    for (const keyDir of [Path.join(file, "keys"), "/sys/nomyo-keys"]) {
      const failure = await error(make({ keyDir }).ready())
      expect(failure).toMatchObject({ name: "SecurityError", reason: "client-key" })
      expect((failure as Error).message).toContain(keyDir)
      expect((failure as Error).message).toContain("keyDir: false")
    }
  })

  it("is touched by the first call, not by the constructor", async () => {
    const keyDir = Path.join(temporaryDirectory(), "keys")
    make({ keyDir })
    await new Promise((resolve) => setImmediate(resolve))
    expect(Fs.existsSync(keyDir)).toBe(false)
  })
})

describe("SecureCompletionClient", () => {
  it("does the steps of a request one by one", async () => {
    const client = makeLower()
    const publicKey = await client.loadKeys(Vectors.path("keys/client_4096.pem"), Vectors.path("keys/client_4096.pub.pem"))
    expect(await client.fetchServerPublicKey()).toBe(Fs.readFileSync(Vectors.path("keys/server_4096.pub.pem"), "utf8"))
    const envelope = await client.encryptPayload(hello())
    const response = await fetch(`${url}/v1/chat/secure_completion`, {
      method: "POST",
      headers: {
        "X-Payload-ID": "by-hand",
        "X-Public-Key": encodeURIComponent(publicKey.pem),
        Authorization: `Bearer ${API_KEY}`
      },
      body: envelope
    })
    const played = await response.arrayBuffer()
    const answer = await client.decryptResponse(played, "by-hand")
    expect(answer.choices[0]?.message.content).toBe("You said: Hello!")
    expect(answer._metadata.payload_id).toBe("by-hand")
    expect(await error(client.decryptResponse(played, "another"))).toMatchObject({ name: "SecurityError", reason: "replay" })
  })

  it("takes payloads in bytes as they are, and leaves them so", async () => {
    const client = makeLower()
    const bytes = new TextEncoder().encode(JSON.stringify({ ...hello(), seed: 7 }))
    const before = bytes.slice()
    const answer = await client.sendSecureRequest(bytes, "in-bytes")
    expect(answer.choices[0]?.message.content).toBe("You said: Hello!")
    const envelope = JSON.parse(new TextDecoder().decode(await client.encryptPayload(bytes)))
    expect(Buffer.from(envelope.encrypted_payload.ciphertext, "base64")).toHaveLength(bytes.length)
    expect(bytes).toEqual(before)
    const large = new Uint8Array(10 * 1024 * 1024 + 1)
    for (const call of [client.encryptPayload(large), client.sendSecureRequest(large, "large")]) {
      expect(await error(call)).toMatchObject({ name: "InvalidRequestError" })
    }
  })

  it("does them all at once", async () => {
    const answer = await makeLower({ apiKey: "wrong" }).sendSecureRequest(hello(), "my-id", API_KEY, "standard")
    expect(answer._metadata).toMatchObject({ payload_id: "my-id", security_tier: "standard" })
    expect(await error(makeLower().sendSecureRequest(hello(), "my\r\nid"))).toMatchObject({ name: "SecurityError", reason: "header" })
  })

  it("loads encrypted keys, and refuses what is none", async () => {
    const client = makeLower()
    const plain = await client.loadKeys(Vectors.path("keys/client_4096.pem"))
    const encrypted = Vectors.path("keys/client_4096.encrypted-pkcs8.pem")
    expect(await client.loadKeys(encrypted, undefined, Vectors.password)).toEqual(plain)
    expect(await error(client.loadKeys(encrypted))).toMatchObject({ reason: "key-password" })
    expect(await error(client.loadKeys("/nowhere.pem"))).toMatchObject({ name: "SecurityError", message: expect.stringContaining("ENOENT") })
    expect(await client.ready()).toEqual(plain)
  })

  it("keeps a pair that it was given, however old its file", async () => {
    const file = Path.join(temporaryDirectory(), "old.pem")
    Fs.copyFileSync(Vectors.path("keys/client_2048.pem"), file)
    Fs.utimesSync(file, 0, 0)
    const client = makeLower()
    const given = await client.loadKeys(file)
    await client.sendSecureRequest(hello(), "id")
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(await client.ready()).toEqual(given)
  })

  it("never leaves half a key behind when it is disposed while it saves", async () => {
    const keyDir = temporaryDirectory()
    const first = await makeLower({ keyDir }).generateKeys()
    for (let i = 0; i < 10; i++) {
      const client = makeLower({ keyDir })
      const call = client.generateKeys().catch(() => undefined)
      await new Promise((resolve) => setTimeout(resolve, 20 * i))
      client.dispose()
      await call
    }
    await new Promise((resolve) => setTimeout(resolve, 500))
    const loaded = await makeLower({ keyDir }).ready()
    expect(loaded.modulusLength).toBe(first.modulusLength)
    expect(Fs.readdirSync(keyDir).toSorted()).toEqual(["private_key.pem", "public_key.pem"])
  })

  it("survives first use and rotation at the same time, and agrees with its directory", async () => {
    for (let i = 0; i < 5; i++) {
      const keyDir = temporaryDirectory()
      const client = make({ keyDir })
      await Promise.all([client.create(hello()), client.rotateKeys(), client.create(hello())])
      expect(Fs.readFileSync(Path.join(keyDir, "public_key.pem"), "utf8")).toBe((await client.ready()).pem)
    }
  })

  it("gives up a router that is silent", async () => {
    const silent = await Servers.scoped(Servers.tcpServer(() => undefined))
    const client = makeLower({ routerUrl: silent.value, timeout: 200 })
    for (const call of [client.fetchServerPublicKey(), client.encryptPayload(hello())]) {
      expect(await error(call)).toMatchObject({ name: "APIConnectionError", reason: "timeout" })
    }
    await silent.close()
  })

  it("rejects with its own errors whatever it is given", async () => {
    const client = makeLower()
    expect(await error(client.sendSecureRequest(undefined as never, "id"))).toBeInstanceOf(InvalidRequestError)
    expect(await error(client.sendSecureRequest(hello(), undefined as never))).toMatchObject({ reason: "header" })
    expect((await make().create(hello(), null as never)).choices).toHaveLength(1)
    expect((await make({ apiKey: null as never }).create(hello({ api_key: API_KEY }))).choices).toHaveLength(1)
  })

  it("generates keys, saves them where it is told, and uses them", async () => {
    const keyDir = temporaryDirectory()
    const client = makeLower()
    const before = await client.ready()
    const made = await client.generateKeys({ keyDir, password: "correct horse" })
    expect(made.fingerprint).not.toBe(before.fingerprint)
    expect(await client.ready()).toEqual(made)
    expect(Fs.readFileSync(Path.join(keyDir, "private_key.pem"), "utf8")).toContain("ENCRYPTED")
    expect(await makeLower().loadKeys(Path.join(keyDir, "private_key.pem"), undefined, "correct horse")).toEqual(made)
    expect((await client.generateKeys({ keySize: 4096 })).modulusLength).toBe(4096)
    expect((await client.sendSecureRequest(hello(), "id")).choices).toHaveLength(1)
  })

  it("ends with a DisposedError", async () => {
    const client = makeLower()
    const calls = [client.fetchServerPublicKey(), client.encryptPayload(hello()), client.generateKeys(), client.sendSecureRequest(hello(), "id")]
      .map((call) => error(call))
    client.dispose()
    for (const call of calls) expect(await call).toBeInstanceOf(DisposedError)
    expect(await error(client.decryptResponse(new Uint8Array(0), "id"))).toBeInstanceOf(DisposedError)
  })

  it("refuses what is no envelope", async () => {
    expect(await error(makeLower().decryptResponse(new TextEncoder().encode("<html>"), "id"))).toBeInstanceOf(SecurityError)
  })
})
