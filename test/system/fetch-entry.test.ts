/**
 * `nomyo-js/fetch` as it is installed: what it weighs, what it stands on, and whether its types fit the
 * tools.
 */
import { build } from "esbuild"
import * as Path from "node:path"
import ts from "typescript"
import { describe, expect, it } from "vitest"
import { root } from "../support/pages.js"

const file = Path.join(root, "doc/fetch-types.ts")

/** Only what a user would write: it finds the packages by their names. */
const tools = `
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { ChatOpenAI } from "@langchain/openai"
import OpenAI from "openai"
import { SecureChatCompletion } from "nomyo-js"
import { BASE_URL, createFetch, openAiOptions } from "nomyo-js/fetch"

const nomyo = new SecureChatCompletion()
const fetch = createFetch(nomyo)
new OpenAI({ apiKey: "-", baseURL: BASE_URL, fetch })
new OpenAI(openAiOptions(nomyo))
createOpenAICompatible({ name: "nomyo", baseURL: BASE_URL, fetch })
new ChatOpenAI({ configuration: { baseURL: BASE_URL, fetch } })
new ChatOpenAI({ configuration: openAiOptions(nomyo) })
const response: Promise<Response> = fetch(new URL(BASE_URL), { method: "POST", body: "{}", signal: AbortSignal.timeout(1) })
await response
`

const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleDetection: ts.ModuleDetectionKind.Force,
  types: ["node"],
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  noEmit: true
}

const compile = (code: string, lib: ReadonlyArray<string>) => {
  const host = ts.createCompilerHost(options, true)
  const { fileExists, getSourceFile } = host
  Object.assign(host, {
    getCurrentDirectory: () => root,
    fileExists: (name) => name === file || fileExists(name),
    getSourceFile: (name, version, ...rest) =>
      name === file ? ts.createSourceFile(name, code, version, true) : getSourceFile(name, version, ...rest)
  } satisfies Partial<ts.CompilerHost>)
  const program = ts.createProgram([file], { ...options, lib: [...lib] }, host)
  return {
    errors: ts.getPreEmitDiagnostics(program).map(({ messageText }) =>
      ts.flattenDiagnosticMessageText(messageText, "\n")
    ),
    files: program.getSourceFiles().map(({ fileName }) => Path.relative(root, fileName))
  }
}

const es = ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts"]
const dom = ["lib.dom.d.ts", "lib.dom.iterable.d.ts", "lib.dom.asynciterable.d.ts"]

describe("types", () => {
  it.each([["with", [...es, ...dom]], ["without", es]])("fit the fetch option of the tools %s lib dom",
    (_, lib) => {
      expect(compile(tools, lib).errors).toEqual([])
    }, 120_000)

  it("are the package's own and the platform's", () => {
    const code =
      "import { createFetch } from \"nomyo-js/fetch\"\ncreateFetch({ create: async () => ({ choices: [] }) })\n"
    const { errors, files } = compile(code, es)
    const own =
      /^(dist\/(fetch|openai|internal\/codecs)|node_modules\/(typescript|@types\/node|undici-types))\/|^doc\/fetch-types\.ts$/
    expect({ errors, others: files.filter((name) => !own.test(name)) }).toEqual({ errors: [], others: [] })
  })
})

describe("the module", () => {
  it("imports nothing that is not the package's own, and is a few kilobytes", async () => {
    const { metafile, outputFiles } = await build({
      entryPoints: [Path.join(root, "dist/fetch/index.js")],
      bundle: true,
      minify: true,
      format: "esm",
      platform: "browser",
      metafile: true,
      write: false,
      logLevel: "silent"
    })
    expect(
      Object.keys(metafile.inputs).filter((input) =>
        !/dist\/(fetch|openai|internal|internal\/codecs)\/[a-zA-Z]+\.js$/.test(input)
      )
    ).toEqual([])
    expect(outputFiles[0]!.contents.length).toBeLessThan(16_000)
  })
})
