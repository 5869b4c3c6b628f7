/** The page of a router or a proxy in Chromium. */
import type { Browser, Page } from "playwright-core"
import { expect } from "vitest"

/** A page, and what went wrong in it: what it threw, and what its policy refused. */
export interface ChatPage {
  readonly page: Page
  readonly complaints: ReadonlyArray<string>
  /** Types a message and sends it. */
  readonly say: (text: string) => Promise<void>
  /** The last message of a kind. */
  readonly last: (kind: "user" | "tool" | "assistant" | "error") => ReturnType<Page["locator"]>
  /** The text of an element, by its id. */
  readonly text: (id: string) => Promise<string>
}

/** Opens the page at a URL, and waits until it can send. */
export const openChat = async (
  browser: Pick<Browser, "newPage">,
  url: string,
  options: Parameters<Browser["newPage"]>[0] = {}
): Promise<ChatPage> => {
  const page = await browser.newPage(options)
  const complaints: Array<string> = []
  page.on("pageerror", (error) => complaints.push(error.message))
  page.on("console", (message) => {
    // a browser notes every refusal of a server
    if (message.type() === "error" && !/status of [45]\d\d/.test(message.text()))
      complaints.push(message.text())
  })
  await page.goto(url)
  await page.waitForSelector("#send:enabled")
  return {
    page,
    complaints,
    say: async (text) => {
      await page.fill("#composer", text)
      await page.press("#composer", "Enter")
    },
    last: (kind) => page.locator(`.message.${kind}`).last(),
    text: (id) => page.locator(`#${id}`).innerText()
  }
}

/** Waits until the answer is there, whole. */
export const answered = async ({ page }: ChatPage): Promise<void> => {
  await expect.poll(() => page.locator("#messages").getAttribute("aria-busy"), { timeout: 60_000 }).toBe(
    "false"
  )
}
