/**
 * Writes README's table of platforms from the report of `npm run test:packages`, which runs this:
 * `node scripts/platforms.mjs report.json`. A cell is marked if all of its tests have passed.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

const README = Path.join(import.meta.dirname, "../README.md")
const [BEGIN, END] = ["<!-- begin platforms -->", "<!-- end platforms -->"]

/** The parts of the table, by the file that tests each. */
const parts = [
  ["managers", "Package managers"],
  ["runtimes", "Runtimes"],
  ["bundlers", "Bundlers"],
  ["runners", "Test runners"],
  ["types", "Types"]
]

/** Which column a test belongs to, by its title: without a word about Effect the first. */
const columns = [
  ["no Effect", (title) => !/effect@/.test(title)],
  ["Effect 3", (title) => /effect@3/.test(title)],
  ["Effect 4", (title) => /effect@4/.test(title)]
]

/** What a test is of: npm, Node 22, TypeScript 5.4… Vitest quotes texts in titles. */
const subjectOf = ({ ancestorTitles }) =>
  ancestorTitles.find((title) => !title.startsWith("a program")).replaceAll("'", "")

const grouped = (values, keyOf) => {
  const groups = new Map()
  for (const value of values) groups.set(keyOf(value), [...groups.get(keyOf(value)) ?? [], value])
  return groups
}

/** The subjects of a part whose tests have passed in the same columns stand in one row. */
const rowsOf = (label, tests) => {
  const rows = new Map()
  for (const [subject, own] of grouped(tests, subjectOf)) {
    const marks = columns.map(([, belongs]) => own.some(({ fullName }) => belongs(fullName)) ? "✓" : "")
    const cells = marks.join(" | ")
    rows.set(cells, [...rows.get(cells) ?? [], subject])
  }
  return [...rows].map(([cells, subjects]) => `| ${label} | ${subjects.join("; ")} | ${cells} |`)
}

const report = JSON.parse(Fs.readFileSync(process.argv[2], "utf8"))
const rows = parts.flatMap(([name, label]) => {
  const file = report.testResults.find((result) => result.name.endsWith(`/${name}.test.ts`))
  if (file === undefined) throw new Error(`${name} was not run`)
  const failed = file.assertionResults.filter(({ status }) => status !== "passed")
  if (failed.length > 0) throw new Error(`${name}: ${failed.map(({ fullName }) => fullName).join("; ")}`)
  return rowsOf(label, file.assertionResults)
})

const header = `| | | ${columns.map(([name]) => name).join(" | ")} |`
const table = [header, "|---|---|---|---|---|", ...rows].join("\n")
const text = Fs.readFileSync(README, "utf8")
const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)]
if (from < 0 || to < from) throw new Error(`README.md has no ${BEGIN} and ${END}`)
Fs.writeFileSync(README, `${text.slice(0, from + BEGIN.length)}\n${table}\n${text.slice(to)}`)
process.stdout.write(`${table}\n`)
