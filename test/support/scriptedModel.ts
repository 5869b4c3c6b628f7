/** A model that answers by what the prompt says. */
import * as Effect from "effect/Effect"
import type * as Model from "../../src/router/Model.js"

/** What the model was asked, and which of its answers nobody waited for. */
export interface ScriptedModel {
  readonly model: Model.Model
  readonly asked: ReadonlyArray<Model.Opened>
  readonly cancelled: ReadonlyArray<string>
}

const weather = { name: "get_weather", arguments: "{\"city\":\"Paris\"}" }
const call = { id: "call_1", type: "function", function: weather }

/** An answer by the last word of a prompt, as `message` and `finish_reason`. */
const ANSWERS: { readonly [word: string]: readonly [message: object, finish: string] } = {
  refuse: [{ content: null, refusal: "I must not say that." }, "stop"],
  tool: [{ content: null, tool_calls: [call] }, "tool_calls"],
  legacy: [{ content: null, function_call: { name: "old_weather", arguments: "{}" } }, "function_call"],
  empty: [{ content: "" }, "stop"],
  filter: [{ content: "Half of i" }, "content_filter"],
  filtered: [{ content: null }, "content_filter"],
  long: [{ content: "Once upon a" }, "length"],
  crlf: [{ content: "one\r\ntwo\r\n" }, "stop"],
  steer: [{ content: "\u001b[2J\u009b2J\u202egnp.exe" }, "stop"]
}

const lastText = ({ payload }: Model.Opened): string => {
  const content = payload.messages.at(-1)?.content
  return typeof content === "string" ? content : (content ?? []).map(({ text }) => text ?? "").join(" ")
}

export const makeScriptedModel = (): ScriptedModel => {
  const asked: Array<Model.Opened> = []
  const cancelled: Array<string> = []
  const model: Model.Model = (request) =>
    Effect.suspend(() => {
      asked.push(request)
      const text = lastText(request)
      const word = text.trim().split(/\s+/).at(-1) ?? ""
      if (word === "never") {
        return Effect.onInterrupt(Effect.never, () => Effect.sync(() => cancelled.push(text)))
      }
      const [message, finish_reason] = ANSWERS[word] ?? [{ content: `You said: ${text}` }, "stop"]
      const choice = { index: 0, message: { role: "assistant", ...message }, finish_reason }
      return Effect.succeed({ choices: [choice] })
    })
  return { model, asked, cancelled }
}
