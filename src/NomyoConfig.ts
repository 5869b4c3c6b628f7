/**
 * The options of a client, their defaults, and their names in the environment.
 *
 * @since 0.2.0
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import { clientRules, readOptions } from "./internal/options.js"
import type * as OptionTypes from "./internal/optionTypes.js"
import { DEFAULT_TRUSTED, isTrusted, type OriginPattern, parsePattern,
  patternOf } from "./internal/trustedOrigins.js"
import * as Variables from "./internal/variables.js"
import { InvalidRequestError, SecurityError } from "./NomyoError.js"

/**
 * Options of a client. All are optional.
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
  /** Without a slash or `/v1` at the end. */
  readonly baseUrl: string
  readonly allowHttp: boolean
  readonly apiKey: Redacted.Redacted | undefined
  /** Includes the client's own origin; `false` if requests may not name a router. */
  readonly trustedBaseUrls: ReadonlyArray<OriginPattern> | false
  readonly timeout: Duration.Duration
  readonly idleTimeout: Duration.Duration
  readonly maxRetries: number
  readonly throttle: boolean
  readonly keySize: 2048 | 4096
  /** Infinite if the client does not rotate keys. */
  readonly keyRotationInterval: Duration.Duration
  /** Lower-case, without colons; empty if any key is accepted. */
  readonly routerKeyFingerprints: ReadonlyArray<string>
  /** The only protocol that the client speaks. */
  readonly protocol: 1 | 2
  /** Of protocol 2: lower-case, without colons; empty if any key is accepted. */
  readonly routerKeyConfigFingerprints: ReadonlyArray<string>
  /** Of protocol 2: a list of key configurations in base64, in place of the router's list. */
  readonly routerKeyConfig: string | undefined
  /** Of protocol 2: whether the client uses post-quantum keys. */
  readonly postQuantum: "off" | "prefer" | "require"
  /** Of protocol 2: whether the client pads requests. */
  readonly padding: boolean
  readonly routerKeyTtl: Duration.Duration
  readonly maxResponseBytes: number
}

/**
 * The URL of the NOMYO service's router.
 *
 * @since 0.2.0
 * @category constants
 */
export const DEFAULT_BASE_URL = "https://api.nomyo.ai"

const refuse = (name: string, expected: string) =>
  new InvalidRequestError({ message: `${name} must be ${expected}` })

/** `Duration` makes zero of a negative or missing number, which would mean "never" for a rotation. */
const isNegative = (input: unknown): boolean => {
  if (Array.isArray(input)) return input.some(isNegative)
  return typeof input === "string"
    ? input.trim().startsWith("-")
    : !Duration.isDuration(input) && !(input as number >= 0)
}

const duration = (name: string, input: Duration.DurationInput, rule: string) =>
  Effect.suspend(() => {
    const decoded = isNegative(input) ? Option.none() : Duration.decodeUnknown(input)
    return Option.isSome(decoded) ? Effect.succeed(decoded.value) : Effect.fail(refuse(name, rule))
  })

/** @internal */
export const durationOrZero = (
  name: string,
  input: Duration.DurationInput
): Effect.Effect<Duration.Duration, InvalidRequestError> =>
  duration(name, input, "a time of 0 or more, such as 50 (milliseconds) or \"1 second\"")

/** @internal */
export const positiveDuration = (
  name: string,
  input: Duration.DurationInput
): Effect.Effect<Duration.Duration, InvalidRequestError> => {
  const rule = "a time of more than 0, such as 30000 (milliseconds) or \"30 seconds\""
  return Effect.filterOrFail(duration(name, input, rule), Duration.greaterThan(0), () => refuse(name, rule))
}

const wholeNumber = (name: string, least: number,
  input: number): Effect.Effect<number, InvalidRequestError> =>
  Number.isInteger(input) && input >= least
    ? Effect.succeed(input)
    : Effect.fail(refuse(name, `a whole number, ${least} or more`))

/** @internal */
export const retries = (input: number): Effect.Effect<number, InvalidRequestError> =>
  wholeNumber("maxRetries", 0, input)

/**
 * The default is as many as the service takes at once (protocol.md, "Limits of the service").
 *
 * @internal
 */
export const concurrency = (input = 4): Effect.Effect<number, InvalidRequestError> =>
  wholeNumber("concurrency", 1, input)

/** Where a URL leads, as far as it can be shown: the rest may hold a secret. */
const shown = (url: URL | undefined): string =>
  url === undefined || url.host === "" ? "" : ` "${url.protocol}//${url.host}…"`

const invalidUrl = (name: string, url: URL | undefined) =>
  new InvalidRequestError({
    message: `Invalid ${name}${shown(url)}: expected an HTTPS URL without query or fragment, such as ` +
      "https://api.nomyo.ai (http:// needs allowHttp)"
  })

const hasCredentials = (name: string) =>
  new SecurityError({
    reason: "url-credentials",
    message:
      `${name} holds a user name or a password, which logs may show. Remove it. Set an API key with apiKey`
  })

