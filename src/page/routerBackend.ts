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

const KEY_PATH = "/pki/public_key"

const hex = (bytes: ArrayBuffer): string =>
  [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("")

/** SHA-256 of the key in a PEM text. */
const fingerprintOf = async (pem: string): Promise<string> => {
  const base64 = pem.replace(/-----[^-]+-----|\s/g, "")
  const spki = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))
  return hex(await crypto.subtle.digest("SHA-256", spki))
}

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

const makeClient = (page: RouterPage, isKept: boolean): SecureChatCompletion =>
  new SecureChatCompletion({
    baseUrl: location.origin,
    allowHttp: location.protocol === "http:",
    keyPersistence: isKept ? "indexeddb" : "memory",
    ...(page.protocol === 2 ? { protocol: 2 } : {}),
    ...(savedPin() === undefined ? {} : { routerKeyFingerprints: [savedPin()!] })
  })

const ownKeyOf = async (client: SecureChatCompletion, isKept: boolean): Promise<OwnKey> => {
  const { fingerprint, modulusLength: bits } = await client.ready()
  const createdAt = isKept ? await keptSince() ?? Date.now() : Date.now()
  const place = isKept ? "kept in this browser" : "in this page's memory only"
  return { fingerprint, bits, createdAt, place }
}

export const makeRouterBackend = (
  page: RouterPage,
  onRouterKey: (key: RouterKey) => void
): RouterBackend => {
  let client: SecureChatCompletion | undefined
  let isKept = false
  let onExchange: (exchange: Exchange) => void = () => undefined
  let routerKey: RouterKey | undefined

  captureFetch((exchange) => onExchange(exchange), async (url, text) => {
    if (new URL(url, location.href).pathname !== KEY_PATH) return
    const fingerprint = await fingerprintOf(text)
    routerKey = { fingerprint, isPinned: savedPin() === fingerprint }
    onRouterKey(routerKey)
  })

  const connect = async (): Promise<Keys> => {
    client?.dispose()
    client = makeClient(page, isKept)
    // shown before the first request: it is what a user compares
    void fetch(KEY_PATH).catch(() => undefined)
    const own = await ownKeyOf(client, isKept)
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
      // these two travel as headers
      const own = {
        ...(tier === "" ? {} : { security_tier: tier }),
        ...(apiKey === "" ? {} : { api_key: apiKey })
      }
      return client!.stream({ ...request, ...own } as StreamRequest, { signal })
    }
  }
}
