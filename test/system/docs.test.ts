/**
 * Holds the documentation to the code: what it shows compiles and runs, what it links to is there, what is
 * exported is explained.
 */
import { transform } from "esbuild"
import GithubSlugger from "github-slugger"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import ts from "typescript"
import { beforeAll, describe, expect, it } from "vitest"
import * as Api from "../../scripts/api.js"
import { attackers, columns, defences } from "../support/attackers.js"
import * as Pages from "../support/pages.js"
import { rules } from "../support/realAnswers.js"
import * as Servers from "../support/servers.js"
import * as Vectors from "../support/vectors.js"

const run = promisify(execFile)

/** Where npm's page of the package leads: files of this project, by whole URLs. */
const OWN_URL =
  /^https:\/\/(?:github\.com\/nomyo-ai\/nomyo-js\/blob|raw\.githubusercontent\.com\/nomyo-ai\/nomyo-js)\/main\//

// one that needs a server of its own has a test of its own
const examples = Pages.files("doc/examples", ".js", ".ts").filter((file) =>
  !file.startsWith("doc/examples/router/")
)

/** Every piece of code on the pages, by the name of the file it would be. */
const snippets = new Map<string, string>()
for (const page of Pages.pages) {
  for (const language of ["js", "ts"]) {
    for (const { code, line } of Pages.blocks(page, language))
      snippets.set(`${page}:${line}.${language}`, code)
  }
  for (const { code, line } of Pages.blocks(page, "html")) {
    const [, script] = /<script type="module">([^]*?)<\/script>/.exec(code) ?? []
    if (script !== undefined)
      snippets.set(`${page}:${line}.js`,
        script.replace("\"./index.js\"", "\"nomyo-js\""))
  }
}
for (const file of Pages.files("src", ".ts")) {
  for (const [i, [, code]] of [...Pages.read(file).matchAll(/^ \* @example\n([^]*?)^ \* @/gm)].entries()) {
    snippets.set(`${file}:${i}.js`, code!.replaceAll(/^ \* ?/gm, ""))
  }
}

const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleDetection: ts.ModuleDetectionKind.Force,
  lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts",
    "lib.dom.asynciterable.d.ts"],
  types: ["node"],
  strict: true,
  allowJs: true,
  checkJs: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  noEmit: true
}

let program: ts.Program
/** Only what is exported: the compiler names types in the order it meets them, which no page is to change. */
let api: ts.Program
let made: { readonly [name: string]: string }

