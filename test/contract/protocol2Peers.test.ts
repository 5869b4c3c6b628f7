import { assert, layer } from "@effect/vitest"
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core"
import { XWing } from "@hpke/hybridkem-x-wing"
import { BHttpDecoder, BHttpEncoder } from "bhttp-js"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Hpke from "hpke"
import * as NodeCrypto from "node:crypto"
import { NomyoClient } from "../../src/index.js"
import * as NodePrimitives from "../../src/platform/node/NodePrimitives.js"
import * as NodeTransport from "../../src/platform/node/NodeTransport.js"
import * as KeyConfiguration from "../../src/protocol2/KeyConfiguration.js"
import { hello } from "../support/calls.js"
import { clientOf, router } from "../support/protocol2Router.js"
import * as Servers from "../support/servers.js"

const services = Layer.merge(Layer.merge(NodeTransport.layer, NodePrimitives.layer), Servers.platform)

/** The KEMs of an independent implementation. */
const kems = [["X25519", new DhkemX25519HkdfSha256()], ["MLKEM768-X25519", new XWing()]] as const
const suiteOf = (kem: typeof kems[number][1]) =>
  new CipherSuite({ kem, kdf: new HkdfSha256(), aead: new Aes256Gcm() })

const PATH = "/.well-known/ohttp-gateway"
const final = Buffer.from("final")
const bytes = (parts: ReadonlyArray<Uint8Array>) => new Uint8Array(Buffer.concat(parts))
const hkdfExtract = (salt: Uint8Array, key: Uint8Array) =>
  NodeCrypto.createHmac("sha256", salt).update(key).digest()
const hkdfExpand = (prk: Uint8Array, label: string, length: number) =>
  NodeCrypto.createHmac("sha256", prk).update(label).update(Uint8Array.of(1)).digest().subarray(0, length)

/** AES-GCM under an answer's key, with the nonce of its nth chunk. */
const answerKeys = (enc: Uint8Array, nonce: Uint8Array, secret: Uint8Array) => {
  const prk = hkdfExtract(bytes([enc, nonce]), secret)
  const base = hkdfExpand(prk, "nonce", 12)
  const nonceOf = (n: number) => {
    const copy = Buffer.from(base)
    copy.writeUInt32BE((copy.readUInt32BE(8) ^ n) >>> 0, 8)
    return copy
  }
  return { key: hkdfExpand(prk, "key", 32), nonceOf }
}

/** A length as a QUIC varint, and the bytes that it takes. */
const readVarint = (from: Uint8Array) => {
  const size = 1 << (from[0]! >> 6)
  return { size, value: from.subarray(1, size).reduce((n, byte) => n * 256 + byte, from[0]! & 0x3f) }
}

/** The sealed chunks of a message; the last is the final one. */
const chunksOf = (message: Uint8Array): ReadonlyArray<Uint8Array> => {
  const { size, value } = readVarint(message)
  return value === 0
    ? [message.subarray(size)]
    : [message.subarray(size, size + value), ...chunksOf(message.subarray(size + value))]
}

const infoOf = (header: Uint8Array) => bytes([Buffer.from("message/bhttp chunked request\0"), header])
const exported = Buffer.from("message/bhttp chunked response")

