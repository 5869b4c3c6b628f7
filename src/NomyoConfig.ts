/**
 * The options of a client, their defaults, and their names in the environment.
 *
 * @since 0.2.0
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { clientRules, readOptions } from "./internal/options.js"
import type * as OptionTypes from "./internal/optionTypes.js"
import { DEFAULT_TRUSTED, isTrusted, type OriginPattern, parsePattern, patternOf } from "./internal/trustedOrigins.js"
import { InvalidRequestError, SecurityError } from "./NomyoError.js"

/**
 * Options of a client, none of them needed.
 *
 * @since 0.2.0
 * @category models
 */
export interface Options
  extends OptionTypes.PortableOptions<Duration.DurationInput, string | Redacted.Redacted> {}

/**
 * Options with every default filled in and every value checked.
 *
 * @since 0.2.0
 * @category models
 */
export interface NomyoConfig {
  /** Without a slash at the end. */
  readonly baseUrl: string
  readonly allowHttp: boolean
  readonly apiKey: Redacted.Redacted | undefined
  /** The client's own origin among them; `false` if requests may not name a router. */
  readonly trustedBaseUrls: ReadonlyArray<OriginPattern> | false
  readonly timeout: Duration.Duration
  readonly maxRetries: number
  readonly throttle: boolean
  readonly keySize: 2048 | 4096
  /** Infinite if keys are not rotated. */
  readonly keyRotationInterval: Duration.Duration
  /** Lower-case, without colons; empty if any key is accepted. */
  readonly routerKeyFingerprints: ReadonlyArray<string>
  /** The protocol that is spoken, and no other. */
  readonly protocol: 1 | 2
  /** Of protocol 2: lower-case, without colons; empty if any key is accepted. */
  readonly routerKeyConfigFingerprints: ReadonlyArray<string>
  /** Of protocol 2: a key configuration in base64, in place of what the router publishes. */
  readonly routerKeyConfig: string | undefined
  readonly routerKeyTtl: Duration.Duration
  readonly maxResponseBytes: number
}

/**
 * The service's own router.
 *
 * @since 0.2.0
 * @category constants
 */
export const DEFAULT_BASE_URL = "https://api.nomyo.ai"

const refuse = (name: string, rule: string) => new InvalidRequestError({ message: `${name} ${rule}` })

const duration = (name: string, input: Duration.DurationInput, rule: string) =>
  Effect.suspend(() => {
    const decoded = Duration.decodeUnknown(input)
    // `Duration` makes zero of a negative or missing number
    const isNumber = typeof input !== "number" || input >= 0
    return Option.isSome(decoded) && isNumber ? Effect.succeed(decoded.value) : Effect.fail(refuse(name, rule))
  })

/** @internal */
export const positiveDuration = (
  name: string,
  input: Duration.DurationInput
): Effect.Effect<Duration.Duration, InvalidRequestError> => {
  const rule = "is a time of more than 0"
  return Effect.filterOrFail(duration(name, input, rule), Duration.greaterThan(0), () => refuse(name, rule))
}

const wholeNumber = (name: string, least: number, input: number): Effect.Effect<number, InvalidRequestError> =>
  Number.isInteger(input) && input >= least ? Effect.succeed(input) : Effect.fail(refuse(name, `is a whole number, ${least} or more`))

/** @internal */
export const retries = (input: number): Effect.Effect<number, InvalidRequestError> => wholeNumber("maxRetries", 0, input)

/**
 * The default is as many as the service takes at once (protocol.md, "Limits of the service").
 *
 * @internal
 */
export const concurrency = (input = 4): Effect.Effect<number, InvalidRequestError> => wholeNumber("concurrency", 1, input)

/**
 * Checks a router's URL and takes the slashes off its end. Fails with reason `plain-http` or `url-credentials` where it is not safe to use.
 *
 * @since 0.2.0
 * @category constructors
 */
