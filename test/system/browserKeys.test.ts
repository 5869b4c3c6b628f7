import { build } from "esbuild"
import type { Page } from "playwright-core"
import { describe, expect, it } from "vitest"
import { config, create, failure, fingerprint, type PageWindow, persistent, useChromium,
  useSites } from "../support/browserPages.js"

import { cases } from "../support/keyStoreContract.js"

declare const window: PageWindow

const sites = useSites()
const { visit } = useChromium()

describe("keys in Chromium", () => {
  it("live in memory, and are new after a reload", async () => {
    const page = await visit(sites.strict)
    const before = await fingerprint(page)
    await page.reload()
    await page.waitForFunction(() => window.nomyo !== undefined)
    expect(await fingerprint(page)).not.toBe(before)
    expect(await page.evaluate(() => indexedDB.databases())).toEqual([])
  })

  it("survive a reload in IndexedDB, until they are forgotten", async () => {
    const page = await visit(sites.strict)
    const before = await fingerprint(page, persistent)
    await page.reload()
    await page.waitForFunction(() => window.nomyo !== undefined)
    expect(await fingerprint(page, persistent)).toBe(before)
    expect(await page.evaluate(() => window.generated.length)).toBe(0)
    expect((await create(page, persistent)).choices[0]?.message.content).toBe("You said: Hello!")
    await page.evaluate(() => window.client.forgetKeys())
    expect(await fingerprint(page, persistent)).not.toBe(before)
  })

  it("are one pair for two tabs that start together", async () => {
    const tabs = [await visit(sites.strict)]
    tabs.push(await visit(sites.strict, tabs[0]!.context()))
    const seen = await Promise.all(tabs.map((tab) => fingerprint(tab, persistent)))
    expect(seen[0]).toBe(seen[1])
    expect((await Promise.all(tabs.map((tab) => tab.evaluate(() => window.generated.length)))).toSorted())
      .toEqual([0, 1])
  })

  it("rotate by the age they have in the store, and the other tab takes what one has made", async () => {
    const tabs = [await visit(sites.strict)]
    tabs.push(await visit(sites.strict, tabs[0]!.context()))
    const before = await fingerprint(tabs[0]!, persistent)
    const rotated = (tab: Page) =>
      tab.evaluate(async ([options, before]) => {
        const client = new window.nomyo.SecureChatCompletion(options)
        const { fingerprint } = await client.rotateKeys()
        client.dispose()
        return fingerprint === before ? "none" : fingerprint
      }, [config(persistent), before] as const)
    const first = await rotated(tabs[0]!)
    expect(first).not.toBe("none")
    expect(await fingerprint(tabs[1]!, persistent)).toBe(first)
    // overdue soon after it is loaded: replaced without being asked
    await fingerprint(tabs[1]!, { ...persistent, keyRotationInterval: 1000 })
    await tabs[1]!.waitForFunction(async (first) => (await window.client.ready()).fingerprint !== first,
      first, { polling: 50 })
  })

  it("cannot be carried away", async () => {
    const page = await visit(sites.strict)
    await fingerprint(page, persistent)
    const seen = await page.evaluate(async () => {
      const database = await new Promise<IDBDatabase>((resolve) => {
        const opening = indexedDB.open("nomyo-js")
        opening.onsuccess = () => resolve(opening.result)
      })
      const stored = await new Promise<Record<string, CryptoKey>>((resolve) => {
        const reading = database.transaction("keys").objectStore("keys").get("current")
        reading.onsuccess = () => resolve(reading.result)
      })
      const key = stored["privateKey"]!
      const refusals = await Promise.all((["pkcs8", "jwk"] as const).map((format) =>
        crypto.subtle.exportKey(format, key).then(() => "exported", (error: Error) => error.name)
      ))
      return { type: key.type, extractable: key.extractable, names: Object.keys(stored).toSorted(), refusals }
    })
    expect(seen).toEqual({
      type: "private",
      extractable: false,
      names: ["createdAt", "privateKey", "publicKey"],
      refusals: ["InvalidAccessError", "InvalidAccessError"]
    })
  })

  it("are not overwritten by anything that cannot read them", async () => {
    const page = await visit(sites.strict)
    await fingerprint(page, persistent)
    await page.evaluate(() =>
      new Promise<void>((resolve) => {
        const opening = indexedDB.open("nomyo-js")
        opening.onsuccess = () => {
          const writing = opening.result.transaction("keys", "readwrite")
          writing.objectStore("keys").put({ privateKey: "damaged" }, "current")
          writing.oncomplete = () => {
            opening.result.close()
            resolve()
          }
        }
      })
    )
    expect(await page.evaluate(() => window.client.rotateKeys().catch(({ reason }) => reason))).toBe(
      "client-key"
    )
    const seen = await failure(page, persistent)
    expect(seen).toMatchObject({ name: "SecurityError", reason: "client-key" })
    expect(seen?.message).toContain("forgetKeys")
    await page.evaluate((options) => new window.nomyo.SecureChatCompletion(options).forgetKeys(),
      config(persistent))
    expect((await create(page, persistent)).choices[0]?.message.content).toBe("You said: Hello!")
  })

  it("keep the contract of every key store", async () => {
    const page = await visit(sites.strict)
    const { outputFiles: [contract] } = await build({
      entryPoints: ["test/support/keyStoreContract.browser.ts"],
      bundle: true,
      format: "esm",
      write: false
    })
    await page.route("**/contract.js",
      (route) => route.fulfill({ contentType: "text/javascript", body: contract!.text }))
    // as text: the tests' own bundler rewrites an import
    expect(await page.evaluate(`import("/contract.js").then(({ results }) => results())`)).toEqual(
      Object.fromEntries(cases.map(({ name }) => [name, "ok"]))
    )
  })
})
