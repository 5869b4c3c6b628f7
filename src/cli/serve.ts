import type * as HttpApp from "@effect/platform/HttpApp"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import * as Https from "node:https"
import type { AddressInfo } from "node:net"
import { InvalidRequestError } from "../NomyoError.js"

/** A certificate with its private key, in PEM. */
export interface Tls {
  readonly cert: string | Buffer
  readonly key: string | Buffer
}

/** Where and how an app is served. */
export interface Options {
  readonly host: string
  /** 0 is any free one. */
  readonly port: number
  /** Default: plain HTTP. */
  readonly tls?: Tls | undefined
  /** How long requests in flight may take to end when the scope closes. Default: they are cut off. */
  readonly drain?: Duration.Duration | undefined
}

/**
 * An idle connection is kept for as long as load balancers keep theirs: a request never meets one that just
 * closed.
 */
const KEEP_ALIVE = 120_000

const invalid = (message: string) => new InvalidRequestError({ message })

const reasons: { readonly [code: string]: (address: Pick<Options, "host" | "port">) => string } = {
  EADDRINUSE: ({ port }) => `Port ${port} is in use. Choose another with --port.`,
  EACCES: ({ port }) => `This user may not listen on port ${port}. Choose one above 1023 with --port.`,
  EADDRNOTAVAIL: ({ host }) => `This machine does not have the address ${host}. Choose another with --host.`,
  ENOTFOUND: ({ host }) => `The host ${host} does not exist. Choose another with --host.`
}

const cannotListen = ({ host, port }: Options, error: unknown) => {
  const code = String((error as { readonly cause?: { readonly code?: unknown } }).cause?.code ?? "")
  return invalid(
    reasons[code]?.({ host, port }) ??
      `The server cannot listen on ${host}:${port} (${code || "not an address"}). Check --host and --port.`
  )
}

const makeServer = ({ tls }: Options): Effect.Effect<Http.Server, InvalidRequestError> =>
  Effect.try({
    try: () => {
      // Node would hide a second Host or Content-Type from the guards
      const options = { keepAliveTimeout: KEEP_ALIVE, joinDuplicateHeaders: true }
      return tls === undefined ? Http.createServer(options) : Https.createServer({ ...options, ...tls })
    },
    catch: () => invalid("--tls-cert and --tls-key must be PEM, and the key must belong to the certificate")
  })

/** Counts the requests in flight. `onNone` is called whenever there are none any more. */
const countRequests = (server: Http.Server) => {
  const requests = { count: 0, onNone: () => {} }
  server.on("request", (_request, response: Http.ServerResponse) => {
    requests.count++
    response.on("close", () => {
      if (--requests.count === 0) requests.onNone()
    })
  })
  return requests
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const

/**
 * Ends with the last request, at the time limit, or at the next signal: a second signal means that the user
 * does not want to wait.
 */
const drained = (requests: ReturnType<typeof countRequests>, limit: number): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      for (const signal of SIGNALS) process.off(signal, done)
      resolve()
    }
    // longer than a timer can be set for
    const timer = setTimeout(done, Math.min(limit, 2 ** 31 - 1))
    for (const signal of SIGNALS) process.on(signal, done)
    requests.onNone = done
    if (requests.count === 0) done()
  })

/** Takes no new connections, and waits for the requests in flight. After Ctrl-C nobody waits. */
const addDrain = (server: Http.Server, duration: Duration.Duration) => {
  const requests = countRequests(server)
  let isInteractive = false
  process.once("SIGINT", () => {
    isInteractive = true
  })
  // a promise: the finalizer of a fiber that is interrupted cannot be interrupted, and neither could a race
  // in it
  return Effect.addFinalizer(() =>
    Effect.promise(async () => {
      server.close()
      if (!isInteractive) await drained(requests, Duration.toMillis(duration))
    }))
}

/** Serves an app until the scope closes. Returns its URL. */
export const serve = Effect.fnUntraced(function*(
  app: HttpApp.Default<never, Scope.Scope>,
  options: Options
): Effect.fn.Return<string, InvalidRequestError, Scope.Scope> {
  const { drain, host, port } = options
  const server = yield* makeServer(options)
  const served = yield* Effect.mapError(
    NodeHttpServer.make(() => server, { host, port }),
    (error) => cannotListen(options, error)
  )
  // clients that keep their connections open must not keep the server from closing
  yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
  yield* served.serve(app)
  if (drain !== undefined) yield* addDrain(server, drain)
  const { port: actual } = server.address() as AddressInfo
  const scheme = options.tls === undefined ? "http" : "https"
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${actual}`
})
