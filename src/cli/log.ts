/** Log entries: one line for each, on stderr. */
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { withFlags } from "./errors.js"
import { plain, styled, write } from "./terminal.js"

/** `text` is for people, `json` for programs. */
export type Format = "text" | "json"

/** Fields in the order that a reader looks for them. All others follow, by name. */
const ORDER = ["method", "path", "status", "ms", "payload_id", "key"]

const position = (name: string): number => (ORDER.indexOf(name) + ORDER.length + 1) % (ORDER.length + 1)

const inOrder = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  position(a) - position(b) || a.localeCompare(b)

const messageOf = (message: unknown): string => withFlags([message].flat().map(String).join(" "))

/** A value in a line of text: quoted where a blank would make two of it. */
const valueOf = (value: unknown): string => {
  const text = plain(String(value))
  return /[\s"=]/.test(text) || text === "" ? JSON.stringify(text) : text
}

const entryOf = ({ annotations, date, logLevel, message }: Logger.Logger.Options<unknown>) => ({
  time: date.toISOString(),
  level: logLevel.label.toLowerCase(),
  message: messageOf(message),
  ...Object.fromEntries(HashMap.toEntries(annotations).toSorted(inOrder))
})

const line = (format: Format) => (options: Logger.Logger.Options<unknown>): string => {
  const { level, message, time, ...fields } = entryOf(options)
  if (format === "json") return JSON.stringify({ time, level, message, ...fields })
  const told = Object.entries(fields).map(([name, value]) => ` ${name}=${valueOf(value)}`).join("")
  return `${time} ${level} ${plain(messageOf(message)).replace(/[\r\n]+/g, " ")}${told}`
}

const LEVEL_STYLES: { readonly [level: string]: Parameters<typeof styled>[0] } = {
  ERROR: "red",
  FATAL: "red",
  WARN: "yellow"
}

/** The log of a command that people watch: no times, and no line across a spinner. */
export const layerTerminal: Layer.Layer<never> = Logger.replace(
  Logger.defaultLogger,
  Logger.make(({ logLevel: { label }, message }) => {
    const level = styled(LEVEL_STYLES[label] ?? "dim", label.toLowerCase())
    write(process.stderr, `${level}: ${plain(messageOf(message))}\n`)
  })
)

/**
 * One line on stderr for each entry, in place of every other logger. Causes are left out: they may hold a
 * request.
 */
export const layer = (format: Format): Layer.Layer<never> => {
  const toLine = line(format)
  const logger = Logger.make((options) => void process.stderr.write(`${toLine(options)}\n`))
  return Layer.locallyScoped(FiberRef.currentLoggers, HashSet.make(logger))
}
