import type * as HttpApp from "@effect/platform/HttpApp"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { SecurityError } from "../NomyoError.js"

/** Serves an app until the scope closes; gives its URL. Port 0 is any free one. */
export const serve = Effect.fnUntraced(function*(
  app: HttpApp.Default,
  options: {
    readonly host: string
    readonly port: number
    /** Default: plain HTTP. */
    readonly server?: Http.Server | undefined
  }
): Effect.fn.Return<string, SecurityError, Scope.Scope> {
  const { host, port, server = Http.createServer() } = options
  const served = yield* Effect.mapError(
    NodeHttpServer.make(() => server, { host, port }),
    () => new SecurityError({ reason: "unsupported", message: `${host}:${port} cannot be listened on` })
  )
  // clients that keep their connections open must not keep the server from closing
  yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
  yield* served.serve(app)
  const { port: actual } = server.address() as AddressInfo
  return `${"cert" in server ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${actual}`
})
