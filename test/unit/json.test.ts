import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import { runInNewContext } from "node:vm"
import * as ChatCompletion from "../../src/ChatCompletion.js"
import * as Bytes from "../../src/internal/codecs/bytes.js"
import * as Json from "../../src/internal/codecs/json.js"
import * as SecureMemory from "../../src/SecureMemory.js"

const LONG = 48 * 1024

/** What it comes to, which is as long as it says, whether its text is kept or not. */
const join = (value: unknown) => {
  const json = Json.stringify(value)
  const kept: Array<string> = []
  const text = [...Json.chunks(json)].join("")
  for (const lengths of [Json.lengths(json, kept), Json.lengths(json, undefined)]) {
    assert.strictEqual([...lengths].reduce((total, length) => total + length), Buffer.byteLength(text))
  }
  assert.strictEqual(kept.join(""), text)
  return text
}

describe("chunked JSON", () => {
  it("equals JSON.stringify", () => {
    FastCheck.assert(FastCheck.property(FastCheck.jsonValue(), (value) => {
      assert.strictEqual(join(value), JSON.stringify(value))
    }))
  })

  it("equals JSON.stringify for values with a JSON form of their own", () => {
    class Point {
      readonly x = 1
      get y() {
        return 2
      }
    }
    for (
      const value of [
        { at: new Date(0) },
        Object.assign([1], { toJSON: () => ["other"] }),
        { inner: { toJSON: (key: string) => `${key}!` } },
        new Point(),
        Object.create({ inherited: 1 }, { own: { value: 1, enumerable: true }, hidden: { value: 2 } }),
        Object.assign(Object.create(null), { a: 1 }),
        { a: undefined, [Symbol("b")]: 1, c: Object("boxed"), d: Object(false) },
        new Proxy({ a: [1] }, {}),
        JSON.parse("{\"__proto__\":{\"toJSON\":1}}")
      ]
    ) assert.strictEqual(join(value), JSON.stringify(value))
  })

  it.each([[Object.assign([], { length: 2 })], [{ a: [undefined] }], [{ a: { toJSON: () => 1n } }], [
    undefined
  ], [() => 1], [[Symbol("a")]], [{ a: Number.NEGATIVE_INFINITY }], [new Set()]])(
    "refuses what would be lost: %o",
    (value) => {
      assert.throws(() => Json.stringify(value))
    }
  )

  it("equals JSON.stringify for long strings of any characters, in short chunks", () => {
    const text = FastCheck.string({
      unit: FastCheck.constantFrom("a", "\"", "\\", "\n", "é", "漢", "😀", "\ud83d", "\ude00"),
      maxLength: 40
    })
    FastCheck.assert(
      FastCheck.property(text, text, FastCheck.integer({ min: -3, max: 3 }), (unit, other, shift) => {
        const long = "x".repeat(LONG + shift) + (unit.repeat(2 * LONG) + other).slice(0, 2 * LONG)
        const value = { a: [long, other], b: { c: long, [other]: unit } }
        assert.strictEqual(join(value), JSON.stringify(value))
        // a character takes six at the most
        for (const piece of Json.chunks(Json.stringify(value))) assert.isAtMost(piece.length, 6 * LONG)
      }),
      { numRuns: 20 }
    )
  })

  it("counts bytes where a string has no isWellFormed", () => {
    const { isWellFormed } = String.prototype
    Reflect.set(String.prototype, "isWellFormed", undefined)
    try {
      assert.strictEqual(join(["\n😀\ud83d".repeat(LONG)]), JSON.stringify(["\n😀\ud83d".repeat(LONG)]))
    } finally {
      Reflect.set(String.prototype, "isWellFormed", isWellFormed)
    }
  })

  const awkward = ["a", "é", "漢", "😀", "\u0001", "\"", "\ud83d", "\ude00"]

  /** What the pieces come to, which may be taken through a window of any size. */
  const encode = (value: unknown, size: number): string => {
    const window = new Uint8Array(size)
    const copies = Array.from(Json.encode(Json.chunks(Json.stringify(value)), window), (piece) => {
      assert.strictEqual(piece.buffer, window.buffer)
      return Uint8Array.from(piece)
    })
    for (const { length } of copies.slice(0, -1)) assert.isTrue(length > 0 && length % 3 === 0)
    assert.isAbove(copies.at(-1)!.length, 0)
    return new TextDecoder("utf-8", { fatal: true }).decode(Bytes.concat(copies))
  }

  it("encodes to the same bytes through a window of any size", () => {
    const text = FastCheck.string({ unit: FastCheck.constantFrom(...awkward), maxLength: 40 })
    const value = FastCheck.oneof(FastCheck.jsonValue(), FastCheck.dictionary(text, FastCheck.array(text)))
    FastCheck.assert(FastCheck.property(value, FastCheck.integer({ min: 6, max: 40 }), (value, size) => {
      assert.strictEqual(encode(value, size), JSON.stringify(value))
    }))
  })

  it.each(awkward)("encodes to the same bytes at any length, for texts of %j", (character) => {
    for (const length of [LONG, LONG / 3, 2 * LONG]) {
      for (let shift = -3; shift <= 3; shift++) {
        const text = character.repeat(length).slice(0, length + shift)
        for (const value of [text, [text, "x".repeat(LONG + shift), text], { [text]: [] }]) {
          assert.isTrue(encode(value, LONG) === JSON.stringify(value), `${length} ${shift}`)
        }
      }
    }
  })

  it.effect.each([11, LONG, LONG + 1, 1024 * 1024, 2 * 1024 * 1024])(
    "makes no bytes before they are read: %i of them",
    (length) =>
      Effect.gen(function*() {
        const long = "x".repeat(length - JSON.stringify({ text: "" }).length)
        const plaintext = yield* ChatCompletion.encodePayload({ text: long })
        if (ArrayBuffer.isView(plaintext)) return assert.fail("bytes")
        assert.strictEqual(plaintext.length, length)
        // two at a time, as for two routers
        const [some, others] = [plaintext.chunks(new Uint8Array(100)), plaintext.chunks(new Uint8Array(1000))]
          .map((pieces) => pieces[Symbol.iterator]())
        const texts = ["", ""]
        for (let done = false; !done;) {
          const taken = [some!.next(), others!.next()]
          taken.forEach(({ value }, i) => (texts[i] += new TextDecoder().decode(value)))
          done = taken.every((next) => next.done)
        }
        assert.deepStrictEqual(texts, [JSON.stringify({ text: long }), JSON.stringify({ text: long })])
      })
  )

  it("counts the bytes of a text", () => {
    for (const text of ["", "a", "é", "漢", "😀", "a😀漢é"])
      assert.strictEqual(Bytes.utf8Length(text), Buffer.byteLength(text))
  })

  it.scoped("takes bytes of any realm", () =>
    Effect.gen(function*() {
      const foreign: Uint8Array = runInNewContext("Uint8Array.of(123, 125)")
      assert.notInstanceOf(foreign, Uint8Array)
      assert.deepStrictEqual(yield* ChatCompletion.encodePayload(foreign), Uint8Array.of(123, 125))
    }).pipe(Effect.provide(SecureMemory.layer)))

  it.scoped("writes the payload as it was given, although it changes before it is sent", () =>
    Effect.gen(function*() {
      const message = { role: "user", content: "é".repeat(300_000) }
      const expected = JSON.stringify({ messages: [message] })
      const fiber = yield* Effect.fork(ChatCompletion.encodePayload({ messages: [message] }))
      yield* Effect.yieldNow()
      message.content = "something else"
      const plaintext = yield* fiber
      if (ArrayBuffer.isView(plaintext)) return assert.fail("bytes")
      assert.strictEqual(plaintext.length, Buffer.byteLength(expected))
      assert.strictEqual(
        Buffer.concat(Array.from(plaintext.chunks(new Uint8Array(1000)), (piece) => Uint8Array.from(piece)))
          .toString(),
        expected
      )
    }).pipe(Effect.provide(SecureMemory.layer)))
})
