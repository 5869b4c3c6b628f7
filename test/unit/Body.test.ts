import { assert, describe, it } from "@effect/vitest"
import { checked, toBytes } from "../../src/Body.js"
import { SecurityError } from "../../src/NomyoError.js"

describe("Body.checked", () => {
  it("gives no more of a body than its length, and nothing whole that is not right", () => {
    for (const chunks of [["ab", "cd", "ef", "g"], ["ab", "cd", "e"], ["ab", "c"]]) {
      const given: Array<string | Uint8Array> = []
      assert.throws(() => {
        for (const chunk of checked({ length: 4, chunks }).chunks) given.push(chunk)
      }, SecurityError)
      assert.deepStrictEqual(given, ["ab"])
    }
  })

  it("gives bytes as they are, which need not be ASCII", () => {
    const chunks = [Uint8Array.of(0xc3, 0xa9), "a"]
    assert.deepStrictEqual([...checked({ length: 3, chunks }).chunks], chunks)
  })
})

describe("Body.toBytes", () => {
  it("joins the chunks", () => {
    assert.deepStrictEqual(toBytes({ length: 3, chunks: ["ab", "", "c"] }), Uint8Array.of(97, 98, 99))
    const chunks = ["a", Uint8Array.of(0xc3, 0xa9)]
    assert.deepStrictEqual(toBytes({ length: 3, chunks }), Uint8Array.of(97, 0xc3, 0xa9))
  })

  it.each([
    { why: "too short", chunks: ["ab"] },
    { why: "too long", chunks: ["ab", "cd"] },
    { why: "not ASCII", chunks: ["ab", "\u00e9"] }
  ])("throws where they are $why", ({ chunks }) => {
    assert.throws(() => toBytes({ length: 3, chunks }), SecurityError,
      "The request's body is not ASCII, or its length is wrong. Correct the code that makes it")
  })
})
