/** The page of a router: the page itself encrypts, with the library. */
import { SecureChatCompletion } from "../promise/index.js"
import type { Backend, Keys, OwnKey, RouterKey } from "./backend.js"
import { captureFetch } from "./captureFetch.js"
import type { Exchange } from "./exchange.js"
import { savedPin } from "./pin.js"

/** The router's description of itself. */
export interface RouterPage {
  readonly server: "router"
  readonly protocol: 1 | 2
}

const hex = (bytes: ArrayBuffer): string =>
  [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("")

/** The SPKI in a PEM text. */
const spkiOf = (pem: Uint8Array): Uint8Array<ArrayBuffer> => {
  const base64 = new TextDecoder().decode(pem).replace(/-----[^-]+-----|\s/g, "")
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))
}

/** The first configuration of a list (RFC 9458, 3), which is the one in use. */
const configurationOf = (list: Uint8Array): Uint8Array<ArrayBuffer> => {
  const [high = 0, low = 0] = list
  return Uint8Array.from(list.subarray(2, 2 + (high << 8 | low)))
}

/** Where a router publishes its key, and what of that the fingerprint is made of. */
const published = {
  1: { path: "/pki/public_key", keyOf: spkiOf },
  2: { path: "/.well-known/ohttp-gateway", keyOf: configurationOf }
} as const

/** When the pair was made that the browser keeps; `undefined` if it keeps none. The library wrote it. */
const keptSince = (): Promise<number | undefined> =>
  new Promise((resolve) => {
    const opening = indexedDB.open("nomyo-js")
    opening.addEventListener("error", () => resolve(undefined))
    opening.addEventListener("success", () => {
      const reading = opening.result.transaction("keys").objectStore("keys").get("current")
      reading.addEventListener("success", () => resolve(reading.result?.createdAt))
      reading.addEventListener("error", () => resolve(undefined))
      opening.result.close()
    })
  })

/** Where the client's pair is to live. */
export interface RouterBackend extends Backend {
  /** Decides where the next `connect` keeps the pair. A pair that was kept and is not any more is removed. */
  readonly keepKey: (isKept: boolean) => Promise<void>
}

type StreamRequest = Parameters<SecureChatCompletion["stream"]>[0]

const makeClient = ({ protocol }: RouterPage, isKept: boolean): SecureChatCompletion => {
  const pin = savedPin(protocol)
  const pins = pin === undefined ? [] : [pin]
  return new SecureChatCompletion({
    baseUrl: location.origin,
    allowHttp: location.protocol === "http:",
    keyPersistence: isKept ? "indexeddb" : "memory",
    ...(protocol === 2 ? { protocol, routerKeyConfigFingerprints: pins } : { routerKeyFingerprints: pins })
  })
}

const ownKeyOf = async (client: SecureChatCompletion, isKept: boolean): Promise<OwnKey> => {
  const { fingerprint, modulusLength: bits } = await client.ready()
  const createdAt = isKept ? await keptSince() ?? Date.now() : Date.now()
  const place = isKept ? "kept in this browser" : "in this page's memory only"
  return { fingerprint, bits, createdAt, place }
}

/** The fields that travel as headers. */
const headersOf = (tier: string, apiKey: string) => ({
  ...(tier === "" ? {} : { security_tier: tier }),
  ...(apiKey === "" ? {} : { api_key: apiKey })
})

/** Calls `onKey` with the fingerprint of the router's key, whenever the page gets the key. */
const watchRouterKey = (
  protocol: RouterPage["protocol"],
  onExchange: (exchange: Exchange) => void,
  onKey: (key: RouterKey) => void
): void => {
  const { keyOf, path } = published[protocol]
  captureFetch(onExchange, async (url, body) => {
    if (new URL(url, location.href).pathname !== path) return
    const fingerprint = hex(await crypto.subtle.digest("SHA-256", keyOf(new Uint8Array(body))))
    onKey({ fingerprint, isPinned: savedPin(protocol) === fingerprint })
  })
}

export const makeRouterBackend = (
  page: RouterPage,
  onRouterKey: (key: RouterKey) => void
): RouterBackend => {
  let client: SecureChatCompletion | undefined
  let isKept = false
  let onExchange: (exchange: Exchange) => void = () => undefined
  let routerKey: RouterKey | undefined

  watchRouterKey(page.protocol, (exchange) => onExchange(exchange), (key) => {
    routerKey = key
    onRouterKey(key)
  })

  const connect = async (): Promise<Keys> => {
    client?.dispose()
    client = makeClient(page, isKept)
    // shown before the first request: it is what a user compares
    void fetch(published[page.protocol].path).catch(() => undefined)
    const own = page.protocol === 2 ? undefined : await ownKeyOf(client, isKept)
    return { router: routerKey, own }
  }

  return {
    connect,
    keepKey: async (keep) => {
      // no longer kept is gone
      if (isKept && !keep) await client?.forgetKeys()
      isKept = keep
    },
    ask: (request, { apiKey, onExchange: tell, signal, tier }) => {
      onExchange = tell
      return client!.stream({ ...request, ...headersOf(tier, apiKey) } as StreamRequest, { signal })
    }
  }
}
