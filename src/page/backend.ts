/** The page's interface to its server, a router or a proxy. */
import type { ChatCompletionChunk } from "../openai/chatChunk.js"
import type { Exchange } from "./exchange.js"

/** A conversation's next request, in OpenAI's form. */
export interface Request {
  readonly model: string
  readonly messages: ReadonlyArray<object>
  readonly tools?: ReadonlyArray<object>
}

/** Context of a request beside its body. */
export interface CallOptions {
  readonly tier: string
  readonly apiKey: string
  readonly signal: AbortSignal
  /** Called with the network traffic, whenever it has changed. */
  readonly onExchange: (exchange: Exchange) => void
}

/** The router's key. */
export interface RouterKey {
  readonly fingerprint: string
  /** Whether only this key is accepted. */
  readonly isPinned: boolean
}

/** The client's key. */
export interface OwnKey {
  readonly fingerprint: string
  readonly bits: number
  /** Milliseconds since 1970. */
  readonly createdAt: number
  /** Where it is kept, in words. */
  readonly place: string
}

/** The keys that encrypt the conversation, as far as they are known. */
export interface Keys {
  readonly router: RouterKey | undefined
  /** `undefined` under protocol 2, which has a new one for each request. */
  readonly own: OwnKey | undefined
}

/** One side of the encryption: the page itself, or the proxy that served it. */
export interface Backend {
  /** Makes keys ready, and tells of them. */
  readonly connect: (apiKey: string) => Promise<Keys>
  /** The chunks of an answer as they come. */
  readonly ask: (request: Request, options: CallOptions) => AsyncIterable<ChatCompletionChunk>
}

/** The ids that the server lists; none if it has no list, or does not show it. */
export const listModels = async (apiKey: string): Promise<ReadonlyArray<string>> => {
  const headers = apiKey === "" ? {} : { authorization: `Bearer ${apiKey}` }
  const response = await fetch("/v1/models", { headers }).catch(() => undefined)
  if (response?.ok !== true) return []
  const list: { readonly data?: ReadonlyArray<{ readonly id?: unknown }> } = await response.json()
  return (list.data ?? []).flatMap(({ id }) => typeof id === "string" ? [id] : [])
}
