/**
 * Checks the words of the documentation and of the source, as part of `npm run check`. The rules and their
 * reasons are in doc/contributing.md. It skips generated blocks, and what lies between `<!-- prose: off -->`
 * and `<!-- prose: on -->`.
 */
import { TextlintKernel } from "@textlint/kernel"
import markdown from "@textlint/textlint-plugin-markdown"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { split } from "sentence-splitter"
import { StringSource } from "textlint-util-to-string"

const root = Path.resolve(import.meta.dirname, "..")

/** In words. What follows a colon does not count: it reads as a list. */
const LONGEST_SENTENCE = 25

/** Turns of phrase that readers read twice, and what to write instead. */
const habits = [
  [/\b(is|are|was) told\b/i, "say who tells whom what, such as \"you pass X to Y\""],
  [/\blet(s|ting)? go of\b/i, "\"releases\""],
  [/\bmends?\b/i, "\"fixes\", or the command to run"],
  [
    /(^|[.,:;] )who(ever)? (records|steals|reads|sends|asks|wants|pins|has|can)\b/i,
    "a noun: \"an attacker who …\""
  ],
  [/\b(what is|are|is) out\b(?! of)/i, "\"in flight\""],
  [/\bwhat (came|comes|becomes|became) of\b/i, "\"the result\""],
  [/\bthe same holds\b|^the same,/i, "say it of both"],
  [/\banew\b/i, "\"again\""],
  [/\bhanded on\b/i, "\"passed on\""],
  [/\b(to|can) be had\b/i, "\"is available\""],
  [/\boverdue\b/i, "\"expired\""],
  [/\bhow long it was to be\b/i, "\"has the wait\""],
  [/\bwith the calls of\b/i, "\"compatible with\""]
]

/** Blanks out what is not checked, and keeps its line ends. */
const withoutUnchecked = (text) =>
  text.replaceAll(/<!-- (?:begin \S+ -->[^]*?<!-- end|prose: off -->[^]*?<!-- prose: on)[^>]*-->/g, (block) =>
    block.replaceAll(/[^\n]/g, ""))

const checkHabits = ({ RuleError, Syntax, getSource, locator, report }) => ({
  [Syntax.Str]: (node) => {
    for (const [habit, remedy] of habits) {
      const match = habit.exec(getSource(node))
      if (match === null) continue
      const padding = locator.range([match.index, match.index + match[0].length])
      report(node, new RuleError(`"${match[0].trim()}": write ${remedy}`, { padding }))
    }
  }
})

const wordsOf = (sentence) => sentence.replace(/:\s[^]*$/, "").match(/[\p{L}\p{N}][\p{L}\p{N}’'.-]*/gu) ?? []

const checkLengths = ({ RuleError, Syntax, locator, report }) => ({
  [Syntax.Paragraph]: (node) => {
    const source = new StringSource(node)
    for (const { range, raw, type } of split(source.toString())) {
      if (type !== "Sentence" || wordsOf(raw).length <= LONGEST_SENTENCE) continue
      const padding = locator.at(source.originalIndexFromIndex(range[0]) ?? 0)
      const message = `${wordsOf(raw).length} words: split the sentence "${raw.slice(0, 40)}…"`
      report(node, new RuleError(message, { padding }))
    }
  }
})

const kernel = new TextlintKernel()

const options = (filePath) => ({
  filePath,
  ext: ".md",
  plugins: [{ pluginId: "markdown", plugin: markdown.default ?? markdown }],
  rules: [
    { ruleId: "habits", rule: checkHabits },
    { ruleId: "lengths", rule: checkLengths }
  ]
})

const checkPage = async (page) => {
  const text = withoutUnchecked(Fs.readFileSync(Path.join(root, page), "utf8"))
  const { messages } = await kernel.lintText(text, options(page))
  return messages.map(({ line, message }) => `${page}:${line}: ${message}`)
}

/** Habits of docstrings. An editor's hover begins with their first line. */
const hoverHabits = [
  [/^What (?!happened|to do)/, "a noun: the thing that it is, or a verb for what it does"],
  [/^Gives /, "\"Returns\", \"Yields\" or \"Passes\""],
  [/\b(sent|sends?|passed|passes|repeats?) anew\b|\bmeanwhile\b/, "\"again\", \"first\" or \"in between\""]
]

/** Comments and messages of a source file, line by line. */
const checkSource = (file) =>
  Fs.readFileSync(Path.join(root, file), "utf8").split("\n").flatMap((line, i) =>
    [...habits, ...hoverHabits].filter(([habit]) => habit.test(line.replace(/^[\s/*]+/, "")))
      .map(([, remedy]) => `${file}:${i + 1}: "${line.trim()}": write ${remedy}`))

const filesIn = (folder, extension) =>
  Fs.readdirSync(Path.join(root, folder), { recursive: true })
    .filter((name) => name.endsWith(extension))
    .map((name) => Path.posix.join(folder, ...name.split(Path.sep)))
    .toSorted()

const GENERATED = "doc/api-reference.md"
const pages = ["README.md", "SECURITY.md", ...filesIn("doc", ".md").filter((page) => page !== GENERATED)]
const found = [
  ...(await Promise.all(pages.map(checkPage))).flat(),
  ...filesIn("src", ".ts").flatMap(checkSource)
]
for (const problem of found) console.error(problem)
process.exitCode = found.length === 0 ? 0 : 1