layer(services, { excludeTestServices: true })("protocol 2 with independent peers", (it) => {
  it.scoped.each(kems)("answers a request of @hpke/core and bhttp-js by %s", ([, kem]) =>
    Effect.gen(function*() {
      const { keys, url } = yield* router({}, { postQuantum: true })
      const list = yield* keys.list
      const { keyId, publicKey } = yield* KeyConfiguration.choose(list, [kem.id], [])
      const answer = yield* Effect.promise(async () => {
        const suite = suiteOf(kem)
        const header = Uint8Array.of(keyId, kem.id >> 8, kem.id & 0xff, 0, 1, 0, 2)
        const recipientPublicKey = await suite.kem.deserializePublicKey(publicKey.slice().buffer)
        const sender = await suite.createSenderContext({ recipientPublicKey,
          info: infoOf(header).slice().buffer })
        const request = new Request(`https://${new URL(url).host}/v1/chat/completions`, {
          method: "POST",
          headers: { "content-type": "application/json", date: new Date().toUTCString(),
            "x-payload-id": "peer-1" },
          body: JSON.stringify(hello)
        })
        const message = await new BHttpEncoder().encodeRequest(request)
        const sealed = new Uint8Array(await sender.seal(bytes([message]).buffer, bytes([final]).buffer))
        const enc = new Uint8Array(sender.enc)
        const response = await fetch(`${url}${PATH}`, {
          method: "POST",
          headers: { "content-type": "message/ohttp-chunked-req" },
          body: bytes([header, enc, Uint8Array.of(0), sealed])
        })
        const body = new Uint8Array(await response.arrayBuffer())
        const secret = new Uint8Array(await sender.export(bytes([exported]).buffer, 32))
        const { key, nonceOf } = answerKeys(enc, body.subarray(0, 32), secret)
        const sealedChunks = chunksOf(body.subarray(32))
        const plain = sealedChunks.map((chunk, n) => {
          const cipher = NodeCrypto.createDecipheriv("aes-256-gcm", key, nonceOf(n))
          if (n === sealedChunks.length - 1) cipher.setAAD(final)
          cipher.setAuthTag(chunk.subarray(-16))
          return Buffer.concat([cipher.update(chunk.subarray(0, -16)), cipher.final()])
        })
        return new BHttpDecoder().decodeResponse(bytes(plain)).json()
      })
      assert.strictEqual(answer.choices[0].message.content, "You said: Hello!")
    }))

  /** Opens a request and exports a secret, by one library. */
  interface Recipient {
    readonly open: (sealed: Uint8Array, aad: Uint8Array) => Promise<Uint8Array>
    readonly exportSecret: () => Promise<Uint8Array>
  }
  interface Peer {
    readonly kemId: number
    readonly encLength: number
    readonly publicKey: Uint8Array
    readonly take: (enc: Uint8Array<ArrayBuffer>, info: Uint8Array<ArrayBuffer>) => Promise<Recipient>
  }

  const byHpke = async (): Promise<Peer> => {
    const peer = new Hpke.CipherSuite(
      Hpke.KEM_DHKEM_X25519_HKDF_SHA256,
      Hpke.KDF_HKDF_SHA256,
      Hpke.AEAD_AES_256_GCM
    )
    const pair = await peer.GenerateKeyPair()
    const take: Peer["take"] = async (enc, info) => {
      const context = await peer.SetupRecipient(pair, enc, { info })
      return {
        open: (sealed, aad) => context.Open(bytes([sealed]), aad),
        exportSecret: () => context.Export(bytes([exported]), 32)
      }
    }
    return { kemId: 0x0020, encLength: 32, publicKey: await peer.SerializePublicKey(pair.publicKey), take }
  }

  const byCore = (kem: typeof kems[number][1]) => async (): Promise<Peer> => {
    const suite = suiteOf(kem)
    const recipientKey = await suite.kem.generateKeyPair()
    const publicKey = new Uint8Array(await suite.kem.serializePublicKey(recipientKey.publicKey))
    const take: Peer["take"] = async (enc, info) => {
      const context = await suite.createRecipientContext({ recipientKey, enc: enc.buffer, info: info.buffer })
      return {
        open: async (sealed, aad) =>
          new Uint8Array(await context.open(bytes([sealed]).buffer, bytes([aad]).buffer)),
        exportSecret: async () => new Uint8Array(await context.export(bytes([exported]).buffer, 32))
      }
    }
    return { kemId: kem.id, encLength: suite.kem.encSize, publicKey, take }
  }

  const completion = {
    choices: [{ index: 0, message: { role: "assistant", content: "Hello from a peer" } }]
  }

  /** What a peer asks and answers with: the message, and the request's JSON. */
  const answerBy = async ({ encLength, take }: Peer, body: Uint8Array) => {
    const [header, enc] = [body.subarray(0, 7), body.slice(7, 7 + encLength)]
    const { exportSecret, open } = await take(enc, infoOf(header))
    const sealed = chunksOf(body.subarray(7 + encLength))
    const parts: Array<Uint8Array> = []
    for (const [n, chunk] of sealed.entries()) {
      parts.push(await open(chunk, n === sealed.length - 1 ? bytes([final]) : new Uint8Array(0)))
    }
    const request = new BHttpDecoder().decodeRequest(bytes(parts))
    const asked: unknown = await request.json()
    const nonce = NodeCrypto.randomBytes(32)
    const { key, nonceOf } = answerKeys(enc, nonce, await exportSecret())
    const message = await new BHttpEncoder().encodeResponse(Response.json(completion))
    const cipher = NodeCrypto.createCipheriv("aes-256-gcm", key, nonceOf(0)).setAAD(final)
    const sealedAnswer = [cipher.update(message), cipher.final(), cipher.getAuthTag()]
    return { asked, message: bytes([nonce, Uint8Array.of(0), ...sealedAnswer]) }
  }

  const routers = [
    ["hpke", "X25519", byHpke, "off"],
    ["@hpke/core", "X25519", byCore(kems[0][1]), "off"],
    ["@hpke/core", "MLKEM768-X25519", byCore(kems[1][1]), "require"]
  ] as const

  it.scoped.each(routers)("asks a router of %s and bhttp-js by %s", ([, , makePeer, postQuantum]) =>
    Effect.gen(function*() {
      const peer = yield* Effect.promise(makePeer)
      const configuration = KeyConfiguration.encode({ keyId: 7, kemId: peer.kemId,
        publicKey: bytes([peer.publicKey]) })
      let asked: unknown
      const url = yield* Servers.httpServer((request, response) => {
        if (request.method === "GET") {
          response.writeHead(200, { "content-type": "application/ohttp-keys" })
          return void response.end(KeyConfiguration.encodeList([configuration]))
        }
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () =>
          void answerBy(peer, bytes(chunks)).then(
            (answer) => {
              asked = answer.asked
              return response.writeHead(200, { "content-type": "message/ohttp-chunked-res" }).end(answer.message)
            },
            () => response.destroy()
          ))
      })
      const given = yield* Effect.flatMap(NomyoClient.NomyoClient, (client) => client.create(hello)).pipe(
        Effect.provide(clientOf(url, { postQuantum }))
      )
      assert.strictEqual(given.choices[0]?.message.content, "Hello from a peer")
      assert.deepInclude(asked, { model: "m" })
    }))
})
