/**
 * What the built package exports, as the TypeScript compiler sees it, and how `dist/api-reference.md` shows
 * it.
 */
import GithubSlugger from "github-slugger"
import * as Fs from "node:fs"
import * as Path from "node:path"
import ts from "typescript"
import packageJson from "../package.json" with { type: "json" }

/** The project's folder, where npm runs scripts and tests. */
const root = process.cwd()
const dist = Path.join(root, "dist/")

/** The declaration files of what can be imported by name. */
export const entryPoints: ReadonlyArray<readonly [specifier: string, file: string]> = Object.entries(
  packageJson.exports
).flatMap(
  ([path, target]) => {
    if (target === null || typeof target === "string") return []
    // what the bundle of types is made of, module by module
    const file = "types" in target ? target.types : "dist/promise/index.d.ts"
    return file.endsWith("/index.d.ts")
      ? [[Path.posix.join("nomyo-js", path), Path.join(root, file)] as const]
      : []
  }
)

/** One name that a module exports. */
interface Export {
  readonly name: string
  readonly symbol: ts.Symbol
  readonly declarations: ReadonlyArray<ts.Declaration>
}

/** A module, by the specifier it is imported by, or as a namespace of one that is. */
export interface Module {
  readonly name: string
  readonly file: ts.SourceFile
  readonly exports: ReadonlyArray<Export>
}

/**
 * Modules at the top have specifiers of their own; the others are namespaces of the module that exports them.
 */
const nameOf = (parent: string, name: string) =>
  parent === "nomyo-js/effect" ? `nomyo-js/${name}` : `${name} of ${parent}`

export const modulesOf = (program: ts.Program): ReadonlyArray<Module> => {
  const checker = program.getTypeChecker()
  const modules = new Map<ts.SourceFile, Module>()
  const visit = (name: string, file: ts.SourceFile) => {
    if (modules.has(file)) return
    const exports: Array<Export> = []
    modules.set(file, { name, file, exports })
    for (const exported of checker.getExportsOfModule(checker.getSymbolAtLocation(file)!)) {
      const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
      const declarations = symbol.declarations ?? []
      const source = declarations.find(ts.isSourceFile)
      if (source === undefined) exports.push({ name: exported.name, symbol, declarations })
      else visit(nameOf(name, exported.name), source)
    }
  }
  for (const [specifier, file] of entryPoints) visit(specifier, program.getSourceFile(file)!)
  return [...modules.values()]
}

/**
 * The comment that a module begins with. Of the source: the compiler drops it with an import that only types
 * need.
 */
const moduleDoc = (file: ts.SourceFile): { readonly text: string; readonly since: boolean } => {
  const source = Fs.readFileSync(
    file.fileName.replace(dist, Path.join(root, "src/")).replace(/\.d\.ts$/, ".ts"),
    "utf8"
  )
  const [, comment = ""] = /^\/\*\*([^]*?)\*\//.exec(source) ?? []
  const lines = comment.replaceAll(/^ \* ?/gm, "")
  return { text: lines.replace(/^@since[^]*/m, "").trim(), since: /^@since \d+\.\d+\.\d+$/m.test(lines) }
}

const docOf = (program: ts.Program, symbol: ts.Symbol) =>
  ts.displayPartsToString(symbol.getDocumentationComment(program.getTypeChecker()))

/** The tags that a declaration lacks. */
const untagged = (declaration: ts.Declaration): ReadonlyArray<string> => {
  const tags = new Set(
    ts.getJSDocTags(declaration).map(({ comment, tagName }) => comment === undefined ? "" : tagName.text)
  )
  return ["since", "category"].filter((tag) => !tags.has(tag)).map((tag) => `@${tag}`)
}

/** What exported names lack: `@since` and `@category` at each declaration, and a sentence at one of them. */
export const undocumented = (program: ts.Program): ReadonlyArray<string> => {
  const missing = ({ declarations, symbol }: Export) => [
    ...declarations.flatMap(untagged),
    ...(docOf(program, symbol) === "" ? ["what it is"] : [])
  ]
  return modulesOf(program).flatMap(({ exports, file, name }) => [
    ...(moduleDoc(file).since ? [] : [`${name}: @since`]),
    ...exports.flatMap((exported) => missing(exported).map((what) => `${name}: ${exported.name}: ${what}`))
  ])
}

