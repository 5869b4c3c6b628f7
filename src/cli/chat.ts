import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { fstatSync } from "node:fs"
import { buffer } from "node:stream/consumers"
import { NomyoClient } from "../NomyoClient.js"
import * as NomyoConfig from "../NomyoConfig.js"
import { InvalidRequestError } from "../NomyoError.js"
import { printAnswer } from "./answer.js"
import { readAttachment } from "./attachments.js"
import { type ClientOptions, clientOptions, layer, resolve } from "./client.js"
import { type Conversation, converse, requestOf } from "./conversation.js"
import { decodeText } from "./decode.js"
import { checkModel, defaultModel } from "./models.js"
import { STATE_KEY_DIR, stateKeyDir } from "./stateDirectory.js"
import { err, out, plainJson, withSpinner } from "./terminal.js"

const EXIT_NO_TEXT = 1

interface Given extends ClientOptions {
  readonly prompt: Option.Option<string>
  readonly file: ReadonlyArray<string>
  readonly json: boolean
}

const prompt = Args.text({ name: "prompt" }).pipe(
  Args.optional,
  Args.withDescription(
    "The prompt. Text from standard input is added after it. " +
      "Without a prompt, a conversation begins on a terminal"
  )
)

const file = Options.text("file").pipe(
  Options.withPseudoName("PATH"),
  Options.repeated,
  Options.withDescription("A text or an image (PNG, JPEG, GIF, WebP) to attach; repeatable")
)

const json = Options.boolean("json").pipe(Options.withDescription("Print the whole answer as JSON"))

/** How long another program has to write the first byte to a socket, in milliseconds. */
const SOCKET_PATIENCE = 1000

const stdinStat = () => {
  try {
    return fstatSync(0)
  } catch {
    return undefined
  }
}

/** Whether a program writes to standard input, or has closed it, before the patience ends. */
const isWrittenTo = Effect.async<boolean>((resume) => {
  const onReadable = () => resume(Effect.succeed(true))
  process.stdin.once("readable", onReadable)
  return Effect.sync(() => void process.stdin.off("readable", onReadable).pause().unref())
}).pipe(Effect.timeoutTo({ duration: SOCKET_PATIENCE, onTimeout: () => false, onSuccess: () => true }))

/**
 * Whether there is something on standard input beside an argument: a pipe or a file of a shell, or a socket,
 * as sshd and `child_process` have it. Some programs leave a socket open that they never write to.
 */
const isStdinGiven = Effect.suspend(() => {
  const stat = stdinStat()
  if (stat?.isSocket() === true) return isWrittenTo
  return Effect.succeed(stat !== undefined && (stat.isFIFO() || stat.isFile()))
})

const invalid = (message: string) => new InvalidRequestError({ message })

const readStdin = Effect.flatMap(Effect.promise(() => buffer(process.stdin)), (bytes) => {
  const text = decodeText(bytes)
  return text === undefined
    ? Effect.fail(invalid(
      "Standard input is not text in UTF-8 or UTF-16. Convert it first, such as with iconv -f LATIN1 -t UTF-8"
    ))
    : Effect.succeed(text)
})

/** The argument and what standard input brings along: `cat report.txt | nomyo chat "Summarise this"`. */
const readPrompt = Effect.fnUntraced(function*({ file, prompt }: Given) {
  const argument = Option.getOrElse(prompt, () => "")
  const isTyped = process.stdin.isTTY === true && argument === ""
  if (isTyped) yield* err("Type the prompt, and Ctrl-D on a line of its own to send it.")
  const given = isTyped || argument === "" || (yield* isStdinGiven) ? yield* readStdin : ""
  const text = given.trim() === "" ? argument : argument === "" ? given : `${argument}\n\n${given}`
  if (text.trim() === "" && file.length === 0) {
    return yield* Effect.fail(invalid("There is no prompt. Pass one as an argument or on standard input"))
  }
  return text
})

const ask = Effect.fnUntraced(function*(conversation: Conversation, prompt: string, isJson: boolean) {
  const request = requestOf(conversation, prompt)
  if (!isJson) {
    const { hasText } = yield* printAnswer(request, conversation.config.protocol)
    if (!hasText) process.exitCode = EXIT_NO_TEXT
    return
  }
  const client = yield* NomyoClient
  yield* out(plainJson(yield* withSpinner("Waiting for the answer")(client.create(request))))
})

const isConversation = ({ json, prompt }: Given): boolean =>
  Option.isNone(prompt) && !json && process.stdin.isTTY === true && process.stdout.isTTY === true

const run = Effect.fnUntraced(function*(given: Given) {
  const options = yield* resolve(given, stateKeyDir())
  const config = yield* NomyoConfig.make(options)
  const prompt = isConversation(given) ? undefined : yield* readPrompt(given)
  const attachments = yield* Effect.forEach(given.file, readAttachment)
  const conversationWith = (model: string): Conversation => ({
    config,
    model,
    tier: Option.getOrUndefined(given.tier),
    system: Option.getOrUndefined(given.system),
    attachments,
    messages: []
  })
  const choose = Option.match(given.model, {
    onNone: () => defaultModel(config),
    onSome: (model) => checkModel(config, model)
  })
  const talk = Effect.flatMap(choose, (model) => {
    const conversation = conversationWith(model)
    return prompt === undefined ? converse(conversation) : ask(conversation, prompt, given.json)
  })
  yield* Effect.provide(talk, layer(options))
})

/** `nomyo chat`: one question, or a conversation. */
export const chat = Command.make("chat", { prompt, file, json, ...clientOptions }, run).pipe(
  Command.withDescription(
    "Ask a model a question, or talk with it, encrypted end to end. The API key comes from NOMYO_API_KEY. " +
      `The client keeps its key pair in NOMYO_KEY_DIR, by default ${STATE_KEY_DIR}. ` +
      "NOMYO_KEY_DIR=memory writes no file"
  )
)
