import * as Effect from "effect/Effect"
import type { ChatCompletionResponse } from "../ChatCompletion.js"
import * as ChatCompletionChunk from "../ChatCompletionChunk.js"
import type { Chunks } from "../Protocol.js"

/** A whole answer as chunks, all at once. The first chunk's `_metadata` marks that. */
export const wholeChunks = (answer: ChatCompletionResponse): Chunks => {
  const marked = { ...answer, _metadata: { ...answer._metadata, is_streamed: false } }
  let left: Iterable<ChatCompletionChunk.ChatCompletionChunk> | undefined =
    ChatCompletionChunk.fromResponse(marked, { includeUsage: true })
  return {
    pull: Effect.sync(() => {
      const chunks = left === undefined ? undefined : Array.from(left)
      left = undefined
      return chunks
    })
  }
}
