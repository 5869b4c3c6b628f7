/** An answer on the terminal: its text as it comes, and then what else there is to say of it. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { ChatCompletionRequest } from "../ChatCompletion.js"
import type { ChatCompletionChunk } from "../ChatCompletionChunk.js"
import { wholeChunks } from "../internal/wholeChunks.js"
import { NomyoClient, type OpenStream } from "../NomyoClient.js"
import { completionOfChunks } from "../openai/foldStream.js"
import { err, plain, plainFor, styled, withSpinner, write } from "./terminal.js"

/** The content of an answer. */
interface Answer {
  /** Its text, or else its refusal. */
  readonly said: string
  /** Whether it has a text. */
  readonly hasText: boolean
}

/** Opens an answer. Over protocol 1.0 it comes whole, and nothing asks the model for a stream. */
const open = (request: ChatCompletionRequest, protocol: 1 | 2) =>
  Effect.flatMap(NomyoClient, (client) =>
    protocol === 2
      ? client.openStream(request)
      : Effect.map(client.create(request), (answer): OpenStream => wholeChunks(answer)))

type Kind = "reasoning" | "text"

/** Prints text on stdout and reasoning on stderr, each beginning on a line of its own. */
const makePrinter = () => {
  let last: { readonly kind: Kind; readonly endsLine: boolean } | undefined
  // CR LF may come in two pieces
  let held = ""
  const endLine = () => {
    if (last?.endsLine === false) write(last.kind === "text" ? process.stdout : process.stderr, "\n")
  }
  const flush = (kind: Kind, text: string) => {
    if (text === "") return
    if (last !== undefined && last.kind !== kind) endLine()
    const stream = kind === "text" ? process.stdout : process.stderr
    const shown = plainFor(stream, text)
    write(stream, kind === "text" ? shown : styled("dim", shown))
    last = { kind, endsLine: text.endsWith("\n") }
  }
  return {
    print: (kind: Kind, text: string) => {
      const whole = kind === "text" ? held + text : text
      if (kind === "text") held = whole.endsWith("\r") ? "\r" : ""
      flush(kind, kind === "text" && held !== "" ? whole.slice(0, -1) : whole)
    },
    end: () => {
      flush("text", held)
      endLine()
    }
  }
}

const printChunk = (printer: ReturnType<typeof makePrinter>, { choices }: ChatCompletionChunk): void => {
  for (const { delta } of choices) {
    printer.print("reasoning", delta.reasoning_content ?? "")
    printer.print("text", delta.content ?? "")
  }
}

interface Fields {
  readonly [name: string]: unknown
}

const fieldsOf = (value: unknown): Fields => Predicate.isReadonlyRecord(value) ? value : {}
const listOf = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : []
const textOf = (value: unknown): string => typeof value === "string" ? value : ""

const callOf = (call: unknown): string => {
  const { custom, function: called } = fieldsOf(call)
  const { arguments: args, input, name } = fieldsOf(called ?? custom ?? call)
  return `${textOf(name)}(${textOf(args ?? input)})`
}

/** Notes on an answer beside its text, in sentences. */
const notesOf = ({ finish_reason, message }: Fields): ReadonlyArray<string> => {
  const { content, function_call, refusal, tool_calls } = fieldsOf(message)
  const calls = [...listOf(tool_calls), ...(function_call ? [function_call] : [])]
  const notes = [
    ...(textOf(refusal) === "" ? [] : [`The model refuses: ${textOf(refusal)}`]),
    ...calls.map((call) => `The model calls a tool, which nomyo chat does not run: ${callOf(call)}`),
    ...(finish_reason === "content_filter" ? ["A content filter withheld the answer, or a part of it."] : []),
    ...(finish_reason === "length" ? ["The answer was cut off at the token limit."] : [])
  ]
  return notes.length === 0 && textOf(content) === "" ? ["The model gave an empty answer."] : notes
}

/** Prints an answer as it comes. The scope's end closes its connection. */
export const printAnswer = Effect.fnUntraced(function*(request: ChatCompletionRequest, protocol: 1 | 2) {
  const chunks: Array<ChatCompletionChunk> = []
  const printer = makePrinter()
  const begin = Effect.flatMap(open(request, protocol), ({ pull }) =>
    Effect.map(pull, (first) => ({ first, pull })))
  const { first, pull } = yield* withSpinner("Waiting for the answer")(begin)
  const printAll = Effect.gen(function*() {
    for (let next = first; next !== undefined; next = yield* pull) {
      for (const chunk of next) printChunk(printer, chunk)
      chunks.push(...next)
    }
  })
  yield* Effect.ensuring(printAll, Effect.sync(printer.end))
  const choices = listOf(completionOfChunks(chunks)["choices"]).map(fieldsOf)
  const notes = choices.length === 0 ? notesOf({}) : choices.flatMap(notesOf)
  for (const note of notes) yield* err(styled("yellow", plain(note)))
  const [message] = choices.map(({ message }) => fieldsOf(message))
  const text = textOf(message?.["content"])
  const answer: Answer = { said: text || textOf(message?.["refusal"]), hasText: text !== "" }
  return answer
}, Effect.scoped)