const notHttps = (name: string, { origin }: URL) =>
  new SecurityError({
    reason: "plain-http",
    message: `${name} ${origin} is not HTTPS. Use https://, or set allowHttp for a router on your own machine`
  })

/** Checks the URL of an option or a field. */
const checkUrl = (
  name: string,
  text: string,
  { allowHttp }: { readonly allowHttp: boolean }
): Effect.Effect<string, InvalidRequestError | SecurityError> => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:[^?#]*$/.test(url.href)) return Effect.fail(invalidUrl(name, url))
  if (url.username !== "" || url.password !== "") return Effect.fail(hasCredentials(name))
  if (url.protocol === "http:" && !allowHttp) return Effect.fail(notHttps(name, url))
  return Effect.succeed(url.origin + url.pathname.replace(/\/+$/, "").replace(/\/+v1$/, ""))
}

/**
 * Checks a router's URL, and removes slashes and `/v1` from its end. Fails with reason `plain-http` or
 * `url-credentials` if the URL is not safe to use.
 *
 * @since 0.2.0
 * @category constructors
 */
export const checkBaseUrl = (
  baseUrl: string,
  options: { readonly allowHttp: boolean }
): Effect.Effect<string, InvalidRequestError | SecurityError> =>
  Effect.suspend(() => checkUrl("baseUrl", baseUrl, options))

const trusted = (input: ReadonlyArray<string> | false, baseUrl: string): ReadonlyArray<OriginPattern> | false
  | undefined => {
  if (!Array.isArray(input)) return input === false ? false : undefined
  const patterns = input.map((text) => parsePattern(String(text)))
  return patterns.every((pattern) => pattern !== undefined) ? [patternOf(baseUrl), ...patterns] : undefined
}

const NO_BASE_URL =
  "base_url is refused because trustedBaseUrls is false. Remove base_url from the request, " +
  "or list its origin in trustedBaseUrls"

/**
 * Checks the `base_url` of a request as `checkBaseUrl` does. Fails with reason `untrusted-url` if that URL
 * must not receive the client's API key.
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
      new SecurityError({ reason: "untrusted-url", message: NO_BASE_URL })
    )
  }
  return Effect.filterOrFail(
    checkUrl("base_url", baseUrl, config),
    (url) => apiKey !== undefined || config.apiKey === undefined || isTrusted(url, trustedBaseUrls),
    (url) =>
      new SecurityError({
        reason: "untrusted-url",
        message: `base_url leads to ${new URL(url).origin}, which must not receive the client's API key. ` +
          "Add that origin to trustedBaseUrls, or give the request its own api_key"
      })
  )
}

const pins = (
  options: Options,
  name: "routerKeyFingerprints" | "routerKeyConfigFingerprints"
): Effect.Effect<ReadonlyArray<string>, InvalidRequestError> => {
  const digests = (options[name] ?? []).map((pin) => pin.replaceAll(":", "").toLowerCase())
  return digests.every((pin) => /^[0-9a-f]{64}$/.test(pin))
    ? Effect.succeed(digests)
    : Effect.fail(refuse(name, "SHA-256 fingerprints of 64 hexadecimal digits each"))
}

const contradiction = (message: string) => new InvalidRequestError({ message })

/**
 * The protocol that the options ask for: a key of protocol 2 alone asks for it, since the client must not
 * fall back to 1.0 then. Fails where options contradict each other.
 */
const protocolOf = (
  { padding, postQuantum = "off", protocol, routerKeyConfig, routerKeyConfigFingerprints,
    routerKeyFingerprints }: Options
): Effect.Effect<1 | 2, InvalidRequestError> => {
  const asksFor2 = routerKeyConfig !== undefined || routerKeyConfigFingerprints !== undefined ||
    postQuantum !== "off"
  const chosen = protocol ?? (asksFor2 ? 2 : 1)
  if (chosen === 1 && (asksFor2 || padding !== undefined)) {
    const names = "routerKeyConfig, routerKeyConfigFingerprints, postQuantum and padding"
    return Effect.fail(contradiction(`${names} belong to protocol 2. Remove them, or set protocol to 2`))
  }
  if (chosen === 2 && routerKeyFingerprints !== undefined) {
    const remedy = "Use routerKeyConfigFingerprints for protocol 2"
    return Effect.fail(contradiction(`routerKeyFingerprints belong to protocol 1. ${remedy}`))
  }
  return Effect.succeed(chosen)
}

