import * as Effect from "effect/Effect"
import type { Body } from "../Body.js"
import * as ChatCompletion from "../ChatCompletion.js"
import type { KeyPair, Service as Crypto } from "../Crypto.js"
import type { Request } from "../Protocol.js"
import type { CachedRouterKey } from "../RouterKey.js"
import type { Service as Transport, TransportError } from "../Transport.js"
import * as Codec from "./codecs/envelope.js"

export interface ExchangeDependencies {
  readonly baseUrl: string
  readonly crypto: Crypto
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

/** Opens the router's answer and decodes it. */
const openAnswer = (
  { crypto }: ExchangeDependencies,
  { payloadId }: Request,
  { pair }: Keys,
  answer: Uint8Array
): Effect.Effect<ChatCompletion.ChatCompletionResponse, TransportError> =>
  Effect.flatMap(Codec.decode(answer), ({ processedAt, sealed }) =>
    crypto.open(pair.privateKey, sealed, (plaintext) =>
      ChatCompletion.decodeResponse(plaintext, { algorithm: Codec.algorithm, payloadId, processedAt })))

/** Seals a request, sends it, opens the answer and decodes it. */
export const exchange = (
  dependencies: ExchangeDependencies,
  request: Request,
  keys: Keys
): Effect.Effect<ChatCompletion.ChatCompletionResponse, TransportError> => {
  const { baseUrl, crypto, maxResponseBytes, transport } = dependencies
  const post = (body: Body) =>
    transport.send({
      method: "POST",
      url: `${baseUrl}/v1/chat/secure_completion`,
      headers: headersOf(request, keys),
      body,
      maxResponseBytes
    })
  const answered = crypto.seal(keys.router.key, request.payload, (sealed) => post(Codec.encode(sealed)))
  return Effect.flatMap(answered, (answer) => openAnswer(dependencies, request, keys, answer))
}
