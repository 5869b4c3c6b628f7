import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ChatCompletion from "../ChatCompletion.js"
import { Crypto, type PrivateKey, type PublicKey } from "../Crypto.js"
import * as Envelope from "../Envelope.js"
import * as Bytes from "../internal/codecs/bytes.js"
import type { HttpError } from "../NomyoError.js"
import { SecureMemory } from "../SecureMemory.js"
import { body } from "./body.js"
import type { Model, Opened } from "./Model.js"
import { payloadIdOf } from "./payloadId.js"
import { refuse } from "./refuse.js"
import type { RouterKeys } from "./RouterKeys.js"

const isSecurityTier = Schema.is(ChatCompletion.SecurityTier)

const percentDecode = (text: string): Uint8Array => {
  try {
    return Bytes.fromText(decodeURIComponent(text))
  } catch {
    return new Uint8Array(0)
  }
}

/** Reads the headers: the caller, the tier, and the key that the answer is sealed to. */
const readHeaders = Effect.gen(function*() {
  const { headers } = yield* HttpServerRequest.HttpServerRequest
  const crypto = yield* Crypto
  const payloadId = payloadIdOf(headers)
  if (payloadId === undefined) return yield* refuse(400, "X-Payload-ID must be at most 128 ASCII characters")
  const securityTier = headers["x-security-tier"]
  if (securityTier !== undefined && !isSecurityTier(securityTier)) {
    return yield* refuse(400, "X-Security-Tier must be standard, high or maximum")
  }
  const clientKey = yield* Effect.orElse(
    crypto.importPublicKey(percentDecode(headers["x-public-key"] ?? "")),
    () => refuse(400, "X-Public-Key must be an RSA key of at least 2048 bits, in SPKI PEM, percent-encoded")
  )
  return { payloadId, securityTier, clientKey }
})

type Payload = ChatCompletion.ChatCompletionRequest

/** Opens an envelope with the first of the keys that fits. */
const openWith = (
  [key, ...others]: ReadonlyArray<PrivateKey>,
  envelope: Uint8Array<ArrayBuffer>
): Effect.Effect<Payload, HttpError, Crypto | SecureMemory> =>
  key === undefined
    ? refuse(400, "The envelope could not be opened. Fetch the router's key again")
    : Effect.catchTag(
      Envelope.open(key, envelope, ({ plaintext }) => ChatCompletion.decodePayload(plaintext)),
      "SecurityError",
      () => openWith(others, envelope)
    )

/** Seals an answer to the key that the request came with. */
const seal = Effect.fnUntraced(function*(
  answer: object,
  clientKey: PublicKey,
  { payloadId, securityTier }: Opened
) {
  const memory = yield* SecureMemory
  const metadata = {
    payload_id: payloadId,
    response_status: "success",
    ...(securityTier === undefined ? {} : { security_tier: securityTier })
  }
  const bytes = yield* memory.guard(Effect.sync(() =>
    Bytes.fromText(JSON.stringify({ ...answer, _metadata: metadata }))
  ))
  const processedAt = Math.floor((yield* Clock.currentTimeMillis) / 1000)
  return yield* Effect.orDie(Envelope.seal(clientKey, bytes, { processedAt }))
})

/** One exchange of protocol 1.0: opens the request, asks the model, and seals its answer. */
export const complete = Effect.fnUntraced(function*(keys: RouterKeys, model: Model) {
  const { clientKey, payloadId, securityTier } = yield* readHeaders
  const payload = yield* openWith(keys.privateKeys(), yield* body)
  const opened = { payloadId, securityTier, payload }
  const sealed = yield* seal(yield* model(opened), clientKey, opened)
  return HttpServerResponse.uint8Array(sealed, { contentType: "application/octet-stream" })
}, Effect.scoped)
