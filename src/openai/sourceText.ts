/**
 * The JSON text that a request was read from. The client sends that text instead of writing the request
 * again, so that integers beyond 2^53 survive and a picture costs little.
 */
import { freezeDeeply } from "./json.js"

/** The JSON text of each member of an object, by the member's name. */
export type SourceText = ReadonlyMap<string, string>

/** Registered, since `nomyo-js/fetch` and the client may come from two bundles. */
const SOURCE = Symbol.for("nomyo-js/source-text")

const [QUOTE, COMMA, BACKSLASH] = [0x22, 0x2c, 0x5c]
const [OPENING_BRACKET, CLOSING_BRACKET] = [0x5b, 0x5d]
const [OPENING_BRACE, CLOSING_BRACE] = [0x7b, 0x7d]

/** Whether an odd number of backslashes stands before a quote. */
const isEscaped = (json: string, quote: number): boolean => {
  let start = quote
  while (json.charCodeAt(start - 1) === BACKSLASH) start--
  return (quote - start) % 2 === 1
}

/** The index of the quote that ends the string which begins at `start`. */
const endOfString = (json: string, start: number): number => {
  let quote = json.indexOf("\"", start + 1)
  while (isEscaped(json, quote)) quote = json.indexOf("\"", quote + 1)
  return quote
}

/** The text of each member of an object: what stands between its braces and commas. */
const splitMembers = function*(json: string): Generator<string, void> {
  let depth = 0
  let start = json.indexOf("{") + 1
  for (let at = 0; at < json.length; at++) {
    const unit = json.charCodeAt(at)
    if (unit === QUOTE) at = endOfString(json, at)
    else if (unit === OPENING_BRACE || unit === OPENING_BRACKET) depth++
    else if (unit === CLOSING_BRACE || unit === CLOSING_BRACKET) depth--
    const isEnd = (unit === COMMA && depth === 1) || (unit === CLOSING_BRACE && depth === 0)
    if (!isEnd) continue
    yield json.slice(start, at)
    start = at + 1
  }
}

/** The name of a member, and the text of its value. */
const memberOf = (text: string): readonly [string, string] => {
  const start = text.indexOf("\"")
  const end = endOfString(text, start) + 1
  return [JSON.parse(text.slice(start, end)) as string, text.slice(text.indexOf(":", end) + 1)]
}

/** The source text of a JSON object. As with `JSON.parse`, the last member of a name counts. */
const parseMembers = (json: string): SourceText => {
  const texts = [...splitMembers(json)]
  return new Map(texts.filter((text) => text.includes("\"")).map(memberOf))
}

/**
 * Notes the text that a request was read from. `json` is a valid object, and has the request's members.
 * Neither a copy of the request nor its JSON has the note. The request is frozen, since a later change
 * would not be sent.
 */
export const withSourceText = <A extends object>(request: A, json: string): A =>
  freezeDeeply(Object.defineProperty(request, SOURCE, { value: parseMembers(json) }))

/** The text that a request was read from, if it is known. */
export const sourceTextOf = (request: object): SourceText | undefined =>
  Object.hasOwn(request, SOURCE) ? (request as { readonly [SOURCE]: SourceText })[SOURCE] : undefined
