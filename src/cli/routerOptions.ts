import * as Cli from "@effect/cli/Options"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { Format } from "./log.js"
import { duration, invalid, pathOption, type ServerOptions, serverOptions } from "./serverOptions.js"

/** Options of a router on the command line. */
export interface Options extends ServerOptions {
  readonly apiKeyFile: Option.Option<string>
  readonly upstream: Option.Option<string>
  readonly upstreamApiKeyFile: Option.Option<string>
  readonly keyDir: Option.Option<string>
  readonly keyRotationInterval: Option.Option<Duration.Duration>
  readonly protocol: Option.Option<2>
  readonly keysAhead: number
  readonly postQuantum: boolean
  readonly noPadding: boolean
  readonly authority: ReadonlyArray<string>
  readonly rateLimit: boolean
  readonly logFormat: Format
  readonly drain: Duration.Duration
}

/** Keys have an id of one byte, and those that were replaced keep theirs for a while. */
const MOST_KEYS_AHEAD = 100

const checkKeysAhead = (count: number) =>
  count >= 0 && count <= MOST_KEYS_AHEAD
    ? Effect.succeed(count)
    : invalid(`--keys-ahead is a number from 0 to ${MOST_KEYS_AHEAD}`)

export const options = {
  ...serverOptions("router", 12435),
  apiKeyFile: pathOption(
    "api-key-file",
    "API keys of clients, one on each line after a label; - is standard input. " +
    "Default: NOMYO_ROUTER_API_KEY"
  ),
  upstream: Cli.text("upstream").pipe(
    Cli.withPseudoName("URL"),
    Cli.optional,
    Cli.withDescription("An OpenAI-compatible server that answers, in place of the echo model")
  ),
  upstreamApiKeyFile: pathOption(
    "upstream-api-key-file",
    "A file with the API key for that server. Default: NOMYO_UPSTREAM_API_KEY"
  ),
  keyDir: pathOption(
    "key-dir",
    "A directory that keeps the keys, for clients to pin. Default: new keys"
  ),
  keyRotationInterval: duration("key-rotation-interval").pipe(
    Cli.optional,
    Cli.withDescription(
      "How old keys become, such as \"30 days\". Default: 7 days for protocol 2; nomyo keys rotate for 1.0"
    )
  ),
  protocol: Cli.choiceWithValue("protocol", [["2", 2 as const]]).pipe(
    Cli.optional,
    Cli.withDescription("Speak protocol 2 only. Default: both")
  ),
  keysAhead: Cli.integer("keys-ahead").pipe(
    Cli.withDefault(3),
    Cli.mapEffect(checkKeysAhead),
    Cli.withDescription("How many keys of protocol 2 are made before they are needed, for clients to pin")
  ),
  postQuantum: Cli.boolean("post-quantum").pipe(
    Cli.withDescription("Offer keys of protocol 2 that withstand quantum computers too (MLKEM768-X25519)")
  ),
  noPadding: Cli.boolean("no-padding").pipe(
    Cli.withDescription("Show the exact lengths of answers of protocol 2. Default: they are padded")
  ),
  authority: Cli.text("authority").pipe(
    Cli.withPseudoName("HOST"),
    Cli.repeated,
    Cli.withDescription(
      "A name that requests of protocol 2 may be for, as host or host:port; may be repeated. Default: any"
    )
  ),
  rateLimit: Cli.boolean("rate-limit").pipe(
    Cli.withDescription("Refuse requests beyond the service's limit: 2 in a second, or 4 once in ten seconds")
  ),
  logFormat: Cli.choice("log-format", ["text", "json"]).pipe(
    Cli.withDefault("text" as const),
    Cli.withDescription("How each request is logged on stderr. Default: text")
  ),
  drain: duration("drain").pipe(
    Cli.withDefault(Duration.seconds(10)),
    Cli.withDescription("How long SIGTERM waits for the requests in flight, such as 60s. Default: 10s")
  )
}
