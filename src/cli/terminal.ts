/** Output of the command line: answers on stdout, the rest on stderr, colours on terminals only. */
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { stripVTControlCharacters, styleText } from "node:util"

type Style = Parameters<typeof styleText>[0]

const hasColors = (stream: NodeJS.WriteStream) => stream.isTTY === true && !process.env["NO_COLOR"]

/** How many columns the status line takes on the terminal now. */
let statusWidth = 0

/** Blanks and no escape sequence: every terminal understands them. */
const clearStatus = (): void => {
  if (statusWidth > 0) process.stderr.write(`\r${" ".repeat(statusWidth)}\r`)
  statusWidth = 0
}

/** Draws a line that stays until anything else is written. */
const drawStatus = (text: string): void => {
  // a line that wraps could not be cleared
  const line = text.slice(0, (process.stderr.columns || 80) - 1)
  clearStatus()
  process.stderr.write(line)
  statusWidth = line.length
}

/** Writes a text as it is, without its colours where they do not belong. */
export const write = (stream: NodeJS.WriteStream, text: string): void => {
  clearStatus()
  stream.write(hasColors(stream) ? text : stripVTControlCharacters(text))
}

const line = (stream: NodeJS.WriteStream) => (...parts: ReadonlyArray<unknown>) =>
  Effect.sync(() => write(stream, `${parts.join(" ")}\n`))

/** A line on stdout. */
export const out: (...parts: ReadonlyArray<unknown>) => Effect.Effect<void> = line(process.stdout)

/** A line on stderr. */
export const err: (...parts: ReadonlyArray<unknown>) => Effect.Effect<void> = line(process.stderr)

/** A text with a style, which `write` takes away where it does not belong. */
export const styled = (style: Style, text: string): string =>
  styleText(style, text, { validateStream: false })

/**
 * Characters that could steer a terminal or deceive its reader: control characters except line breaks and
 * tabs, and overrides of the direction of text (Unicode Standard Annex 9).
 */
// oxlint-disable-next-line no-control-regex
const steering = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** A text from elsewhere, with visible characters in place of those that could steer the terminal. */
export const plain = (text: string): string => text.replace(steering, "\ufffd")

/** `plain`, which keeps CR LF where the stream is a pipe or a file. */
export const plainFor = (stream: NodeJS.WriteStream, text: string): string =>
  text.split("\r\n").map(plain).join(stream.isTTY === true ? "\n" : "\r\n")

/** A value as JSON, with the same characters in their escaped spelling. */
export const plainJson = (value: unknown): string =>
  JSON.stringify(value, null, 2).replace(
    steering,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

/**
 * Effect's `Console` for `@effect/cli`. Its pages lose their colours in a pipe. Its error pages are left out:
 * whatever reports the error says it in a line.
 */
export const withoutPages = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Console.consoleWith(Effect.succeed), (console) =>
    Effect.withConsole(effect, {
      ...console,
      log: (...parts) => out(parts.join(" ").trimEnd()),
      error: () => Effect.void
    }))

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]

/** Shows the label and the seconds until it is interrupted. */
const spin = Effect.fnUntraced(function*(label: string) {
  const start = yield* Clock.currentTimeMillis
  let frame = 0
  const draw = Effect.map(Clock.currentTimeMillis, (now) =>
    drawStatus(`${frames[frame++ % frames.length]} ${label} ${Math.floor((now - start) / 1000)} s`))
  return yield* Effect.repeat(draw, Schedule.spaced("80 millis"))
})

/** Shows on a terminal that something is going on, and for how long. Shows nothing anywhere else. */
export const withSpinner = (label: string) => <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  process.stderr.isTTY === true
    ? Effect.acquireUseRelease(
      // a fiber is as uninterruptible as the region it is forked in
      Effect.forkDaemon(Effect.interruptible(spin(label))),
      () => effect,
      (fiber) => Effect.zipRight(Fiber.interrupt(fiber), Effect.sync(clearStatus))
    )
    : effect
