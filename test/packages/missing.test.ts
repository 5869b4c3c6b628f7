/** A missing peer, an Effect of another version, a platform without WebCrypto: the error names the remedy. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { describe, expect, it } from "vitest"
import { root } from "../support/pages.js"
import * as Matrix from "./support.js"

const place = Matrix.usePlace()

const failure = async (cwd: string, code: string): Promise<string> => {
  const file = Matrix.write(cwd, "fails.mjs", code)
  return Matrix.node(cwd, file).then(() => "it did not fail", (error) => String(error))
}

const bundlerFailure = (cwd: string): Promise<unknown> => {
  const esbuild = Path.join(root, "node_modules/esbuild/bin/esbuild")
  const args = ["fails.mjs", "--bundle", "--platform=node", "--outfile=out.cjs"]
  return Matrix.run(esbuild, args, { cwd }).catch(String)
}

const entries = ["effect", "node", "NomyoClient", "Envelope"]
const cases = [
  { needed: 3, found: "no effect", packages: [], entries },
  { needed: 3, found: "effect 4", packages: [Matrix.effect4], entries },
  { needed: 4, found: "no effect", packages: [], entries: ["effect4"] },
  { needed: 4, found: "effect 3", packages: [Matrix.effect3], entries: ["effect4"] }
]

const title = "nomyo-js with $found, where effect $needed is needed"

describe.each(cases)(title, ({ entries, needed, packages }) => {
  const remedy = `needs-effect-${needed}__npm-install-effect@${needed}`

  it.each(entries)("names the remedy for nomyo-js/%s, on Node and in a bundler", async (entry) => {
    const cwd = Matrix.folder(await Matrix.installed(...packages), "missing")
    expect(await failure(cwd, `import * as nomyo from "nomyo-js/${entry}"\nconsole.log(nomyo)`)).toContain(
      remedy
    )
    expect(await bundlerFailure(cwd)).toContain(remedy)
  }, Matrix.TIMEOUT)

  it("has the Promise API all the same", async () => {
    const cwd = Matrix.folder(await Matrix.installed(...packages), "missing")
    const code = "import { SecureChatCompletion } from \"nomyo-js\"\nnew SecureChatCompletion()"
    expect(await failure(cwd, code)).toBe("it did not fail")
  }, Matrix.TIMEOUT)
})

describe.each(Matrix.isFull ? ["3.21.0"] : [])("nomyo-js/effect with effect %s", (version) => {
  it("names the version that it needs, and the one that it found", async () => {
    const cwd = Matrix.folder(place.directory, "old effect")
    // npm refuses this version for the peer that it is
    await Matrix.install(cwd, place.tarball, `effect@${version}`, "--legacy-peer-deps")
    expect(await failure(cwd, "import \"nomyo-js/effect\"")).toContain(
      `needs effect 3.22.4 or later of version 3, and found ${version}: run npm install effect@3`
    )
  }, Matrix.TIMEOUT)
})

describe("a deployment that lacks the file of protocol 2", () => {
  it.each(["mjs", "cjs"])("fails with what to do about it: %s", async (extension) => {
    const cwd = Matrix.folder(place.directory, "dropped")
    const bundle = Path.join(await Matrix.installed(), "node_modules/nomyo-js/dist/bundle")
    const code = `
      const { SecureChatCompletion } = await import("./bundle/node/index.${
      extension === "cjs" ? "cjs" : "js"
      }")
      const client = new SecureChatCompletion({ baseUrl: "https://router.test", keyDir: false, protocol: 2 })
      const error = await client.ready().catch((error) => error)
      console.log(error.name, error.message)
    `
    Fs.cpSync(bundle, Path.join(cwd, "bundle"), { recursive: true })
    for (const name of ["NomyoError.js", "internal"]) {
      Fs.cpSync(Path.join(bundle, "..", name), Path.join(cwd, name), { recursive: true })
    }
    for (const name of ["shared2.js", "shared2.cjs"]) Fs.rmSync(Path.join(cwd, "bundle/node", name))
    expect(Matrix.lastLine(await Matrix.node(cwd, Matrix.write(cwd, "dropped.mjs", code)))).toBe(
      "InvalidRequestError protocol 2 is in a file of its own, which is missing: deploy every file that your " +
        "bundler writes, or leave nomyo-js out of the bundle. A page without a bundler loads " +
        "dist/browser/protocol-2.js"
    )
  }, Matrix.TIMEOUT)
})

describe("a platform without WebCrypto", () => {
  const bundles = ["bundle/web/index.js", "browser/index.js"]

  it.each(bundles)("makes the first call of %s fail, and names HTTPS", async (file) => {
    const cwd = Matrix.folder(await Matrix.installed(), "no WebCrypto")
    const code = `
      Object.defineProperty(globalThis, "crypto", { value: undefined })
      const { SecureChatCompletion } = await import("../node_modules/nomyo-js/dist/${file}")
      const client = new SecureChatCompletion({ baseUrl: ${JSON.stringify(place.router)}, allowHttp: true })
      const request = { model: "m", messages: [{ role: "user", content: "x" }] }
      const error = await client.create(request).catch((error) => error)
      console.log(error.name, error.reason, error.message)
    `
    const output = await Matrix.node(cwd, Matrix.write(cwd, "no-crypto.mjs", code))
    expect(Matrix.lastLine(output)).toMatch(/^SecurityError unsupported .*HTTPS/)
  }, Matrix.TIMEOUT)
})
