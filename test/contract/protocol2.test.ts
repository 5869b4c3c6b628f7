import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as BinaryHttp from "../../src/protocol2/BinaryHttp.js"
import * as Hpke from "../../src/protocol2/Hpke.js"
import * as KeyConfiguration from "../../src/protocol2/KeyConfiguration.js"
import * as ObliviousHttp from "../../src/protocol2/ObliviousHttp.js"
import { Primitives } from "../../src/protocol2/Primitives.js"
import * as WebPrimitives from "../../src/protocol2/WebPrimitives.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as Vectors from "../support/vectors.js"

interface Chunk {
  readonly plaintext: string
  readonly final: boolean
  readonly framed: string
}
interface Good {
  readonly name: string
  readonly request: {
    readonly ephemeral_private: string
    readonly enc: string
    readonly method: string
    readonly scheme: string
    readonly authority: string
    readonly path: string
    readonly headers: { readonly [name: string]: string }
    readonly content: string
    readonly chunks: ReadonlyArray<Chunk>
    readonly message: string
  }
  readonly response?: {
    readonly response_nonce: string
    readonly status: number
    readonly headers: { readonly [name: string]: string }
    readonly content?: string
    readonly events?: ReadonlyArray<string>
    readonly chunks: ReadonlyArray<Chunk>
    readonly message: string
  }
}
interface Bad {
  readonly name: string
  readonly kind: "request" | "response" | "keys"
  readonly message: string
  readonly of?: string
  readonly body: string
  readonly pins: ReadonlyArray<string>
  readonly expect: string | { readonly outer_status: number; readonly inner_status?: number }
}

const vectors: {
  readonly router: {
    readonly private_key: string
    readonly key_id: number
    readonly keys_body: string
    readonly fingerprints: ReadonlyArray<string>
  }
  readonly good: ReadonlyArray<Good>
  readonly bad: ReadonlyArray<Bad>
} = JSON.parse(Fs.readFileSync(Vectors.path("protocol-2.json"), "utf8"))

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"))
const hex = (data: Uint8Array) => Buffer.from(data).toString("hex")
const text = (parts: ReadonlyArray<Uint8Array>) => Buffer.concat(parts).toString()

const layers = { "node:crypto": NodePrimitives.layer, WebCrypto: WebPrimitives.layer }
const HEADER = ObliviousHttp.headerLength(Hpke.x25519)

const routerKey = Effect.flatMap(Primitives, ({ importKeyPair }) =>
  Effect.map(importKeyPair(bytes(vectors.router.private_key)), (keyPair) =>
    ({ keyId: vectors.router.key_id, kem: Hpke.x25519, aeadId: Hpke.AES_256_GCM, keyPair })))

const withEphemeral = (privateKey: string) =>
  Hpke.x25519With(({ importKeyPair }) => importKeyPair(bytes(privateKey)))

/** Opens a message in slices of `size` bytes, each overwritten then, and decodes the BHTTP message in it. */
const read = Effect.fnUntraced(function*<H extends BinaryHttp.RequestHead | BinaryHttp.ResponseHead>(
  opener: ObliviousHttp.Opener,
  decoder: BinaryHttp.Decoder<H>,
  body: Uint8Array<ArrayBuffer>,
  size: number
) {
  const parts: Array<BinaryHttp.Part<H>> = []
  for (let at = 0; at < body.length; at += size) {
    const slice = body.slice(at, at + size)
    for (const plaintext of yield* opener.push(slice)) {
      yield* Effect.try(() => parts.push(...decoder.push(plaintext)))
    }
    slice.fill(0)
  }
  const last = yield* opener.end
  yield* Effect.try(() => parts.push(...decoder.push(last), ...decoder.end()))
  return {
    head: parts.flatMap((part) => part._tag === "Head" ? [part.head] : [])[0],
    content: text(parts.flatMap((part) => part._tag === "Content" ? [part.content] : []))
  }
})

const readRequest = (message: Uint8Array<ArrayBuffer>, size = message.length) =>
  Effect.gen(function*() {
    const exchange = yield* ObliviousHttp.gateway(yield* routerKey, message.slice(0, HEADER))
    return yield* read(exchange.request, new BinaryHttp.Decoder<BinaryHttp.RequestHead>("request"),
      message.slice(HEADER), size)
  })

const clientOf = Effect.fnUntraced(function*({ ephemeral_private }: Good["request"]) {
  const { publicKey } = yield* KeyConfiguration.choose(bytes(vectors.router.keys_body), [0x0020], [])
  return yield* ObliviousHttp.client({ keyId: vectors.router.key_id, kem: withEphemeral(ephemeral_private),
    aeadId: Hpke.AES_256_GCM, publicKey })
})

