/** What an editor shows of the Promise API, by TypeScript's language service on the built declarations. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import ts from "typescript"
import { describe, expect, it } from "vitest"
import { root } from "../support/pages.js"

const FILE = Path.join(root, "hover.ts")

/** Each mark stands before a name that is hovered over. */
const PROGRAM = `
import { RateLimitError, SecureChatCompletion, SecurityError } from "nomyo-js"
import { createFetch } from "nomyo-js/fetch"

const client = new SecureChatCompletion({
  /*1*/baseUrl: "https://router.test",
  /*2*/timeout: 30_000,
  /*3*/maxRetries: 1,
  /*4*/keyRotationInterval: "12 hours",
  /*5*/keySize: 2048,
  /*6*/maxResponseBytes: 1_000_000,
  /*7*/throttle: true,
  /*8*/keyDir: false,
  /*9*/routerKeyTtl: "5 minutes",
  protocol: 2,
  /*22*/padding: false,
  /*23*/idleTimeout: "2 minutes"
})
const answer = await client./*10*/create({
  model: "m",
  messages: [],
  /*11*/temperature: 1,
  /*12*/max_completion_tokens: 10,
  /*13*/security_tier: "high",
  /*14*/seed: 1
})
answer./*15*/created
client./*16*/rotateKeys()
client./*17*/createAll([], { /*18*/concurrency: 2 })
declare const limited: RateLimitError
limited./*19*/retryAfter
declare const refused: SecurityError
refused./*20*/reason
createFetch(client, { /*21*/maxRetries: 1 })
`

/** What each hover says: the meaning, the unit and the default, where there is one. */
const expected: ReadonlyArray<readonly [name: string, ...said: ReadonlyArray<string>]> = [
  ["baseUrl", "URL of the router", "Default `https://api.nomyo.ai`"],
  ["timeout", "Time limit of one attempt", "A number is milliseconds", "Default 60 seconds"],
  ["maxRetries", "Maximum number of retries", "Default 2"],
  ["keyRotationInterval", "Age at which a key pair is replaced", "milliseconds", "Default 24 hours"],
  ["keySize", "Length of the client's RSA keys in bits", "Default 4096"],
  ["maxResponseBytes", "Largest answer to accept, in bytes", "Default 64 MiB"],
  ["throttle", "within the service's limit", "Default `false`"],
  ["keyDir", "Directory of the client's key pair", "Default `client_keys`"],
  ["routerKeyTtl", "before it is fetched again", "A number is milliseconds", "Default 1 hour"],
  ["create", "encrypts it, sends it, and decrypts the answer"],
  ["temperature", "How random the answer is, from 0 to 2", "Default: the model server's"],
  ["max_completion_tokens", "Maximum number of tokens in an answer", "Default: the model server's limit"],
  ["security_tier", "The hardware that runs this request", "Default: the router's choice"],
  ["seed", "makes answers repeatable", "Default: random"],
  ["created", "Unix seconds"],
  ["rotateKeys", "Replaces the client's key pair"],
  ["createAll", "Sends the requests, `concurrency` at a time"],
  ["concurrency", "Number of requests that may be in flight", "Default 4"],
  ["retryAfter", "in milliseconds"],
  ["reason", "Which security rule ended the request"],
  ["maxRetries", "Number of times the client retries a failed request", "Default 0"],
  ["padding", "Under protocol 2, pads short requests to 1024 bytes", "12 %", "Default `true`"],
  ["idleTimeout", "Longest silence within a streamed answer", "A number is milliseconds", "Default 60 seconds"]
]

const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts", "lib.dom.d.ts"],
  types: [],
  strict: true
}

/** It finds `nomyo-js` as its users do: by the `exports` of package.json, in `dist`. */
const service = ts.createLanguageService({
  getCompilationSettings: () => options,
  getScriptFileNames: () => [FILE],
  getScriptVersion: () => "1",
  getScriptSnapshot: (file) => {
    const text = file === FILE ? PROGRAM : Fs.existsSync(file) ? Fs.readFileSync(file, "utf8") : undefined
    return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
  },
  getCurrentDirectory: () => root,
  getDefaultLibFileName: ts.getDefaultLibFilePath,
  fileExists: (file) => file === FILE || ts.sys.fileExists(file),
  readFile: ts.sys.readFile,
  directoryExists: ts.sys.directoryExists,
  getDirectories: ts.sys.getDirectories
})

const hover = (index: number): string => {
  const mark = `/*${index + 1}*/`
  const info = service.getQuickInfoAtPosition(FILE, PROGRAM.indexOf(mark) + mark.length)
  // as an editor shows it: without the breaks of its lines
  return ts.displayPartsToString(info?.documentation).replaceAll(/\s+/g, " ")
}

/** The names of an entry's interfaces and classes, and of their members, that have no words of their own. */
const undocumented = (file: string): ReadonlyArray<string> => {
  const program = service.getProgram()!
  const checker = program.getTypeChecker()
  const isSilent = (symbol: ts.Symbol) => symbol.getDocumentationComment(checker).length === 0
  const membersOf = (symbol: ts.Symbol) =>
    (symbol.declarations ?? []).flatMap((node) =>
      ts.isInterfaceDeclaration(node) || ts.isClassDeclaration(node) ? [...node.members] : [])
  const module = checker.getSymbolAtLocation(program.getSourceFile(Path.join(root, file))!)!
  return checker.getExportsOfModule(module).flatMap((exported) => {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
    const members = membersOf(symbol).flatMap(({ name }) =>
      name === undefined || ts.isPrivateIdentifier(name) ? [] : checker.getSymbolAtLocation(name) ?? [])
    return [
      ...isSilent(symbol) ? [exported.name] : [],
      ...members.filter(isSilent).map((member) => `${exported.name}.${member.name}`)
    ]
  })
}

describe("hovering in an editor", () => {
  it("is over a program without errors", () => {
    const errors = service.getSemanticDiagnostics(FILE).map(({ messageText }) => messageText)
    expect(errors).toEqual([])
  })

  const cases = expected.map(([name, ...said], index) => ({ name, said, index }))

  it.each(cases)("shows what $name is", ({ index, said }) => {
    const shown = hover(index)
    for (const words of said) expect(shown).toContain(words)
  })

  const files = ["dist/bundle/index.d.ts", "dist/fetch/index.d.ts"]

  it.each(files)("shows something of every name in %s", (file) => {
    expect(undocumented(file)).toEqual([])
  })
})
