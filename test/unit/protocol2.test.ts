import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as BinaryHttp from "../../src/protocol2/BinaryHttp.js"
import type { Primitives } from "../../src/protocol2/Primitives.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as Protocol2 from "../support/protocol2.js"

const layer = Layer.merge(NodePrimitives.layer, SecureMemory.layer)
const scoped = <A, E>(effect: Effect.Effect<A, E, Primitives | SecureMemory.SecureMemory | Scope.Scope>) =>
  Effect.provide(Effect.scoped(effect), layer)

const text = (value: string) => Uint8Array.from(Buffer.from(value))
const join = (parts: ReadonlyArray<Uint8Array>) => Uint8Array.from(Buffer.concat(parts))

const requestParts = [
  BinaryHttp.encodeRequestHead({ method: "POST", scheme: "https", authority: "r", path: "/", headers: {} }),
  BinaryHttp.encodeContent(text("first")),
  BinaryHttp.encodeContent(text("second"))
]
const responseParts = [
  BinaryHttp.encodeResponseHead({ status: 200, headers: { "content-type": "text/event-stream" } }),
  BinaryHttp.encodeContent(text("data: 1\n\n")),
  BinaryHttp.encodeContent(text("data: 2\n\n"))
]

/** A request, and how a router reads a variant of it. */
const request = Effect.gen(function*() {
  const { client, gatewayFor } = yield* Protocol2.makeExchange
  const chunks = yield* Protocol2.sealChunks(client.request, requestParts)
  const read = (message: Uint8Array<ArrayBuffer>) =>
    Effect.flatMap(gatewayFor(message.slice(0, Protocol2.HEADER)), ({ request }) =>
      Protocol2.readContent(request, "request", message.slice(Protocol2.HEADER)))
  return { header: client.header, chunks, read, content: "firstsecond" }
})

/** A streamed answer, and how its client reads a variant of it. */
const response = Effect.gen(function*() {
  const { client, gatewayFor } = yield* Protocol2.makeExchange
  const { nonce, sealer } = yield* Effect.flatMap(gatewayFor(client.header), ({ response }) => response)
  const chunks = yield* Protocol2.sealChunks(sealer, responseParts)
  const read = (message: Uint8Array<ArrayBuffer>) =>
    Effect.flatMap(client.response(message.slice(0, nonce.length)), (opener) =>
      Protocol2.readContent(opener, "response", message.slice(nonce.length)))
  return { header: nonce, chunks, read, content: "data: 1\n\ndata: 2\n\n" }
})

for (const [name, make] of Object.entries({ request, response })) {
  describe(`a ${name} of protocol 2`, () => {
    it.effect("opens as it was sealed", () =>
      scoped(Effect.gen(function*() {
        const { chunks, content, header, read } = yield* make
        assert.strictEqual(yield* read(join([header, ...chunks])), content)
      })))

    it.effect("does not open with any single bit changed", () =>
      scoped(Effect.gen(function*() {
        const { chunks, header, read } = yield* make
        const message = join([header, ...chunks])
        const opened: Array<number> = []
        for (let bit = 0; bit < message.length * 8; bit++) {
          const changed = Uint8Array.from(message)
          changed[bit >> 3]! ^= 1 << (bit & 7)
          if (Exit.isSuccess(yield* Effect.exit(read(changed)))) opened.push(bit)
        }
        assert.deepStrictEqual(opened, [])
      })), 120_000)

    it.effect("does not open if it is cut anywhere", () =>
      scoped(Effect.gen(function*() {
        const { chunks, header, read } = yield* make
        const message = join([header, ...chunks])
        const opened: Array<number> = []
        for (let length = 0; length < message.length; length++) {
          if (Exit.isSuccess(yield* Effect.exit(read(message.slice(0, length))))) opened.push(length)
        }
        assert.deepStrictEqual(opened, [])
      })), 120_000)

    it.effect("does not open in any order of chunks but its own", () =>
      scoped(Effect.gen(function*() {
        const { chunks, content, header, read } = yield* make
        const order = FastCheck.array(FastCheck.nat({ max: chunks.length - 1 }), { maxLength: 6 })
        for (const indexes of FastCheck.sample(order, { numRuns: 500, seed: 1 })) {
          const exit = yield* Effect.exit(read(join([header, ...indexes.map((index) => chunks[index]!)])))
          const isOriginal = indexes.join() === chunks.map((_, index) => index).join()
          assert.deepStrictEqual({ indexes, isOpened: Exit.isSuccess(exit) }, { indexes,
            isOpened: isOriginal })
          if (Exit.isSuccess(exit)) assert.strictEqual(exit.value, content)
        }
      })), 120_000)
  })
}
