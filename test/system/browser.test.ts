import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Browser, BrowserContext, Page } from "playwright-core"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import type * as Nomyo from "../../src/promise/index.js"
import * as Model from "../../src/router/Model.js"
import * as Browsers from "../support/browser.js"
import * as Servers from "../support/servers.js"

/** What the page's module puts on `window`. */
declare const window: {
  readonly nomyo: typeof Nomyo
  /** The names of the RSA key pairs' algorithms that this page has had made. */
  readonly generated: ReadonlyArray<string>
  client: Nomyo.SecureChatCompletion
  held: Promise<unknown>
}

const API_KEY = "sk-test-0123456789"

const pageModule = `
import * as nomyo from "/nomyo.js"
const generateKey = crypto.subtle?.generateKey.bind(crypto.subtle)
window.generated = []
if (generateKey) crypto.subtle.generateKey = (algorithm, ...rest) => {
  if (algorithm.name === "RSA-OAEP") window.generated.push(algorithm.name)
  return generateKey(algorithm, ...rest)
}
window.nomyo = nomyo
`

/** Answers a message with what the model says, or the error's class. */
const answering = `
import { SecureChatCompletion } from "/nomyo.js"
const answer = async ({ data: { config, request }, ports }) => {
  const client = new SecureChatCompletion(config)
  const { choices } = await client.create(request)
  client.dispose()
  ports[0].postMessage(choices[0].message.content)
}
self.onmessage = (event) => event.waitUntil ? event.waitUntil(answer(event)) : answer(event)
`

let browser: Browser
let context: BrowserContext
let router: string
/** Serves the bundle and may connect to the router, and to nothing else. */
let strict: string
/** May connect to any port of this machine. */
let open: string
let withoutCors: string
let redirecting: string
const closers: Array<() => Promise<void>> = []
const started = async <A>(effect: Parameters<typeof Servers.scoped<A, unknown>>[0]): Promise<A> => {
  const { close, value } = await Servers.scoped(effect)
  closers.push(close)
  return value
}

beforeAll(async () => {
  const echo = Effect.runSync(Model.makeEcho)
  const model = (request: Model.Opened) =>
    request.payload.model === "slow" ? Effect.delay(echo(request), "1 second") : request.payload.model === "never" ? Effect.never : echo(request)
  const files = { "/page.js": pageModule, "/worker.js": answering }
  router = await started(Servers.router({ apiKey: Redacted.make(API_KEY), model }))
  strict = await started(Servers.httpServer(Browsers.site(() => router, files)))
  open = await started(Servers.httpServer(Browsers.site(() => "http://127.0.0.1:*", files)))
  withoutCors = await started(Servers.httpServer((_request, response) => response.end("no CORS here")))
  redirecting = await started(
    Servers.httpServer((_request, response) =>
      response.writeHead(302, { location: router, "access-control-allow-origin": "*" }).end()
    )
  )
  browser = await Browsers.launch()
})
afterAll(async () => {
  await browser?.close()
  for (const close of closers) await close()
})
/** What pages threw, and what their policy refused: none of it may happen. */
const complaints: Array<string> = []
afterEach(async () => {
  await context?.close()
  expect(complaints.splice(0)).toEqual([])
})

/** A page in a profile of its own, with the bundle at `window.nomyo`. */
const visit = async (site: string, shared?: BrowserContext): Promise<Page> => {
  context = shared ?? (await browser.newContext())
  const page = await context.newPage()
  page.on("pageerror", (error) => complaints.push(`${error.name}: ${error.message}`))
  page.on("console", (message) => {
    if (/Content Security Policy/.test(message.text())) complaints.push(message.text())
  })
  await page.goto(site)
  await page.waitForFunction(() => window.nomyo !== undefined)
  return page
}

const config = (options: object = {}) =>
  ({ baseUrl: router, allowHttp: true, apiKey: API_KEY, keySize: 2048, maxRetries: 0, ...options }) as const

const hello = (fields: object = {}): Nomyo.ChatCompletionRequest => ({
  model: "Qwen/Qwen3-0.6B",
  messages: [{ role: "user", content: "Hello!" }],
  ...fields
})

const create = (page: Page, options: object = {}, request: Nomyo.ChatCompletionRequest = hello()) =>
  page.evaluate(([options, request]) => new window.nomyo.SecureChatCompletion(options).create(request), [config(options), request] as const)

