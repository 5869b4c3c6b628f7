import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as BinaryHttp from "../../src/protocol2/BinaryHttp.js"
import * as Message from "../../src/protocol2/Message.js"
import { CHUNK_LENGTH } from "../../src/protocol2/ObliviousHttp.js"
import type { Primitives } from "../../src/protocol2/Primitives.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import { vi } from "vitest"
import { HEADER, makeExchange, readContent } from "../support/protocol2.js"

const layer = Layer.merge(NodePrimitives.layer, SecureMemory.layer)
const scoped = <A, E>(effect: Effect.Effect<A, E, Primitives | SecureMemory.SecureMemory | Scope.Scope>) =>
  Effect.provide(Effect.scoped(effect), layer)

const head = BinaryHttp.encodeRequestHead({ method: "POST", scheme: "https", authority: "r", path: "/",
  headers: {} })

describe("Message.seal", () => {
  it.effect.each([-2, -1, 0, 1])("seals a message of %i bytes more than a chunk has", (more) =>
    scoped(Effect.gen(function*() {
      const { client, gatewayFor } = yield* makeExchange
      const rest = [head, BinaryHttp.varint(CHUNK_LENGTH - 1), BinaryHttp.encodeEnd()]
      const content = Buffer.alloc(CHUNK_LENGTH + more - Buffer.concat(rest).length, "x")
      const framed = yield* Message.seal(client.request, head, [content], content.length, false)
      assert.lengthOf(framed, more < 0 ? 1 : 2)
      const { request } = yield* gatewayFor(client.header.slice(0, HEADER))
      assert.strictEqual(yield* readContent(request, "request", Uint8Array.from(Buffer.concat(framed))),
        content.toString())
    })))

  it.effect.each([["short", ["ab"]], ["long", ["ab", "cd", "ef"]]] as const)(
    "fails for content that is too %s, and takes no more of it than it needs",
    ([, parts]) =>
      scoped(Effect.gen(function*() {
        const { client } = yield* makeExchange
        const taken: Array<string> = []
        const content = function*() {
          for (const part of parts) {
            taken.push(part)
            yield Buffer.from(part)
          }
        }
        const error = yield* Effect.flip(Message.seal(client.request, head, content(), 3, true))
        assert.deepInclude(error, { _tag: "SecurityError", reason: "encryption",
          message: "The request could not be encrypted. Report this as a bug in nomyo-js" })
        assert.deepStrictEqual(taken, parts.slice(0, 2))
      }))
  )
})

describe("Message.reader", () => {
  it.effect.each([[], [4], [4, 0x61]])("refuses a message that its final chunk cuts short: %j", (content) =>
    Effect.gen(function*() {
      const plaintext = Uint8Array.from([...head, ...content])
      const opener = { push: () => Effect.succeed([plaintext]), end: Effect.sync(() => new Uint8Array(0)) }
      const reader = Message.reader(opener, new BinaryHttp.Decoder<BinaryHttp.RequestHead>("request"))
      yield* reader.push(new Uint8Array(0))
      assert.deepInclude(yield* Effect.flip(reader.end), { _tag: "SecurityError", reason: "envelope" })
    }))

  it.effect("zeroes what opened but is no message", () =>
    Effect.gen(function*() {
      const plaintexts = [Uint8Array.from(head), new Uint8Array(9).fill(0xff)]
      const opener = { push: () => Effect.succeed(plaintexts), end: Effect.never }
      const reader = Message.reader(opener, new BinaryHttp.Decoder<BinaryHttp.RequestHead>("request"))
      assert.deepInclude(yield* Effect.flip(reader.push(new Uint8Array(0))), { reason: "envelope" })
      assert.isTrue(plaintexts.every((bytes) => bytes.every((byte) => byte === 0)))
    }))

  it.effect("does not take a message for whole that it has refused before", () =>
    Effect.gen(function*() {
      const plaintext = Uint8Array.from([...head, 0, 0, 9])
      const opener = { push: () => Effect.succeed([plaintext]), end: Effect.sync(() => new Uint8Array(0)) }
      const reader = Message.reader(opener, new BinaryHttp.Decoder<BinaryHttp.RequestHead>("request"))
      yield* Effect.flip(reader.push(new Uint8Array(0)))
      assert.deepInclude(yield* Effect.flip(reader.end), { _tag: "SecurityError", reason: "envelope" })
    }))

  const content = BinaryHttp.encodeContent(Uint8Array.from(Buffer.from("SENTINEL")))
  const bad = [0, 0, 9]
  it.effect.each([
    { where: "one chunk", first: [...content, ...bad], others: [] },
    { where: "chunks", first: [...content], others: [Uint8Array.from(bad)] }
  ])("leaves no copy of the content, in $where behind a head that was cut, of what is no message", (rest) =>
    Effect.gen(function*() {
      const whole = Uint8Array.from([...head, ...rest.first])
      const plaintexts = [whole.slice(0, 9), whole.slice(9), ...rest.others]
      const made: Array<Uint8Array> = []
      vi.stubGlobal("Uint8Array", new Proxy(Uint8Array, {
        construct: (target, given: [number]) => {
          const bytes = new target(...given)
          made.push(bytes)
          return bytes
        }
      }))
      const opener = { push: () => Effect.succeed(plaintexts), end: Effect.never }
      const reader = Message.reader(opener, new BinaryHttp.Decoder<BinaryHttp.RequestHead>("request"))
      yield* Effect.flip(reader.push(plaintexts[0]!))
      vi.unstubAllGlobals()
      assert.isTrue(made.some(({ length }) => length === whole.length))
      assert.isFalse([...plaintexts, ...made].some((bytes) => Buffer.from(bytes).includes("SENTINEL")))
    }))
})
