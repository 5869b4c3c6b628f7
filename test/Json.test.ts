import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import { runInNewContext } from "node:vm"
import * as ChatCompletion from "../src/ChatCompletion.js"
import * as Bytes from "../src/internal/bytes.js"
import * as Json from "../src/internal/json.js"
import * as SecureMemory from "../src/SecureMemory.js"

const LONG = 64 * 1024
const keep = (_key: string, value: unknown) => value
const join = (value: unknown) => [...Json.pieces(Json.stringify(value, keep))].join("")

describe("JSON in pieces", () => {
  it("is what JSON.stringify gives", () => {
    FastCheck.assert(FastCheck.property(FastCheck.jsonValue(), (value) => {
      assert.strictEqual(join(value), JSON.stringify(value))
    }))
  })

  it("is that for long strings of any characters, in pieces that are not long", () => {
    const text = FastCheck.string({ unit: FastCheck.constantFrom("a", "\"", "\\", "\n", "é", "漢", "😀", "\ud83d", "\ude00"), maxLength: 40 })
    FastCheck.assert(
      FastCheck.property(text, text, FastCheck.integer({ min: -3, max: 3 }), (unit, other, shift) => {
        const long = "x".repeat(LONG + shift) + (unit.repeat(2 * LONG) + other).slice(0, 2 * LONG)
        const value = { a: [long, other], b: { c: long, [other]: unit } }
        assert.strictEqual(join(value), JSON.stringify(value))
        // a character takes six at the most
        for (const piece of Json.pieces(Json.stringify(value, keep))) assert.isAtMost(piece.length, 6 * LONG)
      }),
      { numRuns: 20 }
    )
  })

  it("counts the bytes of a text", () => {
    for (const text of ["", "a", "é", "漢", "😀", "a😀漢é"]) assert.strictEqual(Bytes.utf8Length(text), Buffer.byteLength(text))
  })

  it.scoped("is what bytes hold, of whatever realm they are", () =>
    Effect.gen(function*() {
      const foreign: Uint8Array = runInNewContext("Uint8Array.of(123, 125)")
      assert.notInstanceOf(foreign, Uint8Array)
      assert.deepStrictEqual(yield* ChatCompletion.encodePayload(foreign), Uint8Array.of(123, 125))
    }).pipe(Effect.provide(SecureMemory.layer)))

  it.scoped("is what a payload was when it was given, though it changes before it is written", () =>
    Effect.gen(function*() {
      const message = { role: "user", content: "é".repeat(300_000) }
      const expected = JSON.stringify({ messages: [message] })
      const fiber = yield* Effect.fork(ChatCompletion.encodePayload({ messages: [message] }))
      yield* Effect.yieldNow()
      message.content = "something else"
      assert.strictEqual(new TextDecoder().decode(yield* fiber), expected)
    }).pipe(Effect.provide(SecureMemory.layer)))
})
