/**
 * The page of a proxy: it talks OpenAI's API to the proxy, which encrypts, and shows what the proxy has sent.
 */
import type { ChatCompletionChunk } from "../openai/chatChunk.js"
import type { Backend, CallOptions, Keys, Request } from "./backend.js"
import { values } from "./eventStream.js"
import type { Captured, Exchange } from "./exchange.js"

/** The proxy's description of itself. */
export interface ProxyPage {
  readonly server: "proxy"
  /** The URL of the router. */
  readonly router: string
  readonly needsToken: boolean
  /** The environment variable that pins the router's key. */
  readonly pinVariable: string
}

/** A message as the proxy gives it: its bytes are in base64. */
interface Sent {
  readonly head: string
  readonly start: string
  readonly bytes: number
}

/** Interval for asking the proxy about its traffic, in milliseconds. */
const LOOK_EVERY = 400

const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds)
  })

const captured = ({ bytes, head, start }: Sent): Captured =>
  ({ head, start: Uint8Array.from(atob(start), (char) => char.charCodeAt(0)), bytes })

const headersOf = (apiKey: string): { readonly [name: string]: string } =>
  apiKey === "" ? {} : { authorization: `Bearer ${apiKey}` }

/** `undefined` before the proxy has sent anything: the request may wait for its turn. */
const readExchange = async (id: string): Promise<Exchange | undefined> => {
  const answer = await fetch(`/page/exchanges/${id}`)
  if (answer.status !== 200) return undefined
  const { request, response }: { readonly request: Sent; readonly response?: Sent } = await answer.json()
  return { request: captured(request), ...(response === undefined ? {} : { response: captured(response) }) }
}

/** Reports an exchange until it is over. Returns a function that ends this, with a last look. */
const watch = (id: string, { onExchange }: CallOptions): () => Promise<void> => {
  const over = new AbortController()
  const look = async () => {
    const exchange = await readExchange(id).catch(() => undefined)
    if (exchange !== undefined) onExchange(exchange)
  }
  const keepLooking = async (): Promise<void> => {
    await sleep(LOOK_EVERY)
    if (over.signal.aborted) return
    await look()
    await keepLooking()
  }
  void keepLooking()
  return () => {
    over.abort()
    return look()
  }
}

interface OpenAiError {
  readonly message?: string
  readonly type?: string
  readonly code?: string
}

/** A failure in OpenAI's form, for `showError`. */
const failure = (error: OpenAiError | undefined, statusCode?: number) =>
  Object.assign(new Error(error?.message ?? "The proxy's answer is not in OpenAI's form. Reload the page"), {
    name: error?.type ?? "error",
    reason: error?.code ?? undefined,
    statusCode
  })

const post = async (request: Request, id: string, { apiKey, signal, tier }: CallOptions) => {
  const body = {
    ...request,
    ...(tier === "" ? {} : { security_tier: tier }),
    stream: true,
    stream_options: { include_usage: true }
  }
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", "x-exchange-id": id, ...headersOf(apiKey) },
    body: JSON.stringify(body),
    signal
  })
  if (response.ok && response.body !== null) return response.body
  const answer: { readonly error?: OpenAiError } = await response.json().catch(() => ({}))
  throw failure(answer.error, response.status)
}

async function* ask(request: Request, options: CallOptions): AsyncGenerator<ChatCompletionChunk> {
  const id = crypto.randomUUID()
  const finish = watch(id, options)
  try {
    for await (const value of values(await post(request, id, options))) {
      const { error } = value as { readonly error?: OpenAiError }
      if (error !== undefined) throw failure(error)
      yield value as ChatCompletionChunk
    }
  } finally {
    await finish()
  }
}

const connect = async (apiKey: string): Promise<Keys> => {
  const response = await fetch("/page/keys", { headers: headersOf(apiKey) })
  if (response.ok) return await response.json()
  const { error }: { readonly error?: OpenAiError } = await response.json().catch(() => ({}))
  throw failure(error, response.status)
}

export const proxyBackend: Backend = { connect, ask }
