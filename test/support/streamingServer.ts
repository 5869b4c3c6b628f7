/** A model server that streams, and counts what becomes of its streams. */
import * as Effect from "effect/Effect"
import type * as Http from "node:http"
import { json } from "node:stream/consumers"
import * as Servers from "./servers.js"

const eventOf = (content: string) =>
  `data: ${
    JSON.stringify({ id: "c-1", created: 1, model: "m", choices: [{ index: 0, delta: { content } }] })
  }\n\n`

/** More than all buffers between a model server and its reader hold together, in bytes. */
export const FLOOD = 128 * 1024 * 1024
const PIECE = "x".repeat(16 * 1024)

/** Writes as fast as the reader takes it. */
const flood = (response: Http.ServerResponse, written: (bytes: number) => void) => {
  let left = FLOOD
  const go = () => {
    while (left > 0) {
      const event = eventOf(PIECE)
      left -= event.length
      written(event.length)
      if (!response.write(event)) return void response.once("drain", go)
    }
    response.end("data: [DONE]\n\n")
  }
  go()
}

/**
 * The model `gated` streams "one", and "two" after `open()`; `cut` streams "one", and loses its connection at
 * `cut()`; `lost` loses it at once; `flood` streams 128 MiB.
 */
export const streamingServer = Effect.suspend(() => {
  const state = { requests: [] as Array<{ readonly [name: string]: unknown }>, written: 0, closed: 0 }
  let release = (): void => undefined
  let cut = (): void => undefined
  const gate = new Promise<void>((resolve) => release = resolve)
  const answer = async (request: Http.IncomingMessage, response: Http.ServerResponse) => {
    const body = await json(request) as { readonly model: string }
    state.requests.push(body)
    response.on("close", () => state.closed++)
    response.writeHead(200, { "content-type": "text/event-stream" })
    if (body.model === "flood") return flood(response, (bytes) => state.written += bytes)
    response.write(eventOf("one"))
    cut = () => response.destroy()
    if (body.model === "cut") return
    if (body.model === "lost") return void setImmediate(cut)
    await gate
    response.end(`${eventOf("two")}data: [DONE]\n\n`)
  }
  const started = Servers.httpServer((request, response) => void answer(request, response))
  return Effect.map(started, (url) => ({ url, state, open: () => release(), cut: () => cut() }))
})
