/** The page over protocol 2, in Chromium: answers appear as they are written. */
import type * as Http from "node:http"
import type { Browser } from "playwright-core"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Browsers from "../support/browser.js"
import { answered, openChat } from "../support/chatPage.js"
import { type RunningRouter, startRouter } from "../support/cli.js"
import { type RunningProxy, startProxy } from "../support/proxy.js"
import * as Servers from "../support/servers.js"

let browser: Browser
let router: RunningRouter
let proxy: RunningProxy
/** The answers that have begun and wait for their end. */
const begun: Array<Http.ServerResponse> = []
const closers: Array<() => Promise<unknown>> = []

const eventOf = (content: string, finish_reason: string | null = null) =>
  `data: ${JSON.stringify({ id: "c-1", choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`

const end = () => begun.pop()!.end(`${eventOf(" and the end", "stop")}data: [DONE]\n\n`)

beforeAll(async () => {
  const upstream = await Servers.scoped(Servers.httpServer((request, response) => {
    if (request.method === "GET") return void response.end("{\"data\":[{\"id\":\"llama3.2\"}]}")
    response.writeHead(200, { "content-type": "text/event-stream" }).write(eventOf("SENTINEL beginning"))
    begun.push(response)
  }))
  router = await startRouter(["--protocol", "2", "--upstream", upstream.value])
  proxy = await startProxy(["--base-url", router.url, "--allow-http"], { NOMYO_PROTOCOL: "2" })
  browser = await Browsers.launch()
  closers.push(() => browser.close(), proxy.stop, () => router.stop("SIGINT"), upstream.close)
})
afterAll(async () => {
  for (const close of closers) await close()
})

describe("over protocol 2", () => {
  it.each(["router", "proxy"])("the page of a %s shows an answer while it is written", async (server) => {
    const { url } = server === "router" ? router : proxy
    const opened = await openChat(browser, url)
    const { complaints, last, page, say, text } = opened
    await say("SENTINEL prompt")
    await page.getByText("SENTINEL beginning").first().waitFor()
    expect(await page.locator("#messages").getAttribute("aria-busy")).toBe("true")
    await expect.poll(() => text("got-sealed")).toMatch(/^HTTP 200\nContent-Type: message\/ohttp-chunked-res/)
    end()
    await answered(opened)
    expect(await last("assistant").innerText()).toContain("SENTINEL beginning and the end")
    const network = `${await text("sent-sealed")}${await text("got-sealed")}`
    expect(network).toMatch(/^POST \/\.well-known\/ohttp-gateway\n[^]*\n([0-9a-f]{2} ){15}/)
    expect(network).not.toContain("SENTINEL")
    const fingerprint = (await text("router-key")).replaceAll(" ", "")
    expect(fingerprint).toBe(router.banner["protocol 2"])
    expect(await text("own-key-age")).toBe("a new one for each request")
    expect(await page.locator("#keep-key").isVisible()).toBe(false)
    expect(complaints).toEqual([])
    await page.close()
  })

  it("the page of a router can pin its key, and refuses another one then", async () => {
    const { last, page, say, text } = await openChat(browser, router.url)
    await page.click("#pin")
    await expect.poll(() => text("pin-state")).toBe("pinned")
    await page.waitForSelector("#send:enabled")
    await page.evaluate(() => localStorage.setItem("nomyo-js/pinned-router-key-config", "0".repeat(64)))
    await page.reload()
    await page.waitForSelector("#send:enabled")
    await say("to nobody")
    await last("error").waitFor()
    expect(await last("error").innerText()).toMatch(/SecurityError[^]*reason: router-key-pin/)
    expect(begun).toEqual([])
    await page.close()
  })
})
