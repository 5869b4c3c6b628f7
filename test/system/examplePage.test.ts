import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Browser, Page } from "playwright-core"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { useChromium } from "../support/browserPages.js"

const { open } = useChromium()

describe("the example page", () => {
  let url: string
  let stop: () => Promise<void>

  beforeAll(async () => {
    const command = fileURLToPath(new URL("../../dist/cli/nomyo.cjs", import.meta.url))
    const child = spawn(process.execPath, [command, "router", "--port", "0"], { stdio: ["ignore", "pipe", "ignore"] })
    stop = async () => {
      child.kill()
      await once(child, "exit")
    }
    for await (const line of createInterface(child.stdout)) {
      url = /^listening on (.+)$/.exec(line)?.[1] ?? ""
      if (url !== "") break
    }
    child.stdout.resume()
  })
  afterAll(() => stop())

  /** The page once it has its key. Fails the test for anything that its policy refuses. */
  const chat = async (options: Parameters<Browser["newContext"]>[0] = {}) => {
    const page = await open(options)
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

  it("keeps its key if the box is checked", async () => {
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
    await expect.poll(status, { timeout: 100_000 }).toBe(kept)
    // and no longer, when the box is not
    await page.uncheck("#keep-key")
    await expect.poll(status, { timeout: 100_000 }).toMatch(/^Your key/)
    await page.check("#keep-key")
    await expect.poll(status, { timeout: 100_000 }).toMatch(/^Your key/)
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
