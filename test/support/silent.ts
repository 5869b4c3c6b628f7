/** A router that never answers a chat, to cancel one. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Servers from "./servers.js"

/** Something that happens once. */
const event = () => {
  let happen = (): void => undefined
  const happened = new Promise<void>((resolve) => {
    happen = resolve
  })
  return { happen, happened }
}

/**
 * The router's keys in front of a chat that is never answered. `/arrived` is answered once there is a request
 * to cancel, `/closed` once its connection is gone.
 */
export const silentRouter = (routerUrl: string): Effect.Effect<string, never, Scope.Scope> => {
  const arrived = event()
  const closed = event()
  const wanted: { readonly [path: string]: Promise<void> } = {
    "/arrived": arrived.happened,
    "/closed": closed.happened
  }
  return Servers.httpServer(async (request, response) => {
    if (request.method === "POST") {
      request.resume()
      response.on("close", closed.happen)
      return arrived.happen()
    }
    const waited = wanted[request.url ?? ""]
    if (waited !== undefined) return void waited.then(() => response.end())
    const answer = await fetch(routerUrl + request.url)
    response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" })
    response.end(await answer.text())
  })
}
