import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { text } from "node:stream/consumers"
import { NomyoClient } from "../NomyoClient.js"
import { InvalidRequestError } from "../NomyoError.js"
import { clientOptions, layer, request } from "./client.js"
import { err, out, plain, styled, withSpinner } from "./terminal.js"

const prompt = Args.text({ name: "prompt" }).pipe(
  // a mistyped option arrives here as an argument, and must not be sent to anyone
  Args.mapEffect((text) =>
    text.startsWith("--")
      ? Effect.fail(HelpDoc.p(`There is no option ${text}; a prompt that begins with -- goes to standard input`))
      : Effect.succeed(text)
  ),
  Args.optional,
  Args.withDescription("What to say; read from standard input if it is not given")
)

const json = Options.boolean("json").pipe(Options.withDescription("Print the whole answer as JSON"))

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
    const question = yield* Option.match(options.prompt, { onNone: () => fromStdin, onSome: Effect.succeed })
    const answer = yield* Effect.flatMap(NomyoClient, (client) => client.create(request(question, options))).pipe(
      Effect.provide(layer(options)),
      withSpinner("Waiting for the answer")
    )
    if (options.json) return yield* out(JSON.stringify(answer, null, 2))
    for (const { message } of answer.choices) {
      if (message.reasoning_content) yield* err(styled("dim", plain(message.reasoning_content)))
      if (message.content) yield* out(plain(message.content))
    }
  })).pipe(
  Command.withDescription("Ask a model one question, encrypted end to end. The API key is read from NOMYO_API_KEY")
)
