import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Plaintext } from "../Plaintext.js"
import * as NomyoConfig from "../NomyoConfig.js"
import { type InvalidRequestError, SecurityError } from "../NomyoError.js"
import type * as Protocol from "../Protocol.js"
import { isVisibleAscii } from "./codecs/header.js"

/** A checked request, the router that it goes to, and how it is tried. */
export interface PreparedRequest extends Protocol.Request {
  readonly router: Protocol.Router
  /** The length of the payload when the call began, in bytes. */
  readonly length: number
  /** The time that one attempt may take. */
  readonly timeout: Duration.Duration
  /** The longest silence between two chunks of a streamed answer. */
  readonly idleTimeout: Duration.Duration
  readonly maxRetries: number
}

/** The options of one call, not checked yet. */
interface Options {
  readonly payloadId: string
  readonly apiKey?: string | undefined
  readonly securityTier?: string | undefined
  readonly timeout?: Duration.DurationInput | undefined
  readonly idleTimeout?: Duration.DurationInput | undefined
  readonly maxRetries?: number | undefined
}

/** Checks the value of a header. The error names the value and does not show it. */
const checkHeader = (name: string, value: string): Effect.Effect<string, SecurityError> =>
  isVisibleAscii(value)
    ? Effect.succeed(value)
    : Effect.fail(
      new SecurityError({
        reason: "header",
        message: `The ${name} holds a space, a line break or a character outside ASCII. Remove that character`
      })
    )

const checkApiKey = (
  apiKey: string | undefined,
  config: NomyoConfig.NomyoConfig
): Effect.Effect<string | undefined, SecurityError> => {
  const key = apiKey ?? (config.apiKey === undefined ? "" : Redacted.value(config.apiKey))
  const name = `API key (${apiKey === undefined ? "apiKey" : "api_key"})`
  return key === "" ? Effect.succeed(undefined) : checkHeader(name, key)
}

/** Checks the options of a call and fills in the client's defaults. */
export const prepareRequest = Effect.fnUntraced(function*(
  config: NomyoConfig.NomyoConfig,
  router: Protocol.Router,
  payload: Plaintext,
  options: Options
): Effect.fn.Return<PreparedRequest, InvalidRequestError | SecurityError> {
  const { apiKey, payloadId, securityTier } = options
  const { idleTimeout = config.idleTimeout, maxRetries = config.maxRetries, timeout = config.timeout } =
    options
  return {
    router,
    payload,
    length: payload.length,
    timeout: yield* NomyoConfig.positiveDuration("timeout", timeout),
    idleTimeout: yield* NomyoConfig.positiveDuration("idleTimeout", idleTimeout),
    maxRetries: yield* NomyoConfig.retries(maxRetries),
    payloadId: yield* checkHeader("payload id", payloadId),
    apiKey: yield* checkApiKey(apiKey, config),
    securityTier: securityTier === undefined ? undefined : yield* checkHeader("security tier", securityTier)
  }
})
