import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as ChatCompletion from "../ChatCompletion.js"
import type { PublicKey } from "../Crypto.js"
import * as Envelope from "../Envelope.js"
import * as Bytes from "./codecs/bytes.js"
import { wholeChunks } from "./wholeChunks.js"
import type { KeyEvent } from "../KeyRing.js"
import { InvalidRequestError, type NomyoError } from "../NomyoError.js"
import { type Plaintext, withBytes } from "../Plaintext.js"
import { zeroOnly } from "../SecureMemory.js"

/**
 * The text of the assistant's message, or the fields of a chat completion, which may be as few as a model
 * server's.
 */
export type TestAnswer =
  | string
  | { readonly choices: ReadonlyArray<object>; readonly [field: string]: unknown }

type Answer = (
  request: ChatCompletion.ChatCompletionRequest
) => TestAnswer | Effect.Effect<TestAnswer, NomyoError>

const publicKey: PublicKey = {
  spki: new Uint8Array(0),
  pem: "",
  fingerprint: "0".repeat(64),
  modulusLength: 4096
}

const toCompletion = (
  model: string,
  answer: TestAnswer,
  payloadId: string
): Effect.Effect<ChatCompletion.ChatCompletionResponse, NomyoError> => {
  const fields = typeof answer === "string"
    ? { choices: [{ index: 0, message: { role: "assistant", content: answer }, finish_reason: "stop" }] }
    : answer
  return ChatCompletion.decodeResponse(
    Bytes.fromText(
      JSON.stringify({ id: "chatcmpl-test", object: "chat.completion", created: 0, model, ...fields })
    ),
    { payloadId, processedAt: undefined, algorithm: Envelope.algorithm }
  )
}

const respond = (
  answer: Answer,
  request: ChatCompletion.ChatCompletionRequest,
  payloadId: string
): Effect.Effect<ChatCompletion.ChatCompletionResponse, NomyoError> =>
  Effect.suspend(() => {
    const given = answer(request)
    return Effect.flatMap(Effect.isEffect(given) ? given : Effect.succeed(given), (fields) =>
      toCompletion(request.model, fields, payloadId))
  })

const readPayload = (
  payload: Plaintext
): Effect.Effect<ChatCompletion.ChatCompletionRequest, InvalidRequestError> =>
  Effect.catchTag(
    withBytes(zeroOnly, payload, ChatCompletion.decodePayload),
    "UnknownException",
    () => Effect.fail(new InvalidRequestError({ message: "The payload must be a request's JSON" }))
  )

/** A client that answers from a function. Its payload ids count up: `test-1`, `test-2`, … */
export const make = (answer: Answer) => {
  let requests = 0
  const create = (request: ChatCompletion.ChatCompletionRequest) =>
    Effect.zipRight(
      ChatCompletion.encodeRequest(request),
      Effect.suspend(() => respond(answer, request, `test-${++requests}`))
    )
  return {
    create,
    openStream: (request: ChatCompletion.ChatCompletionRequest) => Effect.map(create(request), wholeChunks),
    send: (payload: Plaintext, { payloadId }: { readonly payloadId: string }) =>
      Effect.flatMap(readPayload(payload), (request) => respond(answer, request, payloadId)),
    ready: Effect.succeed(publicKey),
    rotateKeys: Effect.succeed(publicKey),
    forgetKeys: Effect.void,
    keyEvents: Effect.acquireRelease(Queue.unbounded<KeyEvent>(), Queue.shutdown)
  }
}
