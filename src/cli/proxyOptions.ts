import * as Cli from "@effect/cli/Options"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SecurityTier } from "../ChatCompletion.js"
import { clientOptions } from "./client.js"
import { duration, invalid, pathOption, type ServerOptions, serverOptions } from "./serverOptions.js"

/** Options of a proxy on the command line. */
export interface Options extends ServerOptions {
  readonly plainHttp: boolean
  readonly tokenFile: Option.Option<string>
  readonly apiKeyFile: Option.Option<string>
  readonly models: ReadonlyArray<string>
  readonly tier: Option.Option<SecurityTier>
  readonly noThrottle: boolean
  readonly timeout: Option.Option<Duration.Duration>
  readonly idleTimeout: Option.Option<Duration.Duration>
  readonly keepAlive: Option.Option<Duration.Duration>
  readonly baseUrl: Option.Option<string>
  readonly allowHttp: boolean
}

const models = Cli.text("models").pipe(
  Cli.withPseudoName("IDS"),
  Cli.mapEffect((list) => {
    const ids = list.split(",").map((id) => id.trim()).filter((id) => id !== "")
    return ids.length > 0
      ? Effect.succeed(ids)
      : invalid("--models must be ids separated by commas, such as --models first,second")
  }),
  Cli.withDescription("Ids for GET /v1/models, separated by commas. Default: the router's list"),
  Cli.optional,
  Cli.map(Option.getOrElse((): ReadonlyArray<string> => []))
)

/** Where `nomyo proxy` listens by default. */
export const PROXY_PORT = 12436

export const options = {
  ...serverOptions("proxy", PROXY_PORT),
  plainHttp: Cli.boolean("plain-http").pipe(
    Cli.withDescription(
      "Let other machines connect without TLS, for a container or behind a server that terminates TLS"
    )
  ),
  tokenFile: pathOption(
    "token-file",
    "A file with one token per line. Tools must send one of them as their API key. - is standard input. " +
    "Default: NOMYO_PROXY_TOKEN"
  ),
  apiKeyFile: pathOption(
    "api-key-file",
    "A file with the API key for the router; - is standard input. Default: NOMYO_API_KEY"
  ),
  models,
  tier: clientOptions.tier,
  noThrottle: Cli.boolean("no-throttle").pipe(
    Cli.withDescription(
      "Send each request at once, such as to your own router. Default: wait, to stay within the " +
        "service's limit"
    )
  ),
  timeout: duration("timeout").pipe(
    Cli.optional,
    Cli.withDescription("How long one attempt may take. Default: NOMYO_TIMEOUT, or 10 minutes")
  ),
  idleTimeout: duration("idle-timeout").pipe(
    Cli.optional,
    Cli.withDescription(
      "The longest silence within a streamed answer. Default: NOMYO_IDLE_TIMEOUT, or 60 seconds"
    )
  ),
  keepAlive: duration("keep-alive").pipe(
    Cli.optional,
    Cli.withDescription(
      "How often to send an empty comment while a stream waits, so that nothing closes the connection. " +
        "Default: 10s"
    )
  ),
  baseUrl: clientOptions.baseUrl,
  allowHttp: clientOptions.allowHttp
}
