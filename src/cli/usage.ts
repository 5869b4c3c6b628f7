/** Help pages, and what is wrong with a command line. */
import { misspelled } from "../internal/closestName.js"
import { EXAMPLES } from "./examples.js"
import type { Entry, HelpPage } from "./helpPage.js"

/** Longer lines are hard to read. */
const WIDEST = 80
const INDENT = "  "
const DEEP = "      "
/** The parser's name for the value of a whole-number option. */
const INTEGER = "integer"

/** The placeholder of a value that may be empty. */
const FREE_TEXT = "TEXT"

/** Breaks a text into lines between words. */
const wrap = (text: string, indent: string, width: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let line = indent
  for (const word of text.split(" ")) {
    const isFull = line.trim() !== "" && line.length + word.length + 1 > width
    if (isFull) lines.push(line)
    line = isFull || line.trim() === "" ? indent + word : `${line} ${word}`
  }
  return [...lines, line]
}

const withStop = (text: string): string => /[.!?]$/.test(text) ? text : `${text}.`
const firstSentence = (text: string): string =>
  withStop(/^.*?[.;](?= |$)/.exec(text)?.[0].replace(/;$/, ".") ?? text)

const titled = (title: string, lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines.length === 0 ? [] : ["", title, ...lines]

/** Placeholders of other values are in capitals. */
const choices = ({ value }: Entry): ReadonlyArray<string> =>
  value === "" || value === INTEGER || /[A-Z]/.test(value) ? [] : value.split(" | ")
const label = ({ name, value }: Entry): string => `${name} ${value === INTEGER ? "NUMBER" : value}`.trim()

const synopsis = ({ args, command, options, subcommands }: HelpPage): string =>
  [
    command,
    ...(subcommands.length > 0 ? ["<command>"] : []),
    ...(options.length + subcommands.length > 0 ? ["[options]"] : []),
    ...args.map(({ name }) => `[${name}]`)
  ].join(" ")

/** A command's help, for a terminal of so many columns. */
export const render = (page: HelpPage, columns = WIDEST): string => {
  const width = Math.min(columns, WIDEST)
  const row = (name: string, about: string) => [INDENT + name, ...wrap(withStop(about), DEEP, width)]
  const rows = (entries: ReadonlyArray<Entry>) => entries.flatMap((entry) => row(label(entry), entry.about))
  const name = ({ command }: HelpPage) => command.slice(page.command.length + 1)
  return [
    ...wrap(withStop(page.about), "", width),
    ...titled("Usage:", [INDENT + synopsis(page)]),
    ...titled("Commands:", page.subcommands.flatMap((child) => row(name(child), firstSentence(child.about)))),
    ...titled("Arguments:", rows(page.args)),
    ...titled("Options:", rows(page.options)),
    ...titled("Example:", (EXAMPLES[page.command] ?? []).map((line) => INDENT + line)),
    ...(page.subcommands.length > 0 ? ["", `${page.command} <command> --help explains a command.`] : [])
  ].join("\n")
}

/** The page that the words of a command line lead to, and the words that are left. */
export const find = (
  page: HelpPage,
  words: ReadonlyArray<string>
): { readonly page: HelpPage; readonly rest: ReadonlyArray<string> } => {
  const [first, ...rest] = words
  const child = page.subcommands.find(({ command }) => command === `${page.command} ${first}`)
  return child === undefined ? { page, rest: words } : find(child, rest)
}

const more = ({ command }: HelpPage, what: string): string => `${command} --help lists the ${what}.`

/** A single letter: `-v`. No option is written so. */
const isLetter = (name: string): boolean => /^-[a-z]$/i.test(name)

/** The only option that begins with a letter. */
const byLetter = (name: string, known: ReadonlyArray<string>): string | undefined => {
  const [first, ...others] = known.filter((option) => option.startsWith(`-${name.toLowerCase()}`))
  return others.length === 0 ? first : undefined
}

const suggestion = (name: string, known: ReadonlyArray<string>): string => {
  const meant = isLetter(name) ? byLetter(name, known) : misspelled(name, known)
  return meant === undefined ? "" : ` Did you mean ${meant}?`
}

/** `--api-key` is what people try first. Its value must not be repeated. */
const SECRET = /key|token|password|secret/i

const unknownOption = (page: HelpPage, name: string): string => {
  const secret = SECRET.test(name)
    ? " Secrets come from the environment, a file or standard input: everybody can read a command line."
    : ""
  const known = page.options.map(({ name }) => name)
  if (page.subcommands.length > 0) {
    return `There is no option ${name} before the command.${suggestion(name, known)}${secret} ` +
      more(page, "commands")
  }
  return `There is no option ${name}.${suggestion(name, known)}${secret} ${more(page, "options")}`
}

const unknownCommand = (page: HelpPage, name: string): string => {
  const known = page.subcommands.map(({ command }) => command.split(" ").at(-1) ?? "")
  return `There is no command ${name}.${suggestion(name, known)} ${more(page, "commands")}`
}

const badValue = (entry: Entry, value: string | undefined): string | undefined => {
  // the parser takes an empty value of a repeatable option for none
  if (value === undefined || (value === "" && entry.value !== FREE_TEXT)) {
    return `${entry.name} needs a value: ${label(entry)}`
  }
  const allowed = choices(entry)
  if (allowed.length > 0 && !allowed.includes(value)) {
    return allowed.length === 1
      ? `${entry.name} must be ${allowed[0]}, or left out`
      : `${entry.name} must be one of: ${allowed.join(", ")}`
  }
  const [, example = "1"] = /Default: (\d+)/.exec(entry.about) ?? []
  return entry.value === INTEGER && !/^[+-]?\d+$/.test(value)
    ? `${entry.name} must be a whole number, such as ${entry.name} ${example}`
    : undefined
}

/** These the parser itself knows. */
const BUILT_IN = new Set(["--version", "--completions", "--log-level", "--wizard"])

/** Says what is wrong with the words after a command, and what to do. The parser sees what is left. */
export const mistake = (page: HelpPage, words: ReadonlyArray<string>): string | undefined => {
  let extra = 0
  for (let at = 0; at < words.length; at++) {
    const [name = "", ...given] = words[at]!.split("=")
    if (isLetter(words[at]!)) return unknownOption(page, name)
    if (!name.startsWith("--")) {
      extra++
      continue
    }
    if (BUILT_IN.has(name)) return undefined
    const entry = page.options.find((option) => option.name === name)
    if (entry === undefined) return unknownOption(page, name.split(/\s/)[0]!)
    if (entry.value === "") continue
    const problem = badValue(entry, given.length > 0 ? given.join("=") : words[++at])
    if (problem !== undefined) return problem
  }
  if (page.subcommands.length > 0 && extra > 0) return unknownCommand(page, words[0]!)
  return extra > page.args.length ? tooMany(page) : undefined
}

const tooMany = (page: HelpPage): string =>
  page.args.length === 0
    ? `${page.command} takes only options. ${more(page, "options")}`
    : `Too many arguments. Put the ${page.args[0]!.name.replace(/[<>]/g, "")} in quotes.`
