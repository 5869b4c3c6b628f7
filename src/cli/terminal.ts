/** What the command line shows: answers on stdout, everything else on stderr, colours on terminals only. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { stripVTControlCharacters, styleText } from "node:util"

type Style = Parameters<typeof styleText>[0]

export const hasColors = (stream: NodeJS.WriteStream) => stream.isTTY === true && !process.env["NO_COLOR"]

const write = (stream: NodeJS.WriteStream) => (...parts: ReadonlyArray<unknown>) =>
  Effect.sync(() => {
    const text = parts.join(" ")
    stream.write(`${hasColors(stream) ? text : stripVTControlCharacters(text)}\n`)
  })

/** A line on stdout. */
export const out: (...parts: ReadonlyArray<unknown>) => Effect.Effect<void> = write(process.stdout)

/** A line on stderr. */
export const err: (...parts: ReadonlyArray<unknown>) => Effect.Effect<void> = write(process.stderr)

export const styled = (style: Style, text: string): string => styleText(style, text)

/**
 * What could steer a terminal or deceive its reader: control characters but line breaks and tabs, and
 * overrides of the direction of text (Unicode Standard Annex 9).
 */
// oxlint-disable-next-line no-control-regex
const steering = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** A text from somewhere else, with what could steer the terminal made visible. */
export const plain = (text: string): string => text.replace(steering, "\ufffd")

/** A value as JSON, with the same characters in their escaped spelling. */
export const plainJson = (value: unknown): string =>
  JSON.stringify(value, null, 2).replace(
    steering,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

/** `out` and `err` for pages of `@effect/cli`, which end in a line break of their own. */
const page = (print: typeof out) => (...parts: ReadonlyArray<unknown>) => print(parts.join(" ").trimEnd())

/** Effect's `Console` on `out` and `err`, so that help pages lose their colours in a pipe. */
export const withConsole = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Console.consoleWith(Effect.succeed), (console) =>
    Effect.withConsole(effect, { ...console, log: page(out), error: page(err) }))

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]

/** Shows on a terminal that something is going on, and nothing anywhere else. */
export const withSpinner = (label: string) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const { stderr } = process
  if (stderr.isTTY !== true) return effect
  let frame = 0
  const draw = Effect.sync(() => stderr.write(`\r${frames[frame++ % frames.length]} ${label}`))
  return Effect.acquireUseRelease(
    // a fiber is as uninterruptible as the region it is forked in
    Effect.forkDaemon(Effect.interruptible(Effect.repeat(draw, Schedule.spaced("80 millis")))),
    () => effect,
    (fiber) => Effect.zipRight(Fiber.interrupt(fiber), Effect.sync(() => stderr.write("\r\u001b[K")))
  )
}
