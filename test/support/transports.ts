import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Http from "node:http"
import { layerTransport } from "../../src/platform/effect/index.js"
import * as NodeTransport from "../../src/platform/node/NodeTransport.js"
import * as Transport from "../../src/Transport.js"
import * as Servers from "./servers.js"

/** Answers a request. */
export const body = (response: Http.ServerResponse, status: number, content: string | Uint8Array,
  headers: Http.OutgoingHttpHeaders = {}) => {
  response.writeHead(status, headers).end(content)
}

/** One exchange by the `Transport` in the context. */
export const send = (url: string, options: Partial<Transport.Request> = {}) =>
  Effect.flatMap(Transport.Transport, (transport) =>
    transport.send({ method: "GET", url, headers: {}, maxResponseBytes: 1000, ...options }))

/** One exchange with a server that answers like this. */
export const exchange = (listener: Http.RequestListener, options?: Partial<Transport.Request>) =>
  Effect.flatMap(Servers.httpServer(listener), (url) => send(url, options))

/** One exchange with a server that writes these bytes and closes. */
export const raw = (...chunks: ReadonlyArray<string>) =>
  Effect.flatMap(
    Servers.tcpServer((socket) => {
      socket.once("data", () => {
        for (const chunk of chunks) socket.write(chunk)
        socket.end()
      })
    }),
    send
  )

/** Every `Transport` that there is on Node. */
export const transports = [
  ["fetch", Transport.layer],
  ["node:http", NodeTransport.layer],
  ["HttpClient on fetch", Layer.provide(layerTransport, FetchHttpClient.layer)],
  ["HttpClient on node:http", Layer.provide(layerTransport, NodeHttpClient.layer)],
  ["HttpClient on undici", Layer.provide(layerTransport, NodeHttpClient.layerUndici)]
] as const
