/** Protocol 2 in pages and workers: answers that stream, across origins, under a strict policy. */
import * as Effect from "effect/Effect"
import type { Page } from "playwright-core"
import type { Page as FirefoxPage } from "puppeteer-core"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type * as Nomyo from "../../src/promise/index.js"
import * as WebPrimitives from "../../src/protocol2/WebPrimitives.js"
import * as GatewayKeys from "../../src/router/GatewayKeys.js"
import * as ReplayStore from "../../src/router/ReplayStore.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as Browsers from "../support/browser.js"
import { askWorker } from "../support/browserPages.js"
import { gatedModel } from "../support/gatedModel.js"
import * as Servers from "../support/servers.js"

/** Reads a stream to its end, and has the model go on once the first piece is there. */
const streaming = `
import { SecureChatCompletion } from "/protocol-2.js"
export const read = async (config) => {
  const client = new SecureChatCompletion(config)
  const ask = (model) => ({ model, messages: [{ role: "user", content: "SENTINEL prompt" }] })
  const stream = client.stream(ask("gated"))
  const pieces = []
  let metadata
  for await (const chunk of stream) {
    metadata ??= chunk._metadata
    pieces.push(chunk.choices[0]?.delta.content)
    if (pieces.length === 1) await client.create(ask("open"))
  }
  const { choices } = await stream.finalCompletion()
  const left = client.stream(ask("gated"))
  for await (const chunk of left) break
  client.dispose()
  return { pieces, isStreamed: metadata.is_streamed, whole: choices[0].message.content }
}
`

const page = `
import { read } from "/streaming.js"
window.read = read
const outcome = (client) => client.create({ model: "open", messages: [{ role: "user", content: "Hello!" }] })
  .then(({ _metadata }) => _metadata.encryption_algorithm, (error) => error.name + ": " + error.message)
window.outcome = async (name, config) => {
  const { SecureChatCompletion } = await import(name)
  return outcome(new SecureChatCompletion(config))
}
`

const worker = `
import { read } from "/streaming.js"
self.onmessage = async ({ data, ports }) => ports[0].postMessage(await read(data))
`

declare const window: {
  readonly read: (config: Nomyo.ChatCompletionConfig) => Promise<object>
  /** What a page module makes of a request: the name of the encryption, or the error. */
  readonly outcome: (name: string, config: Nomyo.ChatCompletionConfig) => Promise<string>
}

const { model, state } = gatedModel()
let router: Awaited<ReturnType<typeof Servers.scoped<string, unknown>>>
let site: typeof router
beforeAll(async () => {
  const gateway = Effect.all({
    keys: GatewayKeys.make({ keysAhead: 0, postQuantum: true }),
    replayStore: ReplayStore.makeMemory()
  }).pipe(Effect.provide([WebPrimitives.layer, SecureMemory.layer]))
  router = await Servers.scoped(
    Effect.flatMap(gateway, (gateway) => Servers.router({ model, protocol: 2, gateway }))
  )
  const files = { "/page.js": page, "/streaming.js": streaming, "/worker.js": worker }
  site = await Servers.scoped(Servers.httpServer(Browsers.site(() => router.value, files)))
})
afterAll(async () => {
  await site.close()
  await router.close()
})

const config = () => ({ baseUrl: router.value, allowHttp: true, protocol: 2, maxRetries: 0 }) as const

const expected = { pieces: ["one", "two"], isStreamed: true, whole: "onetwo" }

/** Each reading starts two streams, and leaves the second: the router has to notice. */
const expectAllEnded = () => expect.poll(() => state.ended, { timeout: 30_000 }).toBe(state.started)

const open = async <P extends Page | FirefoxPage>(opened: P): Promise<P> => {
  await opened.goto(site.value)
  await (opened as Page).waitForFunction(() => window.read !== undefined)
  return opened
}

describe("a streamed answer in Chromium", () => {
  let browser: Awaited<ReturnType<typeof Browsers.launch>>
  beforeAll(async () => void (browser = await Browsers.launch()))
  afterAll(() => browser?.close())

  it("comes in pieces, in a page and in a worker, and ends with its reader", async () => {
    const page = await open(await browser.newPage())
    expect(await page.evaluate((config) => window.read(config), config())).toEqual(expected)
    expect(await page.evaluate(askWorker, config())).toEqual(expected)
    await expectAllEnded()
  })

  it("needs the page module of protocol 2, or that of post-quantum keys, and the others say so", async () => {
    const page = await open(await browser.newPage())
    const outcomeOf = (name: string, config: Nomyo.ChatCompletionConfig) =>
      page.evaluate(([name, config]) => window.outcome(name, config), [name, config] as const)
    expect(await outcomeOf("/nomyo.js", config()))
      .toMatch(/^InvalidRequestError: .*dist\/browser\/protocol-2\.js$/)
    const hybrid = { ...config(), postQuantum: "require" } as const
    expect(await outcomeOf("/protocol-2.js", hybrid))
      .toMatch(/^SecurityError: .*dist\/browser\/post-quantum\.js$/)
    expect(await outcomeOf("/post-quantum.js", hybrid)).toContain("mlkem768-x25519")
  })
})

describe("a streamed answer in Firefox", () => {
  let firefox: Awaited<ReturnType<typeof Browsers.launchFirefox>>
  beforeAll(async () => void (firefox = await Browsers.launchFirefox()))
  afterAll(() => firefox?.close())

  it("comes in pieces, in a page and in a worker, and ends with its reader", async () => {
    const page = await open(await firefox.newPage())
    expect(await page.evaluate((config) => window.read(config), config())).toEqual(expected)
    expect(await page.evaluate(askWorker, config())).toEqual(expected)
    await expectAllEnded()
  })
})
