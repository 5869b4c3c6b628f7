/** The two sides of protocol 2, without a network: what a request and its answer cost each of them. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Http from "node:http"
import * as ChatCompletion from "nomyo-js/ChatCompletion"
import { SecureChatCompletion } from "nomyo-js"
import * as SecureMemory from "nomyo-js/SecureMemory"
import * as NodePrimitives from "../../dist/platform/node/NodePrimitives.js"
import * as BinaryHttp from "../../dist/protocol2/BinaryHttp.js"
import * as Hpke from "../../dist/protocol2/Hpke.js"
import * as Message from "../../dist/protocol2/Message.js"
import * as ObliviousHttp from "../../dist/protocol2/ObliviousHttp.js"
import { Primitives } from "../../dist/protocol2/Primitives.js"
import { Plaintext } from "../../dist/index.js"
import { clocks } from "./measure.mjs"
import { answer, payload } from "./subjects.mjs"

const suite = { keyId: 1, kem: Hpke.x25519, aeadId: Hpke.AES_256_GCM }
const HEADER = ObliviousHttp.headerLength(Hpke.x25519)

const requestHead = {
  method: "POST",
  scheme: "https",
  authority: "router.test",
  path: "/v1/chat/completions",
  headers: {
    "content-type": "application/json",
    accept: "application/json",
    date: "Sat, 28 Nov 2026 12:00:00 GMT",
    "x-payload-id": "00000000-0000-4000-8000-000000000000",
    authorization: "Bearer sk-0123456789"
  }
}
const responseHead = { status: 200,
  headers: { date: requestHead.headers.date, "content-type": "application/json" } }

/** The content of a message, as a receiver reads it. */
const read = Effect.fnUntraced(function*(opener, kind, bytes) {
  const reader = Message.reader(opener, new BinaryHttp.Decoder(kind))
  const parts = [...yield* reader.push(bytes), ...yield* reader.end]
  return Buffer.concat(parts.flatMap((part) => part._tag === "Content" ? [part.content] : []))
})

const bytesOf = (chunks) => new Uint8Array(Buffer.concat(chunks))

/**
 * Gives a function that exchanges `batch` times, and tells the milliseconds of CPU of each side of one
 * exchange.
 */
export const exchange = async (bytes) => {
  const runtime = ManagedRuntime.make(Layer.merge(NodePrimitives.layer, SecureMemory.layer))
  const keyPair = await runtime.runPromise(
    Effect.flatMap(Primitives, ({ generateKeyPair }) => generateKeyPair)
  )
  const request = payload(bytes)
  const completion = answer(bytes)
  const ask = Effect.gen(function*() {
    const exchange = yield* ObliviousHttp.client({ ...suite, publicKey: keyPair.publicKey })
    const json = yield* ChatCompletion.encodePayload(request)
    const chunks = Plaintext.chunksOf(json, new Uint8Array(Plaintext.windowLength(json)))
    const head = BinaryHttp.encodeRequestHead(requestHead)
    const framed = yield* Message.seal(exchange.request, head, chunks, json.length, true)
    return { exchange, message: bytesOf([exchange.header, ...framed]) }
  })
  const serve = (message) =>
    Effect.gen(function*() {
      const exchange = yield* ObliviousHttp.gateway({ ...suite, keyPair }, message.slice(0, HEADER))
      const content = yield* read(exchange.request, "request", message.slice(HEADER))
      yield* ChatCompletion.decodePayload(new Uint8Array(content))
      const { nonce, sealer } = yield* exchange.response
      const json = new TextEncoder().encode(JSON.stringify(completion))
      const head = BinaryHttp.encodeResponseHead(responseHead)
      return bytesOf([nonce, ...yield* Message.seal(sealer, head, [json], json.length, true)])
    })
  const open = ({ exchange }, message) =>
    Effect.gen(function*() {
      const opener = yield* exchange.response(message.slice(0, 32))
      const content = yield* read(opener, "response", message.slice(32))
      return yield* ChatCompletion.decodeResponse(new Uint8Array(content), { payloadId: "id", processedAt: 0,
        algorithm: "a" })
    })
  // all of one side's work at once: to read the clock takes as long as a tenth of an exchange
  const exchanges = Effect.fnUntraced(function*(batch) {
    const every = (items, run) => Effect.forEach(items, run)
    const times = [clocks.cpu()]
    const asked = yield* every(Array.from({ length: batch }), () => ask)
    times.push(clocks.cpu())
    const answered = yield* every(asked, ({ message }) => serve(message))
    times.push(clocks.cpu())
    yield* every(asked, (one, i) => open(one, answered[i]))
    times.push(clocks.cpu())
    const [sealing, serving, opening] = times.slice(1).map((time, i) => (time - times[i]) / batch)
    return { client: sealing + opening, router: serving }
  }, Effect.scoped)
  return (batch) => runtime.runPromise(exchanges(batch))
}

/**
 * Calls that settle with the first piece of a stream. Both close their connections without waiting for that:
 * the next call opens another.
 */
export const firstPieces = (streamed) => {
  const client = new SecureChatCompletion({ baseUrl: streamed.router, allowHttp: true, protocol: 2 })
  const request = { model: "m", messages: [{ role: "user", content: "Hello!" }] }
  const agent = new Http.Agent({ keepAlive: true })
  const plain = () =>
    new Promise((resolve, reject) => {
      const options = { method: "POST", agent, headers: { "content-type": "application/json" } }
      const outgoing = Http.request(`${streamed.proxy}/v1/chat/completions`, options, (response) => {
        response.once("data", () => {
          resolve()
          response.destroy()
        })
      })
      outgoing.on("error", reject).end(JSON.stringify({ ...request, stream: true }))
    })
  const sealed = async () => {
    const chunks = client.stream(request)
    await chunks.next()
    void chunks.return()
  }
  return { sealed, plain, end: () => client.dispose() }
}