/** The failure of a call, as far as it survives the way out of the page, and which of the classes it is an instance of. */
const failure = (page: Page, options: object = {}, request: object = hello()) =>
  page.evaluate(async ([options, request]) => {
    const { nomyo } = window
    try {
      await new nomyo.SecureChatCompletion(options).create(request as Nomyo.ChatCompletionRequest)
    } catch (error) {
      const { attempts, message, name, reason, statusCode } = error as Nomyo.SecurityError & Nomyo.APIError
      const classes = Object.entries(nomyo).filter(([key, value]) => key.endsWith("Error") && error instanceof (value as typeof Error))
      return { name, message, reason, statusCode, attempts, classes: classes.map(([key]) => key) }
    }
    return undefined
  }, [config(options), request] as const)

const fingerprint = (page: Page, options: object = {}) =>
  page.evaluate(async (options) => (await (window.client = new window.nomyo.SecureChatCompletion(options)).ready()).fingerprint, config(options))

/** Runs in a page: what a new worker of its answers. */
const askWorker = (message: object) =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.addEventListener("message", ({ data }) => resolve(data))
    port1.start()
    new Worker("/worker.js", { type: "module" }).postMessage(message, [port2])
  })

const persistent = { keyPersistence: "indexeddb" } as const

describe("the bundle in Chromium", () => {
  it("is loaded by URL under a strict policy, chats, and lets no plaintext out", async () => {
    const page = await visit(strict)
    const cdp = await context.newCDPSession(page)
    await cdp.send("Network.enable")
    const seen: Array<string> = []
    cdp.on("Network.requestWillBeSent", (event) => {
      const entries = event.request.postDataEntries ?? []
      seen.push(JSON.stringify(event), ...entries.map(({ bytes }) => Buffer.from(bytes ?? "", "base64").toString()))
    })
    cdp.on("Network.requestWillBeSentExtraInfo", (event) => seen.push(JSON.stringify(event)))
    cdp.on("Network.responseReceivedExtraInfo", (event) => seen.push(JSON.stringify(event)))
    cdp.on("Network.loadingFinished", ({ requestId }) => {
      void cdp.send("Network.getResponseBody", { requestId }).then(({ base64Encoded, body }) =>
        seen.push(base64Encoded ? Buffer.from(body, "base64").toString() : body), () => undefined) // a preflight has none
    })
    const answer = await create(page, {}, hello({ messages: [{ role: "user", content: "SENTINEL prompt" }], security_tier: "high" }))
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
    const page = await visit(strict)
    const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }]
    const { choices: [asked] } = await create(page, {}, hello({ tools }))
    expect(asked).toMatchObject({
      finish_reason: "tool_calls",
      message: { content: null, tool_calls: [{ function: { name: "weather", arguments: "{\"city\":\"Hello!\"}" } }] }
    })
    const messages = [...hello().messages, asked!.message, { role: "tool", tool_call_id: "call_1", content: "18 degrees" }]
    expect((await create(page, {}, hello({ tools, messages }))).choices[0]?.message.content).toBe("The tool says: 18 degrees")
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
    const seen = await failure(await visit(strict), {}, hello({ model: `status/${statusCode}` }))
    expect(seen).toMatchObject({ name, statusCode, attempts: 1 })
    expect(new Set(seen?.classes)).toEqual(new Set([name, base]))
  })

  it("rejects what is wrong before anything is sent", async () => {
    const page = await visit(strict)
    expect(await failure(page, {}, { model: "m" })).toMatchObject({ name: "InvalidRequestError", message: "messages is missing" })
    expect(await failure(page, { allowHttp: false })).toMatchObject({ name: "SecurityError", reason: "plain-http" })
    expect(await failure(page, { keyDir: "client_keys" })).toMatchObject({ name: "SecurityError", reason: "unsupported" })
    expect((await failure(page, { keyDir: "client_keys" }))?.message).toMatch(/Node/)
    expect(await failure(page, { keyPersistence: "IndexedDB" })).toMatchObject({ name: "SecurityError", reason: "unsupported" })
    const loading = await page.evaluate((options) =>
      new window.nomyo.SecureCompletionClient(options).loadKeys("key.pem").catch(({ message, reason }) => ({ message, reason })), {
      allowHttp: true
    })
    expect(loading).toMatchObject({ reason: "unsupported", message: expect.stringMatching(/Node/) })
  })

  it("tells a router that is not there from one that allows no pages", async () => {
    const page = await visit(open)
    expect(await failure(page, { baseUrl: "http://127.0.0.1:9" })).toMatchObject({ name: "APIConnectionError", reason: "network" })
    const refused = await failure(page, { baseUrl: withoutCors })
    expect(refused).toMatchObject({ name: "APIConnectionError", reason: "cors" })
    expect(refused?.message).toMatch(/Access-Control-Allow-Origin.*X-Public-Key/)
    expect(refused?.message).toContain(open)
  })

  it("follows no redirect", async () => {
    expect(await failure(await visit(open), { baseUrl: redirecting })).toMatchObject({ name: "SecurityError", reason: "redirect" })
  })

  it("times out, and is cancelled by a signal", async () => {
    const page = await visit(strict)
    // the router's key takes its share of the time, so this is long enough to reach the model
    expect(await failure(page, { timeout: 500 }, hello({ model: "never" }))).toMatchObject({ name: "APIConnectionError", reason: "timeout" })
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

  it("ends with a DisposedError what it is disposed of with", async () => {
    const seen = await (await visit(strict)).evaluate(async ([options, request]) => {
      const client = new window.nomyo.SecureChatCompletion(options)
      const call = client.create(request).catch((error: Error) => error.name)
      await client.ready()
      client.dispose()
      return [await call, await client.create(request).catch((error: Error) => error.name)]
    }, [config(), hello({ model: "never" })] as const)
    expect(seen).toEqual(["DisposedError", "DisposedError"])
  })

  it("answers a request that is out while the keys rotate", async () => {
    const page = await visit(strict)
    const seen = await page.evaluate(async ([options, request]) => {
      const client = new window.nomyo.SecureChatCompletion(options)
      const before = await client.ready()
      const call = client.create(request)
      const after = await client.rotateKeys()
      return { before: before.fingerprint, after: after.fingerprint, answer: (await call).choices[0]?.message.content }
    }, [config(), hello({ model: "slow" })] as const)
    expect(seen.answer).toBe("You said: Hello!")
    expect(seen.after).not.toBe(seen.before)
  })

  it("refuses to work where the page was not loaded safely, and says so", async () => {
    const page = await visit(open.replace("127.0.0.1", "insecure.test"))
    const seen = await failure(page)
    expect(seen).toMatchObject({ name: "SecurityError", reason: "unsupported" })
    expect(seen?.message).toMatch(/HTTPS/)
  })

  it("works in a worker and in a service worker", async () => {
    const page = await visit(strict)
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

describe("keys in Chromium", () => {
  it("live in memory, and are new after a reload", async () => {
    const page = await visit(strict)
    const before = await fingerprint(page)
    await page.reload()
    await page.waitForFunction(() => window.nomyo !== undefined)
    expect(await fingerprint(page)).not.toBe(before)
    expect(await page.evaluate(() => indexedDB.databases())).toEqual([])
  })

  it("survive a reload in IndexedDB, until they are forgotten", async () => {
    const page = await visit(strict)
    const before = await fingerprint(page, persistent)
    await page.reload()
    await page.waitForFunction(() => window.nomyo !== undefined)
    expect(await fingerprint(page, persistent)).toBe(before)
    expect(await page.evaluate(() => window.generated.length)).toBe(0)
    expect((await create(page, persistent)).choices[0]?.message.content).toBe("You said: Hello!")
    await page.evaluate(() => window.client.forgetKeys())
    expect(await fingerprint(page, persistent)).not.toBe(before)
  })

  it("are one pair for two tabs that start together", async () => {
    const tabs = [await visit(strict)]
    tabs.push(await visit(strict, context))
    const seen = await Promise.all(tabs.map((tab) => fingerprint(tab, persistent)))
    expect(seen[0]).toBe(seen[1])
    expect((await Promise.all(tabs.map((tab) => tab.evaluate(() => window.generated.length)))).toSorted()).toEqual([0, 1])
  })

  it("rotate by the age they have in the store, and the other tab takes what one has made", async () => {
    const tabs = [await visit(strict)]
    tabs.push(await visit(strict, context))
    const before = await fingerprint(tabs[0]!, persistent)
    const rotated = (tab: Page) =>
      tab.evaluate(async ([options, before]) => {
        const client = new window.nomyo.SecureChatCompletion(options)
        const { fingerprint } = await client.rotateKeys()
        client.dispose()
        return fingerprint === before ? "none" : fingerprint
      }, [config(persistent), before] as const)
    const first = await rotated(tabs[0]!)
    expect(first).not.toBe("none")
    expect(await fingerprint(tabs[1]!, persistent)).toBe(first)
    // overdue soon after it is loaded: replaced without being asked
    await fingerprint(tabs[1]!, { ...persistent, keyRotationInterval: 1000 })
    await tabs[1]!.waitForFunction(async (first) => (await window.client.ready()).fingerprint !== first, first, { polling: 50 })
  })

  it("cannot be carried away", async () => {
    const page = await visit(strict)
    await fingerprint(page, persistent)
    const seen = await page.evaluate(async () => {
      const database = await new Promise<IDBDatabase>((resolve) => {
        const opening = indexedDB.open("nomyo-js")
        opening.onsuccess = () => resolve(opening.result)
      })
      const stored = await new Promise<Record<string, CryptoKey>>((resolve) => {
        const reading = database.transaction("keys").objectStore("keys").get("current")
        reading.onsuccess = () => resolve(reading.result)
      })
      const key = stored["privateKey"]!
      const refusals = await Promise.all((["pkcs8", "jwk"] as const).map((format) =>
        crypto.subtle.exportKey(format, key).then(() => "exported", (error: Error) => error.name)
      ))
      return { type: key.type, extractable: key.extractable, names: Object.keys(stored).toSorted(), refusals }
    })
    expect(seen).toEqual({
      type: "private",
      extractable: false,
      names: ["createdAt", "privateKey", "publicKey"],
      refusals: ["InvalidAccessError", "InvalidAccessError"]
    })
  })

  it("are not overwritten by anything that cannot read them", async () => {
    const page = await visit(strict)
    await fingerprint(page, persistent)
    await page.evaluate(() =>
      new Promise<void>((resolve) => {
        const opening = indexedDB.open("nomyo-js")
        opening.onsuccess = () => {
          const writing = opening.result.transaction("keys", "readwrite")
          writing.objectStore("keys").put({ privateKey: "damaged" }, "current")
          writing.oncomplete = () => {
            opening.result.close()
            resolve()
          }
        }
      })
    )
    expect(await page.evaluate(() => window.client.rotateKeys().catch(({ reason }) => reason))).toBe("client-key")
    const seen = await failure(page, persistent)
    expect(seen).toMatchObject({ name: "SecurityError", reason: "client-key" })
    expect(seen?.message).toContain("forgetKeys")
    await page.evaluate((options) => new window.nomyo.SecureChatCompletion(options).forgetKeys(), config(persistent))
    expect((await create(page, persistent)).choices[0]?.message.content).toBe("You said: Hello!")
  })
})

describe("the bundle in Firefox", () => {
  let firefox: Awaited<ReturnType<typeof Browsers.launchFirefox>>
  beforeAll(async () => {
    firefox = await Browsers.launchFirefox()
    closers.push(() => firefox.close())
  })

  it("chats under a strict policy, calls its errors by name, and keeps its key over a reload", async () => {
    const page = await firefox.newPage()
    await page.goto(strict)
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
    await page.goto(strict)
    const said = await page.evaluate(askWorker, { config: config(), request: hello() })
    expect(said).toBe("You said: Hello!")
    await page.close()
  })

  it("tells a router that is not there from one that allows no pages", async () => {
    const page = await firefox.newPage()
    await page.goto(open)
    const reasons = await page.evaluate((configs) =>
      Promise.all(configs.map(async ([options, request]) =>
        new window.nomyo.SecureChatCompletion(options).create(request).catch(({ reason }) => reason)
      )), [[config({ baseUrl: "http://127.0.0.1:9" }), hello()], [config({ baseUrl: withoutCors }), hello()], [
      config({ baseUrl: redirecting }),
      hello()
    ]] as const)
    expect(reasons).toEqual(["network", "cors", "redirect"])
    await page.close()
  })
})

describe("the example page", () => {
  let url: string

  beforeAll(async () => {
    const command = fileURLToPath(new URL("../../dist/cli/nomyo.cjs", import.meta.url))
    const child = spawn(process.execPath, [command, "router", "--port", "0"], { stdio: ["ignore", "pipe", "ignore"] })
    closers.push(async () => {
      child.kill()
      await once(child, "exit")
    })
    for await (const line of createInterface(child.stdout)) {
      url = /^listening on (.+)$/.exec(line)?.[1] ?? ""
      if (url !== "") break
    }
    child.stdout.resume()
  })

  /** The page once it has its key. Fails the test for anything that its policy refuses. */
  const chat = async (options: Parameters<Browser["newContext"]>[0] = {}) => {
    context = await browser.newContext(options)
    const page = await context.newPage()
    const complaints: Array<string> = []
    page.on("pageerror", (error) => complaints.push(error.message))
    page.on("console", (message) => {
      if (message.type() === "error" && !/status of (429|503)/.test(message.text())) complaints.push(message.text())
    })
    await page.goto(url)
    await page.waitForSelector("#send:enabled")
    return { complaints, page }
  }

  const last = (page: Page, kind: string) => page.locator(`.message.${kind}`).last()

  it("chats by keyboard, and shows what left", async () => {
    const { complaints, page } = await chat()
    await page.keyboard.type("SENTINEL prompt")
    await page.keyboard.press("Enter")
    expect(await last(page, "assistant").innerText()).toContain("You said: SENTINEL prompt")
    expect(await page.locator("#plain").innerText()).toContain("SENTINEL prompt")
    const sealed = await page.locator("#sealed").innerText()
    expect(sealed).toMatch(/"ciphertext":"/)
    expect(sealed).not.toContain("SENTINEL")
    // back in the composer without a click
    await page.keyboard.type("again")
    await page.keyboard.press("Enter")
    await page.getByText("You said: again").waitFor()
    // everything that can be used can be reached, and has a name
    const names = new Set<string>()
    for (let i = 0; i < 16; i++) {
      await page.keyboard.press("Tab")
      names.add(await page.evaluate(() => document.activeElement!.id))
    }
    expect([...names]).toEqual(expect.arrayContaining(["new-chat", "model", "tier", "api-key", "tools", "keep-key", "composer", "send"]))
    const unnamed = await page.locator("input, select, textarea").evaluateAll((all) =>
      all.filter((one) => !(one as HTMLInputElement).labels?.length).map(({ id }) => id)
    )
    expect(unnamed).toEqual([])
    expect(complaints).toEqual([])
  })

  it("shows thinking, tool calls and errors as what they are, and cancels", async () => {
    const { complaints, page } = await chat()
    const say = async (text: string) => {
      await page.fill("#composer", text)
      await page.press("#composer", "Enter")
    }
    await page.fill("#model", "echo-thinking")
    await say("two words")
    expect(await last(page, "assistant").locator("details").textContent()).toContain("I am to repeat 2 words.")
    await page.check("#tools")
    await say("Paris")
    await page.getByText("calls get_weather").waitFor()
    expect(await last(page, "assistant").innerText()).toContain("\"city\": \"Paris\"")
    expect(await page.locator("#prompt").innerText()).toBe("Result of get_weather")
    await say("18 degrees")
    await page.getByText("The tool says: 18 degrees").waitFor()
    await page.uncheck("#tools")
    await page.fill("#model", "status/404")
    await say("not lost")
    expect(await last(page, "error").innerText()).toMatch(/APIError[^]*statusCode: 404, attempts: 1/)
    expect(await page.inputValue("#composer")).toBe("not lost")
    // retried for seconds: time to cancel
    await page.fill("#model", "status/503")
    await page.press("#composer", "Enter")
    await page.click("#cancel")
    await page.getByText("Cancelled").waitFor()
    expect(await page.inputValue("#composer")).toBe("not lost")
    expect(complaints.filter((text) => !text.includes("404"))).toEqual([])
  })

  it("keeps its key when told so", async () => {
    const { page } = await chat()
    const status = () => page.locator("#status").innerText()
    await page.check("#keep-key")
    await page.getByText("Your key").waitFor()
    await page.waitForSelector("#send:enabled")
    const kept = await status()
    await page.reload()
    await page.waitForSelector("#send:enabled")
    expect(await status()).not.toBe(kept)
    await page.check("#keep-key")
    await expect.poll(status, { timeout: 20_000 }).toBe(kept)
    // and no longer, when told so
    await page.uncheck("#keep-key")
    await expect.poll(status, { timeout: 20_000 }).toMatch(/^Your key/)
    await page.check("#keep-key")
    await expect.poll(status, { timeout: 20_000 }).toMatch(/^Your key/)
    expect(await status()).not.toBe(kept)
  })

  it.each([
    ["light", 1280, 800],
    ["dark", 1280, 800],
    ["light", 390, 844],
    ["dark", 390, 844]
  ] as const)("fits in %s on %i × %i", async (colorScheme, width, height) => {
    const { page } = await chat({ colorScheme, viewport: { width, height } })
    await page.fill("#model", "echo-thinking")
    await page.fill("#composer", "What is the capital of France?")
    await page.press("#composer", "Enter")
    await page.getByText("You said").waitFor()
    await page.locator(".message.assistant summary").click()
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width)
    const { SCREENSHOTS } = process.env
    if (SCREENSHOTS !== undefined) await page.screenshot({ path: `${SCREENSHOTS}/chat-${colorScheme}-${width}.png`, fullPage: true })
  })
})
