/** Whole exchanges of protocol 2 in memory. */
import * as Effect from "effect/Effect"
import * as BinaryHttp from "../../src/protocol2/BinaryHttp.js"
import * as Hpke from "../../src/protocol2/Hpke.js"
import * as Message from "../../src/protocol2/Message.js"
import * as ObliviousHttp from "../../src/protocol2/ObliviousHttp.js"
import { Primitives } from "../../src/protocol2/Primitives.js"

export const HEADER = ObliviousHttp.headerLength(Hpke.x25519)

const suite = { keyId: 1, kem: Hpke.x25519, aeadId: Hpke.AES_256_GCM } as const

/** A client's and a router's side of one exchange, made of one key pair. */
export const makeExchange = Effect.gen(function*() {
  const keyPair = yield* Effect.flatMap(Primitives, ({ generateKeyPair }) => generateKeyPair)
  const client = yield* ObliviousHttp.client({ ...suite, publicKey: keyPair.publicKey })
  const gatewayFor = (header: Uint8Array<ArrayBuffer>) => ObliviousHttp.gateway({ ...suite, keyPair }, header)
  return { client, gatewayFor }
})

/** A request in chunks: its header, and then what the sealer made of each part. */
export const sealChunks = Effect.fnUntraced(function*(
  sealer: ObliviousHttp.Sealer,
  parts: ReadonlyArray<Uint8Array<ArrayBuffer>>
) {
  const framed: Array<Uint8Array<ArrayBuffer>> = []
  for (const part of parts) framed.push(yield* sealer.chunk(part))
  return [...framed, yield* sealer.final(BinaryHttp.encodeEnd())]
})

const contentOf = (parts: ReadonlyArray<BinaryHttp.Part<unknown>>) =>
  Buffer.concat(parts.flatMap((part) => part._tag === "Content" ? [part.content] : [])).toString()

/** The content of a message; it fails where a receiver would. */
export const readContent = Effect.fnUntraced(function*(
  opener: ObliviousHttp.Opener,
  kind: "request" | "response",
  body: Uint8Array<ArrayBuffer>
) {
  const reader: Message.Reader<unknown> = kind === "request"
    ? Message.reader(opener, new BinaryHttp.Decoder<BinaryHttp.RequestHead>("request"))
    : Message.reader(opener, new BinaryHttp.Decoder<BinaryHttp.ResponseHead>("response"))
  return contentOf([...yield* reader.push(body), ...yield* reader.end])
})