const line = (text: string) => text.replaceAll(/\/\*\*[^]*?\*\//g, "").replaceAll(/\s+/g, " ").trim()
const escape = (text: string) => text.replaceAll("|", "\\|")
/** Paragraphs and lists of a comment, on the one line that a table's cell is. */
const cell = (text: string) =>
  escape(text.replaceAll(/\n+- /g, "<br>• ").replaceAll("\n\n", "<br>").replaceAll("\n", " "))
const code = (text: string) => `\`${escape(line(text))}\``
const row = (...cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
const anchor = (heading: string) => new GithubSlugger().slug(heading)

/** Longer types are better read in the source. */
const LONGEST_TYPE = 250
const typeCell = (text: string) => text === "" || text.length > LONGEST_TYPE ? "" : code(text)

/** A type as it is written, or else as the compiler would write it. */
const typeOf = (program: ts.Program, symbol: ts.Symbol, written: ts.TypeNode | undefined): string => {
  const checker = program.getTypeChecker()
  const text = written?.getText() ??
    checker.typeToString(checker.getTypeOfSymbol(symbol), undefined, ts.TypeFormatFlags.NoTruncation)
  return line(text).replace(/^\((.*)\) \| undefined$|^(.*?) \| undefined$/, "$1$2")
}

const kindOf = (program: ts.Program, { declarations, symbol }: Export): string => {
  const [first] = declarations
  if (first === undefined) return ""
  if (ts.isClassDeclaration(first)) return "class"
  if (ts.isInterfaceDeclaration(first)) return "interface"
  if (ts.isTypeAliasDeclaration(first)) return typeCell(line(first.type.getText()))
  if (declarations.length > 1) return "schema, and the type it describes"
  const type = typeOf(program, symbol, ts.isVariableDeclaration(first) ? first.type : undefined)
  return type.startsWith("Schema.") ? "schema" : typeCell(type)
}

interface Member {
  readonly name: string
  readonly declaration: ts.Declaration
  readonly row: string
}

const membersOf = (program: ts.Program, { declarations, symbol }: Export): ReadonlyArray<Member> => {
  const checker = program.getTypeChecker()
  const isObject = declarations.some((each) => ts.isInterfaceDeclaration(each) || ts.isClassDeclaration(each))
  // a schema's type has the schema's fields
  const isSchema = declarations.length > 1 && declarations.some(ts.isTypeAliasDeclaration)
  if (!isObject && !isSchema) return []
  const type = checker.getDeclaredTypeOfSymbol(symbol)
  return type.isUnion() ? [] : checker.getPropertiesOfType(type).flatMap((property) => {
    const [declaration] = property.declarations ?? []
    if (declaration === undefined || !declaration.getSourceFile().fileName.startsWith(dist)) return []
    if (ts.getCombinedModifierFlags(declaration) & (ts.ModifierFlags.Protected | ts.ModifierFlags.Private))
      return []
    const node = ts.getNameOfDeclaration(declaration)
    if (node === undefined || ts.isPrivateIdentifier(node) || node.getText() === "_tag") return []
    const name = node.getText()
    const written =
      !isSchema && (ts.isPropertySignature(declaration) || ts.isPropertyDeclaration(declaration))
        ? declaration.type
        : undefined
    const shown = ts.isMethodDeclaration(declaration)
      ? `(${
        declaration.parameters.map((parameter) => parameter.getText()).join(", ")
      }) => ${declaration.type?.getText()}`
      : typeOf(program, property, written)
    return [{ name, declaration, row: row(code(name), typeCell(shown), cell(docOf(program, property))) }]
  })
}

/**
 * The tables of the API reference: every name that can be imported, and the members of those that have some,
 * each of them once.
 */
export const reference = (program: ts.Program): string => {
  const shown = new Map<ts.Node, string>()
  const sectionOf = (heading: string, exported: Export): ReadonlyArray<string> => {
    if (exported.declarations.every((declaration) => shown.has(declaration))) return []
    for (const declaration of exported.declarations) shown.set(declaration, heading)
    const members = membersOf(program, exported)
    if (members.length === 0) return []
    const own = members.filter(({ declaration }) => !shown.has(declaration))
    const inherited = members.flatMap(({ declaration, name }) =>
      shown.has(declaration) ? [{ name, from: shown.get(declaration)! }] : []
    )
    for (const { declaration } of own) shown.set(declaration, heading)
    return [
      `### ${heading}`,
      ...(own.length === 0
        ? []
        : [["| member | type | |", "|---|---|---|", ...own.map((member) => member.row)].join("\n")]),
      ...[...new Set(inherited.map(({ from }) => from))].map((from) => {
        const names = inherited.flatMap((member) => member.from === from ? [code(member.name)] : [])
        return `${names.join(", ")}: see [${from}](#${anchor(from)}).`
      })
    ]
  }
  return modulesOf(program).flatMap(({ exports, file, name }) => [
    `## ${name}`,
    moduleDoc(file).text,
    ...(exports.length === 0 ? [] : [[
      "| export | type | |",
      "|---|---|---|",
      ...exports.map((exported) =>
        row(code(exported.name), kindOf(program, exported), cell(docOf(program, exported.symbol)))
      )
    ].join("\n")]),
    ...exports.flatMap((exported) => sectionOf(`${exported.name} of ${name}`, exported))
  ]).join("\n\n")
}
