/**
 * Traffic between a client and the router, for the page: ciphertext, and no API
 * key.
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Base64 from "../internal/codecs/base64.js"
import * as Bytes from "../internal/codecs/bytes.js"
import { connectionError } from "../internal/connectionError.js"
import { type Body, toBytes } from "../Body.js"
import { requestHead, responseHead, SHOWN, withoutKey } from "../page/exchange.js"
import * as NodeTransport from "../platform/node/NodeTransport.js"
import * as Transport from "../Transport.js"

type Request = Transport.Request
type Response = Transport.Response

/** A message of HTTP: its head, and the first bytes of its body in base64. */
interface Message {
  readonly head: string
  readonly start: string
  readonly bytes: number
}

/** A request, and its response once that has begun. */
interface Exchange {
  readonly request: Message
  readonly response?: Message
}

/** The last exchanges of the page. */
export interface Exchanges {
  readonly find: (id: string) => Effect.Effect<Option.Option<Exchange>>
  /** Node's transport, which captures what passes through it. */
  readonly layer: Layer.Layer<Transport.Transport>
}

/** The page looks at an exchange as long as it lasts. */
const MAX_EXCHANGES = 32

/** The id that the page has given to the request of this fiber. */
const currentExchange: FiberRef.FiberRef<string | undefined> = globalValue(
  "nomyo-js/cli/currentExchange",
  () => FiberRef.unsafeMake<string | undefined>(undefined)
)

const ID = /^[\w-]{36}$/

/** An app whose calls of the client are captured under the id that the page has sent. */
export const capturing = <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) => {
    const id = headers["x-exchange-id"] ?? ""
    return ID.test(id) ? Effect.locally(app, currentExchange, id) : app
  })

/** The first bytes of a body as the page shows them. */
const startOf = (body: Uint8Array, { headers }: Request): string =>
  Base64.textOf(withoutKey(body.slice(0, SHOWN), headers["Authorization"]))

const requestOf = (request: Request, body: Uint8Array): Message => ({
  head: requestHead(request.method, request.url, Object.entries(request.headers)),
  start: startOf(body, request),
  bytes: body.length
})

const NO_ANSWER: Message = { head: "No answer", start: "", bytes: 0 }

const bytesOf = (body: Body, url: string) =>
  Effect.try({ try: () => toBytes(body), catch: (error) => connectionError(error, url) })

type Note = (response: Message) => void

/** Notes the head of a response, and each piece of its body on its way. */
const watched = (request: Request, response: Response, note: Note): Response => {
  const head = responseHead(response.status, response.header("content-type"))
  const chunks = async function*() {
    let start: Uint8Array = new Uint8Array(0)
    let bytes = 0
    for await (const chunk of response.body) {
      bytes += chunk.length
      if (start.length < SHOWN) start = Bytes.concat([start, Uint8Array.from(chunk)]).slice(0, SHOWN)
      note({ head, start: startOf(start, request), bytes })
      yield chunk
    }
  }
  note({ head, start: "", bytes: 0 })
  return { ...response, body: chunks() }
}

type Keep = (id: string, exchange: Exchange) => void

/** Keeps what the page's own requests send and get, whatever its status. Everything else passes. */
const capture = (exchange: Transport.Exchange, keep: Keep): Transport.Exchange =>
  Effect.fnUntraced(function*(request, onEnd) {
    const id = yield* FiberRef.get(currentExchange)
    if (id === undefined || request.body === undefined) return yield* exchange(request, onEnd)
    // a body is taken once: the request goes on with a copy
    const bytes = yield* bytesOf(request.body, request.url)
    const sent = requestOf(request, bytes)
    const note: Note = (response) => keep(id, { request: sent, response })
    keep(id, { request: sent })
    const copy = { ...request, body: { length: bytes.length, chunks: [bytes] } }
    const answered = Effect.tapError(exchange(copy, onEnd), () => Effect.sync(() => note(NO_ANSWER)))
    return watched(request, yield* answered, note)
  })

/** No exchanges yet. */
export const makeExchanges: Effect.Effect<Exchanges> = Effect.sync(() => {
  const exchanges = new Map<string, Exchange>()
  const keep: Keep = (id, exchange) => {
    exchanges.set(id, exchange)
    if (exchanges.size > MAX_EXCHANGES) exchanges.delete(exchanges.keys().next().value!)
  }
  return {
    find: (id) => Effect.sync(() => Option.fromNullable(exchanges.get(id))),
    layer: Layer.scoped(
      Transport.Transport,
      Effect.map(NodeTransport.makeExchange, (exchange) => Transport.make(capture(exchange, keep)))
    )
  }
})
