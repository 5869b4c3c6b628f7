/** Messages of several lines, typed on a terminal, on `node:readline`: history, editing, paste, Ctrl-C. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Readline from "node:readline"
import { Writable } from "node:stream"

/** The terminal puts these around a paste once the program asks for it (xterm, "Bracketed Paste Mode"). */
const PASTE_ON = "\u001b[?2004h"
const PASTE_OFF = "\u001b[?2004l"
const FENCE = "\"\"\""

/** An input of the terminal: a line, Ctrl-C, or the end. */
type Input =
  | { readonly type: "line"; readonly line: string; readonly isPasted: boolean }
  | { readonly type: "interrupt" }
  | { readonly type: "end" }

/** Reads messages from the terminal. */
export interface LineReader {
  /**
   * The next message. A line that ends in `\` goes on, and so does everything between two lines of `"""`.
   * `undefined` when the user leaves, by Ctrl-C on an empty line or by Ctrl-D.
   */
  readonly read: Effect.Effect<string | undefined>
  /** Runs an effect until Ctrl-C, which returns `None`. Text typed in between waits for the next `read`. */
  readonly untilInterrupt: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<Option.Option<A>, E, R>
}

/** Stdout, which hides typed text while it prints an answer. */
class Screen extends Writable {
  isMuted = false

  get columns(): number {
    return process.stdout.columns
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (!this.isMuted) process.stdout.write(chunk)
    done()
  }
}

/** Collects lines until they are a whole message. */
class Draft {
  readonly #lines: Array<string> = []
  #isFenced = false

  get isEmpty(): boolean {
    return this.#lines.length === 0 && !this.#isFenced
  }

  /** Adds a line. Returns the message if that was its last line. */
  add(line: string, isPasted: boolean): string | undefined {
    if (line.trim() === FENCE) {
      this.#isFenced = !this.#isFenced
      return this.#isFenced ? undefined : this.#lines.join("\n")
    }
    const goesOn = line.endsWith("\\") && !isPasted && !this.#isFenced
    this.#lines.push(goesOn ? line.slice(0, -1) : line)
    return goesOn || isPasted || this.#isFenced ? undefined : this.#lines.join("\n")
  }
}

interface Terminal {
  readonly screen: Screen
  readonly readline: Readline.Interface
  readonly inputs: Queue.Queue<Input>
  /** Called in place of an input at the next Ctrl-C. */
  onInterrupt: (() => void) | undefined
}

/** Listens to the terminal until the scope closes. */
const listen = Effect.fnUntraced(function*(completions: ReadonlyArray<string>) {
  const inputs = yield* Queue.unbounded<Input>()
  return yield* Effect.acquireRelease(
    Effect.sync(() => open(inputs, completions)),
    ({ readline, screen }) =>
      Effect.sync(() => {
        screen.isMuted = false
        screen.write(PASTE_OFF)
        readline.close()
      })
  )
})

const open = (inputs: Queue.Queue<Input>, completions: ReadonlyArray<string>): Terminal => {
  const screen = new Screen()
  const onResize = () => screen.emit("resize")
  process.stdout.on("resize", onResize)
  const readline = Readline.createInterface({
    input: process.stdin,
    output: screen,
    terminal: true,
    completer: (line: string) => [completions.filter((name) => line !== "" && name.startsWith(line)), line]
  })
  const terminal: Terminal = { screen, readline, inputs, onInterrupt: undefined }
  let isPasted = false
  process.stdin.on("keypress", (_, key: { readonly name?: string } | undefined) => {
    if (key?.name === "paste-start") isPasted = true
    if (key?.name === "paste-end") isPasted = false
  })
  readline.on("line", (line) => inputs.unsafeOffer({ type: "line", line, isPasted }))
  readline.on("SIGINT", () => {
    if (terminal.onInterrupt === undefined) inputs.unsafeOffer({ type: "interrupt" })
    else terminal.onInterrupt()
  })
  readline.on("close", () => {
    process.stdout.off("resize", onResize)
    inputs.unsafeOffer({ type: "end" })
  })
  screen.write(PASTE_ON)
  return terminal
}

/** Takes back what is typed on the current line. */
const eraseLine = (readline: Readline.Interface): void => {
  readline.write(null, { ctrl: true, name: "e" })
  readline.write(null, { ctrl: true, name: "u" })
}

const prompt = ({ readline, screen }: Terminal, text: string) =>
  Effect.sync(() => {
    screen.isMuted = false
    readline.setPrompt(text)
    readline.prompt(true)
  })

const read = Effect.fnUntraced(function*(terminal: Terminal) {
  const { inputs, readline, screen } = terminal
  let draft = new Draft()
  for (;;) {
    yield* prompt(terminal, draft.isEmpty ? ">>> " : "... ")
    const input = yield* Queue.take(inputs)
    if (input.type === "line") {
      const message = draft.add(input.line, input.isPasted)
      if (message === undefined) continue
      screen.isMuted = true
      return message
    }
    const isNothingTyped = draft.isEmpty && readline.line === ""
    screen.write("\n")
    if (input.type === "end" || isNothingTyped) return undefined
    eraseLine(readline)
    draft = new Draft()
  }
})

const interrupted = (terminal: Terminal) =>
  Effect.async<void>((resume) => {
    terminal.onInterrupt = () => resume(Effect.void)
    return Effect.sync(() => {
      terminal.onInterrupt = undefined
    })
  })

/** A reader of the process's own terminal, until the scope closes. Tab completes `completions`. */
export const make = (
  completions: ReadonlyArray<string>
): Effect.Effect<LineReader, never, Scope.Scope> =>
  Effect.map(listen(completions), (terminal) => ({
    read: read(terminal),
    untilInterrupt: (effect) =>
      Effect.raceFirst(Effect.asSome(effect), Effect.as(interrupted(terminal), Option.none()))
  }))
