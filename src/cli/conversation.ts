/** A conversation on the terminal: messages, answers and commands, kept in memory alone. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Fs from "node:fs/promises"
import type { ChatCompletionRequest, Message, SecurityTier } from "../ChatCompletion.js"
import type { NomyoClient } from "../NomyoClient.js"
import type { NomyoConfig } from "../NomyoConfig.js"
import { InvalidRequestError, type NomyoError } from "../NomyoError.js"
import type { Transport } from "../Transport.js"
import { printAnswer } from "./answer.js"
import { type Attachment, readAttachment, withAttachments } from "./attachments.js"
import { TIERS } from "./client.js"
import { describe } from "./errors.js"
import * as LineReader from "./lineReader.js"
import { checkModel } from "./models.js"
import { err, out, styled } from "./terminal.js"

/** A conversation so far. */
export interface Conversation {
  readonly config: NomyoConfig
  readonly model: string
  readonly tier: SecurityTier | undefined
  readonly system: string | undefined
  /** Go along with the next message. */
  readonly attachments: ReadonlyArray<Attachment>
  /** The messages of both sides. */
  readonly messages: ReadonlyArray<Message>
}

type Step = Effect.Effect<Conversation | undefined, NomyoError, NomyoClient | Transport>

interface Command {
  readonly usage: string
  readonly about: string
  /** Returns the changed conversation, or `undefined` to leave it. */
  readonly run: (conversation: Conversation, argument: string) => Step
}

const refuse = (message: string) => Effect.fail(new InvalidRequestError({ message }))

/** The messages of a conversation with its system message. */
const allMessages = ({ messages, system }: Conversation): Array<Message> => [
  ...(system === undefined ? [] : [{ role: "system", content: system } as const]),
  ...messages
]

const userMessage = ({ attachments }: Conversation, prompt: string): Message => ({
  role: "user",
  content: withAttachments(prompt, attachments)
})

/** The request for the next answer. */
export const requestOf = (conversation: Conversation, prompt: string): ChatCompletionRequest => ({
  model: conversation.model,
  messages: [...allMessages(conversation), userMessage(conversation, prompt)],
  security_tier: conversation.tier
})

const setModel: Command["run"] = (conversation, model) =>
  model === ""
    ? Effect.as(out(`The model is ${conversation.model}.`), conversation)
    : Effect.as(checkModel(conversation.config, model), { ...conversation, model })

const setTier: Command["run"] = (conversation, name) => {
  if (name === "") return Effect.as(out(`The tier is ${conversation.tier ?? "none"}.`), conversation)
  const tier = TIERS.find((tier) => tier === name)
  return tier === undefined && name !== "none"
    ? refuse(`There is no tier ${name}. Choose ${TIERS.join(", ")} or none.`)
    : Effect.succeed({ ...conversation, tier })
}

const setSystem: Command["run"] = (conversation, text) =>
  Effect.as(
    out(text === "" ? "There is no system message now." : "The system message is set."),
    { ...conversation, system: text === "" ? undefined : text }
  )

const addFile: Command["run"] = (conversation, path) =>
  path === ""
    ? refuse("Name a file: /file notes.txt")
    : Effect.map(readAttachment(path), (attachment) => ({
      ...conversation,
      attachments: [...conversation.attachments, attachment]
    }))

const contentOf = ({ content }: Message): string =>
  typeof content === "string" ? content : (content ?? []).map(({ text }) => text ?? "[image]").join("\n\n")

const asMarkdown = (conversation: Conversation): string =>
  allMessages(conversation).map((message) => `## ${message.role}\n\n${contentOf(message)}\n`).join("\n")

const asJson = (conversation: Conversation): string =>
  `${JSON.stringify({ model: conversation.model, messages: allMessages(conversation) }, null, 2)}\n`

