import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { fstatSync } from "node:fs"
import { text } from "node:stream/consumers"
import { NomyoClient } from "../NomyoClient.js"
import { InvalidRequestError } from "../NomyoError.js"
import { clientOptions, layer, request } from "./client.js"
import { STATE_KEY_DIR, stateKeyDir } from "./stateDirectory.js"
import { err, out, plain, plainJson, styled, withSpinner } from "./terminal.js"

const prompt = Args.text({ name: "prompt" }).pipe(
  // a mistyped option arrives here as an argument, and must not be sent to anyone
  Args.mapEffect((text) =>
    text.startsWith("--")
      ? Effect.fail(HelpDoc.p(`There is no option ${text}; a prompt that begins with -- goes to standard input`))
      : Effect.succeed(text)
  ),
  Args.optional,
  Args.withDescription("What to say. Standard input follows it, or is all of the prompt if this is not given")
)

const json = Options.boolean("json").pipe(Options.withDescription("Print the whole answer as JSON"))

/**
 * Whether a shell has put a pipe or a file there. Other programs leave sockets open that they never write to.
 */
const isStdinGiven = (): boolean => {
  try {
    const stat = fstatSync(0)
    return stat.isFIFO() || stat.isFile()
  } catch {
    return false
  }
}

/** An argument, and what standard input brings along: `cat report.txt | nomyo chat "Summarise this"`. */
const withStdin = (argument: string): Effect.Effect<string> =>
  isStdinGiven()
    ? Effect.map(Effect.promise(() => text(process.stdin)), (given) =>
      given.trim() === "" ? argument : `${argument}\n\n${given}`)
    : Effect.succeed(argument)

const fromStdin = Effect.filterOrFail(
  Effect.zipRight(
    process.stdin.isTTY === true ? err("Type the prompt, and Ctrl-D on a line of its own to send it.") : Effect.void,
    Effect.promise(() => text(process.stdin))
  ),
  (prompt) => prompt.trim() !== "",
  () => new InvalidRequestError({ message: "There is no prompt: give one as an argument or on standard input" })
)

/** `nomyo chat`: one question, one answer. */
export const chat = Command.make("chat", { prompt, json, ...clientOptions }, (options) =>
  Effect.gen(function*() {
    const question = yield* Option.match(options.prompt, { onNone: () => fromStdin, onSome: withStdin })
    const answer = yield* Effect.flatMap(NomyoClient, (client) => client.create(request(question, options))).pipe(
      Effect.provide(layer(options, undefined, stateKeyDir())),
      withSpinner("Waiting for the answer")
    )
    if (options.json) return yield* out(plainJson(answer))
    for (const { message } of answer.choices) {
      if (message.reasoning_content) yield* err(styled("dim", plain(message.reasoning_content)))
      if (message.content) yield* out(plain(message.content))
    }
  })).pipe(
  Command.withDescription(
    "Ask a model one question, encrypted end to end. The API key is read from NOMYO_API_KEY. The client's key pair " +
      `is in NOMYO_KEY_DIR (memory for none), or ${STATE_KEY_DIR}, as nomyo keys has it`
  )
)
