import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as BinaryHttp from "../../src/protocol2/BinaryHttp.js"
import * as Hpke from "../../src/protocol2/Hpke.js"
import * as Message from "../../src/protocol2/Message.js"
import * as ObliviousHttp from "../../src/protocol2/ObliviousHttp.js"
import { Primitives } from "../../src/protocol2/Primitives.js"
import * as SealedExchange from "../../src/protocol2/SealedExchange.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import * as Transport from "../../src/Transport.js"
import { HEADER } from "../support/protocol2.js"

type Bytes = Uint8Array<ArrayBuffer>
type Needs = Primitives | SecureMemory.SecureMemory | Scope.Scope

const text = (value: string) => Uint8Array.from(Buffer.from(value))
const suite = { keyId: 1, kem: Hpke.x25519, aeadId: Hpke.AES_256_GCM } as const

const asked: SealedExchange.Asked = {
  request: { payload: text("{}"), payloadId: "id", apiKey: undefined, securityTier: undefined },
  baseUrl: "https://router.test/base",
  accept: "application/json",
  maxResponseBytes: 1000,
  isPadded: false
}

/** One exchange with a router that opens the request, seals `content`, and sends it as `cut` says. */
const exchange = Effect.fnUntraced(function*(
  change: Partial<SealedExchange.Asked["request"]> = {},
  cut: (answer: Bytes) => ReadonlyArray<Bytes> = (answer) => [answer],
  type: string = ObliviousHttp.responseType,
  content = text("{}")
): Effect.fn.Return<
  { answer: SealedExchange.Answer; request: Transport.Request; head: BinaryHttp.RequestHead },
  Transport.TransportError,
  Needs
> {
  const { generateKeyPair } = yield* Primitives
  const keyPair = yield* generateKeyPair
  const context = yield* Effect.context<Needs>()
  const seen: Array<{ request: Transport.Request; head: BinaryHttp.RequestHead }> = []
  const open: Transport.Service["open"] = (request) =>
    Effect.gen(function*() {
      const message = Uint8Array.from(Buffer.concat([...request.body!.chunks] as Array<Bytes>))
      const gateway = yield* ObliviousHttp.gateway({ ...suite, keyPair }, message.slice(0, HEADER))
      const decoder = new BinaryHttp.Decoder<BinaryHttp.RequestHead>("request")
      const reader = Message.reader(gateway.request, decoder)
      const parts = [...yield* reader.push(message.slice(HEADER)), ...yield* reader.end]
      seen.push({ request, head: parts.flatMap((part) => part._tag === "Head" ? [part.head] : [])[0]! })
      const { nonce, sealer } = yield* gateway.response
      const sealed = yield* Message.seal(sealer, BinaryHttp.encodeResponseHead({ status: 200, headers: {} }),
        [content], content.length, false)
      const chunks = [...cut(Uint8Array.from(Buffer.concat([nonce, ...sealed])))]
      return { header: () => type, pull: Effect.sync(() => chunks.shift()) }
    }).pipe(Effect.provide(context))
  const key = { ...suite, kemId: 0x0020, publicKey: keyPair.publicKey, fingerprint: "", maxAge: 0 } as const
  const request = { ...asked.request, ...change }
  const answer = yield* SealedExchange.ask({ ...asked, request }, key, 0).pipe(
    Effect.provide(Context.add(context, Transport.Transport, { open, send: () => Effect.never }))
  )
  return { answer, ...seen[0]! }
})

const provide = Effect.provide(Layer.merge(NodePrimitives.layer, SecureMemory.layer))

describe("SealedExchange", () => {
  it.scoped("sends an OpenAI request with its headers inside, and asks a proxy to pass chunks on", () =>
    Effect.gen(function*() {
      const { head, request } = yield* exchange()
      const headers = { "content-type": "application/json", accept: "application/json",
        date: "Thu, 01 Jan 1970 00:00:00 GMT", "x-payload-id": "id" }
      assert.deepStrictEqual(head, { method: "POST", scheme: "https", authority: "router.test",
        path: "/v1/chat/completions", headers })
      assert.deepInclude(request, { method: "POST", maxResponseBytes: 1000,
        url: "https://router.test/base/.well-known/ohttp-gateway",
        headers: { "Content-Type": "message/ohttp-chunked-req", Incremental: "?1" } })
      const others = yield* exchange({ apiKey: "key", securityTier: "high" })
      assert.deepStrictEqual(others.head.headers, { ...headers, authorization: "Bearer key",
        "x-security-tier": "high" })
    }).pipe(provide))

  it.scoped("reads an answer however it is cut", () =>
    Effect.gen(function*() {
      for (const size of [1, 31, 32, 33, 1000]) {
        const { answer } = yield* exchange({}, (bytes) =>
          Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
            bytes.slice(i * size, (i + 1) * size)))
        assert.strictEqual(answer.status, 200)
        assert.deepStrictEqual(yield* SealedExchange.readAll(answer), text("{}"))
      }
    }).pipe(provide))

  it.scoped.each([0, 31, 32, 33])("fails for an answer that ends after %i bytes", (length) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(exchange({}, (bytes) => [bytes.slice(0, length)]))
      assert.deepInclude(error, { _tag: "SecurityError", reason: "envelope" })
    }).pipe(provide))

  it.scoped("fails again for a cut answer when it is asked again, and never says that it is complete", () =>
    Effect.gen(function*() {
      const long = new Uint8Array(2 * ObliviousHttp.CHUNK_LENGTH)
      const { answer } = yield* exchange({}, (bytes) => [bytes.slice(0, -9)], undefined, long)
      assert.isNotEmpty(yield* answer.pull)
      for (const pull of [answer.pull, answer.pull]) {
        assert.deepInclude(yield* Effect.flip(pull), { _tag: "SecurityError", reason: "envelope" })
      }
    }).pipe(provide))

  it.scoped("reads nothing of an answer that says that it is not encrypted", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(exchange({}, () => [], "application/json"))
      assert.deepInclude(error, { _tag: "SecurityError", reason: "envelope",
        message: "The answer is not encrypted, so anyone on the path may have sent it. Check the proxies" })
    }).pipe(provide))
})
