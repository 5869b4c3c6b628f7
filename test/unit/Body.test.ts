import { assert, describe, it } from "@effect/vitest"
import { checked } from "../../src/Body.js"
import { SecurityError } from "../../src/NomyoError.js"

describe("Body.checked", () => {
  it("gives no more of a body than its length, and nothing whole that is not right", () => {
    for (const chunks of [["ab", "cd", "ef", "g"], ["ab", "cd", "e"], ["ab", "c"]]) {
      const given: Array<string> = []
      assert.throws(() => {
        for (const chunk of checked({ length: 4, chunks }).chunks) given.push(chunk)
      }, SecurityError)
      assert.deepStrictEqual(given, ["ab"])
    }
  })
})
