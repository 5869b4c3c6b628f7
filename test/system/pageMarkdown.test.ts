/** What a model writes, in the page of a router and of a proxy: Markdown, and never markup. */
import type { Browser } from "playwright-core"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Browsers from "../support/browser.js"
import { answered, type ChatPage, openChat } from "../support/chatPage.js"
import { type RunningRouter, startRouter } from "../support/cli.js"
import { type RunningProxy, startProxy } from "../support/proxy.js"
import * as Servers from "../support/servers.js"

let browser: Browser
let router: RunningRouter
let proxy: RunningProxy
/** What the model answers next. */
let answer = ""
/** What a request that leaves this machine would be: none may. */
let stray: Array<string>
const closers: Array<() => Promise<unknown>> = []

beforeAll(async () => {
  const upstream = await Servers.scoped(Servers.httpServer((request, response) => {
    const message = { role: "assistant", content: answer }
    const completion = { choices: [{ index: 0, message, finish_reason: "stop" }] }
    response.setHeader("content-type", "application/json")
    // a kept connection may end under the next request, which is an error then
    response.setHeader("connection", "close")
    response.end(JSON.stringify(request.url === "/v1/models" ? { data: [{ id: "llama3.2" }] } : completion))
  }))
  router = await startRouter(["--upstream", upstream.value])
  // a proxy leaves a lost connection to its tool, and the page does not repeat a request
  proxy = await startProxy(["--base-url", router.url, "--allow-http"], { NOMYO_MAX_RETRIES: "2" })
  browser = await Browsers.launch()
  closers.push(() => browser.close(), proxy.stop, () => router.stop("SIGINT"), upstream.close)
})
afterAll(async () => {
  for (const close of closers) await close()
})

const MARKUP = [
  "<script>window.pwned = 1</script>",
  "<img src=x onerror=\"window.pwned = 1\">",
  "<iframe srcdoc=\"<script>parent.pwned = 1</script>\"></iframe>",
  "a <b onclick=\"window.pwned = 1\">bold</b> <svg onload=\"window.pwned=1\"></svg>",
  "[script](javascript:window.pwned=1) [data](data:text/html,<script>1</script>) [relative](/v1/models)",
  "[tricky](JaVaScRiPt:window.pwned=1) [entity](javascript&colon;window.pwned=1) <javascript:window.pwned=1>",
  "![picture](https://evil.example/track.png) ![script](javascript:window.pwned=1)",
  "[by reference][1] [page](https://example.com/ \"a title\") <mail@example.com>",
  "`<script>window.pwned = 1</script>`",
  "```html\n<script>window.pwned = 1</script>\n```",
  "| a | b |\n|---|--:|\n| <script>1</script> | 2 |",
  "[1]: vbscript:window.pwned=1",
  "&lt;script&gt;window.pwned = 1&lt;/script&gt; &copy;"
].join("\n\n")

const show = async (url: string, text: string): Promise<ChatPage> => {
  answer = text
  stray = []
  const opened = await openChat(browser, url)
  opened.page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) stray.push(request.url())
  })
  await opened.say("Hello!")
  await opened.page.locator(".message.assistant .markdown, .message.error").last().waitFor()
  await answered(opened)
  expect(await opened.page.locator(".message.error").allInnerTexts()).toEqual([])
  return opened
}

describe.each(["router", "proxy"] as const)("the page of a %s", (which) => {
  const url = () => which === "router" ? router.url : proxy.url

  it("shows Markdown, and runs and loads nothing of it", async () => {
    const { complaints, last, page } = await show(url(), MARKUP)
    const markdown = last("assistant").locator(".markdown")
    expect({
      pwned: await page.evaluate(() => "pwned" in window),
      made: await markdown.locator("script, img, iframe, svg, b, style, object").count(),
      links: await markdown.locator("a").evaluateAll((all) => all.map((one) => one.getAttribute("href"))),
      stray,
      complaints
    }).toEqual({
      pwned: false,
      made: 0,
      links: ["https://evil.example/track.png", "https://example.com/", "mailto:mail@example.com"],
      stray: [],
      complaints: []
    })
    const rel = await markdown.locator("a").evaluateAll((all) => all.map((one) => one.getAttribute("rel")))
    expect(new Set(rel)).toEqual(new Set(["noopener noreferrer nofollow"]))
    const text = await markdown.innerText()
    expect(text).toContain("<script>window.pwned = 1</script>")
    expect(text).toContain("image: picture")
    expect(text).toContain("©")
    await page.close()
  })

  it("copies a block of code", async () => {
    const { last, page } = await show(url(), "Run:\n\n```sh\necho 'Grüße' && \\\n  ls\n```\n")
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"])
    const copy = last("assistant").locator("button.copy")
    await copy.focus()
    await page.keyboard.press("Enter")
    await expect.poll(() => copy.innerText()).toBe("Copied")
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("echo 'Grüße' && \\\n  ls")
    await page.close()
  })

  it("shows a text that is nested too deeply, or too long, as it is", async () => {
    for (const text of [`${">".repeat(20_000)} deep`, `# ${"a".repeat(200_000)}`]) {
      const { last, page } = await show(url(), text)
      expect((await last("assistant").locator(".markdown").textContent())?.length).toBe(text.length)
      await page.close()
    }
  })
})

describe("the page of a proxy", () => {
  it("chats, and shows what left the proxy", async () => {
    const opened = await show(proxy.url, "My SENTINEL answer")
    const { complaints, page, text } = opened
    await expect.poll(() => text("got-sealed")).toContain("ciphertext")
    const views = {
      typed: await text("sent-plain"),
      read: await text("got-plain"),
      sent: await text("sent-sealed"),
      received: await text("got-sealed")
    }
    expect(views.typed).toContain("Hello!")
    expect(views.read).toContain("My SENTINEL answer")
    expect(views.sent).toMatch(/^POST \/v1\/chat\/secure_completion\n[^]*"ciphertext":"/)
    expect(views.sent + views.received).not.toMatch(/SENTINEL|Hello!/)
    expect((await text("router-key")).replaceAll(" ", "")).toBe(router.banner["protocol 1.0"])
    expect(await text("own-key")).toMatch(/^RSA 2048/)
    expect(await text("far")).toContain(router.url)
    expect(complaints).toEqual([])
    expect(proxy.output()).not.toMatch(/SENTINEL|Hello!/)
    await page.close()
  })

  it("asks for the token, and shows nothing without it", async () => {
    const args = ["--base-url", router.url, "--allow-http"]
    const closed = await startProxy(args, { NOMYO_KEY_SIZE: "2048", NOMYO_PROXY_TOKEN: "proxy-token-1" })
    closers.unshift(closed.stop)
    expect((await fetch(`${closed.url}/page/keys`)).status).toBe(401)
    const page = await browser.newPage()
    await page.goto(closed.url)
    await page.getByText("invalid_api_key").waitFor()
    expect(await page.locator("#send").isDisabled()).toBe(true)
    await page.fill("#api-key", "proxy-token-1")
    await page.press("#api-key", "Tab")
    await page.waitForSelector("#send:enabled")
    answer = "with a token"
    await page.fill("#composer", "Hello!")
    await page.press("#composer", "Enter")
    await page.getByText("with a token").first().waitFor()
    await page.close()
  })
})
