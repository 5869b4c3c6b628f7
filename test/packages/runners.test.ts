/** Test runners as their users have them, and CommonJS. */
import * as Path from "node:path"
import { describe, expect, it } from "vitest"
import { root } from "../support/pages.js"
import * as Matrix from "./support.js"

const place = Matrix.usePlace()

const TEST_BODY = `
test("gets an answer", async () => {
  const options = { baseUrl: process.env.TEST_ROUTER, allowHttp: true, keyDir: false, keySize: 2048, maxRetries: 0 }
  const client = new SecureChatCompletion(options)
  const request = (model) => ({ model, messages: [{ role: "user", content: "Hello!" }] })
  const answer = await client.create(request("any"))
  expect(answer.choices[0].message.content).toBe("You said: Hello!")
  const error = await client.create(request("status/429")).catch((error) => error)
  expect(error).toBeInstanceOf(RateLimitError)
  const call = { method: "POST", body: JSON.stringify(request("any")) }
  const response = await createFetch(client)(BASE_URL + "/chat/completions", call)
  expect((await response.json()).choices[0].message.content).toBe("You said: Hello!")
  client.dispose()
}, 300_000)
`
const required = `const { RateLimitError, SecureChatCompletion } = require("nomyo-js")
const { BASE_URL, createFetch } = require("nomyo-js/fetch")
${TEST_BODY}`
const imported = `import { RateLimitError, SecureChatCompletion } from "nomyo-js"
import { BASE_URL, createFetch } from "nomyo-js/fetch"
${TEST_BODY}`

interface JestProject {
  readonly code: string
  readonly manifest: object
  readonly files?: { readonly [path: string]: string }
  readonly packages?: ReadonlyArray<string>
  readonly env?: NodeJS.ProcessEnv
}

/** Runs Jest over a test, with nothing configured but what is given, and gives its report. */
const jest = async (version: string,
  { code, env, files, manifest, packages = [] }: JestProject): Promise<string> => {
  const cwd = Matrix.folder(place.directory, `jest ${version}`, { manifest,
    files: { ...files, "chat.test.js": code } })
  await Matrix.install(cwd, place.tarball, `jest@${version}`, ...packages)
  const options = { cwd, env: { TEST_ROUTER: place.router, ...env } }
  return (await Matrix.run(process.execPath, ["node_modules/jest/bin/jest.js"], options)).stderr
}

const BABEL = "module.exports = { presets: [[\"@babel/preset-env\", { targets: { node: \"current\" } }]] }"

describe.each(Matrix.isFull ? ["29.7.0", "30.5.2"] : [])("Jest %s", (version) => {
  it("runs require() of a CommonJS test, as it comes", async () => {
    expect(await jest(version, { code: required, manifest: { type: "commonjs" } })).toContain("1 passed")
  }, Matrix.TIMEOUT)

  it.each([
    ["as Jest has it", {}],
    ["over node_modules too", { transformIgnorePatterns: [] }]
  ])("runs import in a test that its own Babel turns into CommonJS, %s", async (_, settings) => {
    const files = { "babel.config.js": BABEL }
    const packages = ["@babel/preset-env@7"]
    const manifest = { type: "commonjs", jest: settings }
    expect(await jest(version, { code: imported, manifest, files, packages })).toContain("1 passed")
  }, Matrix.TIMEOUT)

  it("runs import in TypeScript that ts-jest turns into CommonJS", async () => {
    const manifest = { type: "commonjs",
      jest: { transform: { "\\.js$": ["ts-jest", { diagnostics: false }] } } }
    const files = {
      "tsconfig.json": JSON.stringify({ compilerOptions: { allowJs: true, module: "commonjs" } })
    }
    const packages = ["ts-jest@29", "typescript@5.9.3"]
    expect(await jest(version, { code: imported, manifest, files, packages })).toContain("1 passed")
  }, Matrix.TIMEOUT)

  it("runs import in a test that is an ES module, with its own flag for that", async () => {
    const env = { NODE_OPTIONS: "--experimental-vm-modules" }
    const manifest = { type: "module", jest: { transform: {} } }
    expect(await jest(version, { code: imported, manifest, env })).toContain("1 passed")
  }, Matrix.TIMEOUT)
})

describe("Vitest", () => {
  it("runs a test as it comes", async () => {
    const code = `import { expect, test } from "vitest"\n${imported}`
    const cwd = Matrix.folder(await Matrix.installed(), "vitest", { files: { "chat.test.js": code } })
    const vitest = Path.join(root, "node_modules/vitest")
    const config = { test: { alias: { vitest: Path.join(vitest, "dist/index.js") } } }
    const file = Matrix.write(cwd, "vitest.config.mjs", `export default ${JSON.stringify(config)}`)
    const args = [Path.join(vitest, "vitest.mjs"), "run", "--config", file]
    const { stdout } = await Matrix.run(process.execPath, args, { cwd, env: { TEST_ROUTER: place.router } })
    expect(stdout).toContain("1 passed")
  }, Matrix.TIMEOUT)
})

describe("CommonJS on Node", () => {
  it("gets the modules that import gets: one copy of the errors", async () => {
    const cwd = Matrix.folder(await Matrix.installed(), "commonjs")
    expect(Matrix.lastLine(await Matrix.node(cwd, "promise.cjs", place.router))).toBe(Matrix.ANSWER)
    const file = Matrix.write(cwd, "both.cjs", `
      const { APIError } = require("nomyo-js")
      import("nomyo-js").then((imported) => console.log(imported.APIError === APIError))
    `)
    expect((await Matrix.node(cwd, file)).stdout).toBe("true\n")
  }, Matrix.TIMEOUT)
})
