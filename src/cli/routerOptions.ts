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
  readonly flush: Duration.Duration
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
    : invalid(`--keys-ahead must be a number from 0 to ${MOST_KEYS_AHEAD}, such as --keys-ahead 3`)

/** A host as a URL has it, in which IPv6 addresses have brackets, and perhaps a port. */
const checkAuthority = (text: string) =>
  /^([^\s/?#@:[\]]+|\[[\da-f:.]+\])(:\d+)?$/i.test(text)
    ? Effect.succeed(text)
    : invalid("--authority must be a host or host:port such as chat.example")

export const options = {
  ...serverOptions("router", 12435),
  apiKeyFile: pathOption(
    "api-key-file",
    "A file with the API keys of clients: on each line a key, or a label and a key. - is standard input. " +
    "Default: NOMYO_ROUTER_API_KEY"
  ),
  upstream: Cli.text("upstream").pipe(
    Cli.withPseudoName("URL"),
    Cli.optional,
    Cli.withDescription(
      "The OpenAI-compatible model server. Default: an echo model, which repeats the prompt"
    )
  ),
  upstreamApiKeyFile: pathOption(
    "upstream-api-key-file",
    "A file with the API key for the model server; - is standard input. Default: NOMYO_UPSTREAM_API_KEY"
  ),
  keyDir: pathOption(
    "key-dir",
    "The directory that keeps the router's keys across restarts. Default: new keys at each start"
  ),
  keyRotationInterval: duration("key-rotation-interval").pipe(
    Cli.optional,
    Cli.withDescription(
      "The age at which the router replaces a key, such as \"30 days\", for both protocols. Default: " +
        "7 days for protocol 2; the protocol 1.0 key stays until you run nomyo keys rotate --dir DIR"
    )
  ),
  protocol: Cli.choiceWithValue("protocol", [["2", 2 as const]]).pipe(
    Cli.optional,
    Cli.withDescription("Accept only protocol 2. Default: protocols 1.0 and 2")
  ),
  keysAhead: Cli.integer("keys-ahead").pipe(
    Cli.withDefault(3),
    Cli.mapEffect(checkKeysAhead),
    Cli.withDescription(
      "How many future protocol 2 keys to make now, so that clients can pin them before they come " +
        "into use. Default: 3"
    )
  ),
  postQuantum: Cli.boolean("post-quantum").pipe(
    Cli.withDescription("Also offer post-quantum keys of protocol 2 (MLKEM768-X25519)")
  ),
  noPadding: Cli.boolean("no-padding").pipe(
    Cli.withDescription("Show the exact lengths of answers of protocol 2. Default: they are padded")
  ),
  flush: duration("flush", "ms").pipe(
    Cli.withDefault(Duration.zero),
    Cli.withDescription(
      "How long to collect the events of a protocol 2 stream into one chunk, such as 50ms. A watcher of " +
        "the network then sees fewer, larger chunks. Default: 0"
    )
  ),
  authority: Cli.text("authority").pipe(
    Cli.withPseudoName("HOST"),
    Cli.repeated,
    Cli.mapEffect((names) => Effect.forEach(names, checkAuthority)),
    Cli.withDescription(
      "Refuse a protocol 2 request whose encrypted part names another host or host:port; repeatable. " +
        "Default: any"
    )
  ),
  rateLimit: Cli.boolean("rate-limit").pipe(
    Cli.withDescription(
      "Apply the service's limit to each API key: 2 requests a second, and once in ten seconds " +
        "a burst of 4 in one second"
    )
  ),
  logFormat: Cli.choice("log-format", ["text", "json"]).pipe(
    Cli.withDefault("text" as const),
    Cli.withDescription("The format of the log on stderr. Default: text")
  ),
  drain: duration("drain").pipe(
    Cli.withDefault(Duration.seconds(10)),
    Cli.withDescription(
      "How long the router waits after SIGTERM for requests in flight, such as 60s. Default: 10s"
    )
  )
}
