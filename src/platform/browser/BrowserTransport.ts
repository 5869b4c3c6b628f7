/**
 * The network as a page has it: the portable transport, and a guess at what a browser does not tell.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { APIConnectionError } from "../../NomyoError.js"
import * as Transport from "../../Transport.js"

/**
 * Whether a server answers at all: without CORS a page may send a plain GET and learn that there was an answer, nothing more. It carries
 * nothing; that such a request follows redirects cannot be changed.
 */
const answers = (url: URL) =>
  Effect.tryPromise((signal) =>
    fetch(new URL("/pki/public_key", url), { ...Transport.strictFetch, mode: "no-cors", redirect: "follow", signal })
  ).pipe(Effect.timeout("5 seconds"), Effect.isSuccess)

/**
 * On the browser's `fetch`. It says no more of a failure than that it failed; where the server of another origin turns out to answer, this
 * fails with reason `cors` and a message that says what the router must allow.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer: Layer.Layer<Transport.Transport> = Layer.sync(Transport.Transport, () => {
  const { send } = Transport.fromFetch((input, init) => globalThis.fetch(input, init))
  const origin = globalThis.location === undefined ? undefined : globalThis.origin
  return {
    send: (request) =>
      Effect.catchIf(
        send(request),
        (error) => error._tag === "APIConnectionError" && error.reason === "network" && origin !== undefined,
        (error) => {
          const url = new URL(request.url)
          return url.origin === origin ? Effect.fail(error) : Effect.flatMap(answers(url), (isThere) =>
            Effect.fail(
              isThere
                ? new APIConnectionError({
                  reason: "cors",
                  message: `${url.origin} answers, but does not let pages of ${origin} read it (CORS): it must send ` +
                    "Access-Control-Allow-Origin, and allow GET and POST with the headers Authorization, Content-Type, X-Payload-ID, " +
                    "X-Public-Key and X-Security-Tier. A gateway that fails in front of it, or a connection that is lost, looks the same"
                })
                : error
            ))
        }
      )
  }
})
