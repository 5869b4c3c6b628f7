/** Origins that get the client's API key, and how a request's `base_url` is held against them. */

/** A pattern for origins, taken apart. */
export interface OriginPattern {
  readonly protocol: string
  /** In lower case, in ASCII, without a dot at its end. With a wildcard, what follows the first label. */
  readonly host: string
  readonly isWildcard: boolean
  /** Any port if it names none. */
  readonly port: string | undefined
}

/** The service's own subdomains. */
export const DEFAULT_TRUSTED: ReadonlyArray<string> = ["https://*.nomyo.ai"]

const SYNTAX = /^(https?):\/\/(\*\.)?([^\s\\/?#@:*[\]]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?\/?$/i

const withoutDot = (host: string): string => host.replace(/\.$/, "")

/**
 * Reads a pattern: a scheme, a host, and a port if it matters. `*.` in front of a host of two labels or
 * more stands for one label. `undefined` if it is none, or has a path, a user name or anything else.
 */
export const parsePattern = (text: string): OriginPattern | undefined => {
  const [, scheme = "", wildcard, name = "", port] = SYNTAX.exec(text) ?? []
  const url = `${scheme}://${name}`
  if (!URL.canParse(url)) return undefined
  const host = withoutDot(new URL(url).hostname)
  // a wildcard for a whole top-level domain, or for the first number of an address
  if (wildcard !== undefined && !/^[^.[\]]+(?:\.[^.]+)*\.[a-z][a-z0-9-]*$/.test(host)) return undefined
  return {
    protocol: `${scheme.toLowerCase()}:`,
    host,
    isWildcard: wildcard !== undefined,
    port: port === undefined ? undefined : String(Number(port))
  }
}

const portOf = ({ port, protocol }: URL): string => port !== "" ? port : protocol === "https:" ? "443" : "80"

/** The pattern of a URL's own origin, and of no other. */
export const patternOf = (url: string): OriginPattern => {
  const parsed = new URL(url)
  return { protocol: parsed.protocol, host: withoutDot(parsed.hostname), isWildcard: false,
    port: portOf(parsed) }
}

/** Whether a URL is of one of these origins. */
export const isTrusted = (url: string, patterns: ReadonlyArray<OriginPattern>): boolean => {
  const parsed = new URL(url)
  const hostname = withoutDot(parsed.hostname)
  const parent = hostname.slice(hostname.indexOf(".") + 1)
  return patterns.some(({ host, isWildcard, port, protocol }) =>
    protocol === parsed.protocol &&
    (port === undefined || port === portOf(parsed)) &&
    (isWildcard ? parent === host && hostname.length > host.length + 1 : hostname === host)
  )
}
