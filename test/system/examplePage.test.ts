/** The page at `/` of `nomyo router`, in Chromium. */
import type { Browser, Page } from "playwright-core"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Browsers from "../support/browser.js"
import { answered, type ChatPage, openChat } from "../support/chatPage.js"
import { type RunningRouter, startRouter } from "../support/cli.js"

let browser: Browser
let router: RunningRouter
const open: Array<Page> = []

beforeAll(async () => {
  browser = await Browsers.launch()
  router = await startRouter()
})
afterAll(async () => {
  await browser?.close()
  await router?.stop("SIGINT")
})

const chat = async (options: Parameters<Browser["newPage"]>[0] = {}): Promise<ChatPage> => {
  await Promise.all(open.splice(0).map((page) => page.close()))
  const opened = await openChat(browser, router.url, options)
  open.push(opened.page)
  return opened
}

const fingerprint = async ({ text }: ChatPage) => (await text("router-key")).replaceAll(" ", "")

describe("a router's page", () => {
  let opened: ChatPage
  beforeAll(async () => void (opened = await chat()))

  it("shows both keys: the router's as it is printed at start, and the client's with its age", async () => {
    await expect.poll(() => fingerprint(opened)).toBe(router.banner["protocol 1.0"])
    expect(await opened.text("pin-state")).toBe("not pinned")
    expect(await opened.text("own-key")).toMatch(/^RSA 4096 · ([0-9a-f]{4} ){3}…$/)
    expect(await opened.text("own-key-age")).toBe("less than a minute old, in this page's memory only")
  })

  it("lists the router's models", async () => {
    const { page } = opened
    const options = page.locator("#models option")
    await expect.poll(() => options.evaluateAll((all) => all.map((one) => (one as HTMLOptionElement).value)))
      .toEqual(["Qwen/Qwen3-0.6B", "echo-thinking", "status/429", "status/503"])
    expect(await page.inputValue("#model")).toBe("Qwen/Qwen3-0.6B")
  })

  it("chats by keyboard, and shows what the network saw", async () => {
    const { complaints, last, page, text } = opened
    await page.keyboard.type("SENTINEL prompt")
    await page.keyboard.press("Enter")
    await page.getByText("You said: SENTINEL prompt").first().waitFor()
    await answered(opened)
    expect(await last("assistant").innerText()).toContain("You said: SENTINEL prompt")
    const views = {
      typed: await text("sent-plain"),
      read: await text("got-plain"),
      sent: await text("sent-sealed"),
      received: await text("got-sealed")
    }
    expect(views.typed).toContain("SENTINEL prompt")
    expect(views.read).toContain("You said: SENTINEL prompt")
    expect(views.sent).toMatch(/^POST \/v1\/chat\/secure_completion\n[^]*"ciphertext":"/)
    expect(views.received).toMatch(/^HTTP 200\n[^]*"ciphertext":"/)
    expect(views.sent + views.received).not.toContain("SENTINEL")
    expect(await text("measures")).toMatch(
      /^tier default · \d+\.\d s · [\d,]+ bytes sent · [\d,]+ bytes received$/
    )
    // back in the composer without a click
    await page.keyboard.type("again")
    await page.keyboard.press("Enter")
    await page.getByText("You said: again").first().waitFor()
    expect(complaints).toEqual([])
  })

  it("names everything that can be used, and lets the keyboard reach it", async () => {
    const { page } = opened
    const names = new Set<string>()
    for (let i = 0; i < 20; i++) {
      await page.keyboard.press("Tab")
      names.add(await page.evaluate(() => document.activeElement!.id))
    }
    const usable = ["new-chat", "model", "tier", "api-key", "tools", "keep-key", "composer", "send", "pin"]
    const views = ["messages", "sent-plain", "sent-sealed", "got-plain", "got-sealed"]
    expect([...names]).toEqual(expect.arrayContaining([...usable, ...views]))
    const unnamed = await page.locator("input, select, textarea").evaluateAll((all) =>
      all.filter((one) => !(one as HTMLInputElement).labels?.length).map(({ id }) => id)
    )
    expect(unnamed).toEqual([])
    expect(await page.locator("#messages").getAttribute("aria-live")).toBe("polite")
  })

  it("shows thinking, tool calls and errors as what they are, and cancels", async () => {
    const { complaints, last, page, say, text } = opened
    await page.fill("#model", "echo-thinking")
    await say("two words")
    await page.getByText("You said: two words").first().waitFor()
    expect(await last("assistant").locator("details").textContent()).toContain("I am to repeat 2 words.")
    await page.check("#tools")
    await say("Paris")
    await page.locator(".call summary").waitFor()
    expect(await page.locator(".call").getAttribute("open")).toBeNull()
    expect(await page.locator(".call").textContent()).toMatch(/Tool call: get_weather[^]*"city": "Paris"/)
    expect(await text("prompt")).toBe("Result of get_weather")
    await page.waitForSelector("#send:enabled")
    await say("18 degrees")
    await page.getByText("The tool says: 18 degrees").first().waitFor()
    await page.uncheck("#tools")
    await page.fill("#model", "status/404")
    await page.waitForSelector("#send:enabled")
    await say("not lost")
    expect(await last("error").innerText()).toMatch(/APIError[^]*statusCode: 404, attempts: 1/)
    expect(await last("error").getAttribute("role")).toBe("alert")
    expect(await page.inputValue("#composer")).toBe("not lost")
    // retried for seconds: time to cancel
    await page.fill("#model", "status/503")
    await page.press("#composer", "Enter")
    await page.click("#cancel")
    await page.getByText("Cancelled").waitFor()
    expect(await page.inputValue("#composer")).toBe("not lost")
    expect(complaints).toEqual([])
  })
})

describe("its keys", () => {
  it("can be pinned, and another key is refused then", async () => {
    const opened = await chat()
    const { last, page, say, text } = opened
    await page.click("#pin")
    await expect.poll(() => text("pin-state"), { timeout: 60_000 }).toBe("pinned")
    await page.waitForSelector("#send:enabled")
    await say("pinned")
    await page.getByText("You said: pinned").first().waitFor()
    await page.evaluate(() => localStorage.setItem("nomyo-js/pinned-router-key", "0".repeat(64)))
    await page.reload()
    await page.waitForSelector("#send:enabled")
    await say("to nobody")
    expect(await last("error").innerText()).toMatch(/SecurityError[^]*reason: router-key-pin/)
    await page.click("#pin")
    await expect.poll(() => text("pin-state"), { timeout: 60_000 }).toBe("not pinned")
  })

  it("keeps the client's if the box is checked", async () => {
    const opened = await chat()
    const { page, text } = opened
    const own = () => text("own-key")
    const age = () => text("own-key-age")
    await page.check("#keep-key")
    await expect.poll(age, { timeout: 100_000 }).toMatch(/kept in this browser$/)
    const kept = await own()
    await page.reload()
    await page.waitForSelector("#send:enabled")
    expect(await own()).not.toBe(kept)
    await page.check("#keep-key")
    await expect.poll(own, { timeout: 100_000 }).toBe(kept)
    // and no longer, when the box is not
    await page.uncheck("#keep-key")
    await expect.poll(age, { timeout: 100_000 }).toMatch(/memory only$/)
    await page.check("#keep-key")
    await expect.poll(age, { timeout: 100_000 }).toMatch(/kept in this browser$/)
    expect(await own()).not.toBe(kept)
  })
})
