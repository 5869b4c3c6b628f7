import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as ChatCompletion from "../ChatCompletion.js"
import * as Bytes from "../internal/codecs/bytes.js"
import type { HttpError } from "../NomyoError.js"
import { SecureMemory } from "../SecureMemory.js"
import type { Model, Opened } from "./Model.js"
import type { Answer, Question } from "./ObliviousGateway.js"
import { payloadIdOf } from "./payloadId.js"
import { refuse } from "./refuse.js"

const isSecurityTier = Schema.is(ChatCompletion.SecurityTier)

/** Reads a request. Its JSON is zeroed afterwards. */
const read = Effect.fnUntraced(function*({ head, payload }: Question): Effect.fn.Return<Opened, HttpError> {
  const payloadId = payloadIdOf(head.headers)
  if (payloadId === undefined) return yield* refuse(400, "X-Payload-ID must be at most 128 ASCII characters")
  const securityTier = head.headers["x-security-tier"]
  if (securityTier !== undefined && !isSecurityTier(securityTier)) {
    return yield* refuse(400, "X-Security-Tier must be standard, high or maximum")
  }
  return { payloadId, securityTier, payload: yield* ChatCompletion.decodePayload(payload) }
})

const metadataOf = ({ payloadId, securityTier }: Opened) => ({
  payload_id: payloadId,
  response_status: "success",
  ...(securityTier === undefined ? {} : { security_tier: securityTier })
})

/**
 * One exchange of protocol 2: asks the model for a stream, if the request wants one and the model has one.
 */
export const completeSealed = (model: Model) =>
  Effect.fnUntraced(function*(
    question: Question
  ): Effect.fn.Return<Answer, HttpError, SecureMemory | Scope.Scope> {
    const opened = yield* read(question)
    if (opened.payload.stream === true && model.stream !== undefined) {
      return { _tag: "Streamed", events: yield* model.stream(opened) }
    }
    const answer = { ...yield* model(opened), _metadata: metadataOf(opened) }
    const { guard } = yield* SecureMemory
    return { _tag: "Whole", json: yield* guard(Effect.sync(() => Bytes.fromText(JSON.stringify(answer)))) }
  })
