/**
 * The `Transport` service in a page. Browsers hide why a request failed, so this transport finds out whether
 * CORS is the cause.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { strictFetch } from "../../internal/strictFetch.js"
import { APIConnectionError } from "../../NomyoError.js"
import * as Transport from "../../Transport.js"

/** How long the question whether a server answers may take. */
const PROBE_TIMEOUT = "5 seconds"

/**
 * Whether a server answers at all. Without CORS a page may send a plain GET, and learns only that there was
 * an answer. The GET has no content. A page cannot keep such a request from following redirects.
 */
const answers = (url: URL): Effect.Effect<boolean> =>
  Effect.tryPromise((signal) =>
    fetch(new URL("/pki/public_key", url), { ...strictFetch, mode: "no-cors", redirect: "follow", signal })
  ).pipe(Effect.timeout(PROBE_TIMEOUT), Effect.isSuccess)

const corsError = (server: string, page: string) =>
  new APIConnectionError({
    reason: "cors",
    message: `${server} answers, but does not let pages of ${page} read it (CORS): ` +
      "it must send Access-Control-Allow-Origin, and allow GET and POST with the headers " +
      "Authorization, Content-Type, X-Payload-ID, X-Public-Key and X-Security-Tier. " +
      "A gateway that fails in front of it, or a connection that is lost, looks the same"
  })

/**
 * The error for a failure of the network: CORS, if a server of another origin than the page's does answer.
 */
const explain = (error: Transport.TransportError, url: URL, page: string) =>
  url.origin === page
    ? Effect.fail(error)
    : Effect.flatMap(answers(url), (isThere) => Effect.fail(isThere ? corsError(url.origin, page) : error))

const isNetworkFailure = (error: Transport.TransportError): boolean =>
  error._tag === "APIConnectionError" && error.reason === "network"

/**
 * `Transport` on the browser's `fetch`. After a failed request to another origin it sends an empty request
 * that needs no permission. If the router answers that, the failure has reason `cors`, and its message says
 * what to allow.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<Transport.Transport> = Layer.sync(Transport.Transport, () => {
  const transport = Transport.fromFetch((input, init) => globalThis.fetch(input, init))
  // no page, and no CORS
  if (globalThis.location === undefined) return transport
  const page = globalThis.origin
  const explained =
    ({ url }: Transport.Request) => <A, R>(exchange: Effect.Effect<A, Transport.TransportError, R>) =>
      Effect.catchIf(exchange, isNetworkFailure, (error) => explain(error, new URL(url), page))
  return {
    send: (request) => explained(request)(transport.send(request)),
    open: (request) => explained(request)(transport.open(request))
  }
})
