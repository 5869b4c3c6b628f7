import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Plaintext from "../../src/Plaintext.js"
import { zeroOnly } from "../../src/SecureMemory.js"

/** These numbers in chunks. */
const chunked = (length: number,
  ...chunks: ReadonlyArray<ReadonlyArray<number>>): Plaintext.ChunkedPlaintext => ({
  length,
  chunks: function*(window) {
    for (const chunk of chunks) {
      window.set(chunk)
      yield window.subarray(0, chunk.length)
    }
  }
})

const gather = (plaintext: Plaintext.Plaintext) =>
  Plaintext.withBytes(zeroOnly, plaintext, (bytes) => Effect.sync(() => [...bytes]))

describe("Plaintext", () => {
  it("has windows of 6 bytes to a chunk, and none for bytes", () => {
    const lengths = [0, 5, 7, 1e6].map((length) => Plaintext.windowLength(chunked(length)))
    assert.deepStrictEqual(lengths, [6, 6, 7, Plaintext.CHUNK_LENGTH])
    assert.strictEqual(Plaintext.windowLength(new Uint8Array(1000)), 0)
  })

  it("cuts bytes into chunks that base64 needs no padding for", () => {
    const bytes = new Uint8Array(2 * Plaintext.CHUNK_LENGTH + 1)
    const lengths = Array.from(Plaintext.chunksOf(bytes, new Uint8Array(0)), ({ length }) => length)
    assert.deepStrictEqual(lengths, [Plaintext.CHUNK_LENGTH, Plaintext.CHUNK_LENGTH, 1])
    assert.lengthOf([...Plaintext.chunksOf(bytes.subarray(1), new Uint8Array(0))], 2)
    assert.strictEqual(Plaintext.CHUNK_LENGTH % 3, 0)
  })

  it.effect("joins chunks, and passes bytes as they are", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* gather(chunked(4, [1, 2, 3], [4])), [1, 2, 3, 4])
      const bytes = Uint8Array.of(1)
      assert.strictEqual(yield* Plaintext.withBytes(zeroOnly, bytes, Effect.succeed), bytes)
    }))

  it.live("lets others run between two chunks, and neither before the first nor after the last", () =>
    Effect.gen(function*() {
      let turn = 0
      let others: NodeJS.Immediate
      const count = () => {
        turn++
        others = setImmediate(count)
      }
      others = setImmediate(count)
      const turns: Array<number> = []
      const plaintext = { length: 3, chunks: function*() {
        for (const byte of [1, 2, 3]) {
          turns.push(turn)
          yield Uint8Array.of(byte)
        }
      } }
      yield* Plaintext.withBytes(zeroOnly, plaintext, () => Effect.sync(() => turns.push(turn)))
      clearImmediate(others)
      assert.deepStrictEqual(turns, [0, 1, 2, 2])
    }))

  it.effect("zeroes what it has joined", () =>
    Effect.gen(function*() {
      const kept = yield* Plaintext.withBytes(zeroOnly, chunked(3, [1, 2, 3]), Effect.succeed)
      assert.deepStrictEqual([...kept], [0, 0, 0])
    }))

  it.effect.each([
    { why: "too few", plaintext: chunked(4, [1, 2, 3]) },
    { why: "too many", plaintext: chunked(2, [1, 2, 3]) },
    { why: "none", plaintext: chunked(1) }
  ])("fails for $why", ({ plaintext }) =>
    Effect.gen(function*() {
      assert.strictEqual((yield* Effect.flip(gather(plaintext)))._tag, "UnknownException")
    }))
})
