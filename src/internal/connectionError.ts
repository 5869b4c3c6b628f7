/**
 * Typed errors for the failures of HTTP clients. Only the system's error code is kept: the rest may hold the
 * request.
 */
import { APIConnectionError, SecurityError } from "../NomyoError.js"

/** Node's codes (OpenSSL's X509_V_ERR names) for a certificate that does not prove the router's name. */
const certificateCode =
  /CERT|CRL|ISSUER|LEAF_SIGNATURE|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED/

/** Codes of Node's parsers (llhttp's and undici's) for an answer that breaks the rules of HTTP. */
const parserCode = /^(HPE_|UND_ERR_(HEADERS_OVERFLOW|RES_CONTENT_LENGTH_MISMATCH)$)/

/** Codes of undici's own timeouts. */
const timeoutCode = /^UND_ERR_(HEADERS|BODY)_TIMEOUT$/

/** How many causes are searched: a chain may be a circle. */
const DEEPEST_CAUSE = 8

/**
 * The system's error code, which clients bury in a chain of causes, or "". Some versions of undici give a
 * parser's error none.
 */
const codeOf = (error: unknown): string => {
  let cause = error
  for (let depth = 0; cause instanceof Error && depth < DEEPEST_CAUSE; depth++) {
    if ("code" in cause && typeof cause.code === "string") return cause.code
    if (cause.name === "HTTPParserError") return "HPE_INVALID"
    cause = cause.cause
  }
  return ""
}

const notHttp = (code: string) =>
  new APIConnectionError({
    reason: "protocol",
    message: `The router's answer is not HTTP (${code}). Check the port in baseUrl`
  })

/** Where a request goes, for a message. The rest of a URL may hold a secret. */
export const originOf = (url: string): string => URL.canParse(url) ? new URL(url).origin : "The router"

/** Meanings of the system's most frequent codes. */
const meanings: { readonly [code: string]: string } = {
  ECONNREFUSED: "nothing listens there",
  ECONNRESET: "the other side closed the connection",
  EAI_AGAIN: "the name server does not answer",
  EPROTO: "TLS failed, as with a server that speaks plain HTTP",
  ENOTFOUND: "the host does not exist",
  ETIMEDOUT: "the host does not answer"
}

const REMEDY = "Check the router's URL (baseUrl, NOMYO_BASE_URL or the request's base_url) and the network"

const unreachable = (code: string, url: string) => {
  const meaning = meanings[code] === undefined ? "" : `: ${meanings[code]}`
  const detail = code === "" ? "" : ` (${code}${meaning})`
  return new APIConnectionError({
    reason: "network",
    message: `Could not reach ${originOf(url)}${detail}. ${REMEDY}`
  })
}

const untrusted = (code: string, url: string) =>
  new SecurityError({
    reason: "certificate",
    message: `The TLS certificate of ${originOf(url)} is not trusted (${code}). ` +
      "For a private authority, set NODE_EXTRA_CA_CERTS"
  })

/**
 * The error for a request that was rejected before there was a response. A `SecurityError` of its body stays
 * as it is.
 */
export const connectionError = (error: unknown, url: string): APIConnectionError | SecurityError => {
  if (error instanceof SecurityError) return error
  const code = codeOf(error)
  if (certificateCode.test(code)) return untrusted(code, url)
  if (timeoutCode.test(code)) {
    const message = `${originOf(url)} was silent for too long (${code}). Try again, or raise timeout`
    return new APIConnectionError({ reason: "timeout", message })
  }
  if (parserCode.test(code)) return notHttp(code)
  return unreachable(code, url)
}

/** The error for a failure within the body of an answer. */
export const truncated = (error: unknown): APIConnectionError => {
  const code = codeOf(error)
  return parserCode.test(code)
    ? notHttp(code)
    : new APIConnectionError({
      reason: "truncated",
      message: "The connection was lost before the answer was complete. Try again"
    })
}
