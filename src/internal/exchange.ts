import * as Effect from "effect/Effect"
import * as ChatCompletion from "../ChatCompletion.js"
import type { Crypto, KeyPair } from "../Crypto.js"
import * as Envelope from "../Envelope.js"
import type { Request } from "../Protocol.js"
import type { CachedRouterKey } from "../RouterKey.js"
import type { Body } from "../Body.js"
import type { Service as Transport, TransportError } from "../Transport.js"

export interface ExchangeDependencies {
  readonly baseUrl: string
  readonly transport: Transport
  readonly maxResponseBytes: number
}

/** The keys of one attempt: the request is sealed to the router's, and the answer to the client's. */
export interface Keys {
  readonly pair: KeyPair
  readonly router: CachedRouterKey
}

const headersOf = (
  { apiKey, payloadId, securityTier }: Request,
  { pair }: Keys
): { readonly [name: string]: string } => ({
  "Content-Type": "application/octet-stream",
  "X-Payload-ID": payloadId,
  "X-Public-Key": encodeURIComponent(pair.publicKey.pem),
  ...(apiKey === undefined ? {} : { "Authorization": `Bearer ${apiKey}` }),
  ...(securityTier === undefined ? {} : { "X-Security-Tier": securityTier })
})

/** Seals a request, sends it, opens the answer and decodes it. */
export const exchange = (
  { baseUrl, maxResponseBytes, transport }: ExchangeDependencies,
  request: Request,
  keys: Keys
): Effect.Effect<ChatCompletion.ChatCompletionResponse, TransportError, Crypto> => {
  const post = (body: Body) =>
    transport.send({
      method: "POST",
      url: `${baseUrl}/v1/chat/secure_completion`,
      headers: headersOf(request, keys),
      body,
      maxResponseBytes
    })
  const decode = ({ algorithm, plaintext, processedAt }: Envelope.Opened) =>
    ChatCompletion.decodeResponse(plaintext, { algorithm, payloadId: request.payloadId, processedAt })
  return Effect.flatMap(
    Envelope.sealWith(keys.router.key, request.payload, post),
    (answer) => Envelope.open(keys.pair.privateKey, answer, decode)
  )
}
