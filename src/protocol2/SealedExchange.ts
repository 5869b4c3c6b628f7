/** One exchange of protocol 2: a request sealed and sent, and its answer opened as it arrives. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Body } from "../Body.js"
import * as Bytes from "../internal/codecs/bytes.js"
import { httpDate } from "../internal/codecs/httpDate.js"
import { acquire } from "../internal/fibers/acquire.js"
import { joinSecrets, zeroAll, zeroing } from "../internal/zeroing.js"
import { SecurityError } from "../NomyoError.js"
import { chunksOf, windowLength } from "../Plaintext.js"
import type { Request } from "../Protocol.js"
import { SecureMemory } from "../SecureMemory.js"
import { type Opened, Transport, type TransportError } from "../Transport.js"
import * as BinaryHttp from "./BinaryHttp.js"
import * as Hpke from "./Hpke.js"
import * as Message from "./Message.js"
import * as ObliviousHttp from "./ObliviousHttp.js"
import { asUnauthenticated } from "./outerError.js"
import type { Primitives } from "./Primitives.js"
import type { RecipientKey } from "./RouterConfiguration.js"

/** The services that an exchange uses. Its secrets are zeroed when the scope closes. */
export type Needs = Primitives | SecureMemory | Transport

/** An answer whose head has opened. */
export interface Answer extends BinaryHttp.ResponseHead {
  /** The next bytes of content; `undefined` once the answer has proved to be complete. */
  readonly pull: Effect.Effect<ReadonlyArray<Uint8Array<ArrayBuffer>> | undefined, TransportError>
}

/** Data of one exchange. */
export interface Asked {
  readonly request: Request
  readonly baseUrl: string
  readonly accept: "application/json" | "text/event-stream"
  readonly maxResponseBytes: number
  readonly isPadded: boolean
}

const headOf = ({ accept, baseUrl, request }: Asked, date: number): Uint8Array<ArrayBuffer> =>
  BinaryHttp.encodeRequestHead({
    method: "POST",
    scheme: "https",
    authority: new URL(baseUrl).host,
    path: "/v1/chat/completions",
    headers: {
      "content-type": "application/json",
      accept,
      date: httpDate(date),
      "x-payload-id": request.payloadId,
      ...(request.apiKey === undefined ? {} : { authorization: `Bearer ${request.apiKey}` }),
      ...(request.securityTier === undefined ? {} : { "x-security-tier": request.securityTier })
    }
  })

/** Seals a request, chunk by chunk. */
const seal = Effect.fnUntraced(function*(exchange: ObliviousHttp.ClientExchange, asked: Asked, date: number) {
  const memory = yield* SecureMemory
  const { isPadded, request: { payload } } = asked
  const framed = yield* memory.use(windowLength(payload), (window) =>
    Message.seal(exchange.request, headOf(asked, date), chunksOf(payload, window), payload.length, isPadded))
  const chunks = [exchange.header, ...framed]
  const body: Body = { length: chunks.reduce((length, chunk) => length + chunk.length, 0), chunks }
  return body
})

const post = Effect.fnUntraced(function*({ baseUrl, maxResponseBytes }: Asked, body: Body) {
  const transport = yield* Transport
  const opened = yield* Effect.mapError(
    transport.open({
      method: "POST",
      url: `${baseUrl}${ObliviousHttp.gatewayPath}`,
      headers: { "Content-Type": ObliviousHttp.requestType, Incremental: "?1" },
      body,
      maxResponseBytes
    }),
    asUnauthenticated
  )
  if (opened.header("content-type") === ObliviousHttp.responseType) return opened
  const message = "The answer is not encrypted, so anyone on the path may have sent it. Check the proxies"
  return yield* Effect.fail(new SecurityError({ reason: "envelope", message }))
})

/** The bytes that an answer begins with, and what came with them. */
const takeNonce = Effect.fnUntraced(function*({ pull }: Opened) {
  let bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  while (bytes.length < ObliviousHttp.NONCE_LENGTH) {
    const next = yield* pull
    if (next === undefined) return yield* Effect.fail(ObliviousHttp.cannotOpen())
    bytes = Bytes.concat([bytes, next])
  }
  return {
    nonce: bytes.slice(0, ObliviousHttp.NONCE_LENGTH),
    rest: bytes.slice(ObliviousHttp.NONCE_LENGTH)
  }
})

type Parts = ReadonlyArray<BinaryHttp.Part<BinaryHttp.ResponseHead>>

const contentOf = (parts: Parts) => parts.flatMap((part) => part._tag === "Content" ? [part.content] : [])

/** Opens an answer up to its head. */
const openAnswer = Effect.fnUntraced(function*(exchange: ObliviousHttp.ClientExchange, opened: Opened) {
  const { nonce, rest } = yield* takeNonce(opened)
  const opener = yield* exchange.response(nonce)
  const reader = Message.reader(opener, new BinaryHttp.Decoder<BinaryHttp.ResponseHead>("response"))
  let isOver = false
  // only when complete: a reader that asks again after a failure fails again
  const end = Effect.tap(reader.end, () => {
    isOver = true
  })
  const next: Effect.Effect<Parts, TransportError> = Effect.flatMap(opened.pull, (bytes) =>
    bytes === undefined ? end : reader.push(bytes))
  let parts = yield* reader.push(rest)
  // fails at the end of an answer without a head
  while (parts.length === 0) parts = yield* next
  const [first, ...others] = parts
  if (first?._tag !== "Head") return yield* Effect.fail(ObliviousHttp.cannotOpen())
  let held = yield* acquire(Effect.sync(() => contentOf(others)), zeroAll)
  const pull = Effect.suspend(() => {
    const content = held
    held = []
    if (content.length > 0) return Effect.succeed(content)
    return isOver ? Effect.succeed(undefined) : Effect.map(next, contentOf)
  })
  return { ...first.head, pull } satisfies Answer
})

/** Sends a request that is dated `date`, in milliseconds, and opens its answer up to the head. */
export const ask = Effect.fnUntraced(function*(
  asked: Asked,
  key: RecipientKey,
  date: number
): Effect.fn.Return<Answer, TransportError, Needs | Scope.Scope> {
  const begun = yield* ObliviousHttp.client({ ...key, aeadId: Hpke.AES_256_GCM })
  return yield* openAnswer(begun, yield* post(asked, yield* seal(begun, asked, date)))
})

/** All of an answer's content. It is zeroed when the scope closes. */
export const readAll = (answer: Answer) =>
  zeroing(Effect.fnUntraced(function*(parts) {
    for (let next = yield* answer.pull; next !== undefined; next = yield* answer.pull) parts.push(...next)
    return yield* joinSecrets(parts)
  }))
