/** Pages with the bundle, the sites that serve them, and the router they talk to. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Browser, BrowserContext, Page } from "playwright-core"
import { afterAll, afterEach, beforeAll, expect } from "vitest"
import type * as Nomyo from "../../src/promise/index.js"
import * as Model from "../../src/router/Model.js"
import * as Browsers from "./browser.js"
import * as Servers from "./servers.js"

/** What the page's module puts on `window`. */
export interface PageWindow {
  readonly nomyo: typeof Nomyo
  /** The names of the RSA key pairs' algorithms that this page has had made. */
  readonly generated: ReadonlyArray<string>
  client: Nomyo.SecureChatCompletion
}
declare const window: PageWindow

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

const sites = {
  router: "",
  /** Serves the bundle and may connect to the router, and to nothing else. */
  strict: "",
  /** May connect to any port of this machine. */
  open: "",
  withoutCors: "",
  redirecting: ""
}

const closers: Array<() => Promise<void>> = []
const started = async <A>(effect: Parameters<typeof Servers.scoped<A, unknown>>[0]): Promise<A> => {
  const { close, value } = await Servers.scoped(effect)
  closers.push(close)
  return value
}

/** Calls this after the tests of the file. */
export const onEnd = (close: () => Promise<void>): void => void closers.push(close)

const startServers = async (): Promise<void> => {
  const echo = Effect.runSync(Model.makeEcho)
  const model = (request: Model.Opened) =>
    request.payload.model === "slow"
      ? Effect.delay(echo(request), "1 second")
      : request.payload.model === "never" ? Effect.never : echo(request)
  const files = { "/page.js": pageModule, "/worker.js": answering }
  sites.router = await started(Servers.router({ apiKey: Redacted.make(API_KEY), model }))
  sites.strict = await started(Servers.httpServer(Browsers.site(() => sites.router, files)))
  sites.open = await started(Servers.httpServer(Browsers.site(() => "http://127.0.0.1:*", files)))
  sites.withoutCors = await started(Servers.httpServer((_request, response) => response.end("no CORS here")))
  sites.redirecting = await started(
    Servers.httpServer((_request, response) =>
      response.writeHead(302, { location: sites.router, "access-control-allow-origin": "*" }).end()
    )
  )
}

/** The sites above, for the tests of a file. */
export const useSites = () => {
  beforeAll(startServers)
  afterAll(async () => {
    for (const close of closers) await close()
  })
  return sites
}

/**
 * Chromium for the tests of a file. `visit` opens a page in a profile of its own, or in `shared`, with the
 * bundle at `window.nomyo`.
 */
export const useChromium = () => {
  /** What pages threw, and what their policy refused: none of it may happen. */
  const complaints: Array<string> = []
  let browser: Browser
  let context: BrowserContext | undefined
  beforeAll(async () => {
    browser = await Browsers.launch()
  })
  afterAll(() => browser?.close())
  afterEach(async () => {
    await context?.close()
    expect(complaints.splice(0)).toEqual([])
  })
  const open = async (options?: Parameters<Browser["newContext"]>[0],
    shared?: BrowserContext): Promise<Page> => {
    context = shared ?? await browser.newContext(options)
    return context.newPage()
  }
  const visit = async (site: string, shared?: BrowserContext): Promise<Page> => {
    const page = await open(undefined, shared)
    page.on("pageerror", (error) => complaints.push(`${error.name}: ${error.message}`))
    page.on("console", (message) => {
      if (/Content Security Policy/.test(message.text())) complaints.push(message.text())
    })
    await page.goto(site)
    await page.waitForFunction(() => window.nomyo !== undefined)
    return page
  }
  return { open, visit }
}

export const config = (options: object = {}) =>
  ({ baseUrl: sites.router, allowHttp: true, apiKey: API_KEY, keySize: 2048, maxRetries: 0,
    ...options }) as const

export const hello = (fields: object = {}): Nomyo.ChatCompletionRequest => ({
  model: "Qwen/Qwen3-0.6B",
  messages: [{ role: "user", content: "Hello!" }],
  ...fields
})

export const create = (page: Page, options: object = {}, request: Nomyo.ChatCompletionRequest = hello()) =>
  page.evaluate(([options, request]) => new window.nomyo.SecureChatCompletion(options).create(request),
    [config(options), request] as const)

/**
 * The failure of a call, as far as it survives the way out of the page, and which of the classes it is an
 * instance of.
 */
export const failure = (page: Page, options: object = {}, request: object = hello()) =>
  page.evaluate(async ([options, request]) => {
    const { nomyo } = window
    try {
      await new nomyo.SecureChatCompletion(options).create(request as Nomyo.ChatCompletionRequest)
    } catch (error) {
      const { attempts, message, name, reason, statusCode } = error as Nomyo.SecurityError & Nomyo.APIError
      const classes = Object.entries(nomyo).filter(([key, value]) =>
        /^[A-Z].*Error$/.test(key) && error instanceof (value as typeof Error)
      )
      return { name, message, reason, statusCode, attempts, classes: classes.map(([key]) => key) }
    }
    return undefined
  }, [config(options), request] as const)

export const fingerprint = (page: Page, options: object = {}) =>
  page.evaluate(
    async (options) =>
      (await (window.client = new window.nomyo.SecureChatCompletion(options)).ready()).fingerprint,
    config(options)
  )

/** Runs in a page: what a new worker of its answers. */
export const askWorker = (message: object) =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.addEventListener("message", ({ data }) => resolve(data))
    port1.start()
    new Worker("/worker.js", { type: "module" }).postMessage(message, [port2])
  })

/** Options of a client that keeps its keys in IndexedDB. */
export const persistent = { keyPersistence: "indexeddb" } as const