/** It all finds `nomyo-js` as its users do: by the `exports` of package.json, in `dist`. */
beforeAll(() => {
  const sources = new Map([...snippets].map(([name, code]) => [Path.join(Pages.root, name), code]))
  const parsed = new Map<string, ts.SourceFile | undefined>()
  const host = ts.createCompilerHost(options, true)
  const { fileExists, getSourceFile } = host
  const cache = ts.createModuleResolutionCache(Pages.root, (name) => name, options)
  /** Effect 4 is beside Effect 3 here, under another name. */
  const usesEffect4 = (file: string) =>
    file.includes("/dist/effect4/") || sources.get(file)?.includes("\"nomyo-js/effect4\"") === true
  Object.assign(host, {
    getCurrentDirectory: () => Pages.root,
    resolveModuleNameLiterals: (literals, from, redirected, settings, file) =>
      literals.map((literal) => {
        const name = usesEffect4(from) ? literal.text.replace(/^effect\//, "effect4/") : literal.text
        const mode = ts.getModeForUsageLocation(file, literal, settings)
        return ts.resolveModuleName(name, from, settings, host, cache, redirected, mode)
      }),
    fileExists: (file) => sources.has(file) || fileExists(file),
    getSourceFile: (file, version, ...rest) => {
      const code = sources.get(file)
      if (!parsed.has(file))
        parsed.set(file, code === undefined
          ? getSourceFile(file, version, ...rest)
          : ts.createSourceFile(file, code, version, true))
      return parsed.get(file)
    }
  } satisfies Partial<ts.CompilerHost>)
  const entryPoints = Api.entryPoints.map(([, file]) => file)
  api = ts.createProgram(entryPoints, options, host)
  made = {
    vectors: [
      "| | vector | why |",
      "|---|---|---|",
      ...rows("request", Vectors.requests),
      ...rows("response", Vectors.responses),
      ...rows("bad response", Vectors.badResponses)
    ].join("\n"),
    answers: table(["what the model server says", "what it becomes", "tried"],
      rules.map(({ name, outcome, shapes }) => [name, outcome, shapes.length])),
    attackers: table(["attacker", ...columns], Object.entries(attackers).map(([attacker, cells]) => [attacker,
      ...columns.map((column) => cells[column]!.words)])),
    defences: table(["an attacker that", "gets"],
      defences.map(({ attack, outcome, tests: [file, ...names] }) => [
        attack,
        `${outcome} <!-- test: ${file} ${names.map((name) => `"${name}"`).join(" ")} -->`
      ]))
  }
  program = ts.createProgram([...entryPoints, ...sources.keys(),
    ...examples.map((file) => Path.join(Pages.root, file))], options, host)
})

const rows = (kind: string, vectors: ReadonlyArray<{ readonly name: string; readonly why?: string }>) =>
  vectors.map(({ name, why = "" }) => `| ${kind} | \`${name}\` | ${why} |`)

const table = (head: ReadonlyArray<string>, cells: ReadonlyArray<ReadonlyArray<string | number>>): string =>
  [
    `| ${head.join(" | ")} |`,
    `|${head.map(() => "---|").join("")}`,
    ...cells.map((row) => `| ${row.join(" | ")} |`)
  ].join("\n")

describe("pages", () => {
  it("show code that compiles", () => {
    const errors = ts.getPreEmitDiagnostics(program)
      // JavaScript may leave types out
      .filter(({ code, file }) => !(code >= 7000 && code < 7100 && file?.fileName.endsWith(".js")))
      .map(({ file, messageText, start }) => {
        const { line } = file?.getLineAndCharacterOfPosition(start ?? 0) ?? { line: 0 }
        return `${file === undefined ? "" : Path.relative(Pages.root, file.fileName)} +${line + 1}: ${
          ts.flattenDiagnosticMessageText(messageText, "\n")
        }`
      })
    expect(errors).toEqual([])
    for (const { code } of Pages.pages.flatMap((page) => Pages.blocks(page, "json"))) JSON.parse(code)
    expect(snippets.size).toBeGreaterThan(10)
  })

  it("link to what is there", () => {
    const anchors = new Map(Pages.pages.map((page) => {
      const slugger = new GithubSlugger()
      const prose = Pages.read(page).replaceAll(/^```[^]*?^```$/gm, "")
      return [page,
        [...prose.matchAll(/^#+ +(.*)$/gm)].map(([, heading]) =>
          slugger.slug(heading!.replaceAll(/[`*]|\[([^\]]*)\]\([^)]*\)/g, "$1"))
        )]
    }))
    const broken = Pages.pages.flatMap((page) => {
      const prose = Pages.read(page).replaceAll(/^```[^]*?^```$/gm, "").replaceAll(/`[^`\n]*`/g, "")
      return [...prose.matchAll(/\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$|(?:src|href)="([^"]+)"/gm)].flatMap(
        ([, inline, reference, html]) => {
          const target = (inline ?? reference ?? html)!
          const own = OWN_URL.exec(target)
          if (own === null && /^(https?|mailto):/.test(target)) return []
          const [file = "", anchor] = target.replace(OWN_URL, "").split("#")
          const folder = own === null ? Path.posix.dirname(page) : "."
          const path = file === "" ? page : Path.posix.join(folder, file)
          const isThere = Fs.existsSync(Path.join(Pages.root, path)) &&
            (anchor === undefined || anchors.get(path)?.includes(anchor) === true)
          return isThere ? [] : [`${page}: ${target}`]
        }
      )
    })
    expect(broken).toEqual([])
  })

  it.each(Pages.pages.filter((page) => page.startsWith("doc/")))("%s says its job first", (page) => {
    expect(Pages.read(page)).toMatch(/^# .+\n\n(Tutorial|How-to|Reference|Explanation): /)
  })

  it("link by whole URLs where npm shows them", () => {
    const relative = [...Pages.read("README.md").matchAll(/\]\((?!https:|#)([^)]*)\)/g)].map(([, target]) =>
      target
    )
    expect(relative).toEqual([])
  })

  it("name tests that exist for what they claim", () => {
    const claims = Pages.pages.flatMap((page) =>
      [...Pages.read(page).matchAll(/<!-- test: (\S+\.ts)((?: "[^"]+")+) -->/g)].flatMap(([, file, names]) =>
        [...names!.matchAll(/"([^"]+)"/g)].map(([name]) => ({ page, file: file!, name }))))
    const unproven = claims.filter(({ file, name }) =>
      !Fs.existsSync(Path.join(Pages.root, file)) || !Pages.read(file).includes(name))
    expect(unproven).toEqual([])
    for (const page of ["README.md", "doc/security-guide.md", "doc/protocol.md", "doc/protocol-2.md"]) {
      expect(claims.map((claim) => claim.page)).toContain(page)
    }
  })

  it.each(Pages.pages.filter((page) => /^<!-- begin /m.test(Pages.read(page))))(
    "%s repeats what it is made from",
    async (page) => {
      const filled = Pages.read(page).replaceAll(/(<!-- begin ([^ …]+) -->\n)(?:(?!<!-- begin )[^])*?(<!-- end -->)/g,
        (_, begin, name: string, end) => {
          const text = made[name] ??
            `\`\`\`${Path.extname(name).slice(1)}\n${
              Pages.read(Path.posix.join(Path.posix.dirname(page), name))
            }\`\`\``
          return `${begin}\n${text}\n\n${end}`
        })
      // to write it again: npx vitest run test/system/docs.test.ts --update
      await expect(filled).toMatchFileSnapshot(Path.join(Pages.root, page))
    }
  )

  it("explain every error and every reason for one", () => {
    const page = Pages.read("doc/troubleshooting.md")
    const module = Api.modulesOf(api).find(({ name }) => name === "nomyo-js/NomyoError")!
    const checker = api.getTypeChecker()
    const isError = (declaration: ts.Declaration) =>
      ts.getJSDocTags(declaration).some(({ comment }) => comment === "errors")
    const classes = module.exports.filter(({ declarations }) => declarations.some(isError)).map(({ name }) =>
      name
    ).filter((name) => name !== "NomyoError")
    const reasons = ["ConnectionReason", "SecurityReason"].flatMap((name) => {
      const type = checker.getDeclaredTypeOfSymbol(
        module.exports.find((exported) => exported.name === name)!.symbol
      )
      return (type as ts.UnionType).types.map((each) => (each as ts.StringLiteralType).value)
    })
    expect(classes).toHaveLength(10)
    expect(reasons.length).toBeGreaterThan(15)
    const explained = new Set([...page.matchAll(/^(?:#+ |\| )`([\w-]+)`/gm)].map(([, name]) => name!))
    expect([...classes, ...reasons].filter((name) => !explained.has(name))).toEqual([])
  })

  it("list every example", () => {
    const page = Pages.read("doc/examples.md")
    expect(examples.filter((file) => !page.includes(`](${file.replace("doc/", "")})`))).toEqual([])
    expect(examples.length).toBeGreaterThanOrEqual(12)
  })
})

describe("exports", () => {
  it("are all in the API reference", () => {
    const reference = Api.reference(api)
    const missing = Api.modulesOf(api).flatMap(({ exports, name }) =>
      exports.filter((exported) => !reference.includes(`| \`${exported.name}\` |`)).map((exported) =>
        `${name}: ${exported.name}`
      )
    )
    expect(missing).toEqual([])
  })

  it("say what they are, since when, and of what kind", () => {
    expect(Api.undocumented(api)).toEqual([])
  })
})

describe("examples", () => {
  const programs = examples.filter((file) => !file.endsWith(".test.ts"))
  const outputs = new Map<string, string>()

  /**
   * Runs them one after the other in one process, in a folder with the package in it and a key pair that was
   * made before.
   */
  beforeAll(async () => {
    const router = await Servers.scoped(Servers.router())
    const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "nomyo-docs-"))
    try {
      const path = (name: string) => Path.join(directory, name)
      Fs.mkdirSync(path("node_modules"))
      for (const name of ["effect", "@effect", "openai", "ai", "@ai-sdk", "@langchain", "zod"])
        Fs.symlinkSync(Path.join(Pages.root, "node_modules", name), path(`node_modules/${name}`), "dir")
      Fs.symlinkSync(Pages.root, path("node_modules/nomyo-js"), "dir")
      Fs.mkdirSync(path("client_keys"))
      Fs.copyFileSync(Vectors.path("keys/client_4096.pub.pem"), path("client_keys/public_key.pem"))
      Fs.writeFileSync(path("client_keys/private_key.pem"),
        Fs.readFileSync(Vectors.path("keys/client_4096.pem")), { mode: 0o600 })
      for (const [i, file] of programs.entries()) {
        const code = Pages.read(file)
        Fs.writeFileSync(path(`${i}.mjs`),
          file.endsWith(".js") ? code : (await transform(code, { loader: "ts", target: "node20" })).code)
      }
      const all = programs.map((_, i) =>
        `await import("./${i}.mjs").catch((error) => console.log(error)); console.log("\\0")`
      )
      Fs.writeFileSync(path("all.mjs"), all.join("\n"))
      const { stderr, stdout } = await run(process.execPath, ["all.mjs"], {
        cwd: directory,
        env: { ...process.env, NOMYO_BASE_URL: router.value, NOMYO_ALLOW_HTTP: "true",
          NOMYO_API_KEY: "sk-docs-0123456789" },
        timeout: 60_000
      })
      for (const [i, output] of withoutWarnings(stdout).split("\0\n").entries())
        if (i < programs.length) outputs.set(programs[i]!, output)
      expect(withoutWarnings(stderr)).toBe("")
    } finally {
      await router.close()
      Fs.rmSync(directory, { recursive: true })
    }
  })

  /** What the client says of a router without TLS, by the logger of the Promise classes or of Effect. */
  const withoutWarnings = (output: string) =>
    output.replaceAll(/^.*(?:level=WARN|nomyo-js: ).*plain HTTP.*\n/gm, "")

  it.each(programs)("%s prints what it says", (file) => {
    const [, promised = ""] =
      /^\/\/ (?:With the echo model this|This) prints:\n((?:\/\/.*\n)+)$/m.exec(Pages.read(file)) ?? []
    const lines = promised.replaceAll(/^\/\/ ?/gm, "").replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll(
      "…",
      ".*"
    )
    expect(lines).not.toBe("")
    expect(outputs.get(file)).toMatch(new RegExp(`^${lines}$`))
  })
})
