/**
 * The network as Node has it: `node:http` and `node:https`, which take a fifth of the CPU time per request that `fetch` does there.
 *
 * Nothing is sent but what the client says, `Host` and `Connection`: no cookies, no trace headers. Certificates are checked against Node's
 * own list and `NODE_EXTRA_CA_CERTS`, whatever `NODE_TLS_REJECT_UNAUTHORIZED` says: TLS is what vouches for the router's key. Proxies named
 * in the environment are not used; `Transport.layer` and `nomyo-js/platform` are for those who need one.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import * as Https from "node:https"
import { pipeline, Readable } from "node:stream"
import { urlToHttpOptions } from "node:url"
import { acquire } from "../../internal/fibers/acquire.js"
import { APIConnectionError } from "../../NomyoError.js"
import * as Transport from "../../Transport.js"

/**
 * A connection that was idle for this long is closed, in milliseconds. Servers do the same, uvicorn and Node after five seconds, and a
 * request that crosses such a closing is lost.
 */
const IDLE_TIMEOUT = 4000
/** Bounds the headers of an answer, in bytes. Node's default, whatever it was started with. */
const MAX_HEADER_BYTES = 16 * 1024

/** Idle connections do not keep a process alive: Node's agents see to that. */
const acquireAgent = <Agent extends Http.Agent>(make: () => Agent): Effect.Effect<Agent, never, Scope.Scope> =>
  acquire(Effect.sync(make), (agent) => agent.destroy())

/** A body of so many bytes is written at once; a larger one as fast as the network takes it. */
const LARGEST_WRITE = 128 * 1024

const send = (outgoing: Http.ClientRequest, body: Transport.Body | undefined, onError: (error: unknown) => void): void => {
  outgoing.setHeader("Accept-Encoding", "identity")
  if (body === undefined) return void outgoing.end()
  outgoing.setHeader("Content-Length", body.length)
  if (body.length <= LARGEST_WRITE) outgoing.end(Transport.textOf(body), "latin1")
  // a failure of the request is told by its own event, one of the pieces would be told as a lost connection
  else pipeline(Readable.from(Transport.piecesOf(body), { objectMode: false }).on("error", onError), outgoing, () => undefined)
}

/**
 * A transport whose connections are kept for the next request, until the scope closes.
 *
 * A request is written once. If its connection turns out to have been closed by the router, that is a failure with reason `network`, since
 * nobody can tell whether the router has seen it (RFC 9112 9.3.1); the client's retries seal it afresh.
 *
 * Compressed answers are not asked for, and one that comes regardless fails with reason `protocol`.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make: Effect.Effect<Transport.Service, never, Scope.Scope> = Effect.gen(function*() {
  const options = { keepAlive: true, timeout: IDLE_TIMEOUT }
  const http = yield* acquireAgent(() => new Http.Agent(options))
  const https = yield* acquireAgent(() => new Https.Agent({ ...options, rejectUnauthorized: true }))

  // a client has one router, as a rule
  let known: { readonly url: string; readonly target: Http.ClientRequestArgs } | undefined
  const start = ({ headers, method, url }: Transport.Request) => {
    if (known?.url !== url) known = { url, target: urlToHttpOptions(new URL(url)) }
    const { auth, hostname, path, port, protocol } = known.target
    const [agent, begin] = protocol === "https:" ? [https, Https.request] as const : [http, Http.request] as const
    // no more than is needed, and nothing spread: Node copies it several times for each request
    return begin({ agent, auth, hostname, path, port, protocol, method, headers, maxHeaderSize: MAX_HEADER_BYTES, insecureHTTPParser: false })
  }

  return Transport.make((request, onEnd) =>
    Effect.async((resume) => {
      const fail = (error: unknown) => resume(Effect.fail(Transport.connectionError(error)))
      let outgoing: Http.ClientRequest
      try {
        outgoing = start(request)
      } catch (error) {
        return fail(error)
      }
      // closes the connection, unless the answer is complete and the connection the agent's again
      onEnd(() => outgoing.destroy())
      let incoming: Http.IncomingMessage | undefined
      outgoing.on("response", (response) => {
        incoming = response
        resume(
          response.statusCode === 200 && (response.headers["content-encoding"] ?? "identity") !== "identity"
            ? Effect.fail(new APIConnectionError({ reason: "protocol", message: "The router's answer is compressed, which was not asked for" }))
            : Effect.succeed({
              status: response.statusCode ?? 0,
              header: (name) => response.headers[name] as string | undefined,
              body: response
            })
        )
      })
      // without a listener Node closes the connection, and says nothing
      outgoing.on("upgrade", (_response, socket) => {
        socket.destroy()
        resume(Effect.fail(new APIConnectionError({ reason: "protocol", message: "The router answered with a protocol other than HTTP" })))
      })
      // a parser's error within the body comes here too, and would otherwise pass for a lost connection
      outgoing.on("error", (error) => incoming === undefined ? fail(error) : incoming.destroy(error))
      try {
        send(outgoing, request.body, fail)
      } catch (error) {
        fail(error)
      }
    })
  )
})

/**
 * `Transport` on `node:http` and `node:https`.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<Transport.Transport> = Layer.scoped(Transport.Transport, make)
