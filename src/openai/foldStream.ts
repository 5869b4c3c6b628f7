/** An event stream (`text/event-stream`) that came in place of a whole answer, folded into one. */
import { isList, isObject, type JsonObject, parseLoosely } from "./looseJson.js"

/** Whether a text is a stream of server-sent events: its first line is a field of one, or a comment. */
export const isEventStream = (text: string): boolean => /^\s*(?:(?:data|event|id|retry):|:)/.test(text)

/** Some servers end an event with a single line break: each line is an event then. */
const valuesOf = (lines: ReadonlyArray<string>): ReadonlyArray<JsonObject> => {
  const whole = parseLoosely(lines.join("\n"))
  return (whole === undefined ? lines.map(parseLoosely) : [whole]).filter(isObject)
}

/** The JSON of each event, in order. What is no JSON, such as `[DONE]`, is left out. */
const eventsOf = (text: string): ReadonlyArray<JsonObject> => {
  const events: Array<Array<string>> = [[]]
  for (const line of text.split(/\r\n|\n|\r/)) {
    if (line === "") events.push([])
    else if (line.startsWith("data:")) events.at(-1)!.push(line.slice(5))
  }
  return events.flatMap(valuesOf)
}

/** Fields whose texts are whole in each chunk, so nobody joins them. */
const WHOLE = new Set(["id", "type", "role", "name", "object", "model", "format", "finish_reason"])

const own = (object: JsonObject, name: string): unknown =>
  Object.hasOwn(object, name) ? object[name] : undefined

/** Sets a field, `__proto__` like any other. `null` takes nothing away. */
const set = (object: JsonObject, name: string, value: unknown): void => {
  if (value === null && own(object, name) !== undefined) return
  Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true })
}

/** Adds a delta to the values so far: texts are joined, lists joined or merged by `index`, objects merged. */
const merge = (into: JsonObject, delta: JsonObject): JsonObject => {
  for (const [name, value] of Object.entries(delta)) set(into, name, merged(name, own(into, name), value))
  return into
}

const merged = (name: string, there: unknown, value: unknown): unknown => {
  if (name === "tool_calls" && isList(value)) return mergeCalls(isList(there) ? there : [], value)
  // a content that was text so far, and goes on in parts, or the other way round
  if (isList(value))
    return mergeList(isList(there) ? there : typeof there === "string" && there !== "" ? [there] : [], value)
  if (isList(there) && typeof value === "string") return value === "" ? there : [...there, value]
  if (isObject(value)) return merge(isObject(there) ? there : {}, value)
  if (typeof value !== "string" || typeof there !== "string") return value
  if (!WHOLE.has(name)) return there + value
  // some servers send an empty name or id with each further piece
  return value === "" ? there : value
}

const mergeList = (there: ReadonlyArray<unknown>, added: ReadonlyArray<unknown>): ReadonlyArray<unknown> => {
  const list = [...there]
  for (const item of added) {
    const same = isObject(item) && typeof item["index"] === "number"
      ? list.find((other): other is JsonObject => isObject(other) && other["index"] === item["index"])
      : undefined
    if (same !== undefined && isObject(item)) merge(same, item)
    else list.push(isObject(item) ? merge({}, item) : item)
  }
  return list
}

const nameOf = ({ function: called }: JsonObject): unknown => isObject(called) ? called["name"] : undefined

/**
 * Whether a piece of a tool call begins another one. A piece that goes on has no name, or the name and the
 * id of the call so far; some servers give no `index`, and some give the same one to every call.
 */
const isBegun = (call: JsonObject, piece: JsonObject): boolean => {
  if (!nameOf(piece)) return false
  if (piece["id"]) return piece["id"] !== call["id"]
  return piece["index"] === undefined
}

const mergeCalls = (there: ReadonlyArray<unknown>, added: ReadonlyArray<unknown>): ReadonlyArray<unknown> => {
  const calls = there.filter(isObject)
  for (const piece of added.filter(isObject)) {
    const call = calls.findLast(({ index }) =>
      piece["index"] === undefined || index === undefined || index === piece["index"]
    )
    if (call === undefined || isBegun(call, piece)) calls.push(merge({}, piece))
    else merge(call, piece)
  }
  return calls
}

/** A chunk's choice: its delta becomes the message. Pieces of one choice have the same index. */
const asChoice = (choice: unknown, position: number): unknown => {
  if (!isObject(choice)) return choice
  const { delta, index, ...rest } = choice
  const message = isObject(delta) ? { message: delta } : {}
  const number = Number(index ?? position)
  return { index: Number.isNaN(number) ? position : number, ...rest, ...message }
}

/**
 * The answer that the events of a stream make up, or `undefined` if none of them is JSON. An answer that a
 * stream breaks off is kept, with the `error` that broke it off beside it.
 */
export const foldStream = (text: string): JsonObject | undefined => {
  const events = eventsOf(text)
  return events.length === 0 ? undefined : foldEvents(events)
}

/** The answer that chunks make up, in OpenAI's shape or another. */
export const foldEvents = (events: ReadonlyArray<JsonObject>): JsonObject => {
  const answer: JsonObject = {}
  for (const { choices, ...fields } of events) {
    // a field of the whole answer is replaced, not appended to
    for (const [name, value] of Object.entries(fields)) set(answer, name, value)
    if (isList(choices)) merge(answer, { choices: choices.map(asChoice) })
  }
  // what made the pieces fit together is no part of a whole call
  for (const choice of isList(answer["choices"]) ? answer["choices"] : []) dropIndexes(choice)
  return answer
}

/** The whole answer that chunks make up. */
export const completionOfChunks = (chunks: ReadonlyArray<object>): JsonObject => ({
  ...foldEvents(chunks as ReadonlyArray<JsonObject>),
  object: "chat.completion"
})

const dropIndexes = (choice: unknown): void => {
  const message = isObject(choice) ? choice["message"] : undefined
  const calls = isObject(message) ? message["tool_calls"] : undefined
  for (const call of isList(calls) ? calls : []) if (isObject(call)) delete call["index"]
}
