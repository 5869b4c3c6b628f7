import * as Effect from "effect/Effect"
import type * as Http from "node:http"
import * as Servers from "./servers.js"

/** What passes through a proxy that ends TLS: it reads and changes all of it. */
export interface Passing {
  readonly method: string
  readonly url: string
  readonly headers: Record<string, string>
  readonly body: Buffer
}

/** What a proxy gives its client. */
export interface Given {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body: Uint8Array
}

/** Sends a request on to the real router. */
export type Forward = (passing: Passing) => Promise<Given>

const forwardTo = (router: string): Forward => async ({ body, headers, method, url }) => {
  const { "content-length": _, connection: __, host: ___, ...kept } = headers
  const init = { method, headers: kept, ...(method === "GET" ? {} : { body: Uint8Array.from(body) }) }
  const response = await fetch(`${router}${url}`, init)
  const bytes = new Uint8Array(await response.arrayBuffer())
  return { status: response.status, headers: { "content-type": response.headers.get("content-type") ?? "" },
    body: bytes }
}

const bodyOf = async (request: Http.IncomingMessage): Promise<Buffer> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** A proxy between a client and a router, which does what `tamper` says. */
export const activeProxy = (
  router: string,
  tamper: (passing: Passing, forward: Forward) => Promise<Given>
) =>
  Effect.suspend(() =>
    Servers.httpServer((request, response) => {
      const passing = async () => ({
        method: request.method ?? "GET",
        url: request.url ?? "/",
        headers: request.headers as Record<string, string>,
        body: await bodyOf(request)
      })
      passing()
        .then((passing) => tamper(passing, forwardTo(router)))
        .then(({ body, headers = {}, status }) => response.writeHead(status, headers).end(body))
        .catch(() => response.destroy())
    })
  )