const ROTATION_TIME = "a time of more than 0 such as \"12 hours\", or 0 for never"
const ORIGINS = "false or an array of origins such as https://router.test or https://*.router.test"

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
    return yield* Effect.fail(refuse("trustedBaseUrls", ORIGINS))
  }
  const protocol = yield* protocolOf(options)
  const keyRotationInterval = yield* duration(
    "keyRotationInterval",
    options.keyRotationInterval ?? Duration.days(1),
    ROTATION_TIME
  )
  return {
    baseUrl,
    allowHttp,
    apiKey: typeof apiKey === "string" ? Redacted.make(apiKey) : apiKey,
    trustedBaseUrls,
    timeout: yield* positiveDuration("timeout", options.timeout ?? Duration.seconds(60)),
    idleTimeout: yield* positiveDuration("idleTimeout", options.idleTimeout ?? Duration.seconds(60)),
    maxRetries: yield* retries(options.maxRetries ?? 2),
    throttle: options.throttle ?? false,
    keySize: options.keySize ?? 4096,
    keyRotationInterval: Duration.isZero(keyRotationInterval) ? Duration.infinity : keyRotationInterval,
    protocol,
    routerKeyFingerprints: yield* pins(options, "routerKeyFingerprints"),
    routerKeyConfigFingerprints: yield* pins(options, "routerKeyConfigFingerprints"),
    routerKeyConfig: options.routerKeyConfig,
    postQuantum: options.postQuantum ?? "off",
    padding: options.padding ?? true,
    routerKeyTtl: yield* positiveDuration("routerKeyTtl", options.routerKeyTtl ?? Duration.hours(1)),
    maxResponseBytes: options.maxResponseBytes ?? 64 * 1024 * 1024
  }
})

const isTime = (text: string): text is Duration.DurationInput & string =>
  Option.isSome(Duration.decodeUnknown(text))

/**
 * A duration in the environment: a number of milliseconds, or a number and a unit, such as `30 seconds`. Not
 * `Config.duration`, which makes zero of a negative one: that would mean "never" for a rotation.
 */
const time = (name: string): Config.Config<Duration.DurationInput> =>
  Config.orElse(Config.number(name), () =>
    Config.validate(Config.string(name), { message: "Expected a duration", validation: isTime }))

const isBlank = (name: string): Config.Config<undefined> =>
  Config.mapOrFail(Config.string(name), (text) =>
    text.trim() === ""
      ? Either.right(undefined)
      : Either.left(ConfigError.MissingData([], "a blank value would mean that it is not set")))

/**
 * A variable of the environment, `undefined` if it is missing or blank: `${NAME:-}` in a compose file makes
 * blank ones.
 */
const optional = <A>(
  name: string,
  read: (name: string) => Config.Config<A>
): Config.Config<A | undefined> =>
  Config.orElse(isBlank(name), () => Config.map(Config.option(read(name)), Option.getOrUndefined))

const list = (name: string): Config.Config<ReadonlyArray<string>> => Config.array(Config.string(), name)

const origins = (name: string): Config.Config<ReadonlyArray<string> | false> =>
  Config.orElse(Config.map(Config.literal("false")(name), () => false as const), () => list(name))

/** How each kind of variable is read. */
const readers = {
  text: Config.string,
  secret: (name) => Config.redacted(name),
  flag: Config.boolean,
  integer: Config.integer,
  time,
  list,
  origins,
  keyDirectory: (name) => Config.map(Config.string(name), Variables.keyDirectory),
  keySize: Config.literal(2048, 4096),
  protocol: Config.literal(1, 2),
  postQuantum: Config.literal("off", "prefer", "require")
} satisfies { readonly [kind in Variables.Kind]: (name: string) => Config.Config<unknown> }

type Value<K extends Variables.Kind> = Config.Config.Success<ReturnType<(typeof readers)[K]>>
type Values<V extends Variables.Variables> = {
  readonly [option in keyof V]: Value<V[option][1]> | undefined
}

/**
 * Options by their variables in the environment.
 *
 * @internal
 */
export const fromEnvironment = <const V extends Variables.Variables>(variables: V) =>
  Config.all(
    Record.map(variables, ([name, kind]) => optional<unknown>(name, readers[kind]))
  ) as Config.Config<Values<V>>

/**
 * The options from the environment: `NOMYO_BASE_URL`, `NOMYO_ALLOW_HTTP`, `NOMYO_API_KEY`,
 * `NOMYO_TRUSTED_BASE_URLS` (separated by commas, or `false`), `NOMYO_TIMEOUT`, `NOMYO_IDLE_TIMEOUT`,
 * `NOMYO_MAX_RETRIES`, `NOMYO_THROTTLE`, `NOMYO_KEY_SIZE`, `NOMYO_KEY_ROTATION_INTERVAL`,
 * `NOMYO_ROUTER_KEY_FINGERPRINTS` (separated by commas), `NOMYO_PROTOCOL`,
 * `NOMYO_ROUTER_KEY_CONFIG_FINGERPRINTS` (separated by commas), `NOMYO_ROUTER_KEY_CONFIG`,
 * `NOMYO_POST_QUANTUM`, `NOMYO_PADDING`, `NOMYO_ROUTER_KEY_TTL`, `NOMYO_MAX_RESPONSE_BYTES`. Times are
 * milliseconds, or a number and a unit: `30 seconds`. A blank variable counts as unset.
 *
 * @since 0.2.0
 * @category config
 */
export const config: Config.Config<Options> = fromEnvironment(Variables.portable)
