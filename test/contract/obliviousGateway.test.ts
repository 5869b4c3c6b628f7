import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as Fs from "node:fs"
import { fromStatus } from "../../src/internal/errors.js"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as BinaryHttp from "../../src/protocol2/BinaryHttp.js"
import * as Hpke from "../../src/protocol2/Hpke.js"
import * as Message from "../../src/protocol2/Message.js"
import * as ObliviousHttp from "../../src/protocol2/ObliviousHttp.js"
import { Primitives } from "../../src/protocol2/Primitives.js"
import * as GatewayKeys from "../../src/router/GatewayKeys.js"
import * as ObliviousGateway from "../../src/router/ObliviousGateway.js"
import * as ReplayStore from "../../src/router/ReplayStore.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as Vectors from "../support/vectors.js"

const vectors = JSON.parse(Fs.readFileSync(Vectors.path("protocol-2.json"), "utf8"))
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"))
const HEADER = ObliviousHttp.headerLength(Hpke.x25519)

/**
 * Opens what a gateway answered to the request of a vector whose ephemeral key is known, or of its exchange.
 */
const openAnswer = Effect.fnUntraced(
  function*(message: Uint8Array<ArrayBuffer>, body: Uint8Array<ArrayBuffer>) {
    const { importKeyPair } = yield* Primitives
    const keyPair = yield* importKeyPair(bytes(vectors.router.private_key))
    // the router's own context makes the same answer keys
    const context = yield* Hpke.setupReceiver(Hpke.x25519, Hpke.AES_256_GCM, keyPair,
      message.slice(7, HEADER), Buffer.concat([
        Buffer.from("message/bhttp chunked request\0"),
        message.slice(0, 7)
      ]) as unknown as Uint8Array<ArrayBuffer>)
    const suite = { keyId: 1, kem: Hpke.x25519, aeadId: Hpke.AES_256_GCM } as const
    const opener = yield* ObliviousHttp.openResponse(suite, context, message.slice(7, HEADER),
      body.slice(0, 32))
    const reader = Message.reader(opener, new BinaryHttp.Decoder<BinaryHttp.ResponseHead>("response"))
    const parts = [...yield* reader.push(body.slice(32)), ...yield* reader.end]
    const text = Buffer.concat(parts.flatMap((part) => part._tag === "Content" ? [part.content] : []))
      .toString()
    const head = parts.flatMap((part) => part._tag === "Head" ? [part.head] : [])[0]!
    return { status: head.status, type: (JSON.parse(text) as { type?: string }).type }
  }
)

const layer = Layer.merge(NodePrimitives.layer, SecureMemory.layer)

const makeGateway = Effect.gen(function*() {
  const keys = yield* GatewayKeys.make({
    storage: {
      ...GatewayKeys.inMemory,
      load: Effect.sync(() => [
        { keyId: 1, kemId: 0x0020, startsAt: 0, privateKey: bytes(vectors.router.private_key) }
      ])
    },
    keysAhead: 0,
    life: "100000 days"
  })
  const app = yield* ObliviousGateway.make({
    keys,
    // the vectors' key is older than this memory
    replayStore: { ...yield* ReplayStore.makeMemory(), remembersSince: Number.NEGATIVE_INFINITY },
    authorize: (authorization) =>
      authorization === `Bearer ${vectors.router.api_key}`
        ? Effect.void
        : Effect.fail(fromStatus({ statusCode: 401, message: "no" })),
    answer: () => Effect.succeed({ _tag: "Whole", json: Uint8Array.from(Buffer.from("{}")) })
  })
  return (message: Uint8Array<ArrayBuffer>) =>
    Effect.gen(function*() {
      const request = new Request("http://router.example/.well-known/ohttp-gateway", {
        method: "POST",
        headers: { "content-type": "message/ohttp-chunked-req" },
        body: message
      })
      const response = yield* app.pipe(
        Effect.provideService(HttpServerRequest.HttpServerRequest, HttpServerRequest.fromWeb(request)),
        Effect.flatMap((response) =>
          Effect.map(Effect.runtime(), (runtime) => HttpServerResponse.toWeb(response, { runtime }))
        )
      )
      const body = new Uint8Array(yield* Effect.promise(() => response.arrayBuffer()))
      return { response, body }
    })
})

describe("the gateway of protocol 2", () => {
  for (const bad of vectors.bad.filter(({ kind }: { kind: string }) => kind === "request")) {
    it.effect(bad.name, () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(Date.parse(bad.now))
        const send = yield* makeGateway
        if (bad.after !== undefined) yield* send(bytes(vectors.good[0].request.message))
        const message = bytes(bad.message)
        const { body, response } = yield* send(message)
        const { inner_status, inner_type, outer_status, outer_type } = bad.expect
        assert.strictEqual(response.status, outer_status)
        if (outer_type !== undefined)
          assert.strictEqual(JSON.parse(Buffer.from(body).toString()).type, outer_type)
        if (inner_status !== undefined) {
          assert.deepStrictEqual(yield* openAnswer(message, body), { status: inner_status, type: inner_type })
        }
      }).pipe(Effect.scoped, Effect.provide(layer)))
  }

  it.scoped("keeps nothing of a request that has ended, while the gateway goes on", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.parse("2026-11-28T12:00:00Z"))
      let held = 0
      const { zeroOnly } = SecureMemory
      const counting: SecureMemory.Service = {
        ...zeroOnly,
        guard: (acquire) =>
          Effect.zipRight(
            Effect.acquireRelease(Effect.sync(() => held++), () => Effect.sync(() => held--)),
            zeroOnly.guard(acquire)
          )
      }
      const send = yield* Effect.provideService(makeGateway, SecureMemory.SecureMemory, counting)
      const before = held
      const { response } = yield* Effect.scoped(send(bytes(vectors.good[0].request.message)))
      assert.deepStrictEqual({ status: response.status, held }, { status: 200, held: before })
    }).pipe(Effect.provide(layer)))
})
