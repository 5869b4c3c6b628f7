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
import { toBytes } from "../Body.js"
import { requestHead, responseHead, SHOWN } from "../page/exchange.js"
import { type Opened, type Request, Transport, type TransportError } from "../Transport.js"

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
  /** Captures what passes through a transport. */
  readonly layer: Layer.Layer<Transport, never, Transport>
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

const message = (head: string, body: Uint8Array, bytes = body.length): Message => ({
  head,
  start: Base64.textOf(body.slice(0, SHOWN)),
  bytes
})

const requestOf = ({ headers, method, url }: Request, body: Uint8Array): Message =>
  message(requestHead(method, url, Object.entries(headers)), body)

const statusOf = (error: TransportError): string =>
  "statusCode" in error ? responseHead(error.statusCode, undefined) : "No answer"

/** Notes each piece of a body on its way. */
const watched = (opened: Opened, note: (message: Message) => void): Opened => {
  const head = responseHead(200, opened.header("content-type"))
  let start: Uint8Array = new Uint8Array(0)
  let bytes = 0
  const pull = Effect.tap(opened.pull, (chunk) =>
    Effect.sync(() => {
      if (chunk === undefined) return
      bytes += chunk.length
      if (start.length < SHOWN) start = Bytes.concat([start, chunk]).slice(0, SHOWN)
      note(message(head, start, bytes))
    }))
  return { ...opened, pull }
}

type Keep = (id: string, exchange: Exchange) => void

/** A transport that keeps what the page's own requests send and get. Everything else passes. */
const capture = (transport: Transport["Type"], keep: Keep): Transport["Type"] => {
  /** A body is taken once: the request goes on with a copy. */
  const noted = <A, R>(
    request: Request,
    use: (request: Request, note: (response: Message) => void) => Effect.Effect<A, TransportError, R>
  ) =>
    Effect.flatMap(FiberRef.get(currentExchange), (id) => {
      const { body } = request
      if (id === undefined || body === undefined) return use(request, () => undefined)
      const bytes = toBytes(body)
      const sent = requestOf(request, bytes)
      keep(id, { request: sent })
      const note = (response: Message) => keep(id, { request: sent, response })
      const again = { ...request, body: { length: bytes.length, chunks: [bytes] } }
      return Effect.tapError(use(again, note), (error) =>
        Effect.sync(() => note(message(statusOf(error), new Uint8Array(0)))))
    })
  return {
    send: (request) =>
      noted(request, (request, note) =>
        Effect.tap(transport.send(request), (bytes) =>
          Effect.sync(() => note(message(responseHead(200, undefined), bytes))))),
    open: (request) =>
      noted(request, (request, note) =>
        Effect.map(transport.open(request), (opened) => watched(opened, note)))
  }
}

/** No exchanges yet. */
export const makeExchanges: Effect.Effect<Exchanges> = Effect.sync(() => {
  const exchanges = new Map<string, Exchange>()
  const keep: Keep = (id, exchange) => {
    exchanges.set(id, exchange)
    if (exchanges.size > MAX_EXCHANGES) exchanges.delete(exchanges.keys().next().value!)
  }
  return {
    find: (id) => Effect.sync(() => Option.fromNullable(exchanges.get(id))),
    layer: Layer.effect(Transport, Effect.map(Transport, (transport) => capture(transport, keep)))
  }
})
