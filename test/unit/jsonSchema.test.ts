import { assert, describe, it } from "@effect/vitest"
import * as JsonSchema from "../../src/router/jsonSchema.js"

describe("an instance of a JSON Schema", () => {
  const cases: ReadonlyArray<readonly [what: string, schema: object, value: unknown]> = [
    ["a string", { type: "string" }, "Hello!"],
    ["a short string", { type: "string", maxLength: 2 }, "He"],
    ["a long string", { type: "string", minLength: 8 }, "Hello!xx"],
    ["a format", { type: "string", format: "date" }, "2026-01-01"],
    ["an enum", { type: "string", enum: ["red", "green"] }, "red"],
    ["a constant", { const: 7 }, 7],
    ["a number in its bounds", { type: "number", minimum: 3, maximum: 4 }, 3],
    ["a number above a bound", { type: "integer", exclusiveMinimum: 5 }, 6],
    ["a multiple", { type: "integer", multipleOf: 4, minimum: 5 }, 8],
    ["a list", { type: "array", items: { type: "integer" }, minItems: 3 }, [1, 1, 1]],
    ["a list of different numbers", { type: "array", items: { type: "integer" }, minItems: 2,
      uniqueItems: true }, [1, 2]],
    ["a tuple", { type: "array", prefixItems: [{ const: 1 }, { type: "null" }], items: false }, [1, null]],
    ["a nullable", { type: ["null", "boolean"] }, true],
    ["a choice", { anyOf: [{ type: "null" }, { type: "integer" }] }, 1],
    [
      "all of several",
      { allOf: [{ properties: { a: { const: 1 } }, required: ["a"] }, { properties: { b: { const: 2 } } }] },
      { a: 1, b: 2 }
    ],
    [
      "what a reference leads to",
      { type: "object", properties: { step: { $ref: "#/$defs/step" } },
        $defs: { step: { type: "integer" } } },
      { step: 1 }
    ],
    ["the escaped name of a reference", { $ref: "#/$defs/a~1b", $defs: { "a/b": { const: "x" } } }, "x"],
    ["an object with names of prototypes", { type: "object", required: ["constructor"] }, {
      constructor: "Hello!"
    }]
  ]
  for (const [what, schema, value] of cases) {
    it(`is ${what}`, () => assert.deepStrictEqual(JsonSchema.instance(schema, "Hello!"), value))
  }

  it("ends where a schema refers to itself", () => {
    const next = { anyOf: [{ $ref: "#/$defs/node" }, { type: "null" }] }
    const node = { type: "object", properties: { name: { type: "string" }, next },
      required: ["name", "next"] }
    const value = JsonSchema.instance({ $ref: "#/$defs/node", $defs: { node } }, "x")
    assert.match(JSON.stringify(value), /^(\{"name":"x","next":)+null\}+$/)
  })

  const endless: ReadonlyArray<readonly [what: string, schema: object]> = [
    ["a million items", { type: "array", items: { type: "integer" }, minItems: 1_000_000 }],
    ["a string of a gigabyte", { type: "string", minLength: 1e9 }],
    ["a reference to itself", { $ref: "#" }],
    ["an endless object", { type: "object", properties: { a: { $ref: "#" }, b: { $ref: "#" } },
      required: ["a", "b"] }]
  ]
  for (const [what, schema] of endless) {
    it(`is refused: ${what}`, () =>
      assert.throws(() => JsonSchema.instance(schema, "x"), JsonSchema.TooLarge))
  }
})
