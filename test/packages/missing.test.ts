/** A peer that is missing, an Effect that does not fit, a platform that lacks something: the error names the remedy. */
import { describe, expect, it } from "vitest"
import packageJson from "../../package.json" with { type: "json" }
import * as Path from "node:path"
import { root } from "../support/pages.js"
import * as Matrix from "./support.js"

const { devDependencies } = packageJson
const effect3 = `effect@${devDependencies.effect}`
const effect4 = devDependencies.effect4.replace("npm:", "")

const place = Matrix.usePlace()

const failure = async (cwd: string, code: string): Promise<string> => {
  const file = Matrix.write(cwd, "fails.mjs", code)
  return Matrix.node(cwd, file).then(() => "it did not fail", (error) => String(error))
}

const cases = [
  { needed: 3, found: "no effect", packages: [], entries: ["effect", "node", "NomyoClient", "Envelope"] },
  { needed: 3, found: "effect 4", packages: [effect4], entries: ["effect", "node", "NomyoClient", "Envelope"] },
  { needed: 4, found: "no effect", packages: [], entries: ["effect4"] },
  { needed: 4, found: "effect 3", packages: [effect3], entries: ["effect4"] }
]

describe.each(cases)("nomyo-js with $found, where effect $needed is needed", ({ entries, needed, packages }) => {
  it("says what to install, on Node and in a bundler", async () => {
    const cwd = Matrix.folder(place, `missing ${needed}`)
    await Matrix.install(cwd, place.tarball, ...packages)
    const remedy = `needs-effect-${needed}__npm-install-effect@${needed}`
    for (const entry of entries) {
      const code = `import * as nomyo from "nomyo-js/${entry}"\nconsole.log(nomyo)`
      expect(await failure(cwd, code), entry).toContain(remedy)
      const esbuild = Path.join(root, "node_modules/esbuild/bin/esbuild")
      const bundled = await Matrix.run(esbuild, ["fails.mjs", "--bundle", "--platform=node", "--outfile=out.cjs"], { cwd }).catch(String)
      expect(bundled, entry).toContain(remedy)
    }
    expect(await failure(cwd, "import { SecureChatCompletion } from \"nomyo-js\"\nnew SecureChatCompletion()")).toBe("it did not fail")
  }, Matrix.TIMEOUT)
})

describe("nomyo-js/effect with an effect 3 that is too old", () => {
  it("says which is needed, and which was found", async () => {
    const cwd = Matrix.folder(place, "old effect")
    await Matrix.install(cwd, place.tarball, "effect@3.21.0", "--legacy-peer-deps")
    expect(await failure(cwd, "import \"nomyo-js/effect\"")).toMatch(/needs effect 3\.22\.4 or later of version 3, and found 3\.21\.0: run npm install effect@3/)
  }, Matrix.TIMEOUT)
})

describe("a platform without WebCrypto", () => {
  it("is told so by the error of the first call", async () => {
    const cwd = Matrix.folder(place, "no WebCrypto")
    await Matrix.install(cwd, place.tarball)
    const code = `
      Object.defineProperty(globalThis, "crypto", { value: undefined })
      const { SecureChatCompletion } = await import("./node_modules/nomyo-js/dist/browser/index.js")
      const client = new SecureChatCompletion({ baseUrl: ${JSON.stringify(place.router)}, allowHttp: true })
      const error = await client.create({ model: "m", messages: [{ role: "user", content: "x" }] }).catch((error) => error)
      console.log(error.name, error.reason, error.message)
    `
    expect(Matrix.lastLine(await Matrix.node(cwd, Matrix.write(cwd, "no-crypto.mjs", code)))).toMatch(/^SecurityError unsupported .*HTTPS/)
  }, Matrix.TIMEOUT)
})
