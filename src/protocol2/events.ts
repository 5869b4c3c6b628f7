/** The chunks of a streamed answer, read from its server-sent events as they arrive. */
import * as Effect from "effect/Effect"
import type { ChatCompletionChunk } from "../ChatCompletionChunk.js"
import { zeroAll } from "../internal/zeroing.js"
import { APIError, type HttpError } from "../NomyoError.js"
import { answerError } from "../openai/answerError.js"
import { isList, isObject } from "../openai/looseJson.js"
import type { Chunks } from "../Protocol.js"
import type { Answer } from "./SealedExchange.js"

const unreadable = () =>
  new APIError<"APIError">({
    statusCode: 200,
    message: "An event of the router's answer is not a chunk of a chat completion. Report the payloadId",
    authenticated: true
  })

/** The chunk of an event; nothing of a comment or of the event that says that no more will come. */
const chunkOf = (event: string): ReadonlyArray<ChatCompletionChunk> | HttpError => {
  const lines = event.split(/\r\n|\n|\r/).filter((line) => line.startsWith("data:"))
  const data = lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n")
  if (data === "" || data === "[DONE]") return []
  try {
    const value: unknown = JSON.parse(data)
    if (isObject(value) && isList(value["choices"])) return [value as unknown as ChatCompletionChunk]
    return isObject(value) && "error" in value ? answerError(value["error"]) : unreadable()
  } catch {
    return unreadable()
  }
}

/** Cuts text into events, and zeroes its bytes. What is left waits for more. */
const makeSplitter = () => {
  const decoder = new TextDecoder()
  let text = ""
  return (parts: ReadonlyArray<Uint8Array<ArrayBuffer>>): ReadonlyArray<string> => {
    for (const part of parts) text += decoder.decode(part, { stream: true })
    zeroAll(parts)
    const events = text.split(/\r\n\r\n|\n\n|\r\r/)
    text = events.pop() ?? ""
    return events
  }
}

/** The chunks of a streamed answer. The first has `metadata`. An error comes after the chunks before it. */
export const chunksOf = (answer: Answer, metadata: object): Chunks => {
  const split = makeSplitter()
  let isFirst = true
  let failure: HttpError | undefined
  // comments give no chunks, and count as signs of life
  const read = (parts: ReadonlyArray<Uint8Array<ArrayBuffer>>) => {
    const chunks: Array<ChatCompletionChunk> = []
    for (const event of split(parts)) {
      const found = chunkOf(event)
      if (found instanceof Error) {
        failure = found
        break
      }
      for (const chunk of found) {
        chunks.push(isFirst ? { ...chunk, _metadata: metadata } : chunk)
        isFirst = false
      }
    }
    return failure === undefined || chunks.length > 0 ? Effect.succeed(chunks) : Effect.fail(failure)
  }
  const next = Effect.flatMap(answer.pull, (parts) =>
    parts === undefined ? Effect.succeed(undefined) : read(parts))
  return { pull: Effect.suspend(() => failure === undefined ? next : Effect.fail(failure)) }
}