const readResponse = Effect.fnUntraced(
  function*(of: Good, message: Uint8Array<ArrayBuffer>, size = message.length || 1) {
    const exchange = yield* clientOf(of.request)
    const opener = yield* exchange.response(message.slice(0, 32))
    return yield* read(opener, new BinaryHttp.Decoder<BinaryHttp.ResponseHead>("response"), message.slice(32),
      size)
  }
)

for (const [name, layer] of Object.entries(layers)) {
  const provide = <A, E>(
    effect: Effect.Effect<A, E, Primitives | SecureMemory.SecureMemory | import("effect/Scope").Scope>
  ) => Effect.provide(Effect.scoped(effect), Layer.merge(layer, SecureMemory.layer))

  describe(`protocol 2 over ${name}`, () => {
    it.effect("chooses the router's configuration, whose fingerprint is the pinned one", () =>
      provide(Effect.gen(function*() {
        const { fingerprint, keyId } = yield* KeyConfiguration.choose(bytes(vectors.router.keys_body), [
          0x0020
        ], [])
        assert.deepStrictEqual({ fingerprint, keyId }, { fingerprint: vectors.router.fingerprints[0]!,
          keyId: 1 })
        const next = yield* KeyConfiguration.choose(bytes(vectors.router.keys_body), [0x0020], [
          vectors.router.fingerprints[1]!
        ])
        assert.strictEqual(next.keyId, 2)
      })))

    for (const good of vectors.good) {
      const { request, response } = good
      it.effect(`seals the request "${good.name}" byte for byte`, () =>
        provide(Effect.gen(function*() {
          const exchange = yield* clientOf(request)
          const framed: Array<Uint8Array> = [exchange.header]
          for (const { final, plaintext } of request.chunks) {
            framed.push(
              yield* final
                ? exchange.request.final(bytes(plaintext))
                : exchange.request.chunk(bytes(plaintext))
            )
          }
          assert.strictEqual(hex(Buffer.concat(framed)), request.message)
        })))

      it.effect(`opens the request "${good.name}", whatever the slices`, () =>
        provide(Effect.gen(function*() {
          const { authority, content, headers, method, path, scheme } = request
          for (const size of [1, 7, 300, 1 << 20]) {
            const read = yield* readRequest(bytes(request.message), size)
            assert.deepEqual(read, { head: { method, scheme, authority, path, headers }, content })
          }
        })))

      if (response === undefined || Object.keys(response).length === 0) continue
      it.effect(`opens the answer of "${good.name}", whatever the slices`, () =>
        provide(Effect.gen(function*() {
          const { content, events, headers, status } = response
          for (const size of [1, 7, 300, 1 << 20]) {
            const read = yield* readResponse(good, bytes(response.message), size)
            assert.deepEqual(read.head, { status, headers })
            if (content !== undefined) assert.strictEqual(read.content, content)
            for (const event of events ?? []) assert.include(read.content, event)
          }
        })))
    }

    for (const bad of vectors.bad.filter(({ expect, kind }) =>
      kind === "request" && typeof expect === "object" && expect.outer_status === 400
    )) {
      it.effect(`refuses a request: ${bad.name}`, () =>
        provide(
          Effect.map(Effect.exit(readRequest(bytes(bad.message))), (exit) =>
            assert.isTrue(Exit.isFailure(exit)))
        ))
    }

    for (const bad of vectors.bad.filter(({ kind }) => kind === "response")) {
      it.effect(`refuses an answer: ${bad.name}`, () =>
        provide(
          Effect.map(Effect.exit(readResponse(vectors.good.find(({ name }) =>
            name === bad.of
          )!, bytes(bad.message))), (exit) => assert.isTrue(Exit.isFailure(exit)))
        ))
    }

    for (const bad of vectors.bad.filter(({ kind }) => kind === "keys")) {
      it.effect(`refuses keys: ${bad.name}`, () =>
        provide(
          Effect.map(Effect.flip(KeyConfiguration.choose(bytes(bad.body), [0x0020], bad.pins)),
            ({ reason }) => assert.strictEqual(`SecurityError ${reason}`, bad.expect))
        ))
    }
  })
}

describe("padme", () => {
  it("pads by at most 12 %", () => {
    assert.deepStrictEqual([1, 8, 9, 100, 1000, 1025, 10_000].map(BinaryHttp.padme), [1, 8, 10, 104, 1024,
      1088, 10_240])
  })
})
