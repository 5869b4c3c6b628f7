/** The recipes of `doc/gateway.md` that can run here, as they are written there. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type RunningRouter, startRouter } from "../support/cli.js"
import * as Pages from "../support/pages.js"
import { type RunningProxy, startProxy } from "../support/proxy.js"
import { ensureHttpx, PYTHON } from "../support/python.js"

const run = promisify(execFile)
const PAGE = "doc/gateway.md"
const ANSWER = "You said: Good morning!"

let router: RunningRouter
let proxy: RunningProxy

beforeAll(async () => {
  ensureHttpx()
  router = await startRouter()
  proxy = await startProxy(["--base-url", router.url, "--allow-http"])
})
afterAll(async () => {
  await proxy?.stop()
  await router?.stop("SIGINT")
})

/** The blocks of a language that use the proxy's address, with that of the test's proxy. */
const recipes = (language: string, pattern: RegExp): ReadonlyArray<string> =>
  Pages.blocks(PAGE, language).map(({ code }) => code).filter((code) => pattern.test(code))
    .map((code) => code.replaceAll("http://127.0.0.1:12436", proxy.url))

describe(PAGE, () => {
  it("shows curl", async () => {
    const found = recipes("sh", /^curl /)
    expect(found).toHaveLength(2)
    for (const code of found) {
      const { stdout } = await run("sh", ["-c", code])
      expect(stdout).toContain("Good morning!")
    }
  })

  it("shows Python's httpx", async () => {
    const [code = ""] = recipes("python", /import httpx/)
    expect((await run(PYTHON, ["-c", code])).stdout).toBe(`${ANSWER}\n`)
  })

  it("shows the package openai", async () => {
    const [code = ""] = recipes("js", /from "openai"/)
    // a file beside the tests finds the package
    const file = Path.join(Pages.root, `test/.recipe-${process.pid}.mjs`)
    Fs.writeFileSync(file, code)
    try {
      expect((await run(process.execPath, [file])).stdout).toBe(`${ANSWER}\n`)
    } finally {
      Fs.rmSync(file)
    }
  })
})
