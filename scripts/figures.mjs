/**
 * Prints how the source is built, from its syntax tree: `node scripts/figures.mjs [directory] [--list]`.
 *
 * A function's length is the lines from its first to its last. Its depth is the number of functions and of
 * blocks of `if`, `for`, `while`, `switch` and `try` around its deepest statement, counted from the top of
 * the file.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import ts from "typescript"

const LONGEST_FUNCTION = 40
const DEEPEST = 3
const WIDEST = 110

const root = Path.resolve(process.argv.slice(2).find((argument) => !argument.startsWith("--")) ?? ".")

const filesUnder = (directory) =>
  Fs.existsSync(Path.join(root, directory))
    ? Fs.readdirSync(Path.join(root, directory), { recursive: true })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => Path.join(root, directory, name))
      .toSorted()
    : []

const parse = (file) => ts.createSourceFile(file, Fs.readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true)

const isBranch = (node) =>
  ts.isIfStatement(node) || ts.isIterationStatement(node, false) || ts.isSwitchStatement(node) ||
  ts.isTryStatement(node)

/** `else if` is as deep as its `if`. */
const isElseIf = (node) =>
  ts.isIfStatement(node) && ts.isIfStatement(node.parent) && node.parent.elseStatement === node

const lineOf = (file, position) => file.getLineAndCharacterOfPosition(position).line + 1

/** Every function of a file with its lines, and with how deep functions and how deep blocks go within it. */
const functionsOf = (file) => {
  const found = []
  const visit = (node, around) => {
    let own = around
    if (ts.isFunctionLike(node) && "body" in node && node.body !== undefined) {
      own = { functions: around.functions + 1, blocks: 0 }
      const first = lineOf(file, node.getStart())
      found.push({ first, lines: lineOf(file, node.end) - first + 1, depth: own.functions })
    } else if (isBranch(node) && !isElseIf(node)) {
      own = { ...around, blocks: around.blocks + 1 }
      const first = lineOf(file, node.getStart())
      if (own.blocks > DEEPEST) found.push({ first, lines: 0, depth: own.blocks })
    }
    ts.forEachChild(node, (child) => visit(child, own))
  }
  visit(file, { functions: 0, blocks: 0 })
  return found
}

const exportsOf = (file) =>
  file.statements.flatMap((statement) => {
    if (ts.isExportDeclaration(statement)) return statement.exportClause?.elements?.length ?? 0
    if (!ts.canHaveModifiers(statement)) return 0
    const isExported = ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
    const comment = statement.getFullText().slice(0, statement.getLeadingTriviaWidth())
    if (!isExported || comment.includes("@internal")) return 0
    return ts.isVariableStatement(statement) ? statement.declarationList.declarations.length : 1
  }).reduce((a, b) => a + b, 0)

const importsOf = (file) =>
  file.statements.flatMap((statement) => {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) return []
    const specifier = statement.moduleSpecifier?.text ?? ""
    if (!specifier.startsWith(".")) return []
    return [Path.resolve(Path.dirname(file.fileName), specifier.replace(/\.js$/, ".ts"))]
  })

/** Groups of modules that import each other, types included (Tarjan's strongly connected components). */
const circlesOf = (graph) => {
  const seen = new Map()
  const stack = []
  const circles = []
  const visit = (node) => {
    const own = { index: seen.size, low: seen.size, isOpen: true }
    seen.set(node, own)
    stack.push(node)
    for (const next of graph.get(node) ?? []) {
      if (!seen.has(next)) visit(next)
      if (seen.get(next).isOpen) own.low = Math.min(own.low, seen.get(next).low)
    }
    if (own.low !== own.index) return
    const group = stack.splice(stack.indexOf(node))
    for (const member of group) seen.get(member).isOpen = false
    if (group.length > 1) circles.push(group.toSorted())
  }
  for (const node of graph.keys()) if (!seen.has(node)) visit(node)
  return circles
}

const linesOf = (files) => files.flatMap((file) => Fs.readFileSync(file, "utf8").trimEnd().split("\n"))

const sources = filesUnder("src").map(parse)

/** Whether a package can import from a file: the rest is reached by way of others, or not at all. */
const isPublic = ({ fileName }) =>
  !/\/src\/(internal|cli)\/|\/src\/promise\/(?!index)/.test(fileName)
const sourceLines = linesOf(sources.map(({ fileName }) => fileName))
const testLines = linesOf(filesUnder("test"))
const nameOf = (file) => Path.relative(root, file)
const functions = sources.flatMap((file) =>
  functionsOf(file).map((found) => ({ ...found, at: `${nameOf(file.fileName)}:${found.first}` })))
const long = functions.filter(({ lines }) => lines > LONGEST_FUNCTION)
const deep = functions.filter(({ depth }) => depth > DEEPEST)
const circles = circlesOf(new Map(sources.map((file) => [file.fileName, importsOf(file)])))

const figures = [
  [`functions of more than ${LONGEST_FUNCTION} lines`, long.length],
  [`functions or blocks nested more than ${DEEPEST} deep`, deep.length],
  ["deepest nesting of functions", functions.reduce((most, { depth }) => Math.max(most, depth), 0)],
  [`source lines of more than ${WIDEST} columns`, sourceLines.filter((line) => line.length > WIDEST).length],
  [`test lines of more than ${WIDEST} columns`, testLines.filter((line) => line.length > WIDEST).length],
  ["exported names of public modules", sources.filter(isPublic).map(exportsOf).reduce((a, b) => a + b, 0)],
  ["circles of imports", circles.length],
  ["source lines", sourceLines.length],
  ["test lines", testLines.length]
]
for (const [what, number] of figures) process.stdout.write(`${String(number).padStart(6)}  ${what}\n`)

if (process.argv.includes("--list")) {
  const list = [
    ...long.toSorted((a, b) => b.lines - a.lines).map(({ at, lines }) => `${at} is ${lines} lines long`),
    ...deep.toSorted((a, b) => b.depth - a.depth).map(({ at, depth }) => `${at} is ${depth} deep`),
    ...circles.map((group) => `these import each other: ${group.map(nameOf).join(", ")}`)
  ]
  process.stdout.write(`${list.join("\n")}\n`)
}
