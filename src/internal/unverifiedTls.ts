/**
 * `NODE_TLS_REJECT_UNAUTHORIZED=0` makes `fetch` and most HTTP clients of Node take any certificate. A
 * router's key that comes that way proves nothing, unless it is pinned.
 */
import * as Effect from "effect/Effect"
import { SecurityError } from "../NomyoError.js"

interface Global {
  readonly process?: { readonly env?: { readonly [name: string]: string | undefined } }
}

/** The parts of a `Request` that decide. */
interface Exchanged {
  readonly isKeyPinned?: boolean | undefined
  readonly method: string
  readonly url: string
}

/** The variable is read for every connection, as Node does. Elsewhere there is none. */
const isOff = (): boolean =>
  (globalThis as unknown as Global).process?.env?.["NODE_TLS_REJECT_UNAUTHORIZED"] === "0"

/** Fails for a request of a router's key that nothing would verify. */
export const refuseUnverified = (
  { isKeyPinned, method, url }: Exchanged
): Effect.Effect<void, SecurityError> =>
  Effect.suspend(() =>
    method === "GET" && isKeyPinned !== true && url.startsWith("https:") && isOff()
      ? Effect.fail(
        new SecurityError({
          reason: "certificate",
          message: "NODE_TLS_REJECT_UNAUTHORIZED=0 lets anyone on the path pass for the router; " +
            "unset it, set NODE_EXTRA_CA_CERTS for a certificate authority of your own, or pin the " +
            "router's key (routerKeyFingerprints)"
        })
      )
      : Effect.void
  )
