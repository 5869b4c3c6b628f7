import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Gateway from "../gateway/Gateway.js"
import { NomyoClient } from "../NomyoClient.js"
import * as NomyoConfig from "../NomyoConfig.js"
import { InvalidRequestError } from "../NomyoError.js"
import * as Node from "../platform/node/index.js"
import { Transport } from "../Transport.js"
import { withFlags } from "./errors.js"
import { type Exchanges, makeExchanges } from "./exchanges.js"
import * as Log from "./log.js"
import { type Options, options } from "./proxyOptions.js"
import { withProxyPage } from "./proxyPage.js"
import { proxyWarning } from "./proxyVariables.js"
import { guarded } from "./routerGuard.js"
import { routerModels } from "./routerModels.js"
import { checkStdin, secret, secrets } from "./secretFile.js"
import { serve, type Tls } from "./serve.js"
import { hostNames, isLoopback, localUrl, readTls } from "./serverOptions.js"
import { out } from "./terminal.js"

const refuse = (message: string) => Effect.fail(new InvalidRequestError({ message }))

/** Other machines come in by a token alone, and not in the clear unless that is asked for. */
const checkReach = ({ host, plainHttp }: Options, hasToken: boolean, tls: Tls | undefined) => {
  if (isLoopback(host)) return Effect.void
  if (!hasToken) {
    return refuse(
      `Other machines can reach ${host}. Set NOMYO_PROXY_TOKEN or --token-file, or listen on 127.0.0.1`
    )
  }
  return tls === undefined && !plainHttp
    ? refuse(
      `Prompts would reach ${host} in the clear. Pass --tls-cert and --tls-key. Behind a server that ` +
        "terminates TLS, pass --plain-http"
    )
    : Effect.void
}

/** The API key of a file, which comes before the environment's. */
const apiKeyOf = ({ apiKeyFile }: Options) =>
  Option.isNone(apiKeyFile)
    ? Effect.succeed({})
    : Effect.map(secret(apiKeyFile, "NOMYO_API_KEY"), (key) => ({ apiKey: key?.token }))

/** The client's options, from the environment and the command line. */
const clientOptions = Effect.fnUntraced(function*(given: Options) {
  const environment = yield* Node.environment
  const options: Node.Options = {
    ...environment,
    ...(yield* apiKeyOf(given)),
    keyDir: environment.keyDir ?? false,
    baseUrl: Option.getOrElse(given.baseUrl, () => environment.baseUrl),
    allowHttp: given.allowHttp || environment.allowHttp,
    throttle: !given.noThrottle && environment.throttle !== false
  }
  return options
})

const describeKey = (
  { apiKey }: NomyoConfig.NomyoConfig,
  { apiKeyFile }: Options,
  hasToken: boolean
): string => {
  if (apiKey !== undefined) return Option.getOrElse(apiKeyFile, () => "NOMYO_API_KEY")
  return hasToken ? "none; set NOMYO_API_KEY if the router needs one" : "the one that the tool sends"
}

/** The first line is what a tool takes as its base URL. */
const printBanner = Effect.fnUntraced(function*(
  url: string,
  config: NomyoConfig.NomyoConfig,
  given: Options,
  hasToken: boolean
) {
  yield* out(`${localUrl(url)}/v1`)
  yield* out(`page     ${localUrl(url)}/`)
  yield* out(`router   ${config.baseUrl}`)
  yield* out(`api key  ${describeKey(config, given, hasToken)}`)
  yield* out(`token    ${hasToken ? "required" : "none required"}`)
  const warning = proxyWarning(process.env)
  if (warning !== undefined) yield* Effect.logWarning(warning)
})

/** A message of the library to a tool that sends its own API key. */
const withToolsKey = (message: string): string =>
  withFlags(message.replace(/\bapiKey\b/, "the API key in your tool"))

const serveGateway = Effect.fnUntraced(function*(
  given: Options,
  environment: Node.Options,
  config: NomyoConfig.NomyoConfig,
  exchanges: Exchanges
) {
  const tokens = yield* secrets(given.tokenFile, "NOMYO_PROXY_TOKEN", "token")
  const tls = yield* readTls(given)
  const hasToken = tokens.length > 0
  yield* checkReach(given, hasToken, tls)
  const client = yield* NomyoClient
  const transport = yield* Transport
  const gateway = yield* Gateway.make({
    models: given.models.length > 0
      ? given.models
      : (apiKey) => Effect.provideService(routerModels(config, apiKey), Transport, transport),
    apiKey: config.apiKey === undefined && !hasToken ? "header" : "client",
    errorMessage: config.apiKey === undefined && !hasToken ? withToolsKey : withFlags,
    tokens: tokens.map(({ token }) => token),
    securityTier: Option.getOrUndefined(given.tier),
    timeout: Option.getOrElse(given.timeout, () => environment.timeout),
    idleTimeout: Option.getOrUndefined(given.idleTimeout),
    maxRetries: environment.maxRetries,
    keepAlive: Option.getOrUndefined(given.keepAlive),
    allowedHosts: hostNames(given),
    allowedOrigins: given.allowOrigin,
    scheme: tls === undefined ? "http" : "https"
  })
  const keyPlace = environment.keyDir === false ? "in the proxy's memory only" : "kept by the proxy"
  const page = { config, tokens, keyPlace, exchanges, guarded: guarded(given, tls !== undefined) }
  const app = yield* withProxyPage(page, gateway)
  const url = yield* serve(app, { host: given.host, port: given.port, tls })
  yield* printBanner(url, config, given, hasToken)
  // the first request need not wait for the key pair
  yield* Effect.forkScoped(Effect.ignore(client.ready))
  return yield* Effect.never
}, Effect.scoped)

const run = Effect.fnUntraced(function*(given: Options) {
  yield* checkStdin({ "--token-file": given.tokenFile, "--api-key-file": given.apiKeyFile })
  const environment = yield* clientOptions(given)
  const config = yield* NomyoConfig.make(environment)
  const exchanges = yield* makeExchanges
  const platform = Node.layerPlatform(environment, exchanges.layer)
  const client = Layer.provideMerge(Node.layerParts(environment), platform)
  return yield* Effect.provide(serveGateway(given, environment, config, exchanges), client)
})

/** `nomyo proxy`: serves OpenAI's API, encrypted from here on, until it is stopped. */
export const proxy = Command.make("proxy", options, (given) =>
  Effect.provide(run(given), Log.layer("text"))).pipe(
  Command.withDescription(
    "Serve an OpenAI-compatible API to tools: it encrypts their requests and sends them to the router. " +
      "At / is a chat page. The API key for the router is NOMYO_API_KEY. If that and the token are unset, " +
      "the proxy passes on the tool's API key"
  )
)
