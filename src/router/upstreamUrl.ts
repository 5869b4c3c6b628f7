import * as Effect from "effect/Effect"
import { InvalidRequestError } from "../NomyoError.js"

/** Paths of calls that people paste in place of the base URL. */
const CALLS = /\/(chat\/completions|chat|completions|generate|models|embeddings|responses|tags)$/
/** A version, anywhere in the path: `/v1`, `/api/v3`, `/v1beta/openai`. */
const VERSION = /\/v\d[a-z0-9]*(\/|$)/

const PRIVATE = /^(127\..*|\[::1\]|10\..*|192\.168\..*|172\.(1[6-9]|2\d|3[01])\..*|[^.:[\]]+)$/

/**
 * Loopback, private addresses and names without a dot are spoken to without TLS unless the URL says
 * otherwise.
 */
const withScheme = (text: string): string => {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return text
  const [, host = ""] = /^(\[[^\]]*\]|[^:/?#]*)/.exec(text) ?? []
  return `${PRIVATE.test(host.toLowerCase()) ? "http" : "https"}://${text}`
}

const pathOf = (pathname: string): string => {
  const path = pathname.replace(/\/+$/, "").replace(CALLS, "").replace(/\/+$/, "")
  // Ollama's own API, beside which it has OpenAI's
  const base = path === "/api" ? "" : path
  return VERSION.test(base) ? base : `${base}/v1`
}

const refuse = (why: string) =>
  Effect.fail(
    new InvalidRequestError({
      message: `The upstream URL ${why}. Pass a base URL such as http://127.0.0.1:11434/v1`
    })
  )

/**
 * The base URL of an OpenAI-compatible server, as `…/v1`. What is plain is repaired: a missing scheme, a
 * missing version, the path of a call, Ollama's `/api`. Fails with an `InvalidRequestError` for anything
 * else, without repeating the text: it may hold a password.
 */
export const parse = (text: string): Effect.Effect<string, InvalidRequestError> => {
  const trimmed = text.trim()
  if (trimmed === "") return refuse("is empty")
  if (/[\s\\]/.test(trimmed)) return refuse("is malformed")
  const withItsScheme = withScheme(trimmed)
  if (!URL.canParse(withItsScheme)) return refuse("is malformed")
  const url = new URL(withItsScheme)
  if (url.protocol !== "http:" && url.protocol !== "https:") return refuse("is neither http:// nor https://")
  if (url.username !== "" || url.password !== "") {
    return refuse("holds a user name or password. Put the API key into NOMYO_UPSTREAM_API_KEY")
  }
  if (url.search !== "" || url.hash !== "") return refuse("has a query or a fragment")
  return Effect.succeed(`${url.origin}${pathOf(url.pathname)}`)
}

/** Whether prompts on their way to this URL can be read by others: it has no TLS, and leaves the machine. */
export const isReadable = (url: string): boolean => {
  const { hostname, protocol } = new URL(url)
  return protocol === "http:" && !/^(localhost|127\..*|\[::1\])$/.test(hostname)
}
