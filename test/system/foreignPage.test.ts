import type { Browser, Page } from "playwright-core"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Browsers from "../support/browser.js"
import { type RunningRouter, startRouter } from "../support/cli.js"
import { type RunningProxy, startProxy } from "../support/proxy.js"
import * as Servers from "../support/servers.js"

let browser: Browser
let router: RunningRouter
let proxy: RunningProxy
/** What reached the model server. */
const reached: Array<string | undefined> = []
const closers: Array<() => Promise<unknown>> = []

const EMPTY = "<!doctype html><title>page</title>"

const serve = async (...args: Parameters<typeof Servers.httpServer>): Promise<string> => {
  const { close, value } = await Servers.scoped(Servers.httpServer(...args))
  closers.push(close)
  return value
}

beforeAll(async () => {
  browser = await Browsers.launch()
  closers.push(() => browser.close())
  const upstream = await serve((request, response) => {
    reached.push(request.url)
    response.end("{\"data\":[]}")
  })
  router = await startRouter(["--upstream", upstream])
  closers.push(() => router.stop("SIGINT"))
  proxy = await startProxy(["--base-url", router.url, "--allow-http"])
  closers.push(() => proxy.stop())
})
afterAll(async () => {
  for (const close of closers.toReversed()) await close()
})

/**
 * Everything that a page can try without leaving itself. Each attempt gives what the page could read, or
 * nothing.
 */
const attack = (page: Page, url: string, call: string): Promise<ReadonlyArray<string>> =>
  page.evaluate(async ([url, call]) => {
    const body = JSON.stringify({ model: "m", messages: [{ role: "user", content: "Hello!" }] })
    const post = (type: string, mode: RequestMode) =>
      fetch(`${url}${call}`, { method: "POST", body, mode, headers: { "content-type": type } })
    const attempts: ReadonlyArray<() => Promise<Response>> = [
      () => fetch(`${url}/v1/models`),
      () => fetch(`${url}/v1/models`, { mode: "no-cors" }),
      () => fetch(`${url}/pki/public_key`),
      () => fetch(`${url}/page/keys`),
      () => post("application/json", "cors"),
      () => post("text/plain", "cors"),
      () => post("text/plain", "no-cors")
    ]
    const read: Array<string> = []
    for (const attempt of attempts) {
      try {
        read.push(await (await attempt()).text())
      } catch {
        read.push("")
      }
    }
    return read
  }, [url, call] as const)

/** Sends a form into a frame, which no script of this page can read. */
const sendForm = (page: Page, url: string, call: string): Promise<void> =>
  page.evaluate(([url, call]) => {
    const frame = document.body.appendChild(document.createElement("iframe"))
    frame.name = "target"
    const form = document.body.appendChild(document.createElement("form"))
    Object.assign(form, { method: "POST", action: `${url}${call}`, target: "target" })
    form.submit()
  }, [url, call] as const)

describe("a page of another origin, in Chromium", () => {
  it("can neither read from a router nor make it do anything", async () => {
    const page = await browser.newPage()
    await page.goto(
      await serve((_request, response) => response.setHeader("content-type", "text/html").end(EMPTY))
    )
    reached.length = 0
    const call = "/v1/chat/secure_completion"
    expect(await attack(page, router.url, call)).toEqual(["", "", "", "", "", "", ""])
    // a browser asks for an icon too, which no page can read
    const statuses = () =>
      [...router.stderr().matchAll(/path=\/(?:v1|pki|health)\S* status=(\d+)/g)].map(([, status]) => status)
    const before = statuses().length
    await sendForm(page, router.url, call)
    await expect.poll(() => statuses().length, { timeout: 20_000 }).toBeGreaterThan(before)
    expect(new Set(statuses())).toEqual(new Set(["403"]))
    expect(reached).toEqual([])
    await page.close()
  })

  it("can neither read from a proxy nor make it ask anything", async () => {
    const page = await browser.newPage()
    await page.goto(
      await serve((_request, response) => response.setHeader("content-type", "text/html").end(EMPTY))
    )
    reached.length = 0
    const call = "/v1/chat/completions"
    expect(await attack(page, proxy.url, call)).toEqual(["", "", "", "", "", "", ""])
    const statuses = () =>
      [...proxy.output().matchAll(/path=\/(?:v1|page)\S* status=(\d+)/g)].map(([, status]) => status)
    const before = statuses().length
    await sendForm(page, proxy.url, call)
    await expect.poll(() => statuses().length, { timeout: 20_000 }).toBeGreaterThan(before)
    expect(new Set(statuses())).toEqual(new Set(["403"]))
    expect(reached).toEqual([])
    await page.close()
  })

  it("cannot come in by a name that it has pointed at this machine", async () => {
    const page = await browser.newPage()
    for (const { url } of [router, proxy]) {
      const answer = await page.goto(`http://insecure.test:${new URL(url).port}/v1/models`)
      expect(answer?.status()).toBe(403)
    }
    await page.close()
  })

  it("is the router's own page when it comes from the router: that one works", async () => {
    const page = await browser.newPage()
    await page.goto(router.url)
    const models = await page.evaluate(() => fetch("/v1/models").then((response) => response.json()))
    expect(models).toMatchObject({ object: "list" })
    await page.close()
  })
})
