/**
 * Sees what the library gives to `fetch`, and what comes back: the bytes themselves, whatever the library
 * says.
 */
import { type Captured, type Exchange, requestHead, responseHead, SHOWN, withoutKey } from "./exchange.js"

/** Called for each change of an exchange that sends a body. */
type OnExchange = (exchange: Exchange) => void
/** Called with the body of each answer to a request without a body. */
type OnFetched = (url: string, body: ArrayBuffer) => void

const join = (start: Uint8Array, chunk: Uint8Array): Uint8Array => {
  const joined = new Uint8Array(Math.min(SHOWN, start.length + chunk.length))
  joined.set(start)
  joined.set(chunk.subarray(0, joined.length - start.length), start.length)
  return joined
}

/** Reads a copy of a body to its end, and tells of each piece. */
const watchBody = async (
  response: Response,
  show: (body: Uint8Array) => Uint8Array,
  onChange: (captured: Captured) => void
) => {
  const head = responseHead(response.status, response.headers.get("content-type"))
  let captured: Captured = { head, start: new Uint8Array(0), bytes: 0 }
  onChange(captured)
  const reader = response.clone().body?.getReader()
  for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
    const start = show(join(captured.start, next.value))
    captured = { head, start, bytes: captured.bytes + next.value.length }
    onChange(captured)
  }
}

const requestOf = (url: string, { body, headers, method = "GET" }: RequestInit): Captured | undefined => {
  if (!(body instanceof Uint8Array)) return undefined
  const bytes: Uint8Array = body
  return {
    head: requestHead(method, url, new Headers(headers)),
    start: bytes.slice(0, SHOWN),
    bytes: bytes.length
  }
}

/** Puts itself in the place of `fetch`. `onExchange` is the one of the call in flight. */
export const captureFetch = (onExchange: OnExchange, onFetched: OnFetched): void => {
  const { fetch } = globalThis
  globalThis.fetch = async (input, init = {}) => {
    const url = input instanceof Request ? input.url : String(input)
    const request = requestOf(url, init)
    if (request !== undefined) onExchange({ request })
    const response = await fetch(input, init)
    if (request === undefined) {
      void response.clone().arrayBuffer().then((body) => response.ok && onFetched(url, body), () => undefined)
      return response
    }
    const authorization = new Headers(init.headers).get("authorization")
    const onChange = (captured: Captured) => onExchange({ request, response: captured })
    // a body that breaks off is the library's to report
    watchBody(response, (body) => withoutKey(body, authorization), onChange).catch(() => undefined)
    return response
  }
}
