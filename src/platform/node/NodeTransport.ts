/**
 * The `Transport` service on `node:http` and `node:https`, which take a fifth of the CPU time per request
 * that `fetch` takes on Node.
 *
 * A request has the headers that the client sets, `Host`, `Connection`, `Content-Length` and
 * `Accept-Encoding`: no cookies and no trace headers. Certificates are checked against Node's own list and
 * `NODE_EXTRA_CA_CERTS`; `NODE_TLS_REJECT_UNAUTHORIZED` has no effect, because TLS proves the router's key.
 * Variables such as `HTTPS_PROXY` have no effect. To use a proxy, take `Transport.layer` or
 * `nomyo-js/platform`.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import * as Https from "node:https"
import { pipeline, Readable } from "node:stream"
import type { Body } from "../../Body.js"
import { connectionError } from "../../internal/connectionError.js"
import { acquire } from "../../internal/fibers/acquire.js"
import { APIConnectionError, type SecurityError } from "../../NomyoError.js"
import * as Transport from "../../Transport.js"

/**
 * How long an idle connection is kept, in milliseconds. Servers close theirs, uvicorn and Node after five
 * seconds, and a request that crosses such a closing is lost.
 */
const IDLE_TIMEOUT = 4000
/** The longest headers of an answer, in bytes: Node's default, whatever Node was started with. */
const MAX_HEADER_BYTES = 16 * 1024
/**
 * The longest body that is written at once, in bytes. A longer one is written as fast as the network takes
 * it.
 */
const LARGEST_WRITE = 128 * 1024

interface Agents {
  readonly http: Http.Agent
  readonly https: Https.Agent
}

/** The agents keep connections until the scope closes. Their idle connections do not keep a process alive. */
const acquireAgents: Effect.Effect<Agents, never, Scope.Scope> = acquire(
  Effect.sync(() => {
    const options = { keepAlive: true, timeout: IDLE_TIMEOUT }
    return { http: new Http.Agent(options), https: new Https.Agent({ ...options, rejectUnauthorized: true }) }
  }),
  ({ http, https }) => {
    http.destroy()
    https.destroy()
  }
)

/** Opens a request. Throws if its URL or its headers are not valid. */
const open = ({ http, https }: Agents, { headers, method, url }: Transport.Request): Http.ClientRequest => {
  const target = new URL(url)
  const options = { method, headers, maxHeaderSize: MAX_HEADER_BYTES, insecureHTTPParser: false }
  return target.protocol === "https:"
    ? Https.request(target, { ...options, agent: https })
    : Http.request(target, { ...options, agent: http })
}

/** All chunks as one: Node writes text faster than it joins bytes. */
const whole = (chunks: ReadonlyArray<string | Uint8Array>): string | Uint8Array =>
  chunks.every((chunk) => typeof chunk === "string")
    ? chunks.join("")
    : Buffer.concat(chunks.map((chunk) => typeof chunk === "string" ? Buffer.from(chunk) : chunk))

/** Writes a request's body and ends it. Throws, or calls `onError`, if a chunk is not right. */
const write = (
  outgoing: Http.ClientRequest,
  body: Body | undefined,
  onError: (error: unknown) => void
): void => {
  outgoing.setHeader("Accept-Encoding", "identity")
  if (body === undefined) return void outgoing.end()
  outgoing.setHeader("Content-Length", body.length)
  if (body.length <= LARGEST_WRITE) return void outgoing.end(whole(Array.from(body.chunks)), "latin1")
  const chunks = Readable.from(body.chunks, { objectMode: false })
  // to `pipeline` a chunk's error would be a lost connection, and a failure of the request is an event of the
  // request
  pipeline(chunks.on("error", onError), outgoing, () => undefined)
}

const protocolError = (message: string) => new APIConnectionError({ reason: "protocol", message })

/**
 * Node decompresses nothing, so a compressed answer cannot be read. An error status matters more than its
 * body.
 */
const isCompressed = ({ headers, statusCode }: Http.IncomingMessage): boolean =>
  statusCode === 200 &&
  (headers["content-encoding"] ?? "").split(",").some((coding) => !/^\s*(identity)?\s*$/i.test(coding))

const toResponse = (
  incoming: Http.IncomingMessage
): Effect.Effect<Transport.Response, APIConnectionError> =>
  isCompressed(incoming)
    ? Effect.fail(
      protocolError(
        "The router's answer is compressed, which the client did not ask for. " +
          "Check the proxy in front of the router"
      )
    )
    : Effect.succeed({
      status: incoming.statusCode ?? 0,
      header: (name) => incoming.headers[name] as string | undefined,
      body: incoming
    })

type Settle = (result: ReturnType<Transport.Exchange>) => void

/** Settles with the response to a request, or with the error before it. */
const listen = (outgoing: Http.ClientRequest, url: string, settle: Settle): void => {
  let incoming: Http.IncomingMessage | undefined
  outgoing.on("response", (response) => {
    incoming = response
    settle(toResponse(response))
  })
  // without a listener Node closes the connection and says nothing
  outgoing.on("upgrade", (_response, socket) => {
    socket.destroy()
    settle(
      Effect.fail(
        protocolError("The router switched to another protocol than HTTP. Check the port in baseUrl")
      )
    )
  })
  outgoing.on("error", (error) => {
    if (incoming === undefined) settle(Effect.fail(connectionError(error, url)))
    // a parser's error within the body would otherwise pass for a lost connection
    else incoming.destroy(error)
  })
}

/**
 * One exchange. Its end closes the connection, unless the answer is complete and the connection the agent's
 * again.
 */
const exchange = (agents: Agents, request: Transport.Request, onEnd: (close: () => void) => void) =>
  Effect.async<Transport.Response, APIConnectionError | SecurityError>((settle) => {
    const fail = (error: unknown) => settle(Effect.fail(connectionError(error, request.url)))
    try {
      const outgoing = open(agents, request)
      onEnd(() => outgoing.destroy())
      listen(outgoing, request.url, settle)
      write(outgoing, request.body, fail)
    } catch (error) {
      fail(error)
    }
  })

/**
 * The exchange under the transport, for a program that looks at what passes through it.
 *
 * @internal
 */
export const makeExchange: Effect.Effect<Transport.Exchange, never, Scope.Scope> = Effect.map(
  acquireAgents,
  (agents) => (request, onEnd) => exchange(agents, request, onEnd)
)

/**
 * A transport that keeps its connections for the next request, until the scope closes. It writes each request
 * once. If the router closes the connection first, the request fails with reason `network`: the router may or
 * may not have read it (RFC 9112 9.3.1). The client's retries seal the request again.
 *
 * A compressed answer fails with reason `protocol`, because the client never asks for compression.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make: Effect.Effect<Transport.Service, never, Scope.Scope> = Effect.map(
  makeExchange,
  Transport.make
)

/**
 * `Transport` on `node:http` and `node:https`.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<Transport.Transport> = Layer.scoped(Transport.Transport, make)
