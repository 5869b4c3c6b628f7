/** Options of every server on the command line. */
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Cli from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { InvalidRequestError } from "../NomyoError.js"
import { readSmallFile } from "./secretFile.js"
import type { Tls } from "./serve.js"

/** Where a server listens, and for whom. */
export interface ServerOptions {
  readonly port: number
  readonly host: string
  readonly allowHost: ReadonlyArray<string>
  readonly allowOrigin: ReadonlyArray<string>
  readonly tlsCert: Option.Option<string>
  readonly tlsKey: Option.Option<string>
}

/** Fails for an option that has no such value. */
export const invalid = (message: string): Effect.Effect<never, ValidationError.ValidationError> =>
  Effect.fail(ValidationError.invalidValue(HelpDoc.p(message)))

const LARGEST_PORT = 65535

/** A port, of which 0 is any free one. */
export const checkPort = (port: number) =>
  Number.isInteger(port) && port >= 0 && port <= LARGEST_PORT
    ? Effect.succeed(port)
    : invalid(`--port must be a number from 0 to ${LARGEST_PORT}, such as --port 12500`)

const port = (byDefault: number) =>
  Cli.integer("port").pipe(
    Cli.withDefault(byDefault),
    Cli.mapEffect(checkPort),
    Cli.withDescription(`The port to listen on; 0 is any free one. Default: ${byDefault}`)
  )

/** An empty host would be every address. IPv6 addresses have brackets in URLs alone. */
const checkHost = (text: string) => {
  const host = text.trim().replace(/^\[(.*)\]$/, "$1")
  return host === "" ? invalid("--host must be an address such as 127.0.0.1") : Effect.succeed(host)
}

const UNITS: { readonly [unit: string]: string } = { ms: "millis", s: "seconds", m: "minutes", h: "hours",
  d: "days" }

/** `10s` as `10 seconds`, and a number without a unit in `unit`. Any other text is left to `Duration`. */
const decodeTime = (text: string, unit: string): Option.Option<Duration.Duration> => {
  const [, count, given = unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim()) ?? []
  const name = UNITS[given]
  // `Duration` makes zero of a negative time
  if (text.trim().startsWith("-")) return Option.none()
  return Duration.decodeUnknown(count === undefined || name === undefined ? text : `${count} ${name}`)
}

/** A time: `30 days`, `10s`. A number needs a unit, unless `unit` names one. */
export const duration = (name: string, unit = ""): Cli.Options<Duration.Duration> =>
  Cli.mapEffect(Cli.withPseudoName(Cli.text(name), "TIME"), (text) =>
    Option.match(decodeTime(text, unit), {
      onNone: () => invalid(`--${name} must be a time such as "30 days" or 10s`),
      onSome: Effect.succeed
    }))

/** The path of a file or a directory. */
export const pathOption = (name: string, description: string): Cli.Options<Option.Option<string>> =>
  Cli.text(name).pipe(Cli.withPseudoName("PATH"), Cli.optional, Cli.withDescription(description))

/**
 * An origin as browsers send it. `*` would open the server to every page, and `null` to every sandboxed one.
 */
const checkOrigin = (text: string) => {
  const trimmed = text.trim().replace(/\/$/, "")
  const origin = /^https?:/i.test(trimmed) && URL.canParse(trimmed) ? new URL(trimmed).origin : trimmed
  return /^[a-z][a-z0-9+.-]*:\/\/[^\s*/]+$/i.test(origin)
    ? Effect.succeed(origin)
    : invalid("--allow-origin must be an origin such as https://chat.example or app://obsidian.md")
}

/** The guards compare names without a port. IPv6 addresses have brackets. */
const checkAllowedHost = (text: string) =>
  /^([^\s/?#@:[\]]+|\[[\da-f:.]+\])$/i.test(text)
    ? Effect.succeed(text)
    : invalid("--allow-host must be a host name such as chat.example, without a scheme or a port")

/** The options of a server, which its help calls `what`. */
export const serverOptions = (
  what: string,
  defaultPort: number
): { readonly [Name in keyof ServerOptions]: Cli.Options<ServerOptions[Name]> } => ({
  port: port(defaultPort),
  host: Cli.text("host").pipe(
    Cli.withPseudoName("ADDRESS"),
    Cli.withDefault("127.0.0.1"),
    Cli.mapEffect(checkHost),
    Cli.withDescription("The address to listen on. Default: 127.0.0.1")
  ),
  allowHost: Cli.text("allow-host").pipe(
    Cli.withPseudoName("NAME"),
    Cli.repeated,
    Cli.mapEffect((names) => Effect.forEach(names, checkAllowedHost)),
    Cli.withDescription(
      `Another host name of this ${what}, accepted in the Host header, such as chat.example; repeatable`
    )
  ),
  allowOrigin: Cli.text("allow-origin").pipe(
    Cli.withPseudoName("ORIGIN"),
    Cli.repeated,
    Cli.mapEffect((origins) => Effect.forEach(origins, checkOrigin)),
    Cli.withDescription(
      `An origin whose pages may use this ${what}, such as https://chat.example; repeatable`
    )
  ),
  tlsCert: pathOption("tls-cert", "The TLS certificate's file, with its chain, in PEM. Default: plain HTTP"),
  tlsKey: pathOption("tls-key", "The file of the certificate's private key, in PEM")
})

/** Reads the certificate and its private key, if the options name them. */
export const readTls = Effect.fnUntraced(function*({ tlsCert, tlsKey }: ServerOptions) {
  if (Option.isNone(tlsCert) && Option.isNone(tlsKey)) return undefined
  if (Option.isNone(tlsCert) || Option.isNone(tlsKey)) {
    return yield* Effect.fail(
      new InvalidRequestError({ message: "--tls-cert and --tls-key belong together. Pass both" })
    )
  }
  const tls: Tls = {
    cert: yield* readSmallFile(tlsCert.value, "The TLS certificate"),
    key: yield* readSmallFile(tlsKey.value, "The TLS certificate's private key")
  }
  return tls
})

/** Whether only this machine can reach an address. */
export const isLoopback = (host: string): boolean => /^(localhost|127(\.\d+){3}|::1)$/i.test(host)

/** The names that a server may be called by: those that were named, and the address that it listens on. */
export const hostNames = (
  { allowHost, host }: Pick<ServerOptions, "allowHost" | "host">
): ReadonlyArray<string> => {
  const isWildcard = host === "0.0.0.0" || host === "::"
  return [...allowHost, ...(isWildcard ? [] : [host.includes(":") ? `[${host}]` : host])]
}

/** Where a program on this machine finds a server. */
export const localUrl = (url: string): string =>
  url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
