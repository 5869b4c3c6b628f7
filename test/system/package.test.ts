import * as Redacted from "effect/Redacted"
import { transform } from "esbuild"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import packageJson from "../../package.json" with { type: "json" }
import * as Matrix from "../packages/support.js"
import { blocks, root } from "../support/pages.js"
import * as Servers from "../support/servers.js"

const run = promisify(execFile)
const API_KEY = "sk-package-0123456789"

let router: { readonly value: string; readonly close: () => Promise<void> }
let tarball: string
let files: ReadonlyArray<string>

const versioned = (name: "@effect/platform" | "sodium-native") =>
  `${name}@${packageJson.devDependencies[name]}`

/** What attw finds, by kind. */
interface Problems {
  readonly [kind: string]: ReadonlyArray<{
    readonly kind: string
    readonly entrypoint: string
    readonly resolutionKind: string
  }>
}

/** With Effect alone, which other test files share; and with all peers, which this one writes to. */
let bare: string
let full: string

beforeAll(async () => {
  const packed = await Matrix.pack()
  tarball = packed.tarball
  files = packed.files
  bare = await Matrix.installed(Matrix.effect3)
  full = await Matrix.installed(Matrix.effect3, versioned("@effect/platform"), versioned("sodium-native"))
  for (const name of ["openai", "@ai-sdk", "@langchain"]) {
    Fs.symlinkSync(Path.join(root, "node_modules", name), Path.join(full, "node_modules", name), "dir")
  }
  router = await Servers.scoped(Servers.router({ apiKey: Redacted.make(API_KEY) }))
})
afterAll(() => router.close())

/** Runs a program of a project against the test's router. */
const node = (cwd: string, ...args: ReadonlyArray<string>) =>
  run(process.execPath, [...args], { cwd,
    env: { ...process.env, TEST_ROUTER: router.value, NOMYO_API_KEY: API_KEY } })

const examples = (["js", "ts"] as const).flatMap((language) =>
  blocks("README.md", language).map((block) => ({ ...block, language, name: `README.md:${block.line}` })))

