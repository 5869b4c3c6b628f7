import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Cli from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Format } from "./log.js"

/** What the command line says of a router. */
export interface Options {
  readonly port: number
  readonly host: string
  readonly allowHost: ReadonlyArray<string>
  readonly allowOrigin: ReadonlyArray<string>
  readonly apiKeyFile: Option.Option<string>
  readonly upstream: Option.Option<string>
  readonly upstreamApiKeyFile: Option.Option<string>
  readonly keyDir: Option.Option<string>
  readonly keyRotationInterval: Option.Option<Duration.Duration>
  readonly tlsCert: Option.Option<string>
  readonly tlsKey: Option.Option<string>
  readonly rateLimit: boolean
  readonly logFormat: Format
  readonly drain: Duration.Duration
}

const invalid = (message: string) => Effect.fail(ValidationError.invalidValue(HelpDoc.p(message)))

const LARGEST_PORT = 65535

const port = Cli.integer("port").pipe(
  Cli.withDefault(12435),
  Cli.mapEffect((port) =>
    port >= 0 && port <= LARGEST_PORT
      ? Effect.succeed(port)
      : invalid(`--port is a number from 0 to ${LARGEST_PORT}`)
  ),
  Cli.withDescription("The port to listen on; 0 is any free one")
)

/** `24 hours`, `30 days`, … */
const duration = (name: string) =>
  Cli.mapEffect(Cli.text(name), (text) =>
    Option.match(Duration.decodeUnknown(text), {
      onNone: () => invalid(`--${name} is a time such as "30 days"`),
      onSome: Effect.succeed
    }))

/**
 * An origin as browsers send it. `*` would open the router to every page, and `null` to every sandboxed one.
 */
const checkOrigin = (text: string) => {
  const trimmed = text.trim().replace(/\/$/, "")
  const origin = /^https?:/i.test(trimmed) && URL.canParse(trimmed) ? new URL(trimmed).origin : trimmed
  return /^[a-z][a-z0-9+.-]*:\/\/[^\s*/]+$/i.test(origin)
    ? Effect.succeed(origin)
    : invalid("--allow-origin is an origin such as https://chat.example or app://obsidian.md")
}

export const options = {
  port,
  host: Cli.text("host").pipe(Cli.withDefault("127.0.0.1"), Cli.withDescription("The address to listen on")),
  allowHost: Cli.text("allow-host").pipe(
    Cli.repeated,
    Cli.withDescription("A further name that this router may be called by, such as chat.example; repeatable")
  ),
  allowOrigin: Cli.text("allow-origin").pipe(
    Cli.repeated,
    Cli.mapEffect((origins) => Effect.forEach(origins, checkOrigin)),
    Cli.withDescription("An origin whose pages may use this router, such as https://chat.example; repeatable")
  ),
  apiKeyFile: Cli.text("api-key-file").pipe(
    Cli.optional,
    Cli.withDescription("API keys of clients, one on each line after a label. Default: NOMYO_ROUTER_API_KEY")
  ),
  upstream: Cli.text("upstream").pipe(
    Cli.optional,
    Cli.withDescription("An OpenAI-compatible server that answers, in place of the echo model")
  ),
  upstreamApiKeyFile: Cli.text("upstream-api-key-file").pipe(
    Cli.optional,
    Cli.withDescription("A file with the API key for that server. Default: NOMYO_UPSTREAM_API_KEY")
  ),
  keyDir: Cli.text("key-dir").pipe(
    Cli.optional,
    Cli.withDescription("A directory that keeps the key pair, for clients to pin. Default: a new pair")
  ),
  keyRotationInterval: duration("key-rotation-interval").pipe(
    Cli.optional,
    Cli.withDescription("How old a pair becomes, such as \"30 days\". Default: nomyo keys rotate replaces it")
  ),
  tlsCert: Cli.text("tls-cert").pipe(
    Cli.optional,
    Cli.withDescription("A TLS certificate in PEM, with its chain")
  ),
  tlsKey: Cli.text("tls-key").pipe(
    Cli.optional,
    Cli.withDescription("The TLS certificate's private key in PEM")
  ),
  rateLimit: Cli.boolean("rate-limit").pipe(
    Cli.withDescription("Refuse requests beyond the service's limit: 2 in a second, or 4 once in ten seconds")
  ),
  logFormat: Cli.choice("log-format", ["text", "json"]).pipe(
    Cli.withDefault("text" as const),
    Cli.withDescription("How each request is logged on stderr")
  ),
  drain: duration("drain").pipe(
    Cli.withDefault(Duration.seconds(10)),
    Cli.withDescription("How long SIGTERM waits for the requests in flight, such as \"60 seconds\"")
  )
}
