/** The messages of the conversation, as they are shown. */
import type { Answer, ToolCall } from "./answer.js"
import { byId, copyButton, element } from "./dom.js"
import * as Markdown from "./markdown.js"

const log = byId("messages")
const hint = byId("hint")

/** A text of more characters is shown as it is: formatting it again and again would take too long. */
const LONGEST_MARKDOWN = 100_000

type Kind = "user" | "tool" | "assistant" | "error"

const article = (kind: Kind, title: string, ...children: ReadonlyArray<Node>): HTMLElement => {
  hint.remove()
  const heading = element("h3", { textContent: title })
  const made = element("article", { className: `message ${kind}` }, heading, ...children)
  if (kind === "error") made.setAttribute("role", "alert")
  log.append(made)
  made.scrollIntoView({ block: "nearest" })
  return made
}

const text = (content: string) => element("p", { textContent: content })

/** Shows what the user has said. */
export const showOwn = (kind: "user" | "tool", title: string, content: string): HTMLElement =>
  article(kind, title, text(content))

const nodesOf = (content: string): ReadonlyArray<Node | string> => {
  if (content.length > LONGEST_MARKDOWN) return [text(content)]
  try {
    return Markdown.render(content)
  } catch {
    // nested more deeply than the stack
    return [text(content)]
  }
}

const pretty = (json: string): string => {
  try {
    return JSON.stringify(JSON.parse(json), null, 2)
  } catch {
    // a model writes this text: it may be anything
    return json
  }
}

const toolCall = ({ function: { arguments: json, name } }: ToolCall) => {
  const summary = element("summary", {}, "Tool call: ", element("code", { textContent: name }))
  const bar = element("div", { className: "bar" }, element("span", { textContent: "arguments" }))
  bar.append(copyButton(() => pretty(json)))
  const pre = element("pre", { textContent: pretty(json), tabIndex: 0 })
  return element("details", { className: "call" }, summary, element("div", { className: "code" }, bar, pre))
}

const thinking = (reasoning: string) => {
  const summary = element("summary", { textContent: "Thinking" })
  return element("details", { className: "thinking" }, summary, text(reasoning))
}

const ENDS: { readonly [reason: string]: string } = {
  length: "The answer reached its maximum length.",
  content_filter: "A content filter ended the answer."
}

const partsOf = (answer: Answer, isOver: boolean): ReadonlyArray<Node> => {
  const { calls, content, finish, reasoning, refusal } = answer
  const isEmpty = content === "" && refusal === "" && calls.length === 0
  const note = ENDS[finish] ?? (isOver && isEmpty ? "The model returned no text." : undefined)
  return [
    ...(reasoning === "" ? [] : [thinking(reasoning)]),
    ...(content === "" ? [] : [element("div", { className: "markdown" }, ...nodesOf(content))]),
    ...(refusal === "" ? [] : [element("p", { className: "refusal" }, "The model refuses: ", refusal)]),
    ...calls.map(toolCall),
    ...(note === undefined ? [] : [element("p", { className: "note", textContent: note })])
  ]
}

/** An answer on the page. */
export interface ShownAnswer {
  /** Shows the answer as it is now, at the next time that the browser paints. */
  readonly update: (answer: Answer) => void
  /** Shows the whole answer at once. */
  readonly finish: (answer: Answer) => void
  readonly remove: () => void
}

/** Shows an answer that grows. */
export const showAnswer = (): ShownAnswer => {
  const body = element("div", {}, element("p", { className: "waiting", textContent: "…" }))
  const shown = article("assistant", "Answer", body)
  let frame = 0
  const draw = (answer: Answer, isOver: boolean) => {
    const wasOpen = body.querySelector(".thinking[open]") !== null
    body.replaceChildren(...partsOf(answer, isOver))
    body.querySelector(".thinking")?.toggleAttribute("open", wasOpen)
    shown.scrollIntoView({ block: "end" })
  }
  return {
    update: (answer) => {
      cancelAnimationFrame(frame)
      frame = requestAnimationFrame(() => draw(answer, false))
    },
    finish: (answer) => {
      cancelAnimationFrame(frame)
      draw(answer, true)
    },
    remove: () => {
      cancelAnimationFrame(frame)
      shown.remove()
    }
  }
}

/** Says that a request was cancelled. */
export const showCancelled = (): void => void article("assistant", "Cancelled")

const FACTS = ["reason", "statusCode", "attempts", "retryAfter"] as const

/** Shows an error with its known details. */
export const showError = (error: unknown): void => {
  const { message, name } = error as Error
  const given = error as { readonly [field: string]: unknown }
  const facts = FACTS.flatMap((fact) => given[fact] === undefined ? [] : [`${fact}: ${String(given[fact])}`])
  article("error", name, text(message), ...(facts.length === 0 ? [] : [text(facts.join(", "))]))
}

/** Takes every message away. `advice` is what an empty conversation says. */
export const clear = (advice: string): void => {
  hint.textContent = advice
  log.replaceChildren(hint)
}

/** Says whether an answer is on its way: a screen reader then waits for the whole of it. */
export const setWaiting = (isWaiting: boolean): void => log.setAttribute("aria-busy", String(isWaiting))