describe("the package", () => {
  it("holds what it should and nothing else", () => {
    expect(files.filter((file) => !/^(dist|src)\/.+\.(js|d\.ts|map|ts)$/.test(file)).toSorted()).toEqual([
      "LICENSE",
      "README.md",
      "dist/THIRD-PARTY-LICENSES",
      "dist/bundle/fetch.cjs",
      "dist/bundle/fetch.d.cts",
      "dist/bundle/index.d.cts",
      "dist/bundle/node/index.cjs",
      "dist/bundle/node/shared.cjs",
      "dist/bundle/node/shared2.cjs",
      "dist/bundle/node/shared3.cjs",
      "dist/bundle/web/index.cjs",
      "dist/bundle/web/shared.cjs",
      "dist/bundle/web/shared2.cjs",
      "dist/bundle/web/shared3.cjs",
      "dist/cli/nomyo.cjs",
      "dist/page/chat.css",
      "dist/page/icon.svg",
      "dist/page/index.html",
      "dist/sbom.cdx.json",
      "package.json"
    ])
    expect(files.filter((file) => /^test|\.pem$|client_keys|src\/(cli|page)\//.test(file))).toEqual([])
  })

  it("has no file of an earlier build: each belongs to a module", () => {
    const modules = new Set(
      files.filter((file) => file.startsWith("src/")).map((file) => file.slice("src/".length, -".ts".length))
    )
    const others =
      /^dist\/(THIRD-PARTY-LICENSES|sbom\.cdx\.json|(browser|bundle|cli|page|needs-effect-[34][^/]*)\/.+)$/
    const built = files.filter((file) => file.startsWith("dist/") && !others.test(file))
    for (const file of built)
      expect(modules).toContain(file.slice("dist/".length).replace(/(\.d\.ts|\.js)(\.map)?$/, ""))
  })

  it("is locked to digests, from npm's registry alone", () => {
    const lock: {
      readonly packages: {
        readonly [path: string]: { readonly resolved?: string; readonly integrity?: string }
      }
    } = JSON.parse(
      Fs.readFileSync(Path.join(root, "package-lock.json"), "utf8")
    )
    const { "": _, ...packages } = lock.packages
    expect(Object.keys(packages).length).toBeGreaterThan(100)
    for (const [path, { integrity, resolved }] of Object.entries(packages)) {
      expect(integrity, path).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/)
      if (resolved !== undefined) expect(resolved, path).toMatch(/^https:\/\/registry\.npmjs\.org\//)
    }
  })

  it("tells whose code is in its bundles, with the licence of each", () => {
    const installed = Path.join(bare, "node_modules/nomyo-js/dist")
    const text = (name: string) => Fs.readFileSync(Path.join(installed, name), "utf8")
    // esbuild names each module that it bundles in a comment, Rollup in the source map
    const modules = [
      ...[...text("cli/nomyo.cjs").matchAll(/^\s*\/\/ (node_modules\/.+)$/gm)].map(([, path]) => path!),
      ...(JSON.parse(text("browser/index.js.map")).sources as ReadonlyArray<string>)
    ]
    const names = new Set(
      modules.flatMap((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [])
    )
    expect([...names]).toEqual(
      expect.arrayContaining(["effect", "@effect/cli", "@effect/platform", "find-my-way-ts", "multipasta"])
    )
    const listed = [...text("THIRD-PARTY-LICENSES").matchAll(/^-{80}\n(\S+) \S+ \(.+\)\n-{80}\n\n(?=[^-])/gm)]
      .map(([, name]) => name!)
    expect(listed).toEqual(expect.arrayContaining([...names]))
    const bill = JSON.parse(text("sbom.cdx.json"))
    expect(bill).toMatchObject({ bomFormat: "CycloneDX",
      metadata: { component: { name: "nomyo-js", version: packageJson.version } } })
    expect(bill.components.map(({ name }: { readonly name: string }) => name).toSorted()).toEqual(
      listed.toSorted()
    )
  })

  it("is shaped as publint and attw want it", async () => {
    const bin = (file: string) => Path.join(root, "node_modules", file)
    const publint = [bin("publint/src/cli.js"), "--strict", "--pack", "false"]
    expect((await run(process.execPath, publint, { cwd: root })).stdout).toContain("All good!")
    // to a file: it ends before a pipe has taken all
    const report = Path.join(full, "attw.json")
    const file = Fs.openSync(report, "w")
    const command = [bin("@arethetypeswrong/cli/dist/index.js"), tarball, "--format", "json"]
    const attw = spawn(process.execPath, command, { cwd: root, stdio: ["ignore", file, "inherit"] })
    Fs.closeSync(file)
    // with 1: it takes every Node for one that cannot require() an ES module
    expect(await once(attw, "close")).toEqual([1, null])
    const { problems }: { readonly problems: Problems } = JSON.parse(Fs.readFileSync(report, "utf8"))
    const found = Object.values(problems).flat().filter(({ resolutionKind }) => resolutionKind !== "node10")
    expect([...new Set(found.map(({ kind }) => kind))]).toEqual(["CJSResolvesToESM"])
    const entries = found.map(({ entrypoint }) => entrypoint)
    expect(entries).toContain("./effect")
    expect(entries.filter((name) => [".", "./fetch"].includes(name))).toEqual([])
  })

  it("locks memory if sodium-native is there, and says so", async () => {
    const script =
      "import { getMemoryProtectionInfo } from 'nomyo-js'; console.log(getMemoryProtectionInfo().method)"
    expect((await node(bare, "--input-type=module", "-e", script)).stdout).toBe("zero-only\n")
    expect((await node(full, "--input-type=module", "-e", script)).stdout).toBe("mlock\n")
  })

  it("is imported and required", async () => {
    const imported = await node(bare, "--input-type=module", "-e", `
      import * as nomyo from "nomyo-js/effect"
      import * as node from "nomyo-js/node"
      import { layer } from "nomyo-js/NomyoClient"
      console.log(typeof nomyo.SecureChatCompletion, typeof node.layer, typeof layer, nomyo.NomyoClient.layer === layer)
    `)
    expect(imported.stdout).toBe("function function function true\n")
    const required = await node(bare, "--input-type=commonjs", "-e", `
      const { SecureChatCompletion, SecurityError } = require("nomyo-js")
      const client = new SecureChatCompletion({ baseUrl: "http://127.0.0.1:1" })
      client.create({ model: "m", messages: [{ role: "user", content: "x" }] }).catch((e) => console.log(e instanceof SecurityError))
    `)
    expect(required.stdout).toBe("true\n")
    const effect = await node(bare, "--input-type=commonjs", "-e", `
      const { NomyoClient } = require("nomyo-js/effect")
      console.log(NomyoClient.layer === require("nomyo-js/NomyoClient").layer)
    `)
    expect(effect.stdout).toBe("true\n")
  })

  it("has one copy of the errors and of the switch for zeroing, whichever way it is imported", async () => {
    const { stdout } = await node(bare, "--input-type=module", "-e", `
      import * as nomyo from "nomyo-js"
      import * as effect from "nomyo-js/effect"
      import * as errors from "nomyo-js/NomyoError"
      const errorsOf = (module) => Object.keys(errors).filter((name) => /^[A-Z]\\w*Error$/.test(name) && name !== 'NomyoError').map((name) => module[name])
      const same = errorsOf(nomyo).length === 10 && errorsOf(nomyo).every((Class, i) => Class === errorsOf(effect)[i] && Class === errorsOf(errors)[i])
      nomyo.disableSecureMemory()
      const bytes = Uint8Array.of(1)
      await new effect.SecureByteContext(bytes).use(() => undefined)
      console.log(same, nomyo.SecureChatCompletion !== effect.SecureChatCompletion, bytes[0])
      for (const Client of [nomyo.SecureChatCompletion, effect.SecureChatCompletion]) {
        const client = new Client({ baseUrl: process.env.TEST_ROUTER, allowHttp: true, apiKey: "wrong", keySize: 2048, keyDir: false })
        const error = await client.create({ model: "m", messages: [{ role: "user", content: "x" }] }).catch((error) => error)
        console.log(error instanceof effect.AuthenticationError, error instanceof nomyo.APIError, error.constructor === errors.AuthenticationError)
      }
    `)
    expect(stdout).toBe("true true 1\ntrue true true\ntrue true true\n")
  })

  it("says nothing of an effect that is another version than the one inside", async () => {
    const file = Path.join(full, "node_modules/effect/dist/esm/internal/version.js")
    const original = Fs.readFileSync(file, "utf8")
    Fs.writeFileSync(file, original.replace(/"3\.[\d.]+"/, "\"3.99.0\""))
    try {
      const { stderr, stdout } = await node(full, "--input-type=module", "-e", `
        import { SecureChatCompletion, SecurityError } from "nomyo-js"
        const client = new SecureChatCompletion({ baseUrl: "http://127.0.0.1:1" })
        const error = await client.create({ model: "m", messages: [{ role: "user", content: "x" }] }).catch((error) => error)
        console.log((await import("effect/ModuleVersion")).getCurrentVersion(), error instanceof SecurityError)
      `)
      expect({ stdout, stderr }).toEqual({ stdout: "3.99.0 true\n", stderr: "" })
    } finally {
      Fs.writeFileSync(file, original)
    }
  })

  it("keeps its insides to itself", async () => {
    for (const path of ["nomyo-js/internal/base64", "nomyo-js/cli/main", "nomyo-js/promise/PromiseClient"]) {
      await expect(node(bare, "--input-type=module", "-e", `await import("${path}")`)).rejects.toThrow(
        "ERR_PACKAGE_PATH_NOT_EXPORTED"
      )
    }
  })

  it("has a command by its own name, which npx looks for, and by a shorter one", async () => {
    for (const name of ["nomyo", "nomyo-js"]) {
      const { stdout } = await run(Path.join(bare, "node_modules/.bin", name), ["--version"])
      expect(stdout).toBe(`${packageJson.version}\n`)
    }
  })

  it("lets a script end that forgets to dispose", async () => {
    const script = (more: string) => `
      import { SecureChatCompletion } from "nomyo-js"
      const client = new SecureChatCompletion({ baseUrl: process.env.TEST_ROUTER, allowHttp: true, apiKey: process.env.NOMYO_API_KEY, keySize: 2048, keyDir: false })
      const answer = await client.create({ model: "${more}", messages: [{ role: "user", content: "Hello!" }] })
      console.log(answer.choices[0].message.content)
    `
    const { stdout } = await node(bare, "--input-type=module", "-e", script("m"))
    expect(stdout).toBe("You said: Hello!\n")
    // and waits for an answer that takes a second try
    expect((await node(bare, "--input-type=module", "-e", script("status/503/1"))).stdout).toBe(
      "You said: Hello!\n"
    )
  })

  // the other modes of resolution: test/packages/types.test.ts
  it("type-checks its README", async () => {
    for (const { code, language, line } of examples)
      Fs.writeFileSync(Path.join(full, `readme-${line}.${language}`), code)
    Fs.writeFileSync(
      Path.join(full, "tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          module: "Node16",
          moduleResolution: "Node16",
          target: "ES2022",
          lib: ["ES2023", "ESNext.Disposable", "DOM", "DOM.Iterable"],
          strict: true,
          noEmit: true,
          allowJs: true,
          checkJs: true,
          types: ["node"],
          typeRoots: [Path.join(root, "node_modules/@types")]
        },
        include: ["readme-*"]
      })
    )
    const { stdout } = await run(process.execPath, [Path.join(root, "node_modules/typescript/bin/tsc")], {
      cwd: full
    }).catch((error) => error)
    expect(stdout).toBe("")
  })

  it.each(examples)("runs $name", async ({ code, language, line }) => {
    // each as if it were the first: without the keys of another
    Fs.rmSync(Path.join(full, "client_keys"), { recursive: true, force: true })
    const file = Path.join(full, `run-${line}.mjs`)
    Fs.writeFileSync(file,
      language === "js" ? code : (await transform(code, { loader: "ts", target: "node20" })).code)
    const { stderr, stdout } = await node(full, "--import",
      Path.join(root, "test/support/send-to-router.mjs"), file)
    expect(stdout).toMatch(/You said: |^[0-9a-f]{64}$/m)
    expect(stderr).toBe("")
  })

  const commands = blocks("README.md", "sh").flatMap(({ code }) => code.split("\n")).filter((line) =>
    line.includes("npx nomyo-js")
  )

  it.each(commands)("runs: %s", async (command) => {
    Fs.writeFileSync(Path.join(full, "report.txt"), "All is well.")
    const preload = Path.join(root, "test/support/send-to-router.mjs")
    // in a group of its own, to end what the shell started
    const shell = spawn("bash", ["-c", command], {
      cwd: full,
      detached: true,
      env: { ...process.env, TEST_ROUTER: router.value, NOMYO_API_KEY: API_KEY,
        NODE_OPTIONS: `--import ${preload}` }
    })
    let stdout = ""
    shell.stdout.on("data", (chunk) => {
      stdout += chunk
      if (/^(listening on|http:)/m.test(stdout)) process.kill(-shell.pid!, "SIGTERM")
    })
    await once(shell, "close")
    expect(stdout).toMatch(
      /You said: |^listening on http:\/\/127\.0\.0\.1:12435$|^http:\/\/127\.0\.0\.1:12436\/v1$/m
    )
  })
})
