/** A command's arguments and options, read from its parser: the source of help pages and usage errors. */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Descriptor from "@effect/cli/CommandDescriptor"
import type * as HelpDoc from "@effect/cli/HelpDoc"
import type * as Span from "@effect/cli/HelpDoc/Span"
import * as HashMap from "effect/HashMap"

/** An argument or an option. */
export interface Entry {
  /** `--model`, or `<prompt>`. */
  readonly name: string
  /** Placeholder of its value: `ID`, or `standard | high`; empty for a switch. */
  readonly value: string
  readonly about: string
}

/** A command, with the subcommands that it has, or with its arguments and options. */
export interface HelpPage {
  /** `nomyo keys check`. */
  readonly command: string
  readonly about: string
  readonly args: ReadonlyArray<Entry>
  readonly options: ReadonlyArray<Entry>
  readonly subcommands: ReadonlyArray<HelpPage>
}

const textOf = (span: Span.Span): string => {
  if (span._tag === "Sequence") return textOf(span.left) + textOf(span.right)
  return typeof span.value === "string" ? span.value : textOf(span.value)
}

/** A tree of blocks as a list. */
const flatten = (doc: HelpDoc.HelpDoc): ReadonlyArray<HelpDoc.HelpDoc> =>
  doc._tag === "Sequence" ? [...flatten(doc.left), ...flatten(doc.right)] : [doc]

const paragraphsOf = (doc: HelpDoc.HelpDoc): ReadonlyArray<string> =>
  flatten(doc).flatMap((block) => block._tag === "Paragraph" ? [textOf(block.value)] : [])

/** The parser first names the type of a value, and then its meaning. */
const entryOf = ([span, doc]: readonly [Span.Span, HelpDoc.HelpDoc]): Entry => {
  const [, about = ""] = paragraphsOf(doc)
  const [name = "", ...words] = textOf(span).replace(/\.{3}$/, "").split(" ")
  return { name, value: words.join(" "), about }
}

/** The blocks that follow a header. */
const section = (blocks: ReadonlyArray<HelpDoc.HelpDoc>, title: string): ReadonlyArray<HelpDoc.HelpDoc> => {
  const isTitle = (block: HelpDoc.HelpDoc) => block._tag === "Header" && textOf(block.value) === title
  const rest = blocks.slice(blocks.findIndex(isTitle) + 1)
  const end = rest.findIndex(({ _tag }) => _tag === "Header")
  return blocks.some(isTitle) ? rest.slice(0, end === -1 ? rest.length : end) : []
}

const entriesOf = (blocks: ReadonlyArray<HelpDoc.HelpDoc>): ReadonlyArray<Entry> =>
  blocks.flatMap((block) => block._tag === "DescriptionList" ? block.definitions.map(entryOf) : [])

/** The page of a command and of those below it. */
export const helpPage = (name: string, command: Descriptor.Command<unknown>): HelpPage => {
  const blocks = flatten(Descriptor.getHelp(command, CliConfig.make({ showBuiltIns: false })))
  const subcommands = HashMap.toEntries(Descriptor.getSubcommands(command))
    .filter(([child]) => child !== name.split(" ").at(-1))
    .toSorted(([a], [b]) => a.localeCompare(b))
  return {
    command: name,
    about: section(blocks, "DESCRIPTION").flatMap(paragraphsOf).join(" "),
    args: entriesOf(section(blocks, "ARGUMENTS")),
    options: entriesOf(section(blocks, "OPTIONS")),
    subcommands: subcommands.map(([child, descriptor]) => helpPage(`${name} ${child}`, descriptor))
  }
}
