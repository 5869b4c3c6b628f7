/** JSON with long strings is read as `JSON.parse` reads it. */
import * as FastCheck from "effect/FastCheck"
import { describe, expect, it } from "vitest"
import { parse } from "../../src/openai/json.js"

/** What a parser makes of a text, or that it throws. */
const outcome = (read: (text: string) => unknown, text: string) => {
  try {
    return JSON.stringify(read(text))
  } catch {
    return "not JSON"
  }
}
const isSame = (text: string) => outcome(parse, text) === outcome(JSON.parse, text)

const LONG = 100_000
const plain = "a".repeat(LONG)

describe("parse", () => {
  it.each([
    ["a picture", `{"url":"data:image/png;base64,${plain}","n":1}`],
    ["several, in lists", `[["${plain}","b",["${plain}"]],"${plain}"]`],
    ["other alphabets", JSON.stringify({ a: "漢😀é".repeat(LONG) })],
    ["a text alone", `"${plain}"`],
    ["a long name", `{"${plain}":1}`],
    ["escapes", JSON.stringify({ a: "\n\"".repeat(LONG), b: plain })],
    ["an escaped quote before", `{"a":"\\"${plain}"}`],
    ["an escaped quote behind", `{"a":"${plain}\\""}`],
    ["half a surrogate pair", `{"a":"${plain}\ud83d"}`],
    ["numbers between strings", `{"a:":[${Array(LONG).fill(1).join(",")}],"b":"${plain}"}`],
    ["blanks between strings", `{"a":${plain.replaceAll("a", " ")}"b"}`],
    ["__proto__", `{"__proto__":"${plain}"}`],
    ["a line break, which is not JSON", `{"a":"${plain}\n"}`],
    ["a control character, which is not JSON", `{"a":"${plain}\u0001${plain}"}`],
    ["no end", `{"a":"${plain}`],
    ["two values", `{"a":"${plain}"}{"a":"${plain}"}`]
  ])("reads %s", (_, text) => expect(isSame(text)).toBe(true))

  it("reads anything", () => {
    const piece = FastCheck.constantFrom(plain, "\"", "\\", ",", ":", "[", "]", "{", "}", "1", " ", "\n", "a",
      "漢", `"${plain}"`, `"a":`)
    FastCheck.assert(
      FastCheck.property(FastCheck.array(piece, { maxLength: 12 }), (pieces) => isSame(pieces.join(""))),
      { numRuns: 300 }
    )
    FastCheck.assert(
      FastCheck.property(FastCheck.jsonValue(), (value) =>
        isSame(JSON.stringify([value, plain, { value, plain }])))
    )
  })
})
