import * as Effect from "effect/Effect"
import type { ChatCompletionResponse } from "../ChatCompletion.js"
import * as ChatCompletionChunk from "../ChatCompletionChunk.js"
import type { Chunks } from "../Protocol.js"

/** A whole answer as chunks, which come all at once. */
export const wholeChunks = (answer: ChatCompletionResponse): Chunks => {
  let left: Iterable<ChatCompletionChunk.ChatCompletionChunk> | undefined =
    ChatCompletionChunk.fromResponse(answer, { includeUsage: true })
  return {
    pull: Effect.sync(() => {
      const chunks = left === undefined ? undefined : Array.from(left)
      left = undefined
      return chunks
    })
  }
}
