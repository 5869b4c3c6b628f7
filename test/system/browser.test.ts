import { beforeAll, describe, expect, it } from "vitest"
import * as Browsers from "../support/browser.js"
import { askWorker, config, create, failure, hello, onEnd, type PageWindow, persistent, useChromium,
  useSites } from "../support/browserPages.js"

declare const window: PageWindow

const sites = useSites()

describe("the bundle in Chromium", () => {
  const { visit } = useChromium()

  it("is loaded by URL under a strict policy, chats, and lets no plaintext out", async () => {
    const page = await visit(sites.strict)
    const cdp = await page.context().newCDPSession(page)
    await cdp.send("Network.enable")
    const seen: Array<string> = []
    cdp.on("Network.requestWillBeSent", (event) => {
      const entries = event.request.postDataEntries ?? []
      seen.push(JSON.stringify(event),
        ...entries.map(({ bytes }) => Buffer.from(bytes ?? "", "base64").toString()))
    })
    cdp.on("Network.requestWillBeSentExtraInfo", (event) => seen.push(JSON.stringify(event)))
    cdp.on("Network.responseReceivedExtraInfo", (event) => seen.push(JSON.stringify(event)))
    cdp.on("Network.loadingFinished", ({ requestId }) => {
      void cdp.send("Network.getResponseBody", { requestId }).then(
        ({ base64Encoded, body }) => seen.push(base64Encoded ? Buffer.from(body, "base64").toString() : body),
        () => undefined
      ) // a preflight has none
    })
    const answer = await create(page, {},
      hello({ messages: [{ role: "user", content: "SENTINEL prompt" }], security_tier: "high" }))
    expect(answer.choices[0]?.message.content).toBe("You said: SENTINEL prompt")
    expect(answer._metadata).toMatchObject({ is_encrypted: true, security_tier: "high" })
    await expect.poll(() => seen.join("").match(/"ciphertext":"/g)?.length).toBe(2)
    const traffic = seen.join("\n")
    expect(traffic).toContain("/v1/chat/secure_completion")
    expect(/SENTINEL|You said/.test(traffic)).toBe(false)
    // what a page must not send along
    expect(/"(Cookie|Referer|traceparent|b3)":"[^"]/i.test(traffic)).toBe(false)
  })

  it("calls tools", async () => {
    const page = await visit(sites.strict)
    const tools = [{ type: "function",
      function: { name: "weather",
        parameters: { type: "object", properties: { city: { type: "string" } } } } }]
    const { choices: [asked] } = await create(page, {}, hello({ tools }))
    expect(asked).toMatchObject({
      finish_reason: "tool_calls",
      message: { content: null,
        tool_calls: [{ function: { name: "weather", arguments: "{\"city\":\"Hello!\"}" } }] }
    })
    const messages = [...hello().messages, asked!.message, { role: "tool", tool_call_id: "call_1",
      content: "18 degrees" }]
    expect((await create(page, {}, hello({ tools, messages }))).choices[0]?.message.content).toBe(
      "The tool says: 18 degrees"
    )
  })

  it.each([
    [400, "InvalidRequestError", "APIError"],
    [401, "AuthenticationError", "APIError"],
    [403, "ForbiddenError", "APIError"],
    [404, "APIError", "APIError"],
    [429, "RateLimitError", "APIError"],
    [500, "ServerError", "APIError"],
    [503, "ServiceUnavailableError", "APIError"]
  ] as const)("rejects with its own class for status %i", async (statusCode, name, base) => {
    const seen = await failure(await visit(sites.strict), {}, hello({ model: `status/${statusCode}` }))
    expect(seen).toMatchObject({ name, statusCode, attempts: 1 })
    expect(new Set(seen?.classes)).toEqual(new Set([name, base, "NomyoError"]))
  })

  it("rejects what is wrong before anything is sent", async () => {
    const page = await visit(sites.strict)
    expect(await failure(page, {}, { model: "m" })).toMatchObject({ name: "InvalidRequestError",
      message: "messages must be a non-empty array of { role, content }" })
    expect(await failure(page, { allowHttp: false })).toMatchObject({ name: "SecurityError",
      reason: "plain-http" })
    expect(await failure(page, { keyDir: "client_keys" })).toMatchObject({ name: "SecurityError",
      reason: "unsupported" })
    expect((await failure(page, { keyDir: "client_keys" }))?.message).toMatch(/Node/)
    expect(await failure(page, { keyPersistence: "IndexedDB" })).toMatchObject({
      name: "InvalidRequestError"
    })
    const loading = await page.evaluate(
      (options) =>
        new window.nomyo.SecureCompletionClient(options).loadKeys("key.pem").catch(({ message, reason }) => ({
          message,
          reason
        })),
      {
        allowHttp: true
      }
    )
    expect(loading).toMatchObject({ reason: "unsupported", message: expect.stringMatching(/Node/) })
  })

  it("tells a router that is not there from one that allows no pages", async () => {
    const page = await visit(sites.open)
    expect(await failure(page, { baseUrl: "http://127.0.0.1:9" })).toMatchObject({ name: "APIConnectionError",
      reason: "network" })
    const refused = await failure(page, { baseUrl: sites.withoutCors })
    expect(refused).toMatchObject({ name: "APIConnectionError", reason: "cors" })
    expect(refused?.message).toMatch(/Access-Control-Allow-Origin.*X-Public-Key/)
    expect(refused?.message).toContain(sites.open)
  })

  it("follows no redirect", async () => {
    expect(await failure(await visit(sites.open), { baseUrl: sites.redirecting })).toMatchObject({
      name: "SecurityError",
      reason: "redirect"
    })
  })

  it("times out, and is cancelled by a signal", async () => {
    const page = await visit(sites.strict)
    // the router's key takes its share of the time, so this is long enough to reach the model
    expect(await failure(page, { timeout: 500 }, hello({ model: "never" }))).toMatchObject({
      name: "APIConnectionError",
      reason: "timeout"
    })
    const aborted = await page.evaluate(async ([options, request]) => {
      const client = new window.nomyo.SecureChatCompletion(options)
      const controller = new AbortController()
      const call = client.create(request, { signal: controller.signal }).catch((error: Error) => error.name)
      await client.ready()
      controller.abort()
      return call
    }, [config(), hello({ model: "never" })] as const)
    expect(aborted).toBe("AbortError")
  })

  it("rejects calls in flight and new ones with a DisposedError once disposed", async () => {
    const seen = await (await visit(sites.strict)).evaluate(async ([options, request]) => {
      const client = new window.nomyo.SecureChatCompletion(options)
      const call = client.create(request).catch((error: Error) => error.name)
      await client.ready()
      client.dispose()
      return [await call, await client.create(request).catch((error: Error) => error.name)]
    }, [config(), hello({ model: "never" })] as const)
    expect(seen).toEqual(["DisposedError", "DisposedError"])
  })

  it("answers a request in flight while the keys rotate", async () => {
    const page = await visit(sites.strict)
    const seen = await page.evaluate(async ([options, request]) => {
      const client = new window.nomyo.SecureChatCompletion(options)
      const before = await client.ready()
      const call = client.create(request)
      const after = await client.rotateKeys()
      return { before: before.fingerprint, after: after.fingerprint,
        answer: (await call).choices[0]?.message.content }
    }, [config(), hello({ model: "slow" })] as const)
    expect(seen.answer).toBe("You said: Hello!")
    expect(seen.after).not.toBe(seen.before)
  })

  it("refuses to work where the page was not loaded safely, and says so", async () => {
    const page = await visit(sites.open.replace("127.0.0.1", "insecure.test"))
    const seen = await failure(page)
    expect(seen).toMatchObject({ name: "SecurityError", reason: "unsupported" })
    expect(seen?.message).toMatch(/HTTPS/)
  })

  it("works in a worker and in a service worker", async () => {
    const page = await visit(sites.strict)
    const message = { config: config(), request: hello() }
    const inWorker = await page.evaluate(askWorker, message)
    expect(inWorker).toBe("You said: Hello!")
    const inServiceWorker = await page.evaluate(async (message) => {
      await navigator.serviceWorker.register("/worker.js", { type: "module" })
      const { active } = await navigator.serviceWorker.ready
      return new Promise((resolve) => {
        const { port1, port2 } = new MessageChannel()
        port1.addEventListener("message", ({ data }) => resolve(data))
        port1.start()
        active!.postMessage(message, [port2])
      })
    }, message)
    expect(inServiceWorker).toBe("You said: Hello!")
  })
})

describe("the bundle in Firefox", () => {
  let firefox: Awaited<ReturnType<typeof Browsers.launchFirefox>>
  beforeAll(async () => {
    firefox = await Browsers.launchFirefox()
    onEnd(() => firefox.close())
  })

  it("chats under a strict policy, calls its errors by name, and keeps its key over a reload", async () => {
    const page = await firefox.newPage()
    await page.goto(sites.strict)
    const visit = () =>
      page.evaluate(async ([options, request]) => {
        const client = new window.nomyo.SecureChatCompletion(options)
        const { fingerprint } = await client.ready()
        const answer = await client.create(request)
        const refused = await client.create({ ...request, model: "status/429" }).catch((error) => error)
        client.dispose()
        return {
          fingerprint,
          made: window.generated.length,
          said: answer.choices[0]?.message.content,
          refused: [refused instanceof window.nomyo.RateLimitError, refused.statusCode]
        }
      }, [config(persistent), hello()] as const)
    const first = await visit()
    expect(first).toMatchObject({ made: 1, said: "You said: Hello!", refused: [true, 429] })
    await page.reload()
    expect(await visit()).toEqual({ ...first, made: 0 })
    await page.close()
  })

  it("works in a worker", async () => {
    const page = await firefox.newPage()
    await page.goto(sites.strict)
    const said = await page.evaluate(askWorker, { config: config(), request: hello() })
    expect(said).toBe("You said: Hello!")
    await page.close()
  })

  it("tells a router that is not there from one that allows no pages", async () => {
    const page = await firefox.newPage()
    await page.goto(sites.open)
    const reasons = await page.evaluate(
      (configs) =>
        Promise.all(configs.map(async ([options, request]) =>
          new window.nomyo.SecureChatCompletion(options).create(request).catch(({ reason }) =>
            reason
          )
        )),
      [[config({ baseUrl: "http://127.0.0.1:9" }), hello()], [config({ baseUrl: sites.withoutCors }),
        hello()], [
        config({ baseUrl: sites.redirecting }),
        hello()
      ]] as const
    )
    expect(reasons).toEqual(["network", "cors", "redirect"])
    await page.close()
  })
})
