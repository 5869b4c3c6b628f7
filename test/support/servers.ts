import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Http from "node:http"
import * as Net from "node:net"
import { generate } from "selfsigned"
import { serve, type Tls } from "../../src/cli/serve.js"
import * as NodeCrypto from "../../src/platform/node/NodeCrypto.js"
import * as NodeKeyStore from "../../src/platform/node/NodeKeyStore.js"
import * as Router from "../../src/router/Router.js"
import * as SecureMemory from "../../src/SecureMemory.js"
import { path } from "./vectors.js"

export const platform = Layer.provideMerge(NodeCrypto.layer, SecureMemory.layer)

/** A certificate for localhost and 127.0.0.1 that ends in `days`, trusted by nobody. */
export const certificateFor = async (days: number) => {
  const { cert, private: key } = await generate([{ name: "commonName", value: "localhost" }], {
    keySize: 2048,
    notAfterDate: new Date(Date.now() + days * 86_400_000),
    extensions: [
      { name: "basicConstraints", cA: true },
      { name: "subjectAltName", altNames: [{ type: 2, value: "localhost" }, { type: 7, ip: "127.0.0.1" }] }
    ]
  })
  return { key, cert }
}

/** A certificate that ends in a year. */
export const certificate = () => certificateFor(365)

/**
 * The real router on a real socket, with the vectors' key pair, for as long as the scope lives. Pages of any
 * origin may use it.
 */
export const router = (
  { tls, ...options }: Omit<Router.Options, "keyPair"> & { readonly tls?: Tls } = {}
): Effect.Effect<string, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const keyPair = yield* NodeKeyStore.loadKeyPair(path("keys/server_4096.pem"))
    const app = HttpMiddleware.cors({ exposedHeaders: ["Retry-After"] })(
      yield* Router.make({ ...options, keyPair })
    )
    return yield* serve(app, { host: "127.0.0.1", port: 0, tls })
  }).pipe(Effect.provide(platform))

/** A plain Node server that answers as it is told, for what the router would never do. */
export const httpServer = (listener: Http.RequestListener): Effect.Effect<string, never, Scope.Scope> =>
  listening(() => Http.createServer(listener), (server) => server.closeAllConnections())

/** A TCP server, for what HTTP would never do. */
export const tcpServer = (
  listener: (socket: Net.Socket) => void
): Effect.Effect<string, never, Scope.Scope> => {
  const sockets = new Set<Net.Socket>()
  return listening(() =>
    Net.createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => undefined).on("close", () => sockets.delete(socket))
      listener(socket)
    }), () => sockets.forEach((socket) => socket.destroy()))
}

const listening = <Server extends Net.Server>(
  create: () => Server,
  disconnect: (server: Server) => void
): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() =>
      new Promise<Server>((resolve) => {
        const server = create()
        server.listen(0, "127.0.0.1", () => resolve(server))
      })
    ),
    (server) =>
      Effect.promise(() =>
        new Promise<void>((resolve) => {
          server.close(() => resolve())
          disconnect(server)
        })
      )
  ).pipe(Effect.map((server) => `http://127.0.0.1:${(server.address() as Net.AddressInfo).port}`))

/** Forwards connections to a server and keeps every byte that passes, both ways. */
export const wiretap = (
  target: string
): Effect.Effect<{ readonly url: string; readonly bytes: () => Buffer }, never, Scope.Scope> =>
  Effect.suspend(() => {
    const chunks: Array<Buffer> = []
    const { hostname, port } = new URL(target)
    return Effect.map(
      tcpServer((near) => {
        const far = Net.connect(Number(port), hostname).on("error", () => near.destroy())
        near.on("data", (chunk) => chunks.push(chunk)).pipe(far)
        far.on("data", (chunk) => chunks.push(chunk)).pipe(near)
      }),
      (url) => ({ url, bytes: () => Buffer.concat(chunks) })
    )
  })

/** The same for tests written with promises: call `close` when done. */
export const scoped = async <A, E>(
  effect: Effect.Effect<A, E, Scope.Scope>
): Promise<{ readonly value: A; readonly close: () => Promise<void> }> => {
  const scope = await Effect.runPromise(Scope.make())
  const value = await Effect.runPromise(Scope.extend(effect, scope))
  return { value, close: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}
