/**
 * Runs the vectors of RFC 9180, RFC 9458, chunked OHTTP and X-Wing through both sets of primitives:
 * `npm run test:standards -- DIRECTORY`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Assert from "node:assert/strict"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as Hpke from "../../src/protocol2/Hpke.js"
import * as ObliviousHttp from "../../src/protocol2/ObliviousHttp.js"
import { Primitives } from "../../src/protocol2/Primitives.js"
import * as WebPrimitives from "../../src/protocol2/WebPrimitives.js"
import { xWing, xWingWith } from "../../src/protocol2/XWing.js"
import * as SecureMemory from "../../src/SecureMemory.js"

type Needs = Primitives | SecureMemory.SecureMemory | Scope.Scope

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"))
const hex = (data: Uint8Array) => Buffer.from(data).toString("hex")
const text = (value: string) => Uint8Array.from(Buffer.from(value))

const directory = process.argv[2]
if (directory === undefined) {
  console.error("usage: npm run test:standards -- DIRECTORY")
  process.exit(2)
}
const load = (name: string) => JSON.parse(Fs.readFileSync(Path.join(directory, `${name}.json`), "utf8"))

const ephemeral = (privateKey: string) =>
  Hpke.x25519With(({ importKeyPair }) => importKeyPair(bytes(privateKey)))
const keyPairOf = (privateKey: string) =>
  Effect.flatMap(Primitives, ({ importKeyPair }) => importKeyPair(bytes(privateKey)))
const aeadId = 0x0001

/** RFC 9180, A.1.1: both sides, every encryption and every exported secret. */
const rfc9180 = Effect.gen(function*() {
  const [vector] = load("rfc9180")
  const keyPair = yield* keyPairOf(vector.skRm)
  const info = bytes(vector.info)
  const sender = yield* Hpke.setupSender(ephemeral(vector.skEm), aeadId, bytes(vector.pkRm), info)
  const receiver = yield* Hpke.setupReceiver(Hpke.x25519, aeadId, keyPair, bytes(vector.enc), info)
  Assert.equal(hex(sender.enc), vector.enc)
  for (const { aad, ct, pt } of vector.encryptions.slice(0, 2)) {
    Assert.equal(hex(yield* sender.context.seal(bytes(aad), bytes(pt))), ct)
    Assert.equal(hex(yield* receiver.open(bytes(aad), bytes(ct))), pt)
  }
  for (const { exported_value, exporter_context } of vector.exports) {
    const context = bytes(exporter_context)
    Assert.equal(hex(yield* sender.context.exportSecret(context, 32)), exported_value)
    Assert.equal(hex(yield* receiver.exportSecret(context, 32)), exported_value)
  }
})

/** RFC 9458, appendix A: the unchunked form, made of the same parts. */
const rfc9458 = Effect.gen(function*() {
  const vector = load("rfc9458-appendix-a")
  const { hmac } = yield* Primitives
  const header = bytes(vector.encapsulated_request).subarray(0, 7)
  const info = Uint8Array.from([...text("message/bhttp request\0"), ...header])
  const { publicKey } = yield* keyPairOf(vector.router_private)
  const { context, enc } = yield* Hpke.setupSender(ephemeral(vector.ephemeral_private), aeadId, publicKey,
    info)
  const sealed = yield* context.seal(new Uint8Array(0), bytes(vector.request))
  Assert.equal(hex(header) + hex(enc) + hex(sealed), vector.encapsulated_request)
  const secret = yield* context.exportSecret(text("message/bhttp response"), 16)
  const prk = yield* hmac(Uint8Array.from([...enc, ...bytes(vector.response_nonce)]), [secret])
  const expand = (label: string) => hmac(prk, [text(label), Uint8Array.of(1)])
  const { aesGcm } = yield* Primitives
  const aead = yield* aesGcm((yield* expand("key")).slice(0, 16))
  const nonce = (yield* expand("nonce")).slice(0, 12)
  const answer = yield* aead.open(nonce, new Uint8Array(0), bytes(vector.encapsulated_response).slice(16))
  Assert.equal(hex(answer), vector.response)
})

/** Of draft-ietf-hpke-pq: what AES-256-GCM shares with the AEAD that its vectors have. */
const hpkePq = Effect.gen(function*() {
  const primitives = yield* Primitives
  const [vector] = load("hpke-pq-647a")
  const keyPair = yield* xWing.importKeyPair(primitives, bytes(vector.skRm))
  Assert.equal(hex(keyPair.publicKey), vector.pkRm)
  const sent = yield* xWingWith(bytes(vector.ikmE)).encapsulate(primitives, bytes(vector.pkRm))
  Assert.equal(hex(sent.enc), vector.enc)
  Assert.equal(hex(sent.sharedSecret), vector.shared_secret)
  Assert.equal(hex(yield* xWing.decapsulate(primitives, keyPair, bytes(vector.enc))), vector.shared_secret)
})

/** The chunked draft's appendix A. Its plaintexts are 12 bytes, the rest, and none. */
const chunked = Effect.gen(function*() {
  const [vector] = load("chunked-ohttp-08").vectors
  const keyPair = yield* keyPairOf(vector.skR)
  const message = bytes(vector.encapsulatedRequest)
  const kem = ephemeral(vector.skE)
  const client = yield* ObliviousHttp.client({ keyId: 1, kem, aeadId, publicKey: keyPair.publicKey })
  const request = bytes(vector.request)
  const framed = [
    client.header,
    yield* client.request.chunk(request.slice(0, 12)),
    yield* client.request.chunk(request.slice(12)),
    yield* client.request.final(new Uint8Array(0))
  ]
  Assert.equal(hex(Buffer.concat(framed)), vector.encapsulatedRequest)
  const length = ObliviousHttp.headerLength(kem)
  const gateway = yield* ObliviousHttp.gateway({ keyId: 1, kem, aeadId, keyPair }, message.slice(0, length))
  const opened = [...yield* gateway.request.push(message.slice(length)), yield* gateway.request.end]
  Assert.equal(hex(Buffer.concat(opened)), vector.request)
  const answer = bytes(vector.encapsulatedResponse)
  const response = yield* client.response(answer.slice(0, 16))
  const plaintexts = [...yield* response.push(answer.slice(16)), yield* response.end]
  Assert.equal(hex(Buffer.concat(plaintexts)), vector.response)
})

const suites: { readonly [name: string]: Effect.Effect<void, unknown, Needs> } = {
  rfc9180,
  rfc9458,
  hpkePq,
  chunked
}
const layers = { "node:crypto": NodePrimitives.layer, WebCrypto: WebPrimitives.layer }

for (const [layerName, layer] of Object.entries(layers)) {
  for (const [name, suite] of Object.entries(suites)) {
    await Effect.runPromise(Effect.provide(Effect.scoped(suite), Layer.merge(layer, SecureMemory.layer)))
    console.log(`${name}, ${layerName}: as published`)
  }
}
