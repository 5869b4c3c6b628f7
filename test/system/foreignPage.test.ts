import type { Browser, Page } from "playwright-core"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Browsers from "../support/browser.js"
import { type RunningRouter, startRouter } from "../support/cli.js"
import * as Servers from "../support/servers.js"

let browser: Browser
let router: RunningRouter
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
})
afterAll(async () => {
  for (const close of closers.toReversed()) await close()
})

/** Everything that a page can try without leaving itself. Each attempt gives what the page could read, or nothing. */
const attack = (page: Page, url: string): Promise<ReadonlyArray<string>> =>
  page.evaluate(async (url) => {
    const post = (type: string, mode: RequestMode) =>
      fetch(`${url}/v1/chat/secure_completion`, { method: "POST", body: "{}", mode, headers: { "content-type": type } })
    const attempts: ReadonlyArray<() => Promise<Response>> = [
      () => fetch(`${url}/v1/models`),
      () => fetch(`${url}/v1/models`, { mode: "no-cors" }),
      () => fetch(`${url}/pki/public_key`),
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
  }, url)

/** Sends a form into a frame, which no script of this page can read. */
const sendForm = (page: Page, url: string): Promise<void> =>
  page.evaluate((url) => {
    const frame = document.body.appendChild(document.createElement("iframe"))
    frame.name = "target"
    const form = document.body.appendChild(document.createElement("form"))
    Object.assign(form, { method: "POST", action: `${url}/v1/chat/secure_completion`, target: "target" })
    form.submit()
  }, url)

describe("a page of another origin, in Chromium", () => {
  it("can neither read from a router nor make it do anything", async () => {
    const page = await browser.newPage()
    await page.goto(await serve((_request, response) => response.setHeader("content-type", "text/html").end(EMPTY)))
    reached.length = 0
    expect(await attack(page, router.url)).toEqual(["", "", "", "", "", ""])
    // a browser asks for an icon too, which no page can read
    const statuses = () => [...router.stderr().matchAll(/path=\/(?:v1|pki|health)\S* status=(\d+)/g)].map(([, status]) => status)
    const before = statuses().length
    await sendForm(page, router.url)
    await expect.poll(() => statuses().length, { timeout: 20_000 }).toBeGreaterThan(before)
    expect(new Set(statuses())).toEqual(new Set(["403"]))
    expect(reached).toEqual([])
    await page.close()
  })

  it("cannot come in by a name that it has pointed at this machine", async () => {
    const page = await browser.newPage()
    const answer = await page.goto(`http://insecure.test:${new URL(router.url).port}/v1/models`)
    expect(answer?.status()).toBe(403)
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
