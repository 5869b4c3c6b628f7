import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Chunks from "../../src/openai/chunks.js"
import type { Model, Opened } from "../../src/router/Model.js"

const head = { id: "chatcmpl-gated", object: "chat.completion.chunk", created: 1, model: "gated" }
const chunk = (content: string, finish_reason: string | null = null) =>
  Chunks.eventOf({ ...head, choices: [{ index: 0, delta: { content }, finish_reason }] })

const completion = {
  ...head,
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: "opened" }, finish_reason: "stop" }]
}

/**
 * A model that streams "one", and waits with "two" until it is asked for the model `open`: whatever lies in
 * between has to pass pieces on as they come. `ended` counts the streams that are over.
 */
export const gatedModel = () => {
  const state = { started: 0, ended: 0 }
  let open = (): void => undefined
  const whole = ({ payload }: Opened) =>
    Effect.sync(() => {
      if (payload.model === "open") open()
      return completion
    })
  const stream = () =>
    Effect.sync(() => {
      state.started++
      const opened = new Promise<void>((resolve) => open = resolve)
      return Stream.make(chunk("one")).pipe(
        Stream.concat(Stream.execute(Effect.promise(() => opened))),
        Stream.concat(Stream.make(chunk("two", "stop"), Chunks.DONE)),
        Stream.rechunk(1),
        Stream.ensuring(Effect.sync(() => state.ended++))
      )
    })
  const model: Model = Object.assign(whole, { stream })
  return { model, state }
}