export const checkBaseUrl = (
  baseUrl: string,
  options: { readonly allowHttp: boolean }
): Effect.Effect<string, InvalidRequestError | SecurityError> =>
  Effect.suspend((): Effect.Effect<string, InvalidRequestError | SecurityError> => {
    const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined
    if (url === undefined || !/^https?:[^?#]*$/.test(url.href)) {
      return Effect.fail(refuse("baseUrl", "is an HTTPS URL without query or fragment"))
    }
    if (url.username !== "" || url.password !== "") {
      return Effect.fail(
        new SecurityError({ reason: "url-credentials", message: "baseUrl must not carry a user name or password; use apiKey" })
      )
    }
    if (url.protocol === "http:" && !options.allowHttp) {
      return Effect.fail(
        new SecurityError({
          reason: "plain-http",
          message: `${url.origin} is not HTTPS; allowHttp permits that, for local development only`
        })
      )
    }
    return Effect.succeed(url.href.replace(/\/+$/, ""))
  })

const trusted = (input: ReadonlyArray<string> | false, baseUrl: string): ReadonlyArray<OriginPattern> | false | undefined => {
  if (!Array.isArray(input)) return input === false ? false : undefined
  const patterns = input.map((text) => parsePattern(String(text)))
  return patterns.every((pattern) => pattern !== undefined) ? [patternOf(baseUrl), ...patterns] : undefined
}

/**
 * Checks the `base_url` of a request as `checkBaseUrl` does. Fails with reason `untrusted-url` if the client's API key would go where it may not.
 *
 * @internal
 */
export const checkRequestUrl = (
  baseUrl: string,
  apiKey: string | undefined,
  config: NomyoConfig
): Effect.Effect<string, InvalidRequestError | SecurityError> => {
  const { trustedBaseUrls } = config
  if (trustedBaseUrls === false) {
    return Effect.fail(
      new SecurityError({ reason: "untrusted-url", message: "base_url is refused: trustedBaseUrls is false" })
    )
  }
  return Effect.filterOrFail(
    checkBaseUrl(baseUrl, config),
    (url) => apiKey !== undefined || config.apiKey === undefined || isTrusted(url, trustedBaseUrls),
    (url) =>
      new SecurityError({
        reason: "untrusted-url",
        message: `base_url leads to ${new URL(url).origin}, which the client's API key must not go to: ` +
          "add that origin to trustedBaseUrls, or give the request an api_key of its own"
      })
  )
}

const pins = (
  name: string,
  given: ReadonlyArray<string> = []
): Effect.Effect<ReadonlyArray<string>, InvalidRequestError> => {
  const digests = given.map((pin) => pin.replaceAll(":", "").toLowerCase())
  return digests.every((pin) => /^[0-9a-f]{64}$/.test(pin))
    ? Effect.succeed(digests)
    : Effect.fail(refuse(name, "are SHA-256 digests: 64 hexadecimal digits each"))
}

/**
 * The protocol that the options ask for: a key of protocol 2 alone asks for it, since the client must not fall
 * back to 1.0 then. Fails where options contradict each other.
 */
const protocolOf = (
  { protocol, routerKeyConfig, routerKeyConfigFingerprints, routerKeyFingerprints }: Options
): Effect.Effect<1 | 2, InvalidRequestError> => {
  const hasKey = routerKeyConfig !== undefined || routerKeyConfigFingerprints !== undefined
  const chosen = protocol ?? (hasKey ? 2 : 1)
  if (chosen === 1 && hasKey) {
    const names = "routerKeyConfig and routerKeyConfigFingerprints"
    return Effect.fail(refuse(names, "belong to protocol 2: leave them out, or set protocol to 2"))
  }
  if (chosen === 2 && routerKeyFingerprints !== undefined) {
    const rule = "belong to protocol 1: protocol 2 has routerKeyConfigFingerprints"
    return Effect.fail(refuse("routerKeyFingerprints", rule))
  }
  return Effect.succeed(chosen)
}

/**
 * Fills in the defaults and checks every value. Fails with an error that names the option.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(
  given: Options
): Effect.fn.Return<NomyoConfig, InvalidRequestError | SecurityError> {
  const options: Options = yield* readOptions(clientRules, given)
  const { allowHttp = false, apiKey } = options
  const baseUrl = yield* checkBaseUrl(options.baseUrl ?? DEFAULT_BASE_URL, { allowHttp })
  const trustedBaseUrls = trusted(options.trustedBaseUrls ?? DEFAULT_TRUSTED, baseUrl)
  if (trustedBaseUrls === undefined) {
    return yield* Effect.fail(
      refuse("trustedBaseUrls", "is false or a list of origins, such as https://router.test or https://*.router.test")
    )
  }
  const maxResponseBytes = options.maxResponseBytes ?? 64 * 1024 * 1024
  if (!(maxResponseBytes > 0)) return yield* Effect.fail(refuse("maxResponseBytes", "is more than 0"))
  const protocol = yield* protocolOf(options)
  const keyRotationInterval = yield* duration(
    "keyRotationInterval",
    options.keyRotationInterval ?? Duration.days(1),
    "is a time of more than 0, or 0 for never"
  )
  return {
    baseUrl,
    allowHttp,
    apiKey: typeof apiKey === "string" ? Redacted.make(apiKey) : apiKey,
    trustedBaseUrls,
    timeout: yield* positiveDuration("timeout", options.timeout ?? Duration.seconds(60)),
    maxRetries: yield* retries(options.maxRetries ?? 2),
    throttle: options.throttle ?? false,
    keySize: options.keySize ?? 4096,
    keyRotationInterval: Duration.isZero(keyRotationInterval) ? Duration.infinity : keyRotationInterval,
    protocol,
    routerKeyFingerprints: yield* pins("routerKeyFingerprints", options.routerKeyFingerprints),
    routerKeyConfigFingerprints: yield* pins("routerKeyConfigFingerprints", options.routerKeyConfigFingerprints),
    routerKeyConfig: options.routerKeyConfig,
    routerKeyTtl: yield* positiveDuration("routerKeyTtl", options.routerKeyTtl ?? Duration.hours(1)),
    maxResponseBytes
  }
})

/** A duration in the environment: a number of milliseconds, or what `Config.duration` reads, such as `30 seconds`. */
const time = (name: string) =>
  Config.orElse(Config.map(Config.number(name), Duration.millis), () => Config.duration(name))

/** @internal */
export const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> => Config.map(Config.option(config), Option.getOrUndefined)

/**
 * The options from the environment: `NOMYO_BASE_URL`, `NOMYO_ALLOW_HTTP`, `NOMYO_API_KEY`, `NOMYO_TRUSTED_BASE_URLS` (separated by
 * commas, or `false`), `NOMYO_TIMEOUT`, `NOMYO_MAX_RETRIES`,
 * `NOMYO_THROTTLE`, `NOMYO_KEY_SIZE`, `NOMYO_KEY_ROTATION_INTERVAL`, `NOMYO_ROUTER_KEY_FINGERPRINTS` (separated by commas),
 * `NOMYO_PROTOCOL`, `NOMYO_ROUTER_KEY_CONFIG_FINGERPRINTS` (separated by commas), `NOMYO_ROUTER_KEY_CONFIG`,
 * `NOMYO_ROUTER_KEY_TTL`, `NOMYO_MAX_RESPONSE_BYTES`. Times are milliseconds, or a number and a unit: `30 seconds`.
 *
 * @since 0.2.0
 * @category config
 */
export const config: Config.Config<Options> = Config.all({
  baseUrl: optional(Config.string("NOMYO_BASE_URL")),
  allowHttp: optional(Config.boolean("NOMYO_ALLOW_HTTP")),
  apiKey: optional(Config.redacted("NOMYO_API_KEY")),
  trustedBaseUrls: optional(Config.orElse(
    Config.map(Config.literal("false")("NOMYO_TRUSTED_BASE_URLS"), () => false as const),
    () => Config.array(Config.string(), "NOMYO_TRUSTED_BASE_URLS")
  )),
  timeout: optional(time("NOMYO_TIMEOUT")),
  maxRetries: optional(Config.integer("NOMYO_MAX_RETRIES")),
  throttle: optional(Config.boolean("NOMYO_THROTTLE")),
  keySize: optional(Config.literal(2048, 4096)("NOMYO_KEY_SIZE")),
  keyRotationInterval: optional(time("NOMYO_KEY_ROTATION_INTERVAL")),
  routerKeyFingerprints: optional(Config.array(Config.string(), "NOMYO_ROUTER_KEY_FINGERPRINTS")),
  protocol: optional(Config.literal(1, 2)("NOMYO_PROTOCOL")),
  routerKeyConfigFingerprints: optional(Config.array(Config.string(), "NOMYO_ROUTER_KEY_CONFIG_FINGERPRINTS")),
  routerKeyConfig: optional(Config.string("NOMYO_ROUTER_KEY_CONFIG")),
  routerKeyTtl: optional(time("NOMYO_ROUTER_KEY_TTL")),
  maxResponseBytes: optional(Config.integer("NOMYO_MAX_RESPONSE_BYTES"))
})