/** Writes a new file that its owner alone can read. */
const save: Command["run"] = (conversation, path) => {
  if (path === "") return refuse("Name a file: /save chat.md, or /save chat.json")
  const text = path.endsWith(".json") ? asJson(conversation) : asMarkdown(conversation)
  return Effect.tryPromise({
    try: () => Fs.writeFile(path, text, { flag: "wx", mode: 0o600 }),
    catch: (error) => {
      const { code } = error as NodeJS.ErrnoException
      const reason = code === "EEXIST" ? "exists already. Choose another name" : `cannot be written (${code})`
      return new InvalidRequestError({ message: `${path} ${reason}` })
    }
  }).pipe(Effect.zipRight(out(`Saved in ${path}.`)), Effect.as(conversation))
}

const help: Command["run"] = (conversation) => {
  const width = Math.max(...Object.values(commands).map(({ usage }) => usage.length))
  const rows = Object.values(commands).map(({ about, usage }) => `  ${usage.padEnd(width)}  ${about}`)
  return Effect.as(out([...rows, ...KEYS].join("\n")), conversation)
}

const KEYS = [
  "",
  "A line that ends in \\ goes on. So does everything between two lines of \"\"\".",
  "Begin a message with a blank to send one that starts with a slash.",
  "Ctrl-C cancels an answer. Ctrl-C or Ctrl-D on an empty line leaves."
]

const command = (usage: string, about: string, run: Command["run"]): Command => ({ usage, about, run })

const commands: { readonly [name: string]: Command } = {
  "/model": command("/model [ID]", "Show or change the model", setModel),
  "/tier": command("/tier [NAME]", `Show or change the tier: ${TIERS.join(", ")}, none`, setTier),
  "/system": command("/system [TEXT]", "Set the system message; without text, remove it", setSystem),
  "/file": command("/file PATH", "Send a text or an image along with the next message", addFile),
  "/save": command("/save PATH", "Save the conversation as Markdown, or as JSON (.json)", save),
  "/help": command("/help", "Show this help", help),
  "/exit": command("/exit", "Leave", () => Effect.succeed(undefined))
}

const runCommand = (conversation: Conversation, text: string): Step => {
  const [, name = "", argument = ""] = /^(\S+)\s*(.*)$/s.exec(text.trim()) ?? []
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  return command === undefined
    ? refuse(`There is no command ${name}. /help lists them`)
    : command.run(conversation, argument)
}

/** Asks for the next answer. A message that gets none is not part of the conversation. */
const answer = Effect.fnUntraced(function*(
  reader: LineReader.LineReader,
  conversation: Conversation,
  prompt: string
) {
  const asking = printAnswer(requestOf(conversation, prompt), conversation.config.protocol)
  const answered = yield* reader.untilInterrupt(asking)
  if (Option.isNone(answered)) {
    yield* err(styled("yellow", "Cancelled. The model will not remember this message."))
    return conversation
  }
  const { said } = answered.value
  return said === "" ? conversation : {
    ...conversation,
    attachments: [],
    messages: [
      ...conversation.messages,
      userMessage(conversation, prompt),
      { role: "assistant", content: said }
    ]
  }
})

/** One message or command. Its failure is shown, and the conversation goes on. */
const step = (reader: LineReader.LineReader, conversation: Conversation, text: string) => {
  const next: Step = text.startsWith("/")
    ? runCommand(conversation, text)
    : answer(reader, conversation, text)
  return Effect.catchAll(next, (error) => Effect.as(err(styled("red", describe(error))), conversation))
}

/** Talks with the user until they leave. */
export const converse = Effect.fnUntraced(function*(initial: Conversation) {
  yield* out(`Talking to ${initial.model} at ${initial.config.baseUrl}. /help lists the commands.`)
  const reader = yield* LineReader.make(Object.keys(commands))
  let conversation: Conversation | undefined = initial
  while (conversation !== undefined) {
    const text: string | undefined = yield* reader.read
    if (text === undefined) return
    if (text.trim() !== "") conversation = yield* step(reader, conversation, text)
  }
}, Effect.scoped)
