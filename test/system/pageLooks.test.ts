/** The page in the sizes and schemes of its users' screens. `SCREENSHOTS` names a folder for pictures. */
import type { Browser } from "playwright-core"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Browsers from "../support/browser.js"
import { answered, openChat } from "../support/chatPage.js"
import { startRouter } from "../support/cli.js"
import { startProxy } from "../support/proxy.js"
import * as Servers from "../support/servers.js"

const ANSWER = `Use \`reduce\`, or a plain loop:

\`\`\`js
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0)
\`\`\`

It starts at **0**, so an empty array is fine. [MDN](https://developer.mozilla.org/) has more.`

const CALL = { id: "call_1", type: "function",
  function: { name: "get_weather", arguments: "{\"city\":\"Lübeck\"}" } }

interface Asked {
  readonly messages: ReadonlyArray<{ readonly role: string; readonly content: string }>
  readonly tools?: unknown
}

const messageFor = ({ messages, tools }: Asked): object => {
  if (messages.at(-1)!.role === "tool") return { role: "assistant", content: "It is 21 °C in **Lübeck**." }
  if (tools !== undefined) return { role: "assistant", content: null, tool_calls: [CALL] }
  return { role: "assistant", content: ANSWER }
}

let browser: Browser
const urls = { router: "", proxy: "" }
const closers: Array<() => Promise<unknown>> = []

beforeAll(async () => {
  const upstream = await Servers.scoped(Servers.httpServer(async (request, response) => {
    response.setHeader("content-type", "application/json")
    if (request.url === "/v1/models") return response.end("{\"data\":[{\"id\":\"llama3.2\"}]}")
    let body = ""
    for await (const chunk of request) body += String(chunk)
    if (body.includes("fail")) return response.writeHead(400).end("{}")
    const message = messageFor(JSON.parse(body) as Asked)
    return response.end(JSON.stringify({ choices: [{ index: 0, message, finish_reason: "stop" }] }))
  }))
  const router = await startRouter(["--upstream", upstream.value])
  const proxy = await startProxy(["--base-url", router.url, "--allow-http"])
  browser = await Browsers.launch()
  Object.assign(urls, { router: router.url, proxy: proxy.url })
  closers.push(() => browser.close(), proxy.stop, () => router.stop("SIGINT"), upstream.close)
})
afterAll(async () => {
  for (const close of closers) await close()
})

describe("the page, with code, a tool call and an error", () => {
  it.each([
    ["router", "light", 1280, 1050],
    ["router", "dark", 390, 844],
    ["proxy", "dark", 1600, 1050],
    ["proxy", "light", 768, 1024]
  ] as const)("of a %s fits in %s on %i × %i", async (server, colorScheme, width, height) => {
    const opened = await openChat(browser, urls[server], { colorScheme, viewport: { width, height } })
    const { complaints, last, page, say, text } = opened
    const ask = async (text: string) => {
      await say(text)
      await page.waitForSelector("#send:enabled")
      await answered(opened)
    }
    await ask("fail, please")
    await last("error").waitFor()
    expect(await text("got-sealed")).toMatch(/^HTTP 400\nContent-Type: application\/json[^]*\n\n\{"detail":/)
    expect(await text("got-sealed-size")).toMatch(/^\d+ bytes$/)
    await page.check("#tools")
    await ask("And the weather in Lübeck?")
    await ask("21 °C")
    await page.uncheck("#tools")
    await ask("How do I sum an array?")
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width)
    expect(complaints).toEqual([])
    const { SCREENSHOTS } = process.env
    if (SCREENSHOTS !== undefined) {
      await page.screenshot({ path: `${SCREENSHOTS}/${server}-${colorScheme}-${width}.png`, fullPage: true })
    }
    await page.close()
  })

  it("gives every text enough contrast in both schemes", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      const { page, say } = await openChat(browser, urls.router, { colorScheme })
      await say("How do I sum an array?")
      await page.locator(".markdown").waitFor()
      expect({ colorScheme, ratios: await page.evaluate(weakTexts) }).toEqual({ colorScheme, ratios: [] })
      await page.close()
    }
  })
})

/** Runs in the page: the texts whose contrast is below 4.5 (WCAG 2.2, 1.4.3), with their ratio. */
const weakTexts = () => {
  const parse = (color: string) => (/[\d.]+/g[Symbol.match](color) ?? []).map(Number)
  const luminance = ([r = 0, g = 0, b = 0]: ReadonlyArray<number>) =>
    [r, g, b].map((value) => value / 255).map((value) =>
      value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
    ).reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index]!, 0)
  const backgroundOf = (element: Element | null): ReadonlyArray<number> => {
    if (element === null) return [255, 255, 255]
    const color = parse(getComputedStyle(element).backgroundColor)
    return color[3] === 0 ? backgroundOf(element.parentElement) : color
  }
  return [...document.querySelectorAll("body *")].flatMap((element) => {
    const hasText = [...element.childNodes].some((node) =>
      node.nodeType === 3 && node.textContent!.trim() !== ""
    )
    if (!hasText || element.closest("[hidden], :disabled, datalist, option") !== null) return []
    const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(backgroundOf(element))]
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    return ratio < 4.5 ? [`${element.tagName} ${element.className} ${ratio.toFixed(1)}`] : []
  })
}
