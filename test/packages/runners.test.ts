/** Test runners as their users have them, and CommonJS. */
import * as Path from "node:path"
import { describe, expect, it } from "vitest"
import { root } from "../support/pages.js"
import * as Matrix from "./support.js"

const place = Matrix.usePlace()

const TEST_BODY = `
test("gets an answer", async () => {
  const client = new SecureChatCompletion({ baseUrl: process.env.TEST_ROUTER, allowHttp: true, keyDir: false, keySize: 2048, maxRetries: 0 })
  const request = (model) => ({ model, messages: [{ role: "user", content: "Hello!" }] })
  const answer = await client.create(request("any"))
  expect(answer.choices[0].message.content).toBe("You said: Hello!")
  const error = await client.create(request("status/429")).catch((error) => error)
  expect(error).toBeInstanceOf(RateLimitError)
  client.dispose()
}, 300_000)
`
const required = `const { RateLimitError, SecureChatCompletion } = require("nomyo-js")\n${TEST_BODY}`
const imported = `import { RateLimitError, SecureChatCompletion } from "nomyo-js"\n${TEST_BODY}`

/** Runs Jest of a version over a test file, with nothing configured but what is given. */
const jest = async (version: string, files: { readonly [path: string]: string }, manifest: object, env: NodeJS.ProcessEnv = {}) => {
  const cwd = Matrix.folder(place, `jest ${version}`, { manifest, files })
  await Matrix.install(cwd, place.tarball, `jest@${version}`)
  const { stderr } = await Matrix.run(process.execPath, ["node_modules/jest/bin/jest.js"], { cwd, env: { TEST_ROUTER: place.router, ...env } })
  return stderr
}

const versions = [{ version: "29.7.0" }, { version: "30.5.2" }]

describe.each(Matrix.isFull ? versions : [])("Jest $version", ({ version }) => {
  it("runs require() of a CommonJS test, as it comes", async () => {
    const stderr = await jest(version, { "chat.test.js": required }, { type: "commonjs" })
    expect(stderr).toContain("1 passed")
  }, Matrix.TIMEOUT)

  it("runs import in a test that its own Babel turns into CommonJS", async () => {
    const babel = "module.exports = { presets: [[\"@babel/preset-env\", { targets: { node: \"current\" } }]] }"
    const cwd = Matrix.folder(place, `jest ${version} babel`, {
      manifest: { type: "commonjs" },
      files: { "chat.test.js": imported, "babel.config.js": babel }
    })
    await Matrix.install(cwd, place.tarball, `jest@${version}`, "@babel/preset-env@7")
    const env = { TEST_ROUTER: place.router }
    const { stderr } = await Matrix.run(process.execPath, ["node_modules/jest/bin/jest.js"], { cwd, env })
    expect(stderr).toContain("1 passed")
  }, Matrix.TIMEOUT)

  it("runs import in a test that is an ES module, with its own flag for that", async () => {
    const env = { NODE_OPTIONS: "--experimental-vm-modules" }
    const stderr = await jest(version, { "chat.test.js": imported }, { type: "module", jest: { transform: {} } }, env)
    expect(stderr).toContain("1 passed")
  }, Matrix.TIMEOUT)
})

describe("Vitest", () => {
  it("runs a test as it comes", async () => {
    const cwd = Matrix.folder(place, "vitest", { files: { "chat.test.js": `import { expect, test } from "vitest"\n${imported}` } })
    await Matrix.install(cwd, place.tarball)
    const script = Path.join(root, "node_modules/vitest/vitest.mjs")
    const files = `export default { test: { alias: { vitest: ${JSON.stringify(Path.join(root, "node_modules/vitest/dist/index.js"))} } } }`
    const config = Matrix.write(cwd, "vitest.config.mjs", files)
    const { stdout } = await Matrix.run(process.execPath, [script, "run", "--config", config], { cwd, env: { TEST_ROUTER: place.router } })
    expect(stdout).toContain("1 passed")
  }, Matrix.TIMEOUT)
})

describe("CommonJS on Node", () => {
  it("gets the modules that import gets: one copy of the errors", async () => {
    const cwd = Matrix.folder(place, "commonjs")
    await Matrix.install(cwd, place.tarball)
    expect(Matrix.lastLine(await Matrix.node(cwd, "promise.cjs", place.router))).toBe(Matrix.ANSWER)
    const file = Matrix.write(cwd, "both.cjs", `
      const { APIError } = require("nomyo-js")
      import("nomyo-js").then((imported) => console.log(imported.APIError === APIError))
    `)
    expect((await Matrix.node(cwd, file)).stdout).toBe("true\n")
  }, Matrix.TIMEOUT)
})
