/**
 * An answer in chunks, for `for await`.
 *
 * @since 0.3.0
 */
import * as Effect from "effect/Effect"
import { callRules, readOptions } from "../internal/options.js"
import { NomyoClient } from "../NomyoClient.js"
import { InvalidRequestError } from "../NomyoError.js"
import type { ChatCompletionResponse } from "../openai/chatAnswer.js"
import type { ChatCompletionChunk } from "../openai/chatChunk.js"
import type { ChatCompletionRequest } from "../openai/chatRequest.js"
import { completionOfChunks } from "../openai/foldStream.js"
import type { ClientRuntime } from "./ClientRuntime.js"
import { openUntilLeft } from "./openUntilLeft.js"
import type { CallOptions } from "./options.js"

/**
 * An answer in chunks. Leaving the loop closes the connection.
 *
 * @since 0.3.0
 * @category models
 */
export interface CompletionStream extends AsyncIterableIterator<ChatCompletionChunk> {
  /**
   * Reads the answer to its end, and joins all its chunks, including the chunks that you have read. Rejects
   * if you left the loop before the end.
   */
  finalCompletion(): Promise<ChatCompletionResponse>
}

/** Passes chunks to `note` and to the loop. */
async function* chunksOf(
  runtime: ClientRuntime,
  request: ChatCompletionRequest,
  options: CallOptions | undefined,
  note: (chunk: ChatCompletionChunk | undefined) => void
): AsyncGenerator<ChatCompletionChunk, void, undefined> {
  const { leave, opened } = openUntilLeft(runtime, readOptions(callRules, options), (read) =>
    Effect.flatMap(NomyoClient, (client) => client.openStream(request, read)))
  try {
    const { pull } = await opened
    for (;;) {
      const chunks = await runtime.call(readOptions(callRules, options), () => pull)
      for (const chunk of chunks ?? []) {
        note(chunk)
        yield chunk
      }
      if (chunks === undefined) return note(undefined)
    }
  } finally {
    await leave().catch(() => undefined)
  }
}

/** @internal */
export const stream = (
  runtime: ClientRuntime,
  request: ChatCompletionRequest,
  options: CallOptions | undefined
): CompletionStream => {
  const read: Array<ChatCompletionChunk> = []
  let isComplete = false
  const chunks = chunksOf(runtime, request, options, (chunk) => {
    if (chunk === undefined) isComplete = true
    else read.push(chunk)
  })
  const finalCompletion = async () => {
    while ((await chunks.next()).done !== true);
    if (isComplete) return completionOfChunks(read) as unknown as ChatCompletionResponse
    const message = "There is no final completion, because you left the stream early. Read it to its end"
    throw new InvalidRequestError({ message })
  }
  return Object.assign(chunks, { finalCompletion })
}
