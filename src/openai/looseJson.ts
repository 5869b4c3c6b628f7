/** JSON as model servers write it. */

/** An object of a JSON text. */
export interface JsonObject {
  [name: string]: unknown
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

export const isList = (value: unknown): value is ReadonlyArray<unknown> => Array.isArray(value)

const attempt = (parse: () => unknown): unknown => {
  try {
    return parse()
  } catch {
    return undefined
  }
}

/** A string, or a number that JSON has no way to write, as Python and C write it all the same. */
const STRING_OR_NO_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity|nan|inf)\b/g

/**
 * The value of a JSON text, in which `NaN` and `Infinity` are taken for `null`; `undefined` if it is none.
 */
export const parseLoosely = (text: string): unknown => {
  const value = attempt(() => JSON.parse(text))
  if (value !== undefined || !/NaN|Infinity|nan|inf/.test(text)) return value
  const json = () => text.replace(STRING_OR_NO_NUMBER, (token) => token.startsWith("\"") ? token : "null")
  return attempt(() => JSON.parse(json()))
}

/** The values of lines that are all JSON objects; `undefined` if they are none, or a single one. */
export const parseLines = (text: string): ReadonlyArray<JsonObject> | undefined => {
  const lines = text.split("\n").filter((line) => line.trim() !== "")
  const values = lines[1]?.trimStart().startsWith("{") ? lines.map(parseLoosely).filter(isObject) : []
  return values.length > 0 && values.length === lines.length ? values : undefined
}
